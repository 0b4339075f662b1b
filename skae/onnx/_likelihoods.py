"""Losses and likelihoods as graphs: minus the log-likelihood of entries."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import nn

from .._networks.activations import LOG_VARIANCE_BOUND
from .._objectives.likelihoods import LIKELIHOODS, scale_columns
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
        Of shape (n, draws, n_features), before the link; raw variances follow where there are.
    target : str
        Of shape (n, 1, n_features).
    """
    loss, parts = model._objective["loss"], model._objective["likelihood"]
    if callable(loss):
        return _own_loss(graph, model, loss, output, target)
    seen = None
    if model._takes_missing:
        missing = graph.op("IsNaN", target)
        target, seen = graph.where(missing, 0.0, target), graph.cast(graph.op("Not", missing))
    if loss is not None:
        return _sum(graph, _LOSSES[loss](graph, output, target), seen)
    terms = []
    for name, columns in parts:
        own, observed = output, target
        if len(parts) > 1 or model.decoder_.has_conditional_variances:
            own, observed = (graph.columns(values, columns, axis=2) for values in (output, target))
        if LIKELIHOODS[name].has_scale:
            variance = _variance(graph, model, columns, output)
            if name == "gaussian":
                entries = _gaussian(graph, own, observed, variance)
            else:
                entries = _student_t(graph, own, observed, variance, array(model.decoder_.degrees_of_freedom))
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


def _variance(graph: Graph, model: Any, columns: Any, output: str) -> Any:
    """Return the variances of columns: one for each, or for each row and draw."""
    decoder = model.decoder_
    numbers = list(scale_columns(model._objective["likelihood"], decoder, columns))
    floor = array(decoder.variance_floor)[numbers].astype(graph.dtype)
    if not decoder.has_conditional_variances:
        return graph.constant(array(decoder.variance)[numbers].astype(graph.dtype))
    raw = graph.columns(output, [model.n_features_in_ + number for number in numbers], axis=2)
    bounded = graph.multiply(graph.op("Tanh", graph.divide(raw, LOG_VARIANCE_BOUND)), LOG_VARIANCE_BOUND)
    own = array(decoder.log_variance)[numbers].astype(graph.dtype)
    return graph.add(graph.op("Exp", graph.add(bounded, own)), floor)


def _gaussian(graph: Graph, o: str, t: str, variance: str) -> str:
    squares = graph.divide(graph.square(graph.subtract(o, t)), variance)
    logs = graph.op("Log", graph.multiply(variance, 2 * math.pi))
    return graph.multiply(graph.add(squares, logs), 0.5)


def _student_t(graph: Graph, o: str, t: str, variance: str, dof: np.ndarray) -> str:
    ratio = graph.divide(graph.divide(graph.square(graph.subtract(o, t)), dof), variance)
    logs = graph.multiply(graph.op("Log", graph.add(ratio, 1.0)), dof + 1)
    entries = graph.multiply(graph.add(logs, graph.op("Log", variance)), 0.5)
    dof = dof.astype(np.float64)
    return graph.add(
        entries, 0.5 * np.log(math.pi * dof) + special.gammaln(dof / 2) - special.gammaln((dof + 1) / 2)
    )


def _cross_entropy(graph: Graph, o: str, t: str) -> str:
    """With o a logit: log(1 + e^o) - t o, where log(1 + e^o) = max(o, 0) + log(1 + e^-|o|)."""
    small = graph.op("Exp", graph.op("Neg", graph.op("Abs", o)))
    softplus = graph.add(graph.op("Relu", o), graph.op("Log", graph.add(small, 1.0)))
    return graph.subtract(softplus, graph.multiply(o, t))


def _poisson(graph: Graph, o: str, t: str) -> str:
    constant = graph.log_gamma(graph.add(graph.op("Relu", t), 1.0))
    return graph.add(graph.subtract(graph.op("Exp", o), graph.multiply(t, o)), constant)


def _exponential(graph: Graph, o: str, t: str) -> str:
    return graph.add(o, graph.multiply(t, graph.op("Exp", graph.op("Neg", o))))


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
