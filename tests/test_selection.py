"""Who wins: within rows, within batches, for each unit; with weights as with repetitions; and the silent units."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skae._bottleneck.sparse import (
    Competition,
    Revival,
    batch_cutoff,
    by_batch,
    by_row,
    by_unit,
    cutoff,
)
from skae._networks.selection import Threshold, TopK, selection


def codes(n=12, m=7, seed=0):
    return torch.randn(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def winners(choose, magnitude, weight=None):
    out = torch.empty_like(magnitude)
    choose(magnitude, weight, out)
    return out.numpy()


@pytest.mark.parametrize("k", [1, 3, 7])
def test_k_largest_of_each_row(k):
    magnitude = codes().abs()
    won = winners(by_row(k), magnitude)
    assert_array_equal(won.sum(1), k)
    lowest_winner = np.where(won == 1, magnitude, np.inf).min(1)
    highest_loser = np.where(won == 0, magnitude, -np.inf).max(1)
    assert (lowest_winner > highest_loser).all()


@pytest.mark.parametrize("k", [1, 3, 7])
def test_largest_of_a_batch_are_k_a_row_on_average(k):
    magnitude = codes().abs()
    won = winners(by_batch(k), magnitude)
    expected = magnitude.flatten().sort(descending=True).values[12 * k - 1]
    assert_array_equal(won, magnitude >= expected)
    assert won.sum() == 12 * k


@pytest.mark.parametrize(("rate", "n_rows"), [(0.05, 1), (0.25, 3), (0.3, 4), (0.99, 12)])
def test_each_unit_is_kept_for_its_share_of_the_rows(rate, n_rows):
    magnitude = codes().abs()
    won = winners(by_unit(rate), magnitude)
    assert_array_equal(won.sum(0), n_rows)
    for unit in range(7):
        assert_array_equal(np.flatnonzero(won[:, unit]), np.sort(magnitude[:, unit].argsort()[-n_rows:]))


@pytest.mark.parametrize("choose", [by_row(2), by_batch(2), by_unit(0.3)], ids=["row", "batch", "unit"])
@pytest.mark.parametrize("seed", range(5))
def test_a_weight_is_as_good_as_repetition(choose, seed):
    magnitude = codes(seed=seed).abs()
    repetitions = torch.randint(1, 5, (12,), generator=torch.Generator().manual_seed(seed))
    repeated = magnitude.repeat_interleave(repetitions, 0)
    repeated = repeated * (1 + 1e-15 * torch.randn(repeated.shape, dtype=torch.float64))  # rounded elsewhere
    weight = repetitions.double() / repetitions.double().mean()
    weighted = winners(choose, magnitude, weight.unsqueeze(1))
    assert_array_equal(winners(choose, repeated), np.repeat(weighted, repetitions, axis=0))


def test_cutoffs_by_hand():
    magnitude = torch.tensor([[5.0, 1.0], [4.0, 2.0], [3.0, 3.0], [2.0, 4.0]])
    assert cutoff(magnitude, None, 0.5).tolist() == [4.0, 3.0]
    assert cutoff(magnitude, torch.tensor([1.0, 1.0, 1.0, 3.0]), 0.5).tolist() == [3.0, 4.0]
    assert cutoff(magnitude, torch.tensor([1.0, 1.0, 1.0, 3.0]), 1.0).tolist() == [2.0, 1.0]
    assert batch_cutoff(magnitude, None, 1) == 3.0  # 5, 4, 4, 3 are four of four rows, and the other 3 ties
    assert batch_cutoff(magnitude, torch.tensor([[3.0], [1.0], [1.0], [1.0]]), 1) == 3.0
    assert batch_cutoff(magnitude, None, 2) == 1.0


@pytest.mark.parametrize("kind", [("topk", 2), ("threshold",)])
def test_what_is_left_after_training(kind):
    module = selection(kind)
    if isinstance(module, Threshold):
        module.threshold.fill_(0.7)
    code = codes()
    kept = module(code)
    assert torch.equal(module.keep_(code.clone()), kept)
    assert torch.equal(kept, torch.where(kept != 0, code, 0))
    if isinstance(module, TopK):
        assert_array_equal((kept != 0).sum(1), 2)
    else:
        assert torch.equal(kept != 0, code.abs() >= 0.7)
    assert_array_equal(module(code[3:4]), kept[3:4])
    assert str(kind[-1] if len(kind) > 1 else 0.7) in repr(module)
    assert selection(None) is None


# Silent units ----------------------------------------------------------------------------------------------


def passed_on(bridge, code, weight=None):
    """What an explicit step would send to the decoder."""
    z = code.new_empty(bridge.repeats * len(code), code.shape[1])
    bridge.forward(code, z, weight)
    return z


def test_a_unit_is_silent_if_it_won_for_no_row_of_an_epoch():
    bridge = Competition(by_row(1), signed=False, revival=Revival(0.1, 1 / 3, n_rows=4, silent=None))
    code = torch.tensor([[3.0, 1.0, 0.2], [2.0, 1.0, 0.5]])
    assert bridge.repeats == 1
    passed_on(bridge, code)
    assert bridge.silent is None, "the epoch is not over"
    passed_on(bridge, code.roll(1, 1))
    assert_array_equal(bridge.silent, [0, 0, 1])
    assert bridge.repeats == 2
    z = passed_on(bridge, code)
    assert_array_equal(z, [[3, 0, 0], [2, 0, 0], [3, 0, code[0, 2]], [2, 0, 0.5]])
    passed_on(bridge, code.roll(2, 1))  # now the third wins, and the second does not
    assert_array_equal(bridge.silent, [0, 1, 0])


def test_in_a_long_epoch_a_unit_falls_silent_sooner():
    """After forty times the rows among which a unit would win once, if all were equal, and 2000 at least."""
    for share, expected in ((0.5, 2000), (0.01, 4000)):
        bridge = Competition(by_row(1), signed=False, revival=Revival(0.1, share, n_rows=8000, silent=None))
        code = torch.tensor([[2.0, 1.0]] * 500)
        for n_rows in range(500, expected + 500, 500):
            passed_on(bridge, code)
            assert (bridge.silent is not None) == (n_rows == expected)


def test_batches_of_several_sizes_are_watched():
    bridge = Competition(by_row(1), signed=True, revival=Revival(0.1, 1 / 4, n_rows=6, silent=None))
    for rows in ([[0.0, -1.0, 0.5, 0.1]], [[0.0, 1.0, 0.0, 0.1]] * 4, [[0.0, 0.1, -0.2, 0.1]]):
        passed_on(bridge, torch.tensor(rows))
    assert_array_equal(bridge.silent, [1, 0, 0, 1])


def test_a_silent_unit_joins_where_it_is_largest():
    """For four times the share of the rows that it would win if all units were equal."""
    magnitude = codes(32, 16).abs()
    silent = torch.zeros(16)
    silent[[2, 5]] = 1
    bridge = Competition(by_row(1), False, Revival(0.1, 1 / 16, 999, silent))
    winners, joined = passed_on(bridge, magnitude).view(2, 32, 16) > 0
    assert_array_equal(joined[:, silent == 0], winners[:, silent == 0])
    for unit in (2, 5):
        largest = magnitude[:, unit].argsort()[-8:]
        assert_array_equal(joined[:, unit], winners[:, unit] | torch.zeros(32).index_fill(0, largest, 1).bool())


def test_held_out_rows_are_neither_watched_nor_judged_by_silent_units():
    bridge = Competition(by_row(1), False, Revival(0.1, 0.5, 2, silent=torch.tensor([0.0, 1.0])))
    with bridge.repeated():
        assert bridge.repeats == 1
        passed_on(bridge, torch.ones(2, 2))
    assert_array_equal(bridge.silent, [0, 1])
    assert bridge.repeats == 2


@pytest.mark.parametrize("silent", [None, torch.tensor([0, 1.0, 0, 0, 1.0, 1.0, 0])])
@pytest.mark.parametrize("choose", [by_row(2), by_batch(2), by_unit(0.3)], ids=["row", "batch", "unit"])
def test_both_ways_through_agree(choose, silent):
    weight = torch.rand(12, 1, generator=torch.Generator().manual_seed(1)).double()
    explicit, autograd = (Competition(choose, True, Revival(0.1, 0.1, 99, silent)) for _ in range(2))
    code = codes().requires_grad_()
    z, own = autograd.through(code, weight)
    assert own is None
    with torch.no_grad():
        assert torch.equal(passed_on(explicit, code.detach(), weight), z)
        dz, dcode = codes(len(z), seed=2), torch.empty(12, 7, dtype=torch.float64)
        explicit.backward(code.detach(), dz, dcode, weight)
    (gradient,) = torch.autograd.grad(z, code, dz)
    torch.testing.assert_close(dcode, gradient)
