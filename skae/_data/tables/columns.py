"""One column of a table and the columns of a matrix that it is encoded in: one-hot blocks and normal scores."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from ..magnitude import SMALLEST
from .frames import Column, objects
from .given import as_number, check_given

N_QUANTILES, MOST_DECIMALS = 1000, 9
LAST_BITS = 64 * np.finfo(np.float64).eps  # of a number, that sums and products of rounded ones may be off
LARGEST = 1e15  # distance from the data, in their standard deviations, that is told from larger ones


class Categories(NamedTuple):
    """The categories of a column, in the order of the one-hot columns."""

    values: list

    def codes(self, values: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Return the number of each row's category; -1 where it is missing, -2 where it is unknown."""
        numbers = {value: number for number, value in enumerate(self.values)}
        pairs = zip(values.tolist(), missing.tolist(), strict=True)
        return np.array([-1 if gone else numbers.get(value, -2) for value, gone in pairs], dtype=np.intp)


class Rounding(NamedTuple):
    """What numbers are multiples of, apart from an origin: ``step``, which is 0 if they are not rounded."""

    origin: float
    step: float
    decimals: int

    @classmethod
    def of(cls, values: np.ndarray, is_single: bool) -> "Rounding":
        """Find the coarsest rounding, to at most nine decimals, that changes at most the last bits of doubles."""
        dtype, last_bits = (np.float32, 0.0) if is_single else (np.float64, LAST_BITS * np.abs(values))
        for decimals in range(MOST_DECIMALS + 1):
            if np.abs(values).max() * 10.0**decimals > 2**53:
                break
            change = np.round(values, decimals).astype(dtype) - values.astype(dtype)
            if (np.abs(change) <= np.minimum(last_bits, 0.01 / 10**decimals)).all():
                whole = np.unique(np.rint(values * 10.0**decimals).astype(np.int64))
                common = int(np.gcd.reduce(np.diff(whole))) if len(whole) > 1 else 1
                return cls(float(np.round(values[0], decimals)), common / 10.0**decimals, decimals)
        return cls(float(values[0]), 0.0, 0)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Round numbers as the others are."""
        if not self.step:
            return values
        n_steps = np.rint((values - self.origin) / self.step)
        return np.round(self.origin + n_steps * self.step, self.decimals)

    def spread(self, values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Add what rounding may have taken away."""
        return values + self.step * generator.uniform(-0.5, 0.5, len(values))


