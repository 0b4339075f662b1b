"""Rows in groups that colours tell apart: classes, or ranges of values."""

from typing import Any, NamedTuple

import numpy as np

from ._drawing import GREY, MISSING
from ._rows import labels_of
from ._texts import plain_text, shortened, written

MOST_CLASSES = 20  # whole numbers that are more than this are values; and so many classes have a colour each
OTHERS_COLOUR = "#e6dfcf"  # light, and none of the palette
_N_RANGES = 4
_LONGEST = 30  # letters of a name


class Group(NamedTuple):
    """Rows that are drawn alike.

    Attributes
    ----------
    name : str
        As it is to be written.
    rows : ndarray of bool of shape (n_rows,)
    colour : str or tuple
    is_rest : bool
        Whether these are the classes that are too many to be told apart.
    """

    name: str
    rows: np.ndarray
    colour: Any
    is_rest: bool = False


def are_values(y: np.ndarray, known: np.ndarray) -> bool:
    """Tell whether labels are values: numbers other than up to twenty different whole ones, which are classes."""
    if y.dtype.kind not in "iuf":
        return False
    different = np.unique(y[known])
    return len(different) > MOST_CLASSES or bool(np.any(different != np.floor(different)))


def by_class(y: np.ndarray, known: np.ndarray, at_most: int = MOST_CLASSES) -> list[Group]:
    """Return a group for each class in order, and one of the rows without a class, if there are any.

    Where there are more than ``at_most``, the most frequent ones have a group each, and the others one together.
    """
    classes, counts = np.unique(y[known], return_counts=True)
    kept = np.arange(len(classes))
    if len(classes) > at_most:
        kept = np.sort(np.argsort(-counts, kind="stable")[: at_most - 1])
    names = [plain_text(shortened(str(classes[number]), _LONGEST)) for number in kept]
    rows = [(y == classes[number]) & known for number in kept]
    groups = [Group(*of_class) for of_class in zip(names, rows, palette_of(len(kept)), strict=True)]
    if n_others := len(classes) - len(kept):
        rest = known & ~np.isin(y, classes[kept])
        groups.append(Group(f"others ({n_others} classes)", rest, OTHERS_COLOUR, is_rest=True))
    return [*groups, *_without(known)]


def for_bars(labels, at_most: int = 10) -> list[Group]:
    """Return groups of rows for stacked bars, by labels: classes, or values in ranges of about equally many."""
    y, known = labels_of(np.asarray(labels))
    return [*_by_range(y, known), *_without(known)] if are_values(y, known) else by_class(y, known, at_most)


def _by_range(y: np.ndarray, known: np.ndarray) -> list[Group]:
    """Return groups of about equally many rows by their values, from low to high; equal values are in one."""
    from matplotlib import pyplot as plt

    values, counts = np.unique(y[known], return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()  # of the places of equal values, from 0 to 1
    _, place = np.unique((_N_RANGES * middle).astype(int), return_inverse=True)
    ends = [(values[place == number][0], values[place == number][-1]) for number in range(place.max() + 1)]
    colours = plt.get_cmap("viridis")(np.linspace(0.1, 0.9, len(ends)))
    groups = zip(_names_of_ranges(ends), ends, colours, strict=True)
    return [Group(name, known & (y >= low) & (y <= high), tuple(colour)) for name, (low, high), colour in groups]


def _names_of_ranges(ends: list[tuple[Any, Any]]) -> list[str]:
    """Write ranges with so many digits that the ends of each differ."""
    for digits in range(3, 18):
        pairs = [[written(end, _LONGEST) if digits == 3 else f"{end:.{digits}g}" for end in pair] for pair in ends]
        if all((low == high) == (a == b) for (low, high), (a, b) in zip(ends, pairs, strict=True)):
            break
    return [low if low == high else f"{low} to {high}" for low, high in pairs]


def _without(known: np.ndarray) -> list[Group]:
    return [] if known.all() else [Group(MISSING, ~known, GREY)]


def palette_of(n_colours: int) -> list[Any]:
    """Return colours to tell classes by, which repeat beyond twenty; none is that of missing ones."""
    from matplotlib import pyplot as plt

    if n_colours <= 10:
        return [plt.get_cmap("tab10")(i) for i in range(n_colours)]
    colours: list[Any] = [plt.get_cmap("tab20")(i) for i in range(20)]
    colours[14:16] = ["black", "darkkhaki"]  # in place of two greys
    return [colours[i % 20] for i in range(n_colours)]
