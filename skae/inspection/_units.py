"""Units of a layer: their activations, and the rows with the highest ones."""

import copy
from typing import Any

import torch
from torch import Tensor

from .._data.chunks import chunks
from ._model import Model, find_layer


class Units:
    """Activations of units of one encoder layer: dense rows (n, n_features) to (n, len(chosen)).

    Computed with a copy of the encoder, in float64 on a CPU and in float32 on other devices.

    Parameters
    ----------
    model : Model
    layer : int, str or None
        None is the code: for a variational encoder its mean, for a hasher the logits of its bits.
    units : int, sequence of int or None
        Numbers of the units. None is all of them, or the first ``at_most``.
    at_most : int or None

    Attributes
    ----------
    chosen : list of int
        Numbers of the units.
    row_bytes : int
        Memory that a row and its activations take, roughly.
    """

    def __init__(self, model: Model, layer: int | str | None, units: Any, at_most: int | None = None) -> None:
        self._encoder = copy.deepcopy(model.network("encoder")).requires_grad_(False).eval()
        parameters = [*self._encoder.parameters(), *self._encoder.buffers()]
        self.device = parameters[0].device if parameters else torch.device("cpu")
        self.dtype = torch.float64 if self.device.type == "cpu" else torch.float32
        self._encoder.to(self.dtype)
        self._layer = find_layer(self._encoder, layer)
        n_features = model.autoencoder.n_features_in_
        n_units = self._all(torch.zeros(1, n_features, dtype=self.dtype, device=self.device)).shape[1]
        self.chosen = choose_units(units, n_units, at_most)
        self.row_bytes = 8 * (n_features + n_units)

    def _all(self, x: Tensor) -> Tensor:
        outputs: list[Any] = []
        with self._layer.register_forward_hook(lambda module, inputs, output: outputs.append(output)):
            self._encoder(x)
        output = outputs[-1][0] if isinstance(outputs[-1], tuple) else outputs[-1]
        return output if output.ndim == 2 else output.flatten(2).mean(2)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute activations; for a feature map, the mean over positions."""
        return self._all(x)[:, self.chosen]

    def load(self, x: Tensor) -> Tensor:
        """Bring dense rows to the dtype and the device of this computation."""
        return x.to(self.dtype).to(self.device)


def choose_units(units: Any, n_units: int, at_most: int | None = None) -> list[int]:
    """Return unit numbers, counted from zero; None is all of them, or the first ``at_most``.

    Raises
    ------
    ValueError
        If a unit does not exist, or there are none.
    """
    if units is None:
        return [*range(n_units if at_most is None else min(n_units, at_most))]
    chosen = [*units] if hasattr(units, "__len__") else [units]
    if not chosen:
        raise ValueError("units is empty: pass at least one unit, or None.")
    for unit in chosen:
        if isinstance(unit, bool) or not hasattr(unit, "__index__") or not 0 <= unit < n_units:
            raise ValueError(
                f"units contains {unit!r}, but the layer has {n_units} units, counted from 0 to {n_units - 1}."
            )
    return [int(unit) for unit in chosen]


@torch.no_grad()
def top_rows(units: Units, rows, k: int) -> tuple[Tensor, Tensor]:
    """Find the k rows with the highest activation of each unit; ties go to the first row.

    ``rows`` is a tensor or a CSR matrix. Returns row numbers and activations, both (n_units, k), on the CPU.
    """
    index = torch.empty(len(units.chosen), 0, dtype=torch.int64)
    best = torch.empty(len(units.chosen), 0, dtype=units.dtype)
    for part, x in chunks(rows, units.row_bytes):
        values = units(units.load(x)).t().cpu()
        numbers = torch.arange(part.start, part.stop).expand(len(values), -1)
        best, order = torch.cat([best, values], 1).sort(dim=1, descending=True, stable=True)
        index, best = torch.cat([index, numbers], 1).gather(1, order)[:, :k], best[:, :k]
    return index, best
