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


def magnitude_error(magnitude: float, column: int | None = None, smallest: float = SMALLEST) -> ValueError:
    """Return the error of rows that are too large or too small to be measured."""
    where = "X" if column is None else f"column {column} of X"
    return ValueError(
        f"The largest magnitude in {where} is {magnitude:.4g}, but such numbers cannot be measured, since "
        f"their squares leave the range of floating numbers: it must be 0 or between about {smallest:.0e} and "
        f"{LARGEST:.0e}. Give X in another unit: divide it by its largest magnitude, in float64."
    )


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
