"""How many of torch's threads work gets: the work alone decides, since their number decides how sums round.

A fit is the same bit for bit whatever `torch.set_num_threads` says and joblib's workers are started with.
Each thread of Python has a number of its own, so that calls at the same time, from several of them, do not meet.
"""

import functools
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import torch
from threadpoolctl import ThreadpoolController

from .default_device import cpu_by_default
from .ranks import current

# For each thread, in one go. For less a second saves little, and costs many times the work where cores are busy,
# as with several jobs at once: threads that wait for each other do so by running in circles.
MULTIPLY_ADDS = 250_000_000
MOST_THREADS = 8  # several jobs on one machine may each take as many

_forked = False  # whether this process was forked from one that had loaded skae


@contextmanager
def for_work(multiply_adds: float) -> Iterator[None]:
    """Let torch use as many threads as so many multiply-adds in one go are worth, and then as many as before.

    Meanwhile its default device is the CPU.

    Ranks (`data_parallel`) share machines, and only who has started them knows how: none takes more than it has.
    """
    with cpu_by_default(), _threads(_worth(multiply_adds)):
        yield


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if current().is_shared:
        number = min(before, number)
    if before == number == 1:
        yield
        return
    # Also where it stays the same: MKL then uses as many as it is told, and not as many as it finds best.
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(1 if _forked else before)


@contextmanager
def one_for_all() -> Iterator[None]:
    """Let work of NumPy, SciPy and scikit-learn have one thread, for the same bits whatever their number.

    Their libraries would take all cores for matrices that one multiplies as fast, and wait in circles where these
    are busy: a mixture that takes a tenth of a second has taken eight.
    """
    # The number is the process's: who finds another's, and sets it back to that, could leave it at one for good.
    with _one_at_a_time, _libraries(len(sys.modules)).limit(limits=1):
        yield


_one_at_a_time = threading.RLock()


@functools.lru_cache(maxsize=1)
def _libraries(n_modules: int) -> ThreadpoolController:
    """Look for libraries with threads, in milliseconds, anew where modules have come that may bring some."""
    return ThreadpoolController()


def _worth(multiply_adds: float) -> int:
    if multiply_adds < 2 * MULTIPLY_ADDS or _forked:
        return 1
    return int(min(_n_cores(), MOST_THREADS, multiply_adds // MULTIPLY_ADDS))


@functools.cache
def _n_cores() -> int:
    """Return the number of physical cores that this process may use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where they cannot be told from logical ones, these are counted
        return joblib.cpu_count(only_physical_cores=True)


# In a process that was forked, torch's threads are not there, and it would wait for them for ever.


def _use_one_thread() -> None:
    global _forked, _one_at_a_time
    _forked, _one_at_a_time = True, threading.RLock()  # who held the other one is not here to let go of it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch may say that it lets go of the parent's threads
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
