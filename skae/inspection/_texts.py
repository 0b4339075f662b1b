"""Names and values, as they are written into figures."""

from numbers import Real

import numpy as np

from .._data.tables.frames import is_missing


def plain_text(text: str) -> str:
    """Return text as matplotlib writes it as it is: between two dollar signs it would set a formula."""
    return text.replace("$", r"\$")


def shortened(text: str, at_most: int) -> str:
    """Return the beginning and the end of a text that is too long."""
    if len(text) <= at_most:
        return text
    half = (at_most - 1) // 2
    return f"{text[: at_most - 1 - half]}…{text[-half:]}"


def written(value, longest: int) -> str:
    """Write a value in a few letters."""
    if is_missing(value):
        return "missing"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return plain_text(shortened(str(value), longest))
    number = float(value)
    return f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"
