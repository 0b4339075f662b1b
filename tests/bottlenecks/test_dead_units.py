"""Dead units, and the sparse bottleneck that they join: who is dead when, and for which rows they come back."""

import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skae._bottleneck.dead_units import DeadUnits
from skae._bottleneck.sparse import SparseBottleneck
from skae._bottleneck.winners import by_batch, by_row, by_unit


def codes(n=12, m=7, seed=0):
    return torch.randn(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# Silent units ----------------------------------------------------------------------------------------------


def passed_on(bottleneck, code, weight=None):
    """What an explicit step would send to the decoder."""
    z = code.new_empty(bottleneck.n_passes * len(code), code.shape[1])
    bottleneck.forward(code, z, weight)
    return z


def test_a_unit_is_dead_if_it_won_for_no_row_of_an_epoch():
    bottleneck = SparseBottleneck(by_row(1), signed=False, dead_units=DeadUnits(0.1, 1 / 3, n_rows=4, dead=None))
    code = torch.tensor([[3.0, 1.0, 0.2], [2.0, 1.0, 0.5]])
    assert bottleneck.n_passes == 1
    passed_on(bottleneck, code)
    assert bottleneck.dead_units.dead is None, "the epoch is not over"
    passed_on(bottleneck, code.roll(1, 1))
    assert_array_equal(bottleneck.dead_units.dead, [0, 0, 1])
    assert bottleneck.n_passes == 2
    z = passed_on(bottleneck, code)
    assert_array_equal(z, [[3, 0, 0], [2, 0, 0], [3, 0, code[0, 2]], [2, 0, 0.5]])
    passed_on(bottleneck, code.roll(2, 1))  # now the third wins, and the second does not
    assert_array_equal(bottleneck.dead_units.dead, [0, 1, 0])


def test_in_a_long_epoch_a_unit_dies_sooner():
    """After forty times the rows among which a unit would win once, if all were equal, and 2000 at least."""
    for share, expected in ((0.5, 2000), (0.01, 4000)):
        bottleneck = SparseBottleneck(
            by_row(1), signed=False, dead_units=DeadUnits(0.1, share, n_rows=8000, dead=None)
        )
        code = torch.tensor([[2.0, 1.0]] * 500)
        for n_rows in range(500, expected + 500, 500):
            passed_on(bottleneck, code)
            assert (bottleneck.dead_units.dead is not None) == (n_rows == expected)


def test_batches_of_several_sizes_are_watched():
    bottleneck = SparseBottleneck(by_row(1), signed=True, dead_units=DeadUnits(0.1, 1 / 4, n_rows=6, dead=None))
    for rows in ([[0.0, -1.0, 0.5, 0.1]], [[0.0, 1.0, 0.0, 0.1]] * 4, [[0.0, 0.1, -0.2, 0.1]]):
        passed_on(bottleneck, torch.tensor(rows))
    assert_array_equal(bottleneck.dead_units.dead, [1, 0, 0, 1])


def test_a_dead_unit_joins_where_it_is_largest():
    """For four times the share of the rows that it would win if all units were equal."""
    magnitude = codes(32, 16).abs()
    dead = torch.zeros(16)
    dead[[2, 5]] = 1
    bottleneck = SparseBottleneck(by_row(1), False, DeadUnits(0.1, 1 / 16, 999, dead))
    winners, joined = passed_on(bottleneck, magnitude).view(2, 32, 16) > 0
    assert_array_equal(joined[:, dead == 0], winners[:, dead == 0])
    for unit in (2, 5):
        largest = magnitude[:, unit].argsort()[-8:]
        assert_array_equal(joined[:, unit], winners[:, unit] | torch.zeros(32).index_fill(0, largest, 1).bool())


def test_held_out_rows_are_neither_watched_nor_judged_by_dead_units():
    bottleneck = SparseBottleneck(by_row(1), False, DeadUnits(0.1, 0.5, 2, dead=torch.tensor([0.0, 1.0])))
    with bottleneck.held_out():
        assert bottleneck.n_passes == 1
        passed_on(bottleneck, torch.tensor([[1.0, 2.0], [1.0, 2.0]]))  # the dead unit wins, and is dead still
    assert_array_equal(bottleneck.dead_units.dead, [0, 1])
    assert bottleneck.n_passes == 2


@pytest.mark.parametrize("dead", [None, torch.tensor([0, 1.0, 0, 0, 1.0, 1.0, 0])])
@pytest.mark.parametrize("choose", [by_row(2), by_batch(2), by_unit(0.3)], ids=["row", "batch", "unit"])
def test_both_ways_through_agree(choose, dead):
    weight = torch.rand(12, 1, generator=torch.Generator().manual_seed(1)).double()
    explicit, autograd = (SparseBottleneck(choose, True, DeadUnits(0.1, 0.1, 99, dead)) for _ in range(2))
    code = codes().requires_grad_()
    z = autograd.forward_autograd(code, weight)
    assert autograd.own_loss(torch.tensor(1.0)) is None
    with torch.no_grad():
        assert torch.equal(passed_on(explicit, code.detach(), weight), z)
        dz, dcode = codes(len(z), seed=2), torch.empty(12, 7, dtype=torch.float64)
        explicit.backward(code.detach(), dz, dcode, weight)
    (gradient,) = torch.autograd.grad(z, code, dz)
    torch.testing.assert_close(dcode, gradient)


def test_the_second_pass_is_felt_by_its_weight_and_not_reported():
    dead = torch.tensor([0.0, 1.0])
    bottleneck = SparseBottleneck(by_row(1), signed=False, dead_units=DeadUnits(0.3, 0.5, 2, dead))
    reported, felt = bottleneck.pass_weights(torch.tensor([4.0, 7.0]))
    assert reported.tolist() == [1, 0]
    assert_allclose(felt, [1, 0.3])
