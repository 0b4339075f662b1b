"""Forked processes: torch's threads are not there in the child, and torch would wait for them for ever."""

import os
import warnings

import torch


def _use_one_thread() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch may say that it lets go of the parent's threads
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
