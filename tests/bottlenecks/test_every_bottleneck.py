"""What every bottleneck promises: one gradient in both steps, a state that goes on, rows held out in peace."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skae._bottleneck import prior
from skae._bottleneck.adversary import Adversary, Discriminator
from skae._bottleneck.dead_units import DeadUnits
from skae._bottleneck.gaussian import GaussianBottleneck
from skae._bottleneck.mixture import MixtureBottleneck
from skae._bottleneck.nested_dropout import NestedDropout
from skae._bottleneck.noisy_sigmoid import NoisySigmoid
from skae._bottleneck.sparse import SparseBottleneck
from skae._bottleneck.winners import by_batch, by_row, by_unit
from skae._objectives.penalties import WarmUp
from skae._training.optimizers import AdversarialAdam

N, WIDTH = 12, 20
CPU = torch.device("cpu")
RECONSTRUCTION = torch.tensor(3.0, dtype=torch.float64)


def codes(seed=0, n=N, width=WIDTH):
    return torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def row_weights(seed=0):
    weight = torch.rand(N, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return weight / weight.mean()


def gaussian(**parameters):
    settings = {"beta": 0.7, "n_draws": 1, "free_bits": 0.0, "warm_up": 0.0, **parameters}
    return lambda generator: GaussianBottleneck(dtype=torch.float64, generator=generator, **settings)


def mixture(generator):
    """It starts at the second step."""
    return MixtureBottleneck(3, 2, beta=0.7, warm_up=2.0, dtype=torch.float64, generator=generator)


def sparse(choose, *, signed=True, dead=None):
    """Windows are two batches long."""

    def make(generator):
        units = (
            None if dead is None else torch.zeros(WIDTH, dtype=torch.float64).index_fill(0, torch.tensor(dead), 1)
        )
        return SparseBottleneck(choose(), signed, DeadUnits(0.4, 0.1, 2 * N, units))

    return make


def adversary(generator):
    seeds = torch.Generator().manual_seed(int(torch.randint(99, (), generator=generator)))
    made = Discriminator((WIDTH, 9, 1), seeds, torch.float64, CPU)
    return Adversary(
        made,
        AdversarialAdam(*made.flat, learning_rate=0.01),
        lambda n, g: prior.draw("normal", n, WIDTH, made.parameters, g),
        weight=2.0,
        noise=0.3,
        n_steps=2,
        generator=generator,
    )


BOTTLENECKS = {
    "gaussian": gaussian(),
    "gaussian_draws": gaussian(n_draws=3, free_bits=0.2, warm_up=2.0),
    "mixture": mixture,
    "nested": lambda generator: NestedDropout(WIDTH, generator),
    "noisy_sigmoid": lambda generator: NoisySigmoid(WarmUp(2.0, 3), generator),
    "topk": lambda generator: SparseBottleneck(by_row(3), False),
    "topk_dead": sparse(lambda: by_row(3), dead=[1, 4, 6]),
    "batch_topk": sparse(lambda: by_batch(1), signed=False),
    "batch_topk_dead": sparse(lambda: by_batch(1), dead=[0, 19]),
    "winner_take_all": lambda generator: SparseBottleneck(by_unit(0.3), True),
    "adversary": adversary,
}
every_bottleneck = pytest.mark.parametrize("make", BOTTLENECKS.values(), ids=BOTTLENECKS)
weighted = pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def explicitly(bottleneck, code, row_weight=None, seed=5):
    """One step as the explicit one takes it: the decoder's input, the own loss, the derivative of the code."""
    n_passes, width = bottleneck.n_passes, bottleneck.decoder_width(code.shape[1])
    z = code.new_empty(n_passes * len(code), width)
    dz, dcode = codes(seed, *z.shape) / len(code), torch.empty_like(code)
    bottleneck.forward(code, z, row_weight)
    z = z.clone()
    own = bottleneck.own_loss(RECONSTRUCTION)
    own = None if own is None else own.clone()
    bottleneck.backward(code, dz.clone(), dcode, row_weight)
    return z, own, dcode


def by_autograd(bottleneck, code, row_weight=None, seed=5):
    """The same step, derived by autograd."""
    code = code.clone().requires_grad_()
    z = bottleneck.forward_autograd(code, row_weight)
    dz = codes(seed, *z.shape) / len(code)
    own, total = bottleneck.own_loss(RECONSTRUCTION), (z * dz).sum()
    if own is not None:
        total = total + (own if row_weight is None else own * row_weight[:, 0]).mean()
    (gradient,) = torch.autograd.grad(total, code)
    return z.detach(), None if own is None else own.detach(), gradient


