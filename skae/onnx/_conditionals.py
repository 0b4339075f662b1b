"""What the imputer's Gaussians, copulas and mixtures say of missing entries, by standard operators.

Given the observed entries of a row, the missing ones have the covariance ``inv(P[m, m])``, with P the inverse
covariance of all. Of each row, the numbers of its missing columns are taken, then those of others, as many as the
row with the most has missing; the others get rows and columns of the identity. The matrices of all rows and all
Gaussians are inverted at once, by Gauss-Jordan elimination in place: they are positive definite, which needs no
pivoting.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch

from .._imputation.gaussian import Gaussian
from .._imputation.mixture import N_COMPONENTS, Mixture
from .._imputation.normal_scores import N_NODES
from .._imputation.parametric import Parametric, Shares
from ._graph import Graph
from ._modules import array
from ._scores import Maps

NUMBER = 8  # bytes
COPIES = 4  # of the largest arrays, at once


class Fills:
    """What several blocks of models fill in: the one that has seen all entries, and one for each member.

    Of a block's models, those without a share are left out.

    Parameters
    ----------
    blocks : sequence of Parametric
    shares : Shares
    """

    def __init__(self, blocks: Sequence[Parametric], shares: Shares) -> None:
        self.blocks, self.shares = blocks, shares
        has_gaussians = shares.mixture < 1
        columns = [block.columns for block in blocks] if has_gaussians and shares.copula < 1 else []
        mixtures = [_mixture_of(block) for block in blocks] if shares.mixture > 0 else []
        components = [one for mixture in mixtures for one in mixture.components]
        self.log_weights = np.array([array(mixture.log_weights) for mixture in mixtures])
        scores = [block.scores for block in blocks] if has_gaussians and shares.copula > 0 else []
        self.counts = len(columns), len(components), len(scores)
        self.gaussians = [*columns, *components, *scores]

    @property
    def row_bytes(self) -> int:
        """What a row takes that has nothing missing."""
        return COPIES * NUMBER * len(self.gaussians) * len(self.gaussians[0].mean)

    @property
    def bytes_of_systems(self) -> int:
        """What the matrices of a row with m missing entries take, for each of m^2 numbers."""
        return COPIES * NUMBER * len(self.gaussians)

    @property
    def bytes_of_entries(self) -> int:
        """What each missing entry of a row takes besides."""
        return COPIES * NUMBER * N_NODES * self.counts[2]

    def write(self, graph: Graph, x: str, seen: str) -> str:
        """Return rows (n, d), filled by each block's models where ``seen`` is not one: (n, d, n_blocks)."""
        d = len(self.gaussians[0].mean)
        entries = Entries(graph, seen, d)
        maps = Maps(graph, [block.maps for block in self.blocks]) if self.counts[2] else None
        given = Given(entries, self.gaussians, self._deviations(graph, maps, x, seen))
        by_columns, by_components, by_scores = self._parts(graph, given.mean, axis=2)
        result = by_columns
        if maps is not None:
            variance = self._parts(graph, given.variance, axis=2)[2]
            by_scores = maps.expectation(entries.column, by_scores, variance)
            result = _blend(graph, by_columns, by_scores, self.shares.copula)
        if len(self.log_weights):
            log_likelihood = self._parts(graph, given.log_likelihood, axis=1)[1]
            by_mixture = self._by_mixture(graph, by_components, log_likelihood)
            result = _blend(graph, result, by_mixture, self.shares.mixture)
        return entries.scatter(x, result, len(self.blocks))

    def _deviations(self, graph: Graph, maps: Maps | None, x: str, seen: str) -> str:
        """Return by how much rows differ from the means of all Gaussians, zero where not seen: (n, d, ...)."""
        mean = np.stack([array(one.mean) for one in self.gaussians], 1)  # (d, n_gaussians)
        n_scores, last = self.counts[2], graph.integers([2])
        x = graph.op("Unsqueeze", x, last)
        of_x, of_scores = np.split(mean, [mean.shape[1] - n_scores], axis=1)
        parts = [graph.subtract(x, of_x)] if of_x.size else []
        if maps is not None:
            parts += [graph.subtract(maps.to_scores(x), of_scores)]
        return graph.multiply(graph.stack(parts, axis=2), graph.op("Unsqueeze", seen, last))

    def _parts(self, graph: Graph, values: str, axis: int) -> list[str]:
        """Split what all Gaussians say by models: columns, components of mixtures, scores."""
        there = [count for count in self.counts if count]
        found = [values]
        if len(there) > 1:
            found = graph.op("Split", values, graph.integers(there), outputs=len(there), axis=axis)
        each = iter(found)
        return [next(each) if count else "" for count in self.counts]

    def _by_mixture(self, graph: Graph, by_components: str, log_likelihood: str) -> str:
        shape = self.log_weights.shape
        joint = graph.add(graph.reshape(log_likelihood, 0, *shape), self.log_weights)
        posterior = graph.op("Softmax", joint, axis=2)
        weighted = graph.multiply(graph.reshape(by_components, 0, 0, *shape), posterior)
        return graph.reduce("Sum", weighted, axis=3, keepdims=False)


