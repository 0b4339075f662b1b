"""Terms that make codes sparse, with their gradients: KL divergence to a target activation, and L1.

Also what goes with them: decoder weights of unit length, without which an L1 term is met by small codes and large
weights.
"""

import torch
from torch import Tensor

from .._support.ranks import current
from .._support.sizes import of_size
from .penalties import CodePenalty, Penalty, WarmUp, mean_over_rows


def _wide(a: Tensor) -> Tensor:
    return a.float() if a.dtype == torch.bfloat16 else a  # `to` costs even where it changes nothing


def l1(strength: WarmUp, signed: bool) -> Penalty:
    """Penalise the sum over units of |code|, averaged over rows; ``signed`` codes may be negative."""
    scales: dict[float, Tensor] = {}  # tensors: to convert a number costs more than to multiply

    def on_code(layer, p, row_weight: Tensor | None) -> Tensor:
        value = strength.value / len(p.a)
        scale = of_size(scales, value, lambda: _wide(p.a).new_tensor(value))
        if row_weight is None and not signed:
            p.dz.add_(scale)  # a rectifier's own derivative takes it away again where the code is zero
            return _wide(p.a).sum().mul_(scale)
        sign = p.a.sign()
        if row_weight is not None:
            sign.mul_(row_weight)
        p.dz.addcmul_(sign, scale)
        return _wide(sign.mul_(p.a)).sum().mul_(scale)

    norm = mean_over_rows(lambda x, code: code.abs().sum(1))
    return Penalty(lambda *batch: strength.value * norm(*batch), CodePenalty(on_code), strength)


class Divergence:
    """Penalise how far each unit's mean activation r over a batch is from ``target`` t, summed over units.

    Both are taken for probabilities: of a unit it is t log(t / r) + (1 - t) log((1 - t) / (1 - r)).
    """

    def __init__(self, strength: WarmUp, target: float) -> None:
        self.strength, self.target = strength, target
        self._strengths: dict[float, Tensor] = {}  # tensors: to convert a number costs more than to multiply
        self._shares: dict[int, Tensor] = {}  # of each row in the means, where rows have no weights
        self._r: Tensor | None = None

    def value(self, x: Tensor, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Compute it for autograd."""
        ranks, t = current(), self.target
        weight = code.new_ones(len(code)) if row_weight is None else row_weight[:, 0]
        r = ranks.batch_mean(weight @ code / ranks.batch_weight(weight.sum()))
        r = torch.stack((r, 1 - r)).clamp_min(1e-37)
        shares = r.new_tensor([[t], [1 - t]])
        return self.strength.value * (shares * (shares / r).log()).sum()

    def on_code(self, layer, p, row_weight: Tensor | None) -> Tensor:
        """Add the gradient, (1 - t) / (1 - r) - t / r times each row's share in the mean; return the value."""
        code, n, strength, ranks = _wide(p.a), len(p.a), self.strength.value, current()
        if self._r is None:
            self._r = self._allocate(code)
        if row_weight is None:
            share = of_size(self._shares, n, lambda: code.new_full((1, n), 1 / n))
        else:
            share = (row_weight / ranks.batch_weight(row_weight.sum())).t()
        torch.mm(share, code, out=self._on)
        if ranks.is_shared:
            self._on.copy_(ranks.batch_mean(self._on))
        torch.sub(self._one, self._on, out=self._off)
        # A unit stuck at either end has no slope to come back by; this keeps its logarithm finite.
        torch.maximum(self._r, self._least, out=self._r)
        torch.div(self._targets, self._r, out=self._r)
        slope = torch.sub(self._off, self._on)
        if row_weight is None:
            p.dz.add_(slope, alpha=strength / n)
        else:
            p.dz.add_(share.t() * slope, alpha=strength)
        value = torch.dot(self._targets, self._r.log_())
        return value.mul_(of_size(self._strengths, strength, lambda: value.new_tensor(strength)))

    def _allocate(self, code: Tensor) -> Tensor:
        """Return memory for r and, behind it, 1 - r; keep numbers as tensors beside it, since converting costs."""
        width, t = code.shape[1], self.target
        r = code.new_empty(2 * width)
        self._on, self._off = r.view(2, 1, width)
        self._targets = code.new_tensor([t, 1 - t]).repeat_interleave(width)
        self._one, self._least = code.new_tensor(1.0), code.new_tensor(1e-37)
        return r


def kl(strength: WarmUp, target: float) -> Penalty:
    """Penalise the divergence of the units' mean activations from ``target``; see `Divergence`."""
    divergence = Divergence(strength, target)
    return Penalty(divergence.value, CodePenalty(divergence.on_code), strength)


def scale_to_unit_length(weight: Tensor) -> None:
    """Scale the rows of a matrix to length one, in place."""
    weight.div_(torch.linalg.vector_norm(weight, 2, 1, True))
