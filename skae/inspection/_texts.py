"""Names and values, as they are written into figures."""

import math
import re
from collections.abc import Iterable
from numbers import Real

import numpy as np

from .._data.tables.frames import is_missing

DEAD = "dead: active for no training row"
_LONGEST_VALUE = 15  # letters
_FEWEST_PIXELS = 16


def plain_text(text: str) -> str:
    """Return text as matplotlib writes it as it is: between two dollar signs it would set a formula."""
    return text.replace("$", r"\$")


def with_equal_decimals(values: Iterable) -> list[str]:
    """Write numbers with as many decimals each: three digits of the largest."""
    numbers = [*values]
    largest = np.abs(numbers).max(initial=0)
    decimals = max(0, 2 - math.floor(math.log10(largest))) if np.isfinite(largest) and largest > 0 else 2
    kind = f".{decimals}f" if decimals <= 6 else ".2e"
    return [f"{number:{kind}}" for number in numbers]


def shortened(text: str, at_most: int) -> str:
    """Return the beginning and the end of a text that is too long."""
    if len(text) <= at_most:
        return text
    half = (at_most - 1) // 2
    return f"{text[: at_most - 1 - half]}…{text[-half:]}"


def short_names(names: Iterable, at_most: int) -> list[str]:
    """Return names as they are written where there is little room, each in so many letters.

    If some are too long, what all begin and end with goes first: it tells nothing, and the middle does.
    """
    texts = [str(name) for name in names]
    if len(texts) > 1 and max(map(len, texts)) > at_most:
        before, after = _begin_alike(texts), _begin_alike([text[::-1] for text in texts])
        if all(len(text) > before + after for text in texts):
            ends = "…" * (before > 0), "…" * (after > 0)
            texts = [f"{ends[0]}{text[before : len(text) - after]}{ends[1]}" for text in texts]
    return [plain_text(shortened(text, at_most)) for text in texts]


def _begin_alike(texts: list[str]) -> int:
    """Return how many letters texts have in common at their beginning, in whole words."""
    letters = zip(*texts, strict=False)
    n_alike = next((i for i, letter in enumerate(letters) if len({*letter}) > 1), min(map(len, texts)))
    return len(re.sub(r"[^\W_]*$", "", texts[0][:n_alike]))


def written(value, longest: int = _LONGEST_VALUE) -> str:
    """Write a value in a few letters."""
    if is_missing(value):
        return "missing"
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        return plain_text(shortened(str(value), longest))
    number = float(value)
    return f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"


def expected_text(value, bounds) -> str:
    """Write what a value is expected to be; beyond the bounds of the rows of `fit`, that it is.

    A number that is none says that a step before the detector has no way back.
    """
    if not np.isfinite(value):
        return "out of range"
    text = written(value)
    if bounds[0] == bounds[1]:  # all alike
        return written(bounds[0])
    for bound, word in zip(bounds, ("below", "above"), strict=True):
        is_beyond = np.isfinite(bound) and (value < bound if word == "below" else value > bound)
        if is_beyond and text != written(bound):  # else it is but rounded
            return f"{word} {written(bound)}"
    return text


def hint_of_images(n_columns: int) -> str:
    """Return what to write below columns that are drawn one by one, but may be the pixels of a square image."""
    is_square = n_columns >= _FEWEST_PIXELS and math.isqrt(n_columns) ** 2 == n_columns
    return "columns (image_shape draws images)" if is_square else ""
