"""Torch's default device, which is the user's: what skae makes is on the CPU where nothing else is said."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def cpu_by_default() -> AbstractContextManager[Any]:
    """Return a context in which torch makes tensors on the CPU, whatever `torch.set_default_device` has said.

    It costs time at each call of torch, and is not entered for nothing.
    """
    return nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