def _mixture_of(block: Parametric) -> Mixture:
    """Return a block's mixture; where it has none, one of components that are its Gaussian."""
    if block.mixture is not None:
        return block.mixture
    return Mixture((block.columns,) * N_COMPONENTS, torch.zeros(N_COMPONENTS, dtype=torch.float64))


def _blend(graph: Graph, first: str, second: str, share: float) -> str:
    if share in (0, 1):
        return second if share else first
    return graph.add(first, graph.multiply(graph.subtract(second, first), share))


class Entries:
    """Where rows have missing entries: as many places for each row, m, as one has at most, the first axis.

    Parameters
    ----------
    graph : Graph
    seen : str
        One where an entry of rows (n, d) is seen, else zero.
    d : int

    Attributes
    ----------
    column : str
        Numbers of columns, (m, n).
    is_there : str
        One where that column is missing, else zero, (m, n).
    place : str
        Where the entry is among all n * d, row by row, (m, n).
    """

    def __init__(self, graph: Graph, seen: str, d: int) -> None:
        self.graph, self.d = graph, d
        unseen = graph.subtract(1.0, seen)
        n_unseen = graph.cast(graph.reduce("Sum", unseen, keepdims=False), np.int64)
        self.most = graph.reduce("Max", graph.stack([n_unseen, graph.integers([1])], axis=0), axis=0)
        is_there, column = graph.op("TopK", unseen, self.most, outputs=2, axis=1)
        self.is_there, self.column = graph.transpose(is_there, 1, 0), graph.transpose(column, 1, 0)
        n_rows = graph.op("Squeeze", graph.op("Shape", seen, start=0, end=1))
        numbers = graph.op("Range", graph.integers(0), n_rows, graph.integers(1))
        self.place = graph.op("Add", graph.op("Mul", numbers, graph.integers(d)), self.column)

    @cached_property
    def identity(self) -> str:
        """The identity, bool, (m, m)."""
        graph = self.graph
        numbers = graph.op("Range", graph.integers(0), graph.op("Squeeze", self.most), graph.integers(1))
        return graph.op("Equal", numbers, graph.op("Unsqueeze", numbers, graph.integers([1])))

    def gather(self, x: str, n: int) -> str:
        """Pick from arrays (n_rows, d, n): (m, n_rows, n)."""
        return self.graph.op("Gather", self.graph.reshape(x, -1, n), self.place, axis=0)

    def scatter(self, x: str, values: str, n: int) -> str:
        """Put values (m, n_rows, n) into rows (n_rows, d), where they are missing: (n_rows, d, n)."""
        graph, last = self.graph, self.graph.integers([2])
        is_there = graph.op("Unsqueeze", graph.op("Greater", self.is_there, 0.0), last)
        values = graph.where(is_there, values, self.gather(x, 1))
        copies = graph.op("Expand", graph.op("Unsqueeze", x, last), graph.integers([1, 1, n]))
        places = graph.op("Unsqueeze", self.place, last)
        return graph.reshape(graph.op("ScatterND", graph.reshape(copies, -1, n), places, values), -1, self.d, n)


