"""What is kept for the few sizes that batches have, or other keys."""

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
MOST_SIZES = 8


def of_size(kept: dict[K, T], size: K, make: Callable[[], T]) -> T:
    """Return what is kept for batches of this size or another key, made anew if that is not among the last few."""
    found = kept.get(size)
    if found is None:
        if len(kept) == MOST_SIZES:
            kept.clear()
        found = kept[size] = make()
    return found
