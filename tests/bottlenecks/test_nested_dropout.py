"""Nested dropout: which prefixes are drawn, what each counts for, and that they are worth having."""

import numpy as np
import pytest
import torch
from estimators import rows
from numpy.testing import assert_allclose
from ordered_codes import errors, ordered, prefixes
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from step_parity import assert_steps_agree, both_fits

from skae._bottleneck.nested_dropout import NestedDropout
from skae._networks.nested import group_ends


@pytest.mark.parametrize("n_components", [1, 3, 9, 23])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_both_steps(n_components, tied, loss):
    weight = np.random.default_rng(1).integers(0, 4, 23).astype(float)
    for sample_weight in (None, weight):
        pair = both_fits(
            sample_weight, ordered=True, n_components=n_components, tied_weights=tied, loss=loss, learning_rate=0.1
        )
        assert_steps_agree(*pair, sizes=(10, 9, 4))


def widths_drawn(bottleneck, width):
    code = torch.ones(2, width, dtype=torch.float64)
    z = torch.empty(bottleneck.n_passes * 2, width, dtype=torch.float64)
    bottleneck.forward(code, z, None)
    assert ((z == 0) | (z == 1)).all()
    assert (z.diff(dim=1) <= 0).all()  # the units that are kept come first
    assert torch.equal(z[::2], z[1::2])  # one draw for all rows
    return z[::2].sum(1).int().tolist()


def test_groups_of_prefixes():
    assert group_ends(1) == [1]
    assert group_ends(16) == [*range(1, 17)]
    assert group_ends(37) == [*range(1, 17), 20, 24, 28, 32, 37]
    for width in range(1, 300):
        assert group_ends(width) == [*(end for end in group_ends(300) if end < width), width]
    assert len(group_ends(1024)) == 40


@pytest.mark.parametrize("width", [1, 2, 16])
def test_all_prefixes_of_narrow_codes(width):
    bottleneck = NestedDropout(width, torch.Generator().manual_seed(0))
    assert widths_drawn(bottleneck, width) == list(range(1, width + 1))


@pytest.mark.parametrize("width", [17, 24, 50])
def test_a_width_is_drawn_from_each_group(width):
    bottleneck, ends = NestedDropout(width, torch.Generator().manual_seed(0)), np.array(group_ends(width))
    drawn = np.array([widths_drawn(bottleneck, width) for _ in range(3000)])
    starts = np.append(1, ends[:-1] + 1)
    assert (drawn.min(0) == starts).all()
    assert (drawn.max(0) == ends).all()
    assert_allclose(drawn.mean(0), (starts + ends) / 2, rtol=0.01)


def test_held_out_rows_are_judged_by_the_same_widths():
    bottleneck = NestedDropout(40, torch.Generator().manual_seed(0))
    with bottleneck.held_out():
        assert widths_drawn(bottleneck, 40) == widths_drawn(bottleneck, 40) == group_ends(40)
    assert widths_drawn(bottleneck, 40) != group_ends(40)


def test_groups_after_its_own_count_for_five_at_most():
    bottleneck = NestedDropout(8, torch.Generator().manual_seed(0))
    code = torch.ones(2, 8, dtype=torch.float64, requires_grad=True)
    z = bottleneck.forward_autograd(code, None)
    z.sum().backward()
    assert_allclose(code.grad, [[6, 6, 6, 5, 4, 3, 2, 1]] * 2)
    dcode = torch.empty(2, 8, dtype=torch.float64)
    bottleneck.backward(code.detach(), torch.ones_like(z), dcode, None)
    assert_allclose(dcode, code.grad)


@pytest.mark.parametrize(
    ("solver", "width", "expected"),  # 0.2 times 16, 0.01, and 0.00125 times 4
    [("sgd", 8, 3.2), ("adam", 8, 0.01), ("adamw", 1024, 0.005), ("adam", 1024, 0.005)],
)
def test_automatic_rates_of_many_prefixes_at_once(solver, width, expected):
    model = ordered(16, solver=solver, learning_rate="auto", hidden_layer_sizes=width, max_iter=1)
    assert model.fit(rows(50, 4)).learning_rate_ == pytest.approx(expected)


def test_divergence_names_the_rate_that_was_used():
    with pytest.raises(ValueError, match=r"learning_rate=50\. Scale X"):
        ordered(4, solver="sgd", learning_rate=50).fit(rows(50, 4))


