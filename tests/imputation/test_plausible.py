"""The plausible range of columns: gross values are beyond it, tails of ordinary distributions are not."""

import numpy as np
import pytest

from skae._imputation import plausible
from skae._imputation.plausible import plausible_range


def beyond(X):
    """Tell which entries are not plausible."""
    return ~plausible_range(X).holds(X) & ~np.isnan(X)


DISTRIBUTIONS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "uniform": lambda rng, n: rng.random(n),
    "lognormal": lambda rng, n: np.exp(rng.normal(size=n)),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "mostly zero": lambda rng, n: np.exp(rng.normal(size=n)) * (rng.random(n) < 0.3),
    "counts": lambda rng, n: rng.poisson(3, n).astype(float),
    "rare counts": lambda rng, n: rng.poisson(0.1, n).astype(float),
    "codes": lambda rng, n: rng.integers(1, 6, n).astype(float),
    "rare category": lambda rng, n: (rng.random(n) < 0.1).astype(float),
    "two groups": lambda rng, n: rng.normal(size=n) + 100 * (rng.random(n) < 0.1),
}
each_distribution = pytest.mark.parametrize("name", DISTRIBUTIONS)


@each_distribution
@pytest.mark.parametrize("n", [40, 400, 5000])
def test_ordinary_columns_keep_their_values(name, n):
    rng = np.random.default_rng(0)
    X = np.stack([DISTRIBUTIONS[name](rng, n) for _ in range(5)], 1)
    assert not beyond(X).any()


def test_power_tails_keep_all_but_a_few_values():
    X = np.random.default_rng(0).standard_t(2, size=(2000, 10))
    assert beyond(X).sum() <= 3


@each_distribution
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("size", [1e7, 1e9, 1e300])
def test_gross_values_are_beyond(name, sign, size):
    X = DISTRIBUTIONS[name](np.random.default_rng(0), 400)[:, None]
    X[[3, 7]] = sign * size
    assert np.flatnonzero(beyond(X)).tolist() == [3, 7]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_twenty_deviations_are_gross_in_normal_columns_whatever_their_unit(scale):
    X = np.random.default_rng(0).normal(size=(400, 6))
    X[range(6), range(6)] = 20
    assert (beyond(scale * X + 3 * scale) == (X == 20)).all()


def test_what_others_of_the_row_say_decides_on_doubtful_values():
    """A giant is one in all columns; a slip in one of them."""
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(400, 1)) + 0.05 * rng.normal(size=(400, 4)))
    X[0] = 45.0
    assert not beyond(X).any()
    X[0, 1:] = 1.0
    assert np.argwhere(beyond(X)).tolist() == [[0, 0]]


def test_many_equal_values_are_a_part_of_the_column():
    X = np.random.default_rng(0).normal(size=(400, 1))
    X[:20] = 1e4
    assert not beyond(X).any()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_very_few_rows_have_no_slips_but_gross_ones(n):
    X = np.random.default_rng(0).normal(size=(n, 3))
    assert not beyond(X).any()
    if n > 3:
        X[0, 0] = 1e9
        assert np.argwhere(beyond(X)).tolist() == [[0, 0]]


def test_the_only_other_value_of_a_constant_column():
    X = np.full((30, 1), 3.0)
    assert not beyond(X).any()
    X[4] = 99999.0
    assert np.flatnonzero(beyond(X)).tolist() == [4]
    assert plausible_range(X).holds(np.array([[3.0], [7.0]])).tolist() == [[True], [False]]


def test_of_many_rows_doubtful_values_are_judged_by_some(monkeypatch):
    monkeypatch.setattr(plausible, "MOST_ROWS", 100)
    rng = np.random.default_rng(0)
    X = np.exp(rng.normal(size=(3000, 1)) + 0.05 * rng.normal(size=(3000, 4)))
    X[X[:, 1].argmin(), 0] = 30 * X[:, 0].max()
    slip = int(X[:, 0].argmax())
    assert np.argwhere(beyond(X)).tolist() == [[slip, 0]]
