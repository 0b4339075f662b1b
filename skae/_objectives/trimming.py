"""A loss without the rows of a batch that it is largest for, so that outliers do not teach the networks."""

import torch
from torch import Tensor

from .losses import Loss


def trimmed(loss: Loss, share: float, n_whole: int) -> Loss:
    """Return a loss without the worst ``share`` of each batch, once ``n_whole`` batches have been seen.

    The rows that stay weigh more, so that the gradient keeps its size. The loss is one of entries, in closed form.
    """
    n_seen = 0

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        nonlocal n_seen
        n_seen += 1
        n = output.shape[-2]
        n_left_out = int(share * n)
        if n_seen <= n_whole or not n_left_out:
            return loss.sum_and_gradient(output, target, weight, gradient)  # type: ignore[misc]
        rows = loss.entrywise(output, target).sum(-1, keepdim=True)  # type: ignore[misc]
        worst = rows.topk(n_left_out, dim=-2).indices
        kept = torch.full_like(rows, n / (n - n_left_out)).scatter_(-2, worst, 0.0)
        weight = kept if weight is None else kept * weight
        return loss.sum_and_gradient(output, target, weight, gradient)  # type: ignore[misc]

    return loss._replace(sum_and_gradient=sum_and_gradient)
