"""Refusing networks that memory cannot hold, before the operating system ends the process without a word."""

import os
from collections.abc import Sequence
from typing import Any

from torch import nn

N_COPIES = 4  # of the weights in training: themselves, their gradient, and Adam's two moments


def check_size(estimator: Any, networks: Sequence[nn.Module], itemsize: int) -> None:
    """Raise MemoryError if training networks on the CPU takes more memory than the machine has.

    They are built, but not drawn: memory that nothing has been written to is not taken yet.
    """
    parameters = [parameter for network in networks for parameter in network.parameters()]
    n_bytes, most = N_COPIES * itemsize * sum(parameter.numel() for parameter in parameters), _physical_memory()
    if most is None or n_bytes <= most:
        return
    largest = max(parameters, key=lambda parameter: parameter.numel())
    smaller = f"Lower {estimator._width_parameter} or hidden_layer_sizes"
    if estimator.image_shape is not None and estimator.code_layer == "dense":
        smaller = f"Use code_layer='convolution', raise downsampling_factor, or l{smaller[1:]}"
    raise MemoryError(
        f"The networks have {n_bytes // (N_COPIES * itemsize):,} weights, which take {n_bytes / 1e9:.3g} GB to "
        f"train, but this machine has {most / 1e9:.3g} GB. Their largest layer is of "
        f"{' x '.join(map(str, largest.shape))} weights. {smaller}."
    )


def _physical_memory() -> int | None:
    """Return the bytes of the machine's memory, or None where the operating system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
