"""Reasons of a row's distance: what each column adds to it, and the value at which it would be least.

A column that goes with no other passes through the code, so that its residual is small whatever it is: then it is
the code that is far off. So both follow the column that is asked about. Along it, with r the residual, z the code,
and distances |r|^2 and w |z|^2 as members measure them,

    half the slope                                            b = r' . r + w z' . z
    half the curvature                                        a = r' . r' + w z' . z'
    by how much the distance falls when the column is free    b^2 / a
    how far off it is least                                   -b / a

to first order (a step of Gauss and Newton). The derivatives r' and z' are differences over a quarter of the
column's unit to either side, over kinks of the networks; of rows that are very far off over more, since such
differences would be lost among so large numbers. They are taken in float64, whatever the rows are in: in single
precision a quarter of a unit is lost from a few million units on.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._data import arrays
from .._data.chunks import slices
from .distances import MOST_COLUMNS, TINY, along, beyond, fall_when_free

MOST_FREE = (
    128  # columns: with more, three rows for each take too long, and reconstruction and code stay as they are
)
STEP = 0.25  # of a column's unit
FAR = 2.0**30  # units from the centre: of rows further out, a step is as much more
ROUNDS = 5  # of asking for an expected value anew: by then it hardly moves


def falls(member: Any, X, known: Tensor | None) -> np.ndarray:
    """Return by how much the distance of rows falls when one column is free, (n, d).

    ``known`` are the residuals that the Gaussian is to forget, each for its row. With very many columns, it is the
    distance of the residual that falls.
    """
    if X.shape[1] > MOST_FREE:
        return _of_residuals(member, fall_when_free, X, known)
    result = np.empty(tuple(X.shape))
    for part, values, own in _by_parts(X, known):
        slope, curvature = _along_columns(member, np.repeat(values[:, None], X.shape[1], axis=1), own)
        with np.errstate(over="ignore"):  # as scores, which are then infinite
            result[part] = slope**2 / curvature
    return result


def least_odd(member: Any, X, known: Tensor | None) -> np.ndarray:
    """Return the value of each column at which the distance is least, the others as they are, (n, d).

    A value that is far off draws the reconstruction along. So each is put in the place of what was found, one
    column at a time, and asked for again. ``known`` is as for `falls`.
    """
    scale, d = member.scale.numpy(), X.shape[1]
    if d > MOST_COLUMNS:
        values = np.concatenate([values for _, values, _ in _by_parts(X, None)])
        return values + scale * _of_residuals(member, beyond, X, known)
    result, column = np.empty(tuple(X.shape)), np.arange(d)
    for part, values, own in _by_parts(X, known):
        free = np.repeat(values[:, None], d, axis=1)  # row, which column is free, column
        for _ in range(ROUNDS + 1):
            if d > MOST_FREE:
                rows, of_each = free.reshape(-1, d).astype(member.dtype(X)), _repeated(own, d)
                above = _of_residuals(member, beyond, rows, of_each).reshape(free.shape)[:, column, column]
            else:
                slope, curvature = _along_columns(member, free, own)
                above = -slope / curvature
            free[:, column, column] += scale * above
        result[part] = free[:, column, column]
    return result


def _along_columns(member: Any, free: np.ndarray, own: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """Return half the slope and half the curvature of the distance along each column, (n, d).

    ``free``, (n, d, d), is each row once for each column: where along it is asked.
    """
    n, d, _ = free.shape
    column, scale, sides = np.arange(d), member.scale.numpy(), []
    width = STEP * np.maximum(np.abs((free - member.centre) / scale).max(axis=2) / FAR, 1)
    for side in (0, 1, -1):
        moved = free.copy()
        moved[:, column, column] += side * width * scale
        parts = member.walk(moved.reshape(-1, d).astype(member.finest))
        sides.append([torch.cat(kind) for kind in zip(*(part[1:] for part in parts), strict=True)])
    (residual, code), above, below = sides
    both = torch.from_numpy(2 * width.reshape(-1, 1))
    of_residual, of_code = (((one - two) / both)[:, None] for one, two in zip(above, below, strict=True))
    slope, curvature = along(member.residuals, residual, of_residual, _repeated(own, d))
    if member.code_weight:
        own_slope, own_curvature = along(member.codes, code, of_code)
        slope, curvature = slope + member.code_weight * own_slope, curvature + member.code_weight * own_curvature
    return slope.view(n, d).numpy(), curvature.clamp_min(TINY).view(n, d).numpy()


def _by_parts(X, known: Tensor | None) -> Iterator[tuple[slice, np.ndarray, Tensor | None]]:
    """Walk over rows: yield which part, its values, float64, and what the Gaussian is to forget."""
    rows = arrays.to_torch(X)
    for part in slices(X.shape[0], 32 * min(X.shape[1], MOST_COLUMNS) * X.shape[1]):
        some = rows[part]
        values = some.cpu().double().numpy() if isinstance(some, Tensor) else some.toarray().astype(np.float64)
        yield part, values, None if known is None else known[part]


def _of_residuals(member: Any, measure: Callable[..., Tensor], X, known: Tensor | None) -> np.ndarray:
    result = np.empty(tuple(X.shape))
    for part, residual, _ in member.walk(X):
        result[part] = measure(member.residuals, residual, None if known is None else known[part]).numpy()
    return result


def _repeated(own: Tensor | None, times: int) -> Tensor | None:
    return None if own is None else own.repeat_interleave(times, 0)