@weighted
@every_bottleneck
def test_both_ways_through_have_one_gradient(make, weighted):
    """Step after step from one seed, while it warms up: what is passed on, the own loss, and what it notes too."""
    explicit, autograd = make(seeded()), make(seeded())
    for step in range(6):
        for bottleneck in (explicit, autograd):
            if bottleneck.warm_up is not None:
                bottleneck.warm_up.advance(step / 2)
        row_weight = row_weights(step) if weighted else None
        with torch.inference_mode():
            z, own, gradient = explicitly(explicit, codes(step), row_weight)
        expected = by_autograd(autograd, codes(step), row_weight)
        assert_allclose(z, expected[0], rtol=1e-10, atol=1e-12)
        assert_allclose(gradient, expected[2], rtol=1e-10, atol=1e-10 * expected[2].abs().max())
        assert gradient.abs().max() > 0
        if own is not None:
            assert_allclose(own, expected[1], rtol=1e-10)
    noted, expected = explicit.take_sums(), autograd.take_sums()
    assert noted.keys() == expected.keys()
    for name, total in noted.items():
        assert_allclose(total, expected[name], rtol=1e-10)


@weighted
@every_bottleneck
def test_a_weight_of_one_changes_nothing(make, weighted):
    plain, with_ones = make(seeded()), make(seeded())
    step = by_autograd if weighted else explicitly
    for number in range(3):
        found = step(with_ones, codes(number), torch.ones(N, 1, dtype=torch.float64))
        for one, other in zip(step(plain, codes(number)), found, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    for one, other in zip(plain.take_sums().values(), with_ones.take_sums().values(), strict=True):
        assert_allclose(one, other, rtol=1e-10)


def assert_equal(one, other):
    """Compare what `state` returns, however nested."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    elif isinstance(one, torch.Tensor | np.ndarray):
        assert np.array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("n_before", [0, 1, 2, 5])
@every_bottleneck
def test_a_state_goes_on_as_the_one_that_it_was_taken_from(make, n_before):
    """In a bottleneck that was made from another seed, and without that either changes the other."""
    first, generator = make(source := seeded()), seeded(9)
    second = make(generator)
    for step in range(n_before):
        explicitly(first, codes(step))
    first.take_sums()
    second.load_state(first.state())
    taken = copy.deepcopy(first.state())
    generator.set_state(source.get_state())
    for step in range(7, 12):
        for one, other in zip(*(explicitly(b, codes(step)) for b in (first, second)), strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)
    assert_equal(first.state(), second.state())
    assert_equal(first.take_sums(), second.take_sums())
    # What was taken before goes on once more, whatever the two have become.
    third = make(seeded(8))
    third.load_state(taken)
    assert_equal(third.state(), taken)


def test_states_that_say_nothing_are_few():
    """Else the test above would compare nothing: mixtures, dead units and discriminators are what goes on."""
    speaking = {name for name, make in BOTTLENECKS.items() if make(seeded()).state()}
    assert speaking == {"mixture", "topk_dead", "batch_topk", "batch_topk_dead", "adversary"}


@pytest.mark.parametrize("step", [explicitly, by_autograd])
@every_bottleneck
def test_rows_held_out_teach_nothing(make, step):
    """Nothing is learnt, noted or drawn; and rows are treated alike each time."""
    bottleneck, undisturbed = make(generator := seeded()), make(seeded())
    for each in (bottleneck, undisturbed):
        explicitly(each, codes())
        explicitly(each, codes(1))
    before, drawn = copy.deepcopy(bottleneck.state()), generator.get_state()
    found = []
    for _ in range(3):
        with bottleneck.held_out():
            assert bottleneck.is_held_out
            code = codes(2, 7)
            if step is explicitly:
                z = code.new_empty(bottleneck.n_passes * 7, bottleneck.decoder_width(WIDTH))
                bottleneck.forward(code, z, None)
            else:
                with torch.no_grad():
                    z = bottleneck.forward_autograd(code, None)
            bottleneck.own_loss(RECONSTRUCTION)
            found.append(z.clone())
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert not bottleneck.is_held_out
    assert_equal(bottleneck.state(), before)
    assert torch.equal(generator.get_state(), drawn)
    for one, other in zip(explicitly(bottleneck, codes(3)), explicitly(undisturbed, codes(3)), strict=True):
        assert one is None or torch.equal(one, other)
    assert_equal(bottleneck.take_sums(), undisturbed.take_sums())


@every_bottleneck
def test_held_out_ends_with_an_error(make):
    bottleneck = make(generator := seeded())
    drawn = generator.get_state()
    with pytest.raises(KeyboardInterrupt), bottleneck.held_out():
        raise KeyboardInterrupt
    assert not bottleneck.is_held_out
    assert torch.equal(generator.get_state(), drawn)
