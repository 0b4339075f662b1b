"""Reconstruction losses: entry by entry for autograd, and in closed form for the explicit step.

Every loss is a mean over rows and features, so that its value, ``alpha`` and the learning rate keep their
meaning whatever the width of the data.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDING = 1e-6  # by which scaled data may miss the range that they were scaled to


class Loss(NamedTuple):
    """One reconstruction loss.

    Attributes
    ----------
    entrywise : callable (output, target) -> (n, d), differentiable by autograd
    sum_and_gradient : callable (output, target, gradient) -> 0-d tensor; returns the sum over entries and
        writes its derivative with respect to ``output``, all three of shape (n, d); ``gradient`` may be the
        memory of ``output``
    link : name of the activation that carries the decoder's output to the data's space
    mean_over_features : whether a row's loss is the mean over its features (autoencoders) or their sum
        (likelihoods, in nats)
    heads : layers of the loss's own parameters, trained beside the networks'; see `Affine` for their methods
    shift_invariant : whether moving output and target together leaves the loss as it is, so that the
        networks may work on centred data
    """

    entrywise: Callable[[Tensor, Tensor], Tensor]
    sum_and_gradient: Callable[[Tensor, Tensor, Tensor], Tensor]
    link: str = "identity"
    mean_over_features: bool = True
    heads: tuple = ()
    shift_invariant: bool = True

    def per_row(self, output: Tensor, target: Tensor) -> Tensor:
        """Return each row's loss, (n,), differentiable by autograd."""
        entries = self.entrywise(output, target)
        return entries.mean(1) if self.mean_over_features else entries.sum(1)


def _squared_error(output: Tensor, target: Tensor, gradient: Tensor) -> Tensor:
    torch.sub(output, target, out=gradient)
    total = _sum_of_products(gradient, gradient)
    gradient.add_(gradient)
    return total


def _absolute_error(output: Tensor, target: Tensor, gradient: Tensor) -> Tensor:
    torch.sub(output, target, out=gradient)
    total = torch.linalg.vector_norm(gradient, 1, dtype=accumulator(gradient))
    torch.sign(gradient, out=gradient)
    return total


def _huber(output: Tensor, target: Tensor, gradient: Tensor) -> Tensor:
    # With g = clip(residual, -1, 1), the loss is g * (residual - g / 2) on both sides of the kink.
    residual = output - target
    torch.clamp(residual, -1, 1, out=gradient)
    return _sum_of_products(gradient, residual.sub_(gradient, alpha=0.5))


def _binary_cross_entropy(output: Tensor, target: Tensor, gradient: Tensor) -> Tensor:
    entries = F.softplus(output, threshold=40)  # above, it is the identity to more than double precision
    total = entries.addcmul_(output, target, value=-1).sum(dtype=accumulator(output))
    torch.sigmoid(output, out=gradient)
    gradient.sub_(target)
    return total


def accumulator(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype == torch.bfloat16 else x.dtype


def _sum_of_products(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == torch.bfloat16:  # its dot product accumulates in bfloat16, and slowly
        return (a * b).sum(dtype=torch.float32)
    flat = a.view(-1)
    return torch.dot(flat, flat if b is a else b.view(-1))


LOSSES = {
    "squared_error": Loss(lambda o, t: F.mse_loss(o, t, reduction="none"), _squared_error),
    "absolute_error": Loss(lambda o, t: F.l1_loss(o, t, reduction="none"), _absolute_error),
    "huber": Loss(lambda o, t: F.huber_loss(o, t, reduction="none"), _huber),
    "binary_cross_entropy": Loss(
        lambda o, t: F.binary_cross_entropy_with_logits(o, t, reduction="none"),
        _binary_cross_entropy,
        link="sigmoid",
        shift_invariant=False,
    ),
}
