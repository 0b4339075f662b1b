"""Rows that skae warns of or refuses, outside the support of a loss or not finite; and entries that are missing.

Scores are -inf outside of the support, as they are in skae. A graph cannot refuse rows with NaN or infinity, so
these are marked: whatever is computed of them is NaN, and their scores are -inf.
"""

import math
from typing import Any

import numpy as np

from .._data.arrays import is_nan
from .._objectives.support import ROUNDING, Support
from ._graph import Graph


def missing(graph: Graph, x: str, marker: Any) -> str:
    """Tell which entries stand for missing values."""
    return graph.op("IsNaN", x) if is_nan(marker) else graph.op("Equal", x, float(marker))


def empty(graph: Graph, x: str, marker: Any) -> str:
    """Tell which rows hold nothing but what stands for missing values."""
    observed = graph.op("Not", missing(graph, x, marker))
    return graph.op("Equal", graph.reduce("Sum", graph.cast(observed), keepdims=False), 0.0)


def nan_if_not_finite(graph: Graph, x: str, allow_nan: bool) -> str:
    """Return what is to be added to outputs of rows, (n, 1): zero, or NaN if a row holds NaN or infinity.

    With ``allow_nan``, NaN stands for missing values.
    """
    values = graph.where(graph.op("IsNaN", x), 0.0, x) if allow_nan else x
    return graph.reduce("Sum", graph.multiply(values, 0.0))


def minus_infinity_where(graph: Graph, mark: str, score: str) -> str:
    """Replace the scores, (n,), of rows that are marked by NaN, (n, 1)."""
    return graph.where(graph.op("IsNaN", graph.reshape(mark, -1)), -math.inf, score)


def minus_infinity_outside(graph: Graph, model: Any, x: str, score: str) -> str:
    """Replace the scores, (n,), of rows outside the support."""
    for support in model._supports:
        values = x if support.columns is None else graph.columns(x, support.columns)
        for distance, most in _distances(graph, support, values):
            score = graph.where(graph.op("Greater", distance, most), -math.inf, score)
    return score


def _distances(graph: Graph, support: Support, values: str) -> list[tuple[str, float]]:
    """Return how far each row is from the support, (n,), and how far it may be."""
    if support.one_hot:
        to_bit = graph.op("Min", graph.op("Abs", values), graph.op("Abs", graph.subtract(values, 1.0)))
        excess = graph.subtract(graph.reduce("Sum", values, keepdims=False), 1.0)
        n = len(support.columns or ())
        return [
            (graph.reduce("Max", to_bit, keepdims=False), ROUNDING),
            (graph.op("Abs", excess), n * ROUNDING),
        ]
    found = [(graph.reduce("Max", graph.op("Neg", values), keepdims=False), ROUNDING - support.least)]
    if support.most < math.inf:
        found.append((graph.reduce("Max", values, keepdims=False), support.most + ROUNDING))
    return found


def no_class(classes: np.ndarray) -> Any:
    """Return what is none of the classes: -1 or the next below that is free, NaN, or an empty string."""
    if classes.dtype.kind == "f":
        return math.nan
    label: Any = -1 if classes.dtype.kind == "i" else ""
    while label in classes.tolist():
        label = label - 1 if classes.dtype.kind == "i" else f"{label}?"
    return label
