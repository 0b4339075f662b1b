"""What is believed of the labels of rows without one, before a network learns from them.

Where rows of a class lie together, labels spread along a graph of neighbours. Where they do not, a linear model
does better. Both are tried on labelled rows whose labels they do not see.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression

from .._data.chunks import slices
from .._data.neighbors import NeighborGraph

MOST_NODES = 20_000  # rows of a graph; labels of further rows are those of their neighbours in it
MOST_TRIED = 1000  # labelled rows that both ways are tried on
N_FOLDS = 5
ADVANTAGE = 1.5  # labelled rows that a linear model has to tell more of: a single one says nothing
MOST_ITERATIONS = 10_000


class Labelled(NamedTuple):
    """The rows whose labels may be used.

    Attributes
    ----------
    numbers : int ndarray of shape (n_labelled,)
        Among all rows.
    codes : int ndarray of shape (n_labelled,)
        Numbers of their classes.
    weight : ndarray of shape (n_labelled,)
        Positive.
    """

    numbers: np.ndarray
    codes: np.ndarray
    weight: np.ndarray

    def take(self, which: np.ndarray) -> "Labelled":
        """Return some of them."""
        return Labelled(*(values[which] for values in self))


class Teacher(NamedTuple):
    """What is believed of the labels of all rows.

    Attributes
    ----------
    distributions : ndarray of shape (n_rows, n_classes)
        Probabilities of the classes.
    frequencies : ndarray of shape (n_classes,)
        Of the classes among all rows.
    by_graph : bool
        Whether labels come from the graph, since rows of a class lie together.
    """

    distributions: np.ndarray
    frequencies: np.ndarray
    by_graph: bool

    def confidence(self) -> np.ndarray:
        """Return one minus each row's entropy, in units of the largest possible, over the maximum: (n_rows,)."""
        p = self.distributions
        entropy = -(p * np.log(np.maximum(p, np.finfo(p.dtype).tiny))).sum(1)
        known = np.maximum(1 - entropy / np.log(p.shape[1]), 0)
        return known / max(known.max(), np.finfo(p.dtype).tiny)


def teach(
    points: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    n_rows: int,
    used: np.ndarray,
    labelled: Labelled,
    n_classes: int,
    rng: np.random.Generator,
) -> Teacher:
    """Make a teacher from labelled rows.

    Parameters
    ----------
    points : callable
        Takes numbers of rows, (n,), and returns the rows, (n, d), and their codes, (n, k), as float ndarrays,
        each of mean variance one.
    n_rows : int
        Of which distributions are returned.
    used : int ndarray of shape (n_used,)
        Numbers of the rows to learn from, labelled or not, in rising order.
    labelled : Labelled
        Among those.
    n_classes : int
        At least two.
    rng : Generator
        Of the folds, and of which rows are nodes where there are too many.
    """
    nodes, known = _nodes(used, labelled, rng)
    inputs, codes = points(nodes)
    graph = NeighborGraph(_side_by_side(inputs, codes))
    if _is_linear(graph, inputs, known, n_classes, rng):
        model = _regression(inputs, known)
        distributions = np.zeros((n_rows, n_classes))
        for part in slices(n_rows, 8 * inputs.shape[1]):
            chunk, _ = points(np.arange(part.start, part.stop))
            distributions[part, model.classes_] = model.predict_proba(chunk)
        return Teacher(distributions, distributions.mean(0), by_graph=False)
    spread = _spread(graph, known, n_classes)
    distributions = np.empty((n_rows, n_classes))
    distributions[nodes] = spread
    others = np.setdiff1d(np.arange(n_rows), nodes)
    for part in slices(len(others), 8 * inputs.shape[1]):
        distributions[others[part]] = graph.extend(spread, _side_by_side(*points(others[part])))
    counts = np.bincount(spread.argmax(1), minlength=n_classes) + 1.0
    return Teacher(distributions, counts / counts.sum(), by_graph=True)


def _nodes(used: np.ndarray, labelled: Labelled, rng: np.random.Generator) -> tuple[np.ndarray, Labelled]:
    """Choose the rows of the graph, and number the labelled ones in it: at most half, where rows are many."""
    nodes = used
    if len(used) > MOST_NODES:
        kept = rng.permutation(len(labelled.numbers))[: MOST_NODES // 2]
        labelled = labelled.take(np.sort(kept))
        others = rng.permutation(np.setdiff1d(used, labelled.numbers))
        nodes = np.sort(np.concatenate([labelled.numbers, others[: MOST_NODES - len(kept)]]))
    return nodes, labelled._replace(numbers=np.searchsorted(nodes, labelled.numbers))


def _side_by_side(inputs: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.hstack([inputs / math.sqrt(inputs.shape[1]), codes / math.sqrt(codes.shape[1])])


def _spread(graph: NeighborGraph, labelled: Labelled, n_classes: int) -> np.ndarray:
    """Return distributions over the classes, which have the same mass, however many labels each has.

    Labels are seldom drawn as rows are. What is more frequent among them is not made more probable for that: where
    rows of a class lie together, its mass stays there.
    """
    sources = np.zeros((graph.n_points, n_classes))
    np.add.at(sources, (labelled.numbers, labelled.codes), labelled.weight)
    reached = graph.spread(_over_sum(sources, 0))
    shares = _over_sum(reached, 0)
    return np.where(shares.any(1, keepdims=True), _over_sum(shares, 1), 1 / n_classes)


def _over_sum(values: np.ndarray, axis: int) -> np.ndarray:
    """Divide by sums along an axis, but those that are zero."""
    total = values.sum(axis, keepdims=True)
    return values / np.where(total > 0, total, 1)


def _regression(inputs: np.ndarray, labelled: Labelled) -> LogisticRegression:
    model = LogisticRegression(max_iter=MOST_ITERATIONS)
    return model.fit(
        inputs[labelled.numbers], labelled.codes, sample_weight=labelled.weight / labelled.weight.mean()
    )


def _is_linear(
    graph: NeighborGraph, inputs: np.ndarray, labelled: Labelled, n_classes: int, rng: np.random.Generator
) -> bool:
    """Tell whether a linear model is better at labels that it has not seen than the graph."""
    labelled = labelled.take(rng.permutation(len(labelled.codes))[:MOST_TRIED])
    by_class = np.argsort(labelled.codes, kind="stable")
    fold = np.empty(len(by_class), dtype=int)
    fold[by_class] = np.arange(len(by_class)) % N_FOLDS
    difference = np.zeros(len(fold))
    for number in range(N_FOLDS):
        seen, unseen = labelled.take(fold != number), labelled.take(fold == number)
        if len(unseen.codes) == 0 or len(np.unique(seen.codes)) < 2:
            continue
        model = _regression(inputs, seen)
        linear = model.predict(inputs[unseen.numbers]) == unseen.codes
        by_graph = _spread(graph, seen, n_classes)[unseen.numbers].argmax(1) == unseen.codes
        difference[fold == number] = unseen.weight * (linear.astype(float) - by_graph)
    return difference.sum() > ADVANTAGE * labelled.weight.mean()
