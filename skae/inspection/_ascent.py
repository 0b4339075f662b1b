"""Gradient ascent on a network's input, inside a region around the data."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Region(NamedTuple):
    """Where inputs may go: no farther than ``radius`` from ``centre``, and between bounds."""

    centre: Tensor  # (n_features,), between the bounds
    radius: Tensor | None  # (n, 1)
    lowest: Tensor  # (n_features,), -inf where there is no bound
    highest: Tensor

    def project(self, x: Tensor) -> Tensor:
        """Bring inputs into the region: to the bounds first, then towards the centre, which keeps the bounds."""
        x = torch.minimum(torch.maximum(x, self.lowest), self.highest)
        if self.radius is not None:
            away = x - self.centre
            far = distance(away)
            x = torch.where(far > self.radius, self.centre + away * (self.radius / far), x)
        return x

    def feasible(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Leave out of a gradient what points out of the bounds from inputs that stand at them."""
        stuck = ((x >= self.highest) & (gradient > 0)) | ((x <= self.lowest) & (gradient < 0))
        return gradient.masked_fill(stuck, 0)


def distance(away: Tensor) -> Tensor:
    """Euclidean norm of each row, (n, 1), never zero."""
    return torch.linalg.vector_norm(away, dim=1, keepdim=True).clamp_min(torch.finfo(away.dtype).tiny)


def ascend(
    activation: Callable[[Tensor], Tensor],
    x: Tensor,
    region: Region,
    *,
    alpha: float,
    learning_rate: float,
    max_iter: int,
) -> tuple[Tensor, Tensor]:
    """Raise ``activation(x) - alpha / 2 * |x - centre| ** 2`` row by row; return the best rows met, and it.

    Steps go along the gradient's direction, whatever its length, so that saturated units move too. Their length
    is a fraction of the region's radius that falls from ``learning_rate`` to zero.

    Parameters
    ----------
    activation : callable
        Rows (n, n_features) to (n,), each row's depending on that row alone.
    x : Tensor of shape (n, n_features)
        Where to start.
    """
    x = region.project(x)
    scale = distance(x - region.centre) if region.radius is None else region.radius
    best, best_value = x, torch.full_like(x[:, 0], -torch.inf)
    for i in range(max_iter + 1):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = activation(x) - alpha / 2 * (x - region.centre).square().sum(1)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        x, value = x.detach(), value.detach()
        better = value > best_value
        best, best_value = torch.where(better[:, None], x, best), torch.where(better, value, best_value)
        gradient = region.feasible(x, gradient)
        length = learning_rate * scale * (1 - i / max_iter)
        x = region.project(x + length * gradient / distance(gradient))
    return best, best_value
