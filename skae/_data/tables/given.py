"""Values that columns of drawn rows are to have: whether the columns can have them."""

import math
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

from .frames import is_missing


def conditions(given: Any) -> dict:
    """Return what columns are to have as a dict of columns and values.

    Raises
    ------
    TypeError
        If there is no one value for each column.
    """
    if not hasattr(given, "items") or hasattr(given, "columns"):
        kind = type(given).__name__
        said = f"given, of type {kind}," if hasattr(given, "shape") else f"given={given!r}"
        raise TypeError(
            f"{said} must be a dict of columns and values, one for each column, such as {{'sex': 'Female'}}."
        )
    return dict(given.items())


def as_number(value: Any) -> Any:
    """Return a decimal number or a fraction as an integer, where it is one, or as a float; others as they are."""
    if not isinstance(value, Decimal | Fraction) or (isinstance(value, Decimal) and value.is_nan()):
        return value
    try:
        number = float(value)
    except OverflowError:  # of a fraction
        number = math.inf if value > 0 else -math.inf
    return int(value) if math.isfinite(number) and value == int(value) else number


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _held(variable: Any, lowest: Any, highest: Any) -> str:
    """Write what numbers a column holds: a range, and those outside of it that many rows have."""
    apart = [] if variable.categories is None else variable.categories.values
    others = [_number(value) for value in apart if not lowest <= value <= highest]
    return f"{_number(lowest)} to {_number(highest)}{', or ' * bool(others)}{', '.join(others)}"


def _number(value: Any) -> str:
    """Write a number in full, so that what is written is a value of the column."""
    is_whole = isinstance(value, int) or (abs(value) < 1e15 and value == round(value))
    return str(int(value)) if is_whole else repr(float(value))


def check_given(variable: Any, value: Any) -> None:
    """Check a value for the column that a `Variable` encodes, of numbers one as `as_number` returns it.

    Raises
    ------
    TypeError, ValueError
        If the column cannot have it.
    """
    if not _is_hashable(value):
        raise TypeError(
            f"given[{variable.name!r}], of type {type(value).__name__}, must be one value, which all drawn rows "
            "are to have in this column: a number or a category, such as 'Female'."
        )
    said = f"given[{variable.name!r}]={value!r}"
    if is_missing(value):
        raise ValueError(
            f"{said} is a missing value. Leave the column out to have it drawn; with_missing=True leaves cells "
            "empty as often as in the table of fit."
        )
    if variable.is_number and (not isinstance(value, Real) or isinstance(value, bool)):
        raise TypeError(f"{said} is no number, but the column holds numbers.")
    known = variable.categories.values if variable.categories is not None else []
    if value in known:
        return
    if variable.scores is None:
        raise ValueError(f"{said} is none of the values of the column: {known}.")
    lowest, highest = variable.limits or (variable.scores.lowest, variable.scores.highest)
    if not lowest <= value <= highest:
        raise ValueError(f"{said} is outside of what the column holds: {_held(variable, lowest, highest)}.")
    if variable.is_integer and value != round(value):
        raise ValueError(f"{said} is no integer, but the column holds integers. Give one.")