@pytest.mark.parametrize(
    ("losses", "relative"),  # times the losses: their mean
    [
        ([4.0, 1.0, 1.0], [0.5, 2, 2]),
        ([-4.0, 1.0, 1.0], [0.5, 2, 2]),
        ([1.0, 1e-9, 2.0], [1, 100, 0.5]),
        ([0.0, 0.0, 0.0], [1, 1, 1]),
    ],
)
def test_losses_are_felt_in_relation_to_their_size(losses, relative):
    """The first prefixes count for more; what is reported is the plain mean."""
    bottleneck = NestedDropout(3, torch.Generator().manual_seed(0))
    reported, felt = bottleneck.pass_weights(torch.tensor(losses, dtype=torch.float64))
    assert_allclose(reported, 1 / 3)
    assert_allclose(3 * felt, np.array(relative) * [9 / 8, 9 / 8, 6 / 8], rtol=1e-6)


SHARING = [{"tied_weights": True}, {"decoder": torch.nn.Linear(5, 4)}]


@pytest.mark.parametrize("parameters", [{}, {"encoder": torch.nn.Linear(4, 5)}, *SHARING], ids=str)
def test_decoders_for_prefixes(parameters):
    """Prefixes have decoders of their own, unless the one there is can be no other."""
    X = rows(50, 4)
    model = ordered(5, max_iter=5, **parameters).fit(X)
    restored = prefixes(model, X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.decoder_.parameters():
            if parameter.shape == (4,):  # biases of the output: of one decoder, or of each
                parameter.add_(torch.randn(4, generator=generator))
    moved = np.array(prefixes(model, X)) - restored
    assert_allclose(moved - moved[:, :1], 0, atol=1e-6)
    assert len(np.unique(moved[:, 0].round(6), axis=0)) == (1 if parameters in SHARING else 5)


def test_rows_of_all_widths_at_once():
    X = rows(300, 6)
    model = ordered(20, max_iter=3).fit(X)
    rng = np.random.default_rng(0)
    widths = rng.integers(0, 21, 300)
    codes = np.where(np.arange(20) < widths[:, None], model.transform(X), 0)
    together = model.inverse_transform(codes)
    for width in range(21):
        chosen = widths == width
        assert_allclose(together[chosen], model.inverse_transform(codes[chosen]), atol=1e-12)
    assert_allclose(together, np.vstack([model.inverse_transform(code[None]) for code in codes]), atol=1e-12)
    assert model.decoder_(torch.empty(0, 20, dtype=torch.float64)).shape == (0, 6)


def test_loss_is_the_mean_over_prefixes():
    X = rows()
    model = ordered(3, max_iter=1, learning_rate=1e-12, batch_size=len(X)).fit(X)
    assert_allclose(model.loss_, errors(model, X).mean(), rtol=1e-6)


def test_integer_weights_are_repetitions():
    X = rows(40)
    weight = np.random.default_rng(0).integers(0, 3, 40)
    settings = {"max_iter": 5, "batch_size": 200, "shuffle": False}
    one = ordered(18, **settings).fit(X, sample_weight=weight)
    two = ordered(18, **settings).fit(np.repeat(X, weight, axis=0))
    assert_allclose(one.transform(X), two.transform(X), rtol=1e-6, atol=1e-8)
    assert_allclose(one.explained_variance_, two.explained_variance_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("activation", "learning_rate"), [("relu", 1e-3), ("silu", 3e-3)])
def test_prefixes_are_what_nested_dropout_promises(activation, learning_rate):
    """Units in the order of what they add, each prefix nearly as good as a network trained for its width alone."""
    X = (load_digits().data / 16).astype(np.float32)
    train, test = train_test_split(X, random_state=0)
    settings = {"activation": activation, "learning_rate": learning_rate, "max_iter": 200}
    model = ordered(8, **settings).fit(train)
    alone = [ordered(k, **settings).set_params(ordered=False).fit(train) for k in range(1, 9)]
    prefix, best = errors(model, test), np.array([net.reconstruction_error(test).mean() for net in alone])
    assert (prefix / best).max() < 1.15
    assert (np.diff(prefix) < 0).all()
    assert (np.diff(model.explained_variance_[1:]) < 0).all()
    # Without nested training the prefixes of a code are worth little, and those of PCA's less than these.
    assert (errors(alone[-1], test)[:6] > 1.2 * prefix[:6]).all()
    pca = [PCA(k).fit(train) for k in range(2, 9)]
    assert (prefix[1:] < [np.square(p.inverse_transform(p.transform(test)) - test).mean() for p in pca]).all()
