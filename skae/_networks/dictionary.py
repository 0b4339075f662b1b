"""Linear decoders as dictionaries: what each unit of the code adds to a row."""

import functools
from typing import Any

from torch import Tensor, nn

from .blocks import Block
from .networks import Decoder, dense_blocks


def dictionary(decoder: nn.Module) -> Tensor | None:
    """Return what each unit adds to a row before the output's activation, (n_components, n_features).

    In float64 on the CPU, in units of the data. None where that depends on the other units: where the decoder is
    more than dense layers without an activation in between.
    """
    linear = _linear(decoder)
    if linear is None:
        return None
    weights = [layer.weight.detach().cpu().double() for layer in linear]
    whole = functools.reduce(lambda so_far, weight: weight @ so_far, weights)
    return getattr(decoder, "unit", 1.0) * whole[: getattr(decoder, "n_features", None)].t()  # without variances


def _linear(decoder: Any) -> list[Any] | None:
    """Return the layers of a linear decoder, None of any other."""
    if isinstance(decoder, Decoder) and decoder.own is None:
        blocks = dense_blocks(decoder)
        kept = all(isinstance(block, Block) for block in blocks)
        straight = all(block.activation == "identity" for block in blocks[:-1]) if kept else False
        return [block.linear for block in blocks] if blocks and straight else None
    module = decoder.own if isinstance(decoder, Decoder) else getattr(decoder, "unlinked", decoder)
    parts = [*module] if type(module) is nn.Sequential else [module]
    return parts if parts and all(isinstance(part, nn.Linear) for part in parts) else None
