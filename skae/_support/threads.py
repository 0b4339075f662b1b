"""How many of torch's threads work gets: one for little work, however many there are.

The number decides how sums are split, and so how they round. Little work rounds alike wherever it is done; for
much work torch keeps the number that it has, since joblib's workers share the cores by it. Each thread of Python
has a number of its own, so that calls at the same time, from several of them, do not meet.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

MUCH_WORK = 50_000_000  # multiply-adds in one go, for which starting a second thread costs less than it saves
_outside = threading.local()  # the number of threads outside of all `for_work`


@contextmanager
def for_work(multiply_adds: float) -> Iterator[None]:
    """Let torch use one thread for little work, as many as outside for much, and put the number back."""
    before, outside = torch.get_num_threads(), getattr(_outside, "number", None)
    _outside.number = before if outside is None else outside
    number = _outside.number if multiply_adds >= MUCH_WORK else 1
    try:
        if number != before:
            torch.set_num_threads(number)
        yield
    finally:
        _outside.number = outside
        if number != before:
            torch.set_num_threads(before)
