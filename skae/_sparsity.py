"""Terms that make codes sparse, with their gradients: KL divergence to a target activation, and L1.

Also what goes with them: a weight that rises over the first epochs, and decoder weights of unit length, without
which an L1 term is met by small codes and large weights.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ._explicit import CodePenalty
from ._layers import Affine, Pass
from ._penalties import Penalty

Strength = Callable[[int], float]


def rising(weight: float, n_epochs: int, n_rows: int, n_passed: int) -> Strength:
    """Return a weight that rises in equal steps, from zero, through ``n_epochs`` epochs of ``n_rows`` rows.

    The function that is returned takes the number of rows of the step that it is asked for. ``n_passed`` epochs
    have gone before.
    """
    seen = 0

    def strength(n: int) -> float:
        nonlocal seen
        progress = n_passed + seen // n_rows + (seen % n_rows) / n_rows
        seen += n
        return weight * min(1.0, progress / n_epochs) if n_epochs else weight

    return strength


def l1(strength: Strength) -> Penalty:
    """Penalise the sum over units of |code|, averaged over rows."""

    def value(x: Tensor, code: Tensor, row_weight: Tensor | None) -> Tensor:
        rows = code.abs().sum(1)
        return strength(len(code)) * (rows if row_weight is None else rows * row_weight).mean()

    def on_code(layer: Affine, p: Pass, row_weight: Tensor | None) -> Tensor:
        scale = strength(len(p.a)) / len(p.a)
        if row_weight is None:
            p.dz.add_(p.a.sign(), alpha=scale)
            return torch.linalg.vector_norm(p.a, 1, dtype=p.dz.dtype if _wide(p.a) else torch.float32) * scale
        p.dz.addcmul_(p.a.sign(), row_weight.to(p.dz.dtype), value=scale)
        return (p.a.abs() * row_weight).sum() * scale

    return Penalty(value, CodePenalty(on_code))


def _wide(a: Tensor) -> bool:
    return a.dtype != torch.bfloat16


def kl(strength: Strength, target: float) -> Penalty:
    """Penalise, summed over units, the divergence of each unit's mean over a batch from ``target``.

    Mean and target are taken for the probabilities of coins: t log(t / r) + (1 - t) log((1 - t) / (1 - r)).
    """
    entropy = target * math.log(target) + (1 - target) * math.log(1 - target)

    def means(code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Return the units' mean activations r and 1 - r: (2, n_components)."""
        code = code if _wide(code) else code.float()
        mean = code.mean(0) if row_weight is None else row_weight @ code / row_weight.sum()
        # Units at either end have no slope to come back by; this keeps their logarithm finite.
        return torch.stack([mean, 1 - mean]).clamp_min(torch.finfo(mean.dtype).tiny)

    def divergence(r: Tensor) -> Tensor:
        log = r.log().sum(1)
        return len(r[0]) * entropy - target * log[0] - (1 - target) * log[1]

    def value(x: Tensor, code: Tensor, row_weight: Tensor | None) -> Tensor:
        return strength(len(code)) * divergence(means(code, row_weight))

    def on_code(layer: Affine, p: Pass, row_weight: Tensor | None) -> Tensor:
        now = strength(len(p.a))
        weight = None if row_weight is None else row_weight[:, 0]
        r = means(p.a, weight)
        slope = (1 - target) / r[1] - target / r[0]
        if weight is None:
            p.dz.add_(slope, alpha=now / len(p.a))
        else:
            p.dz.add_(torch.outer(weight / weight.sum(), slope), alpha=now)
        return divergence(r) * now

    return Penalty(value, CodePenalty(on_code))


def unit_length_(weight: Tensor) -> None:
    """Scale the rows of ``weight`` to length one, in place."""
    length = torch.linalg.vector_norm(weight, dim=1, keepdim=True)
    weight.div_(length.clamp_min_(torch.finfo(weight.dtype).tiny))
