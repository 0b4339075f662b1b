"""Networks on rows that are centred by another mean: the same maps, written for it.

With rows x, their centre c and a shift s, ``W (x - c) + b = W (x - (c + s)) + (b + W s)``, and a reconstruction
``y + c = (y - s) + (c + s)``: only the biases of the first layer and of the last one change. A missing entry is
zero wherever the centre is, so that the weight of its mark takes back what the bias got. Shifts are in units of
the data, and the rows that networks see are divided by theirs.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .blocks import Block
from .nested import Parallel
from .networks import Decoder, Encoder


def can_recentre(encoder: nn.Module, decoder: nn.Module) -> bool:
    """Tell whether both networks are skae's, and dense where the data enter and leave."""
    if not (isinstance(encoder, Encoder) and isinstance(decoder, Decoder)):
        return False
    if encoder.own is not None or decoder.own is not None:
        return False
    return all(block.is_of_rows for block in (_first(encoder), *_last(decoder)))


def _first(encoder: Encoder) -> Block:
    return encoder.blocks[0]


def _last(decoder: Any) -> list[Block]:
    """Return the blocks that rows leave by: one, or one of each group of nested codes."""
    last = [module for module in decoder if isinstance(module, Block | Parallel)][-1]
    return last.blocks if isinstance(last, Parallel) else [last]


def _moved(encoder: Any, shift: Tensor) -> Tensor:
    """Return by how much a change of the centre moves the first layer's outputs, for each input that is there."""
    weight = _first(encoder).linear.weight.detach()[:, : len(shift)]
    return weight.double() * (shift.to(weight.device, torch.float64) / encoder.unit)


@torch.no_grad()
def recentre(encoder: Any, decoder: Any, shift: Tensor, target_shift: Tensor) -> None:
    """Change biases in place for centres of inputs and targets that move by so much, each (n_features,)."""
    first, moved = _first(encoder).linear, _moved(encoder, shift)
    if first.bias is not None:
        first.bias.copy_(first.bias.double() + moved.sum(1))
    if encoder.marks_missing:
        marks = first.weight[:, len(shift) :]
        marks.copy_(marks.double() - moved)
    for block in _last(decoder):
        last = block.linear.bias[: len(target_shift)]
        last.copy_(last.double() - target_shift.to(last.device, torch.float64) / decoder.unit)


@torch.no_grad()
def recentre_statistics(encoder: Any, shift: Tensor) -> None:
    """Do so for the mean that a batch normalization of the first layer keeps, where it takes the bias's place."""
    block = _first(encoder)
    for module in block.modules():
        if isinstance(module, _BatchNorm) and block.linear.bias is None:
            module.running_mean.sub_(_moved(encoder, shift).sum(1))
