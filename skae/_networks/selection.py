"""Selections: what a fitted encoder ends in where only some units of the code are kept, or are rounded to bits.

Units win by magnitude, and each row's choice depends on that row alone.
"""

import torch
from torch import Tensor, nn


class Selection(nn.Module):
    """What a fitted encoder ends in where only some units are kept."""

    smooth: str | None = None  # the activation that stands for it where the encoder is trained further

    def kept(self, magnitude: Tensor) -> Tensor:
        """Return ones for units that are kept and zeros for the others."""
        raise AssertionError("a selection defines its choice")  # pragma: no cover

    def keep_(self, code: Tensor) -> Tensor:
        """Set all but the units that are kept to zero, in place."""
        return code.mul_(self.kept(code.abs()))

    def forward(self, code: Tensor) -> Tensor:
        return code * self.kept(code.detach().abs())


class TopK(Selection):
    """Keeps the ``n_active`` units of largest magnitude in each row."""

    def __init__(self, n_active: int) -> None:
        super().__init__()
        self.n_active = n_active

    def kept(self, magnitude: Tensor) -> Tensor:
        return top_k(magnitude, self.n_active, torch.empty_like(magnitude))

    def extra_repr(self) -> str:
        return f"n_active={self.n_active}"


class Threshold(Selection):
    """Keeps units whose magnitude is at least ``threshold``, which was found on the training rows."""

    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.zeros(()))

    def kept(self, magnitude: Tensor) -> Tensor:
        return (magnitude >= self.threshold.to(magnitude.dtype)).to(magnitude.dtype)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold.item():.4g}"


class Bits(Selection):
    """Sets the units whose logit is positive to one and the others to zero."""

    smooth = "sigmoid"

    def keep_(self, code: Tensor) -> Tensor:
        return torch.gt(code, 0, out=code)

    def forward(self, code: Tensor) -> Tensor:
        """Round; the derivative is the logistic function's, since a bit has none."""
        logistic = torch.sigmoid(code)
        return (code > 0).to(code.dtype) + (logistic - logistic.detach())


def selection(description: tuple) -> Selection:
    """Build what an `Architecture` describes: ``("topk", k)``, ``("threshold",)`` or ``("bits",)``."""
    kind, *parameters = description
    return {"topk": TopK, "threshold": Threshold, "bits": Bits}[kind](*parameters)


def top_k(magnitude: Tensor, k: int, out: Tensor) -> Tensor:
    """Write ones at the k largest entries of each row, zeros elsewhere."""
    return out.zero_().scatter_(1, torch.topk(magnitude, k, 1, True, False)[1], 1)
