"""Terms that make codes sparse, with their gradients: KL divergence to a target activation, and L1.

Also what goes with them: decoder weights of unit length, without which an L1 term is met by small codes and large
weights.
"""

import math

import torch
from torch import Tensor

from .penalties import CodePenalty, Penalty
from .warm_up import WarmUp


class Scalar:
    """A number as a tensor, made anew only where it changes: to convert it costs more than to multiply."""

    def __init__(self) -> None:
        self._value, self._tensor = math.nan, torch.empty(())

    def __call__(self, value: float, like: Tensor) -> Tensor:
        if value != self._value:
            self._value, self._tensor = value, like.new_tensor(value)
        return self._tensor


def _wide(a: Tensor) -> Tensor:
    return a.float() if a.dtype == torch.bfloat16 else a


def l1(strength: WarmUp, signed: bool) -> Penalty:
    """Penalise the sum over units of |code|, averaged over rows; ``signed`` codes may be negative."""
    scalar = Scalar()

    def value(x: Tensor, code: Tensor, row_weight: Tensor | None) -> Tensor:
        rows = code.abs().sum(1)
        return strength.value * (rows if row_weight is None else rows * row_weight[:, 0]).mean()

    def on_code(layer, p, row_weight: Tensor | None) -> Tensor:
        n = len(p.a)
        scale = scalar(strength.value / n, _wide(p.a))
        if row_weight is None and not signed:
            p.dz.add_(scale)  # a rectifier's own derivative takes it away again where the code is zero
            return _wide(p.a).sum().mul_(scale)
        sign = p.a.sign()
        if row_weight is not None:
            sign.mul_(row_weight)
        p.dz.addcmul_(sign, scale)
        return _wide(sign.mul_(p.a)).sum().mul_(scale)

    return Penalty(value, CodePenalty(on_code), strength)


class Means:
    """Buffers for the units' means r over a batch: (2, n_components) each, r and 1 - r side by side."""

    def __init__(self, like: Tensor, target: float) -> None:
        n_units = like.shape[1]
        self.r = like.new_empty(2, n_units)
        self.on, self.off = self.r[:1], self.r[1:]
        self.flat = self.r.view(-1)
        self.one = like.new_tensor(1.0)
        self.least = like.new_tensor(1e-37)
        self.shares = like.new_tensor([[target], [1 - target]]).repeat(1, n_units)
        self.flat_shares = self.shares.view(-1)


class Divergence:
    """Penalise how far each unit's mean activation r over a batch is from ``target``, summed over units.

    Both are taken for probabilities: of a unit it is t log(t / r) + (1 - t) log((1 - t) / (1 - r)).
    """

    def __init__(self, strength: WarmUp, target: float) -> None:
        self.strength, self.target = strength, target
        self._means: Means | None = None
        self._scalar = Scalar()
        self._equal: dict[int, Tensor] = {}  # shares of rows without weights

    def value(self, x: Tensor, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Compute it for autograd."""
        weight = code.new_ones(len(code)) if row_weight is None else row_weight[:, 0]
        r, t = weight @ code / weight.sum(), self.target
        r = torch.stack((r, 1 - r)).clamp_min(1e-37)
        shares = r.new_tensor([[t], [1 - t]])
        return self.strength.value * (shares * (shares / r).log()).sum()

    def on_code(self, layer, p, row_weight: Tensor | None) -> Tensor:
        """Add the gradient, (1 - t) / (1 - r) - t / r times each row's share in the mean; return the value."""
        code = _wide(p.a)
        if self._means is None:
            self._means = Means(code, self.target)
        m, n = self._means, len(code)
        strength = self.strength.value
        share = self._equal_shares(code, n) if row_weight is None else (row_weight / row_weight.sum()).t()
        torch.mm(share, code, out=m.on)
        torch.sub(m.one, m.on, out=m.off)
        # A unit stuck at either end has no slope to come back by; this keeps its logarithm finite.
        torch.maximum(m.r, m.least, out=m.r)
        torch.div(m.shares, m.r, out=m.r)
        slope = torch.sub(m.off, m.on)
        if row_weight is None:
            p.dz.add_(slope, alpha=strength / n)
        else:
            p.dz.add_(share.t() * slope, alpha=strength)
        value = torch.dot(m.flat_shares, m.flat.log_())
        return value.mul_(self._scalar(strength, value))

    def _equal_shares(self, code: Tensor, n: int) -> Tensor:
        if n not in self._equal:
            self._equal[n] = code.new_full((1, n), 1 / n)
        return self._equal[n]


def kl(strength: WarmUp, target: float) -> Penalty:
    """Penalise the divergence of the units' mean activations from ``target``; see `Divergence`."""
    divergence = Divergence(strength, target)
    return Penalty(divergence.value, CodePenalty(divergence.on_code), strength)


class UnitLength:
    """Scales the rows of one matrix to length one, in place, time after time."""

    def __init__(self) -> None:
        self._lengths: Tensor | None = None

    def __call__(self, weight: Tensor) -> None:
        """Scale the rows of ``weight``, (n_rows, n_columns)."""
        if self._lengths is None:
            self._lengths = weight.new_empty(len(weight), 1)
        weight.div_(torch.linalg.vector_norm(weight, 2, 1, True, out=self._lengths))
