"""Units of a network's layers: where they are, what they compute, and the rows that excite them most."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._data.chunks import Reader, slices
from .._networks.selection import Bits, Selection


def layers(network: nn.Module) -> list[nn.Module]:
    """List a network's layers: its children, but for what only chooses among units; at least the network."""
    network = getattr(network, "unlinked", network)  # a user's decoder, before the loss's link
    return [child for child in network.children() if not isinstance(child, Selection)] or [network]


def find_layer(network: nn.Module, layer: int | str) -> nn.Module:
    """Return a layer by its number in `layers`, or a module by its name in ``named_modules()``.

    Raises
    ------
    ValueError
        If there is none.
    """
    if isinstance(layer, str):
        named = dict(network.named_modules())
        if layer not in named:
            names = ", ".join(repr(name) for name in named if name)
            raise ValueError(f"layer={layer!r} is no module of the network. Its modules are {names}.")
        return named[layer]
    found = layers(network)
    if not -len(found) <= layer < len(found):
        raise ValueError(
            f"layer={layer} is not there: the network has {len(found)} layers, 0 to {len(found) - 1}, or counted "
            "from the end -1 and down. A module's name picks one inside a layer."
        )
    return found[layer]


class Units:
    """What the units of one layer compute: dense rows of shape (n, n_features) to (n, n_units).

    Works on a copy of the encoder, in float64 on a CPU and in float32 on other devices.

    Parameters
    ----------
    encoder : torch.nn.Module
    layer : int, str or None
        None is the code, of a variational encoder its mean, of a hasher the logits of its bits.
    n_features : int
    """

    def __init__(self, encoder: nn.Module, layer: int | str | None, n_features: int) -> None:
        self._encoder = copy.deepcopy(encoder).requires_grad_(False).eval()
        parameters = [*self._encoder.parameters(), *self._encoder.buffers()]
        self.device = parameters[0].device if parameters else torch.device("cpu")
        self.dtype = torch.float64 if self.device.type == "cpu" else torch.float32
        self._encoder.to(self.dtype)
        self._output: Any = None
        if layer is None and isinstance(getattr(self._encoder, "selection", None), Bits):
            layer = -1
        self._layer = None if layer is None else find_layer(self._encoder, layer)
        if self._layer is not None:
            self._layer.register_forward_hook(self._keep)
        self.n_units = self(torch.zeros(1, n_features, dtype=self.dtype, device=self.device)).shape[1]

    def _keep(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._output = output

    def __call__(self, x: Tensor) -> Tensor:
        """Compute activations; of a feature map, the mean over positions."""
        output = self._encoder(x)
        if self._layer is not None:
            output, self._output = self._output, None
        output = output[0] if isinstance(output, tuple) else output
        return output if output.ndim == 2 else output.flatten(2).mean(2)

    def load(self, part) -> Tensor:
        """Bring a run of rows to where, and to the dtype in which, this computes."""
        return Reader(part).run(slice(None)).to(self.dtype).to(self.device)


def choose_units(units: Any, n_units: int, at_most: int | None = None) -> list[int]:
    """Return unit numbers, counted from zero; None is all of them, or the first ``at_most``.

    Raises
    ------
    ValueError
        If a unit is not there, or none is left.
    """
    if units is None:
        return [*range(n_units if at_most is None else min(n_units, at_most))]
    chosen = [units] if not isinstance(units, Sequence) and not hasattr(units, "__len__") else [*units]
    if not chosen:
        raise ValueError("units is empty: pass at least one unit, or None.")
    for unit in chosen:
        if isinstance(unit, bool) or not hasattr(unit, "__index__") or not 0 <= unit < n_units:
            raise ValueError(
                f"units holds {unit!r}, but the layer has {n_units} units, counted from 0 to {n_units - 1}."
            )
    return [int(unit) for unit in chosen]


@torch.no_grad()
def top_rows(units: Units, rows, chosen: list[int], k: int) -> tuple[Tensor, Tensor]:
    """Find the k rows that excite each chosen unit most, the first of equal ones first.

    ``rows`` is a tensor or a CSR matrix. Returns row numbers and activations, both (len(chosen), k), on the CPU.
    """
    index = torch.empty(len(chosen), 0, dtype=torch.int64)
    best = torch.empty(len(chosen), 0, dtype=units.dtype)
    for part in slices(rows.shape[0], 8 * (rows.shape[1] + units.n_units)):
        values = units(units.load(rows[part]))[:, chosen].t().cpu()
        numbers = torch.arange(part.start, part.stop).expand(len(chosen), -1)
        best, order = torch.cat([best, values], 1).sort(dim=1, descending=True, stable=True)
        best, order = best[:, :k], order[:, :k]
        index = torch.cat([index, numbers], 1).gather(1, order)
    return index, best
