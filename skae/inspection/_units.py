"""Units of a layer: their activations, the rows with the highest ones, and gradient ascent on inputs."""

import copy
from typing import Any, NamedTuple

import torch
from scipy import sparse
from torch import Tensor

from .._data.chunks import column_statistics, slices
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
        self._encoder = copy.deepcopy(model.attribute("encoder_")).requires_grad_(False).eval()
        self.device = torch.device(model.autoencoder.device_)
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

    def load(self, part) -> Tensor:
        """Make rows dense, in the dtype and on the device of this computation."""
        dense = torch.from_numpy(part.toarray()) if sparse.issparse(part) else part
        return dense.to(self.dtype).to(self.device)


def choose_units(units: Any, n_units: int, at_most: int | None = None) -> list[int]:
    """Return unit numbers, counted from zero; None is all of them, or the first ``at_most``.

    Raises
    ------
    ValueError
        If a unit does not exist.
    """
    if units is None:
        return [*range(n_units)][:at_most]
    chosen = [*units] if hasattr(units, "__len__") else [units]
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
    for part in slices(rows.shape[0], units.row_bytes):
        values = units(units.load(rows[part])).t().cpu()
        numbers = torch.arange(part.start, part.stop).expand(len(values), -1)
        best, order = torch.cat([best, values], 1).sort(dim=1, descending=True, stable=True)
        index, best = torch.cat([index, numbers], 1).gather(1, order)[:, :k], best[:, :k]
    return index, best


class Region(NamedTuple):
    """Where inputs may be: at most ``radius`` from ``centre``, and between bounds; all may be infinite."""

    centre: Tensor  # (n_features,), between the bounds
    radius: Tensor  # (n, 1)
    lowest: Tensor  # (n_features,)
    highest: Tensor

    @classmethod
    def around(cls, rows, units: Units, best, norm, bounded: bool) -> "Region":
        """Return the region for each unit; ``best`` is the number of the row with its highest activation."""
        _, *columns = map(torch.as_tensor, column_statistics(rows))
        lowest, highest, centre = map(units.load, columns)
        centre = centre.clamp(lowest, highest)  # the mean is rounded
        if norm == "best":
            norm = distance(units.load(rows[best]) - centre)
        elif norm == "mean":
            parts = slices(rows.shape[0], 8 * rows.shape[1])
            norm = sum(distance(units.load(rows[p]) - centre).sum() for p in parts) / rows.shape[0]
        radius = torch.as_tensor(torch.inf if norm is None else norm, dtype=units.dtype, device=units.device)
        if not bounded:
            lowest, highest = torch.full_like(lowest, -torch.inf), torch.full_like(highest, torch.inf)
        return cls(centre, radius.expand(len(best), 1), lowest, highest)

    def project(self, x: Tensor) -> Tensor:
        """Bring inputs into the region: to the bounds first, then towards the centre, which keeps the bounds."""
        x = x.clamp(self.lowest, self.highest)
        away = x - self.centre
        far = distance(away)
        return torch.where(far > self.radius, self.centre + away * (self.radius / far), x)

    def feasible(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Set entries of a gradient that point out of the bounds to zero, for inputs at the bounds."""
        stuck = ((x >= self.highest) & (gradient > 0)) | ((x <= self.lowest) & (gradient < 0))
        return gradient.masked_fill(stuck, 0)


def distance(away: Tensor) -> Tensor:
    """Euclidean norm of each row, (n, 1), never zero."""
    return torch.linalg.vector_norm(away, dim=1, keepdim=True).clamp_min(torch.finfo(away.dtype).tiny)


def best_of_starts(units: Units, rows, starts, region: Region, **settings) -> Tensor:
    """Maximize each unit's activation from several rows, (n_units, n_init) row numbers; return the best inputs."""
    n_init, found = starts.shape[1], []
    for part in slices(len(starts), 8 * n_init * units.row_bytes):
        unit = torch.arange(part.start, part.stop, device=units.device).repeat_interleave(n_init)
        here = region._replace(radius=region.radius[unit])
        x, values = ascend(units, unit, units.load(rows[starts[part].ravel()]), here, **settings)
        winner = values.reshape(-1, n_init).argmax(1)
        found.append(x[winner + n_init * torch.arange(len(winner), device=units.device)])
    return torch.cat(found)


def ascend(
    units: Units, unit: Tensor, x: Tensor, region: Region, *, alpha: float, learning_rate: float, max_iter: int
) -> tuple[Tensor, Tensor]:
    """Maximize ``activation(x) - alpha / 2 * |x - centre| ** 2`` row by row; return the best rows and values met.

    Steps follow the gradient's direction, whatever its length, so that saturated units move too. Their length is
    a fraction of the region's radius (if infinite, of the start's distance from the centre) that falls from
    ``learning_rate`` to zero.

    Parameters
    ----------
    units : Units
    unit : Tensor of shape (n,)
        Which of the chosen units each row is for.
    x : Tensor of shape (n, n_features)
        Where to start.
    """
    x = region.project(x)
    scale = torch.where(region.radius.isinf(), distance(x - region.centre), region.radius)
    best, best_value = x, torch.full_like(x[:, 0], -torch.inf)
    for i in range(max_iter + 1):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            activation = units(x).gather(1, unit[:, None])[:, 0]
            value = activation - alpha / 2 * (x - region.centre).square().sum(1)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        x, value = x.detach(), value.detach()
        better = value > best_value
        best, best_value = torch.where(better[:, None], x, best), torch.where(better, value, best_value)
        gradient = region.feasible(x, gradient)
        length = learning_rate * scale * (1 - i / max_iter)
        x = region.project(x + length * gradient / distance(gradient))
    return best, best_value
