"""Lists in messages."""

from collections.abc import Sequence
from typing import Any


def first_of(names: Sequence[Any], at_most: int = 10) -> str:
    """Write names with commas, the first ones of many and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(map(str, names[:at_most])) + more
