"""Forked processes: torch's threads are not there in the child, and torch would wait for them for ever."""

import os
import warnings

import torch

_forked = False  # whether this process was forked from one that had loaded skae


def is_forked() -> bool:
    """Tell whether this process may have one thread only."""
    return _forked


def _use_one_thread() -> None:
    global _forked
    _forked = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch may say that it lets go of the parent's threads
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
