"""How much of the variance of rows their reconstructions explain."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .._data.chunks import chunks, column_means, fold, sum_rows


def r2(
    reconstruct: Callable[[Tensor, Tensor], Tensor],
    rows: Any,
    targets: Any,
    weight: Tensor | None,
    *,
    missing: bool,
    row_bytes: int,
) -> float:
    """Return the R^2 of reconstructions, with columns weighted by their variance in the targets.

    Parameters
    ----------
    reconstruct : callable (x, target) -> reconstruction
        Gets a chunk of rows and the targets of these.
    rows : Tensor or scipy.sparse CSR matrix of shape (n, d)
    targets : Tensor, scipy.sparse CSR matrix or None
        What the reconstructions are compared with, of the same shape; None is the rows.
    weight : Tensor of shape (n,) or None
        Of the rows, in all sums.
    missing : bool
        Whether NaN stands for missing values, which do not count.
    row_bytes : int
        What is made of a row, in bytes.
    """
    n_rows = rows.shape[0]
    mean = column_means(rows if targets is None else targets, weight, missing)

    def squares(part: slice, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        share = None if weight is None else weight[part]
        both = reconstruct(x, target).to(mean) - target, target - mean
        residual, total = (torch.nan_to_num(each) if missing else each for each in both)
        return sum_rows(residual.square(), share), sum_rows(total.square(), share)

    terms = (squares(*each) for each in _side_by_side(rows, targets, row_bytes))
    residual, total = fold(terms, torch.add, torch.add)
    n = n_rows if weight is None else float(weight.sum())
    rounding = min(n_rows * torch.finfo(mean.dtype).eps, 1e-6) * mean  # of a constant column's mean
    varies = total > n * rounding.square()
    if not varies.any():
        return float(not residual.any())
    return 1.0 - float(residual[varies].sum() / total[varies].sum())


def _side_by_side(rows: Any, targets: Any, row_bytes: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    if targets is None:
        yield from ((part, x, x) for part, x in chunks(rows, row_bytes))
        return
    both = zip(chunks(rows, row_bytes), chunks(targets, row_bytes), strict=True)
    yield from ((part, x, target) for (part, x), (_, target) in both)
