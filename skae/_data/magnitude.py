"""Numbers whose squares double precision cannot hold."""

from typing import Any

import numpy as np

# Beyond these, float64 holds squares as infinity or, with less and less digits, as zero.
LARGEST, SMALLEST = 1e150, 1e-150
WITHIN_SINGLE = 1e-30, 1e30  # units that networks in single precision can have


def fits_single(units: np.ndarray) -> bool:
    """Tell whether networks in single precision can have these units."""
    least, most = WITHIN_SINGLE
    return bool(((units >= least) & (units <= most)).all())


def magnitude_error(
    magnitude: float, column: int | None = None, smallest: float = SMALLEST, largest: float = LARGEST
) -> ValueError:
    """Return the error of rows that are too large or too small to be measured."""
    where = "X" if column is None else f"column {column} of X"
    return ValueError(
        f"The largest magnitude in {where} is {magnitude:.4g}, but such numbers cannot be measured, since "
        f"their squares leave the range of floating numbers: it must be 0 or between about {smallest:.0e} and "
        f"{largest:.0e}. Give X in another unit: divide it by its largest magnitude, in float64."
    )


def deviation_error(deviation: float, magnitude: float, smallest: float, largest: float) -> ValueError:
    """Return the error of rows whose deviation, one number for all columns, is beyond what networks divide by."""
    return ValueError(
        f"The largest magnitude in X is {magnitude:.4g} and its deviation {deviation:.4g}, which rows are divided "
        f"by: it must be 0 or between about {smallest:.0e} and {largest:.0e}. Give X in another unit: divide it "
        "by its largest magnitude, in float64."
    )


def check_squares(deviation: Any, magnitude: Any, varies: Any, numbers: Any, limits: tuple[float, float]) -> None:
    """Refuse columns of X that vary, which ``numbers`` tells, whose variance is beyond what a dtype can hold.

    Raises
    ------
    ValueError
        About the first of them.
    """
    least, most = (limit**0.5 for limit in limits)
    bad = np.flatnonzero(np.asarray(varies & ((deviation < least) | (deviation > most))))
    if len(bad):
        raise magnitude_error(float(magnitude[bad[0]]), numbers[bad[0]], least, most)


def check_columns(deviation: np.ndarray, lowest: np.ndarray, highest: np.ndarray, numbers: Any = None) -> None:
    """Refuse columns of X, which ``numbers`` tells, that are larger or smaller than can be measured.

    Raises
    ------
    ValueError
        About the first of them.
    """
    largest = np.maximum(np.abs(lowest), np.abs(highest))
    vanishes = (highest > lowest) & (deviation < SMALLEST)
    bad = np.flatnonzero((largest > LARGEST) | (vanishes & (largest < SMALLEST)))
    if len(bad):
        column = bad[0] if numbers is None else numbers[bad[0]]
        raise magnitude_error(float(largest[bad[0]]), column=int(column))
