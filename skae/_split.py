"""Holding rows out for early stopping, by what the rows hold instead of where they stand.

Each row gets a number from its bytes and the seed; the rows with the smallest numbers are held out. Equal rows
stay together, so that no row is validated on its own copy, and integer weights split as repeated rows do.
"""

import torch
from torch import Tensor

from ._rows import Densifier, slices


def hold_out(X, weight: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Choose rows that carry at least ``fraction`` of the weight.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
    weight : Tensor of shape (n,)
        Rows of weight zero are never chosen.
    fraction : float
    generator : torch.Generator

    Returns
    -------
    held_out : bool Tensor of shape (n,), on the CPU
    """
    keys = _keys(X, generator)
    weight = weight.double().cpu()
    distinct, group = torch.unique(keys, return_inverse=True)
    of_group = torch.zeros(len(distinct), dtype=torch.float64).index_add_(0, group, weight)
    before = of_group.cumsum(0) - of_group
    wanted = fraction * float(weight.sum())
    return (before < wanted - 1e-9)[group] & (weight > 0)


def _keys(X, generator: torch.Generator) -> Tensor:
    """Hash each row to an int64: its bits, as integers, times random odd numbers, wrapping around."""
    n_rows, n_features = X.shape
    multipliers = torch.randint(-(2**62), 2**62, (n_features,), generator=generator) * 2 + 1
    keys, densify = torch.empty(n_rows, dtype=torch.int64), Densifier()
    for part in slices(n_rows, n_features * 16):
        x = densify(X[part]).contiguous()
        bits = x.view(torch.int64 if x.dtype == torch.float64 else torch.int32).to(torch.int64)
        bits = bits ^ (bits >> 29)  # floats that are round numbers differ in their high bits only
        keys[part] = (bits * multipliers.to(bits.device)).sum(1).cpu()
    return keys ^ (keys >> 31)
