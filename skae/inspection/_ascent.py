"""Activation maximization: gradient ascent on a network's input, inside a region around the data."""

from typing import NamedTuple

import torch
from torch import Tensor

from .._data.chunks import column_statistics, slices
from ._units import Units


class Region(NamedTuple):
    """Where inputs may be: at most ``radius`` from ``centre``, and between bounds; all may be infinite."""

    centre: Tensor  # (n_features,), between the bounds
    radius: Tensor  # (n, 1)
    lowest: Tensor  # (n_features,)
    highest: Tensor

    @classmethod
    def around(cls, rows, units: Units, best, norm, bounded: bool) -> "Region":
        """Return the region for each unit; ``best`` is the number of the row with its highest activation."""
        columns = (torch.as_tensor(c).to(units.dtype) for c in column_statistics(rows)[1:])
        lowest, highest, centre = (column.to(units.device) for column in columns)
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
        x = torch.minimum(torch.maximum(x, self.lowest), self.highest)
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