class Scores:
    """Normal scores of numbers: the standard normal quantiles of their ranks.

    With F the empirical distribution function of n values, interpolated between at most a thousand quantiles:
    z = ndtri((F(x) (n - 1) + 1 / 2) / n). It is strictly increasing from the least to the largest value, and so
    has an inverse, which ends there. Numbers further out than these get scores further out, ever more slowly, so
    that no number is too large for a score.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Finite.
    is_single : bool
        Whether they are in single precision.
    generator : numpy.random.Generator
        Spreads rounded values over what was rounded to them.
    transform : {"quantile", "standard"}
        "standard" are numbers in standard deviations from their mean.
    """

    def __init__(
        self, values: np.ndarray, is_single: bool, generator: np.random.Generator, transform: str
    ) -> None:
        self.rounding = Rounding.of(values, is_single)
        self.lowest, self.highest, self.n = float(values.min()), float(values.max()), len(values)
        self.mean, self.deviation = _mean_and_deviation(values)
        self.quantiles: np.ndarray | None = None
        if transform == "quantile":
            ranks = np.linspace(0, 1, min(self.n, N_QUANTILES))
            self.quantiles = np.quantile(self.rounding.spread(values, generator), ranks)

    def scores(self, values: np.ndarray, generator: np.random.Generator | None = None) -> np.ndarray:
        """Return the scores of numbers; with a ``generator``, of what may have been rounded to them."""
        if not len(values):
            return values
        inside = values.clip(self.lowest, self.highest)
        with np.errstate(over="ignore"):
            outside = ((values - inside) / self.deviation).clip(-LARGEST, LARGEST)
        if self.quantiles is None:
            scores = (inside - self.mean) / self.deviation
        else:
            spread = inside if generator is None else self.rounding.spread(inside, generator)
            scores = ndtri((self._ranks(spread, self.quantiles) * (self.n - 1) + 0.5) / self.n)
        return scores + np.arcsinh(outside)

    @staticmethod
    def _ranks(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
        """Return the share of the data below; of a value that fills several quantiles, their middle."""
        ranks = np.linspace(0, 1, len(quantiles))
        return (np.interp(values, quantiles, ranks) - np.interp(-values, -quantiles[::-1], -ranks[::-1])) / 2

    def numbers(self, scores: np.ndarray) -> np.ndarray:
        """Return the numbers that have these scores, rounded as the data are, and no further out than these."""
        if self.quantiles is None:
            values = scores * self.deviation + self.mean
        else:
            ranks = (ndtr(scores) * self.n - 0.5) / max(self.n - 1, 1)
            values = np.interp(ranks, np.linspace(0, 1, len(self.quantiles)), self.quantiles)
        return np.clip(self.rounding(values), self.lowest, self.highest)


class Variable(NamedTuple):
    """How one column of a table is encoded: in one-hot columns, one of normal scores, or both.

    With both, the categories are atoms, and one more one-hot column stands for all other numbers.

    Attributes
    ----------
    name : object
    is_number : bool
    categories : Categories or None
    scores : Scores or None
    start : int
        Number of the first column that it takes in the matrix; the one-hot ones come first.
    is_integer : bool
        Whether it holds integers.
    limits : tuple of int or None
        Where some are too large for float64, the least and the largest integer: scores are then those of distances
        from the least.
    """

    name: Any
    is_number: bool
    categories: Categories | None
    scores: Scores | None
    start: int
    is_integer: bool = False
    limits: tuple[int, int] | None = None

    @property
    def block(self) -> tuple[int, ...]:
        """Numbers of the one-hot columns."""
        if self.categories is None:
            return ()
        width = len(self.categories.values) + (self.scores is not None)
        return tuple(range(self.start, self.start + width))

    @property
    def columns(self) -> tuple[int, ...]:
        """Numbers of all columns."""
        return self.block if self.scores is None else (*self.block, self.start + len(self.block))

    def encode(self, column: Column, generator: np.random.Generator | None) -> tuple[np.ndarray, list]:
        """Return what a column becomes, (n, n_columns), and the values that are not known.

        Raises
        ------
        ValueError
            If it holds infinity.
        """
        values, missing = self.cells(column), column.missing
        result = np.full((len(values), len(self.columns)), np.nan)
        is_unknown, is_rest = np.zeros(len(values), dtype=bool), ~missing
        if self.is_number:
            check_finite(self.name, column.values[~missing])
        if self.categories is not None:
            codes, n_categories = self.categories.codes(values, missing), len(self.categories.values)
            if self.scores is None:
                is_unknown = codes == -2
            else:
                codes[codes == -2] = n_categories
            is_rest, known = codes == n_categories, codes >= 0
            result[known, : len(self.block)] = 0
            result[known, codes[known]] = 1
        if self.scores is not None:
            result[is_rest, -1] = self.scores.scores(distances(values[is_rest], self.limits), generator)
        return result, values[is_unknown].tolist()

    def cells(self, column: Column) -> np.ndarray:
        """Return the values of a column: integers of Python, where `fit` saw some too large for float64."""
        return column.values if self.limits is None or column.exact is None else column.exact

    def encode_one(self, value: Any) -> np.ndarray:
        """Return what one value becomes, (n_columns,).

        Raises
        ------
        TypeError, ValueError
            If the column cannot have it.
        """
        value = as_number(value) if self.is_number else value
        check_given(self, value)
        values = self.constant(value, 1) if self.is_number else objects([value])
        exact = values if self.limits else None
        column = Column(self.name, "", values.astype(np.float64) if self.is_number else values, NOTHING, "")
        return self.encode(column._replace(exact=exact), None)[0][0]

    def constant(self, value: Any, n: int) -> np.ndarray:
        """Return ``n`` times a number, as `decode` returns numbers."""
        value = as_number(value)
        if self.limits:
            return objects([round(value)] * n)
        return np.full(n, value, dtype=np.int64 if self.is_integer else np.float64)

    def decode(self, block: np.ndarray) -> np.ndarray:
        """Return the values of a column: the category with the largest entry, the number with this score.

        Numbers are float64 or int64, or integers of Python if they are too large for float64.
        """
        largest = block[:, : len(self.block)].argmax(1) if self.block else np.zeros(len(block), dtype=int)
        if self.scores is None:
            assert self.categories is not None
            return self._of_number_type(objects(self.categories.values)[largest])
        scores = np.where(np.isnan(block[:, -1]), 0, block[:, -1])  # of atoms, and of missing cells
        numbers = self._of_number_type(self.scores.numbers(scores))
        if self.categories is not None:
            atoms = np.array(self.categories.values, dtype=numbers.dtype)
            is_atom = largest < len(atoms)
            numbers[is_atom] = atoms[largest[is_atom]]
        return numbers

    def _of_number_type(self, values: np.ndarray) -> np.ndarray:
        if not self.is_number or (self.limits and self.scores is None):
            return values
        if self.limits:
            lowest, highest = self.limits
            return objects([min(lowest + round(distance), highest) for distance in values.tolist()])
        return (
            np.rint(values.astype(np.float64)).astype(np.int64) if self.is_integer else values.astype(np.float64)
        )


NOTHING = np.zeros(1, dtype=bool)  # missing of one cell


def limits_of(integers: np.ndarray | None, missing: np.ndarray) -> tuple[int, int] | None:
    """Return the least and the largest of integers that are too large for float64."""
    if integers is None:
        return None
    seen = integers[~missing]
    return int(seen.min()), int(seen.max())


def distances(values: np.ndarray, limits: tuple[int, int] | None) -> np.ndarray:
    """Return the distances of integers from the least one, if they have limits; other numbers as they are."""
    return values if limits is None else (values - limits[0]).astype(np.float64)


def check_finite(name: Any, numbers: np.ndarray) -> None:
    """Check that the numbers of a column are finite.

    Raises
    ------
    ValueError
        If not; it names the column.
    """
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"Column {name!r} contains infinity. Replace it by a missing value, or by a number that is large "
            "enough."
        )


def atoms_of(values: np.ndarray, n_rows: int, share: float) -> np.ndarray:
    """Return the numbers that more than a share of the rows have; what only one row has is none, however few."""
    distinct, counts = np.unique(values, return_counts=True)
    return distinct[counts > max(share * n_rows, 1 if len(distinct) > 1 else 0)]


def sorted_values(seen: Sequence) -> list:
    """Return values in their order; where there is none between their types, by type and name."""
    try:
        return sorted(seen)
    except TypeError:
        return sorted(seen, key=lambda value: (type(value).__name__, str(value)))


def _mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Return the mean and the standard deviation, 1 if that is zero, also where squares are out of range."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(values.mean()), float(values.std())
    if not SMALLEST < deviation < np.inf and values.any():
        unit = float(np.abs(values).max())
        scaled = values / unit
        mean, deviation = unit * float(scaled.mean()), unit * float(scaled.std())
    return mean, deviation if 0 < deviation < np.inf else 1.0
