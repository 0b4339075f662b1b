"""Losses and likelihoods as graphs: minus the log-likelihood of entries."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .._objectives.support import ROUNDING, Support
from ._graph import Graph
from ._inline import inline
from ._modules import array


def negative_log_likelihood(graph: Graph, model: Any, output: str, target: str) -> str:
    """Return minus the log-likelihood of each row for each draw, (n, draws), as `score_samples` takes it.

    Parameters
    ----------
    graph : Graph
    model : VAESampler
    output : str
        Of shape (n, draws, n_features), before the link.
    target : str
        Of shape (n, 1, n_features).
    """
    loss, parts = model._objective["loss"], model._objective["likelihood"]
    if callable(loss):
        return _own_loss(graph, model, loss, output, target)
    seen = None
    if model.missing_values is not None:
        missing = graph.op("IsNaN", target)
        target, seen = graph.where(missing, 0.0, target), graph.cast(graph.op("Not", missing))
    if loss is not None:
        return _sum(graph, _LOSSES[loss](graph, output, target), seen)
    terms = []
    for name, columns in parts:
        own, observed = output, target
        if len(parts) > 1:
            own, observed = (graph.columns(values, columns, axis=2) for values in (output, target))
        if name == "gaussian":
            entries = _gaussian(graph, own, observed, array(model.decoder_.variance).astype(graph.dtype))
        else:
            entries = _FAMILIES[name](graph, own, observed)
        share = seen if seen is None or len(parts) == 1 else graph.columns(seen, columns, axis=2)
        terms.append(_sum(graph, entries, share))
    total = terms[0]
    for term in terms[1:]:
        total = graph.add(total, term)
    return total


def _sum(graph: Graph, entries: str, seen: str | None) -> str:
    """Sum over features, of the entries that are not missing."""
    return graph.reduce("Sum", entries if seen is None else graph.multiply(entries, seen), axis=2, keepdims=False)


def impossible_outside(graph: Graph, supports: Sequence[Support], x: str, score: str) -> str:
    """Return the scores, with -inf for rows outside the support of a loss or a likelihood."""
    for support in supports:
        values = x if support.columns is None else graph.columns(x, support.columns)
        if support.one_hot:
            bits = graph.op("Min", graph.op("Abs", values), graph.op("Abs", graph.subtract(values, 1.0)))
            excess = graph.subtract(graph.reduce("Sum", values, keepdims=False), 1.0)
            share = graph.multiply(graph.op("Abs", excess), 1 / len(support.columns or (0,)))
            farthest = graph.op("Max", graph.reduce("Max", bits, keepdims=False), share)
        else:
            below, above = graph.subtract(support.least, values), graph.subtract(values, support.most)
            farthest = graph.reduce("Max", graph.op("Max", below, above), keepdims=False)
        score = graph.where(graph.op("Greater", farthest, ROUNDING), -math.inf, score)
    return score


class _OwnLoss(nn.Module):
    """A user's loss as a module."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.function(output, target)


def _own_loss(graph: Graph, model: Any, function: Callable, output: str, target: str) -> str:
    width, n_draws = model.n_features_in_, model.n_importance_samples
    target = graph.op("Expand", target, graph.integers([1, n_draws, 1]))
    rows = graph.reshape(output, -1, width), graph.reshape(target, -1, width)
    return graph.reshape(inline(graph, _OwnLoss(function), width, *rows), -1, n_draws)


def _gaussian(graph: Graph, o: str, t: str, variance: np.ndarray) -> str:
    squares = graph.divide(graph.square(graph.subtract(o, t)), variance)
    return graph.multiply(graph.add(squares, np.log(2 * math.pi * variance)), 0.5)


def _cross_entropy(graph: Graph, o: str, t: str) -> str:
    """With o a logit: log(1 + e^o) - t o, where log(1 + e^o) = max(o, 0) + log(1 + e^-|o|)."""
    small = graph.op("Exp", graph.op("Neg", graph.op("Abs", o)))
    softplus = graph.add(graph.op("Relu", o), graph.op("Log", graph.add(small, 1.0)))
    return graph.subtract(softplus, graph.multiply(o, t))


def _poisson(graph: Graph, o: str, t: str) -> str:
    constant = graph.log_gamma(graph.add(graph.op("Relu", t), 1.0))
    entries = graph.add(graph.subtract(graph.op("Exp", o), graph.multiply(t, o)), constant)
    return _where_positive(graph, t, entries)


def _exponential(graph: Graph, o: str, t: str) -> str:
    entries = graph.add(o, graph.multiply(t, graph.op("Exp", graph.op("Neg", o))))
    return _where_positive(graph, t, entries)


def _where_positive(graph: Graph, t: str, entries: str) -> str:
    return graph.where(graph.op("GreaterOrEqual", t, 0.0), entries, math.inf)


def _squared_error(graph: Graph, o: str, t: str) -> str:
    return graph.square(graph.subtract(o, t))


def _absolute_error(graph: Graph, o: str, t: str) -> str:
    return graph.op("Abs", graph.subtract(o, t))


def _huber(graph: Graph, o: str, t: str) -> str:
    """With r = o - t and g = clip(r, -1, 1): g (r - g / 2)."""
    residual = graph.subtract(o, t)
    clipped = graph.op("Clip", residual, -1.0, 1.0)
    return graph.multiply(clipped, graph.subtract(residual, graph.multiply(clipped, 0.5)))


def _categorical(graph: Graph, o: str, t: str) -> str:
    """With o the logits of a variable's categories: -t log softmax(o)."""
    return graph.op("Neg", graph.multiply(t, graph.op("LogSoftmax", o, axis=2)))


_Entrywise = Callable[[Graph, str, str], str]
_LOSSES: dict[str, _Entrywise] = {
    "squared_error": _squared_error,
    "absolute_error": _absolute_error,
    "huber": _huber,
    "binary_cross_entropy": _cross_entropy,
}
_FAMILIES: dict[str, _Entrywise] = {
    "bernoulli": _cross_entropy,
    "categorical": _categorical,
    "poisson": _poisson,
    "exponential": _exponential,
}