class Given:
    """What Gaussians say of missing entries, given those observed; their number, k, is the last axis.

    Parameters
    ----------
    entries : Entries
    gaussians : sequence of Gaussian
    deviation : str
        By how much rows differ from the means, zero where an entry is missing, (n, d, k).

    Attributes
    ----------
    mean : str
        Conditional means, (m, n, k).
    """

    def __init__(self, entries: Entries, gaussians: Sequence[Gaussian], deviation: str) -> None:
        self.graph, self.entries, self.deviation = entries.graph, entries, deviation
        graph = self.graph
        roots = torch.stack([torch.linalg.cholesky(one.covariance) for one in gaussians])
        self._log_determinants = 2 * array(roots.diagonal(dim1=1, dim2=2).log().sum(1))
        precision = np.stack([array(torch.cholesky_inverse(root)) for root in roots])
        self._pulls = graph.transpose(graph.product(graph.transpose(deviation, 2, 0, 1), precision), 1, 2, 0)
        self._pull = graph.multiply(
            entries.gather(self._pulls, len(gaussians)),
            graph.op("Unsqueeze", entries.is_there, graph.integers([2])),
        )
        self._covariance, self._log_pivots = _inverse(entries, np.moveaxis(precision, 0, 2))
        pulled = graph.multiply(self._covariance, graph.op("Unsqueeze", self._pull, graph.integers([0])))
        self._step = graph.reduce("Sum", pulled, axis=1, keepdims=False)
        means = np.stack([array(one.mean) for one in gaussians], 1)
        self.mean = graph.subtract(graph.op("Gather", means, entries.column, axis=0), self._step)

    @cached_property
    def variance(self) -> str:
        """Conditional variances, (m, n, k)."""
        graph = self.graph
        identity = graph.op("Unsqueeze", graph.cast(self.entries.identity), graph.integers([2, 3]))
        return graph.reduce("Sum", graph.multiply(self._covariance, identity), axis=1, keepdims=False)

    @cached_property
    def log_likelihood(self) -> str:
        """Log-densities of the observed entries, up to a constant of each row: (n, k)."""
        graph = self.graph
        distance = graph.reduce("Sum", graph.multiply(self.deviation, self._pulls), axis=1, keepdims=False)
        explained = graph.reduce("Sum", graph.multiply(self._pull, self._step), axis=0, keepdims=False)
        determinants = graph.add(self._log_pivots, self._log_determinants)
        return graph.multiply(graph.add(graph.subtract(distance, explained), determinants), -0.5)


def _inverse(entries: Entries, precision: np.ndarray) -> tuple[str, str]:
    """Return the inverses of blocks of matrices (d, d, k), (m, m, n, k), and their log-determinants, (n, k)."""
    graph, d, n_gaussians = entries.graph, entries.d, precision.shape[2]
    first, second, last = (graph.integers([axis]) for axis in (0, 1, 3))
    down, across = (graph.op("Unsqueeze", entries.column, axis) for axis in (second, first))
    places = graph.op("Add", graph.op("Mul", down, graph.integers(d)), across)
    blocks = graph.op("Gather", precision.reshape(d * d, n_gaussians), places, axis=0)
    is_there = graph.op("Greater", entries.is_there, 0.0)
    both = graph.op("And", graph.op("Unsqueeze", is_there, first), graph.op("Unsqueeze", is_there, second))
    identity = graph.op("Unsqueeze", graph.cast(entries.identity), graph.integers([2, 3]))
    blocks = graph.where(graph.op("Unsqueeze", both, last), blocks, identity)
    nothing = graph.multiply(graph.reduce("Sum", graph.reduce("Sum", blocks, 0, False), 0, False), 0.0)
    n_steps = graph.op("Squeeze", entries.most)
    state = (blocks, np.float64), (nothing, np.float64)
    inverse, logs = graph.loop(n_steps, _eliminate, *state)
    return inverse, logs


def _eliminate(graph: Graph, number: str, matrices: str, logs: str) -> tuple[str, str]:
    """Make a step of the elimination in place, by the pivot of this number; add its logarithm.

    What becomes of the pivot's row, its column and itself comes of the same product as the rest.
    """
    zero, one = graph.integers(0), graph.integers(1)
    size = graph.op("Squeeze", graph.op("Shape", matrices, start=0, end=1))
    here = graph.op("Equal", graph.op("Range", zero, size, one), number)
    down, across = (graph.op("Unsqueeze", here, graph.integers(axes)) for axes in ([1, 2, 3], [0, 2, 3]))
    number = graph.reshape(number, 1)
    row, column = (graph.op("Gather", matrices, number, axis=axis) for axis in (0, 1))
    pivot = graph.op("Gather", row, number, axis=1)
    column = graph.where(down, -1.0, column)
    row = graph.divide(graph.where(across, 1.0, row), pivot)
    others = graph.where(graph.op("Or", down, across), 0.0, matrices)
    result = graph.subtract(others, graph.multiply(column, row))
    log = graph.op("Squeeze", graph.op("Log", pivot), graph.integers([0, 1]))
    return result, graph.add(logs, log)
