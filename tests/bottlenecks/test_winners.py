"""Which units win: within rows, within batches, for each unit; with weights as with repetitions."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from skae._bottleneck.winners import batch_cutoff, by_batch, by_row, by_unit, cutoff
from skae._support.sizes import of_size


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


@pytest.mark.parametrize("choose", [by_row(2), by_batch(2), by_unit(0.3)], ids=["row", "batch", "unit"])
def test_batches_of_many_sizes_in_turn(choose):
    """The memory that is kept for a size, or has been let go of, is never another's."""
    for n in [*range(3, 15), 12, 3]:
        magnitude = codes(n, seed=n).abs()
        fresh = {"by_row": by_row(2), "by_batch": by_batch(2), "by_unit": by_unit(0.3)}
        assert_array_equal(
            winners(choose, magnitude), winners(fresh[choose.__qualname__.split(".")[0]], magnitude)
        )


def test_memory_is_kept_for_the_last_few_sizes():
    kept, made = {}, []
    for n in (5, 6, 5, *range(10, 17), 5):
        of_size(kept, n, lambda n=n: made.append(n) or n)
        assert kept[n] == n
    assert made == [5, 6, *range(10, 17), 5]
    assert len(kept) <= 8
