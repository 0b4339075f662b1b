"""The weights of a layer as filters, one for each unit."""

import torch
from torch import Tensor, nn

from ._model import find_layer, layer_weight


def filters(network: nn.Module, layer: int | str | None, *, decoding: bool, combined: bool) -> Tensor:
    """Return the filters of a layer: (n_units, width) if it is dense, else (n_units, channels, *kernel).

    The units of an encoder's layer are its outputs, and their filters the incoming weights; the units of a
    decoder's layer are its inputs, and their filters the outgoing weights.

    Parameters
    ----------
    network : torch.nn.Module
    layer : int, str or None
        None is the layer next to the data.
    decoding : bool
        Whether the network is a decoder.
    combined : bool
        Whether to multiply the weights by those of the layers between this one and the data.
    """
    all_weights = _weights(network, decoding)
    if not all_weights:
        raise ValueError("The network has no dense or convolutional layers, whose weights are its filters.")
    inside = all_weights if layer is None else _weights(find_layer(network, layer), decoding)
    if not inside:
        names = ", ".join(repr(name) for name, _ in all_weights.values())
        raise ValueError(f"layer={layer!r} has no weights. Modules of the network that have: {names}.")
    towards_data = [*all_weights][:: 1 if decoding else -1]
    first = towards_data[-1] if layer is None else next(iter(inside))
    _, result = all_weights[first]
    for module in towards_data[towards_data.index(first) + 1 :] if combined else []:
        _, weight = all_weights[module]
        if result.ndim != 2 or weight.ndim != 2:
            raise ValueError(
                "combined=True multiplies the weights of dense layers, but some between the layer and the "
                "data are convolutional. Use combined=False."
            )
        result = result @ weight
    return result.to("cpu", torch.float64)


def _weights(network: nn.Module, decoding: bool) -> dict[nn.Module, tuple[str, Tensor]]:
    """List the modules that have filters, in order, with their names and filters."""
    found = {}
    for name, module in network.named_modules():
        if (weight := layer_weight(module)) is not None:
            values, inputs_first = weight
            found[module] = name, values if inputs_first == decoding else values.transpose(0, 1)
    return found
