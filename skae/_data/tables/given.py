"""Values that columns of drawn rows are to have: whether the columns can have them."""

from numbers import Real
from typing import Any

from .frames import is_missing


def check_given(variable: Any, value: Any) -> None:
    """Check a value for the column that a `Variable` encodes.

    Raises
    ------
    TypeError, ValueError
        If the column cannot have it.
    """
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
        ends = f"{lowest} to {highest}" if variable.limits else f"{lowest:g} to {highest:g}"
        raise ValueError(f"{said} is outside of what the column holds: {ends}.")
    if variable.is_integer and value != round(value):
        raise ValueError(f"{said} is no integer, but the column holds integers. Give one.")
