"""The weights of a layer as filters, one for each unit."""

from typing import cast

import torch
from torch import Tensor, nn

from ._units import find_layer

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_STRAIGHT = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def weighted(network: nn.Module) -> dict[str, nn.Module]:
    """List the modules of a network that have filters, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _STRAIGHT + _TRANSPOSED) or hasattr(module, "partner")
    }


def filters(network: nn.Module, layer: int | str | None, *, decoding: bool, combined: bool) -> Tensor:
    """Return the filters of a layer: (n_units, width) if it is dense, else (n_units, channels, *kernel).

    An encoder's units are the layer's outputs and their filters the weights that come in; a decoder's are the
    layer's inputs and their filters the weights that go out.

    Parameters
    ----------
    network : torch.nn.Module
    layer : int, str or None
        None is the layer next to the data.
    decoding : bool
        Whether the network is a decoder.
    combined : bool
        Whether to multiply the weights with those between the layer and the data.
    """
    there = list(weighted(network).values())
    if not there:
        raise ValueError("The network has no dense or convolutional layers, whose weights are its filters.")
    if layer is None:
        module = there[-1 if decoding else 0]
    else:
        inside = list(weighted(find_layer(network, layer)).values())
        if not inside:
            names = ", ".join(repr(name) for name in weighted(network))
            raise ValueError(f"layer={layer!r} has no weights. Modules of the network that have: {names}.")
        module = inside[0]
    result = _outgoing(module) if decoding else _incoming(module)
    if combined:
        place = next(i for i, other in enumerate(there) if other is module)
        between = there[place + 1 :] if decoding else there[:place][::-1]
        for other in between:
            weight = _outgoing(other) if decoding else _incoming(other)
            if result.ndim != 2 or weight.ndim != 2:
                raise ValueError(
                    "combined=True multiplies the weights of dense layers, but some between the layer and the "
                    "data are convolutional. Use combined=False."
                )
            result = result @ weight
    return result.to("cpu", torch.float64)


def _incoming(module: nn.Module) -> Tensor:
    return _outgoing(module).transpose(0, 1) if _is_outgoing(module) else _weight(module)


def _outgoing(module: nn.Module) -> Tensor:
    return _weight(module) if _is_outgoing(module) else _weight(module).transpose(0, 1)


def _is_outgoing(module: nn.Module) -> bool:
    """Tell whether the weight's first axis counts the inputs, as where it is tied to another layer's."""
    return isinstance(module, _TRANSPOSED) or hasattr(module, "partner")


def _weight(module: nn.Module) -> Tensor:
    return cast(Tensor, getattr(module, "partner", module).weight).detach()
