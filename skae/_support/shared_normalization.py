"""Batch normalization over the batch of all ranks, not over the rows of one."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .ranks import current


@contextlib.contextmanager
def normalized_over_ranks(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, let modules of batch normalization take their means over all ranks."""
    modules = [m for network in networks for m in network.modules() if isinstance(m, _BatchNorm)]
    for module in modules:
        module.forward = partial(_forward, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _forward(module: _BatchNorm, x: Tensor) -> Tensor:
    if not module.training:
        return type(module).forward(module, x)
    ranks, over = current(), [0, *range(2, x.ndim)]
    n = ranks.batch_size(len(x)) * (x[0, 0].numel())
    mean = ranks.batch_mean(x.mean(over))
    variance = ranks.batch_mean((x - _by_channel(mean, x)).square().mean(over))
    if module.track_running_stats:
        with torch.no_grad():
            module.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            share = 1 / float(module.num_batches_tracked) if module.momentum is None else module.momentum  # type: ignore[arg-type]
            module.running_mean.lerp_(mean, share)  # type: ignore[union-attr]
            module.running_var.lerp_(variance * (n / (n - 1)), share)  # type: ignore[union-attr]
    normalized = (x - _by_channel(mean, x)) * _by_channel((variance + module.eps).rsqrt(), x)
    if not module.affine:
        return normalized
    return torch.addcmul(_by_channel(module.bias, x), normalized, _by_channel(module.weight, x))


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 2))
