"""Columns as normal scores and back, for the imputer's copulas: interpolation between knots."""

from collections.abc import Sequence

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from .._imputation.normal_scores import N_NODES, NormalScores
from ._graph import Graph


class Maps:
    """The maps of columns to normal scores and back, of several blocks of models.

    Parameters
    ----------
    graph : Graph
    maps : sequence of NormalScores
        With d columns each.
    """

    def __init__(self, graph: Graph, maps: Sequence[NormalScores]) -> None:
        self.graph, self.n_blocks, self.d = graph, len(maps), len(maps[0].values)
        most = max(len(values) for one in maps for values in one.values)
        self.first_step = 1 << max(0, most.bit_length() - 1)  # of the search for one of so many
        self.length = 2 * self.first_step + 1
        self.values, self.knots = (
            self._table([[side[j] for side in sides] for j in range(self.d)])
            for sides in ([one.values for one in maps], [one.knots for one in maps])
        )
        self.is_mapped = np.array([[len(one.values[j]) > 0 for one in maps] for j in range(self.d)])

    def _table(self, knots: list[list[np.ndarray]]) -> tuple[str, str, str]:
        """Return all values of columns and blocks in turn, with the last one repeated; the lowest; the highest."""
        rows = [row if len(row) else np.zeros(1) for rows in knots for row in rows]
        padded = np.array([np.pad(row, (0, self.length - len(row)), mode="edge") for row in rows])
        constant = self.graph.constant
        return constant(padded.ravel()), constant(padded[:, 0]), constant(padded[:, -1])

    def to_scores(self, x: str) -> str:
        """Map rows (n, d, 1) to the scores of each block, (n, d, n_blocks)."""
        numbers = np.arange(self.d * self.n_blocks).reshape(self.d, self.n_blocks)
        return self._interpolate(x, self.graph.integers(numbers), self.values, self.knots)

    def expectation(self, column: str, mean: str, variance: str) -> str:
        """Return the expected values of scores with these means and variances, (m, n, n_blocks).

        ``column`` (m, n) has the numbers of their columns.
        """
        graph = self.graph
        nodes, weights = hermegauss(N_NODES)
        scores = graph.add(mean, graph.multiply(graph.op("Sqrt", variance), nodes.reshape(-1, 1, 1, 1)))
        numbers = graph.op(
            "Mul", graph.op("Unsqueeze", column, graph.integers([2])), graph.integers(self.n_blocks)
        )
        numbers = graph.op("Add", numbers, graph.integers(range(self.n_blocks)))
        values = self._interpolate(scores, numbers, self.knots, self.values)
        weighted = graph.multiply(values, (weights / weights.sum()).reshape(-1, 1, 1, 1))
        return graph.reduce("Sum", weighted, axis=0, keepdims=False)

    def _interpolate(self, x: str, numbers: str, from_: tuple[str, str, str], to: tuple[str, str, str]) -> str:
        """Interpolate between knots, which a binary search finds; columns without any stay as they are.

        ``numbers`` tells by which rows of the tables, in a shape that x broadcasts with.
        """
        graph = self.graph
        lowest, highest = (graph.op("Gather", ends, numbers, axis=0) for ends in from_[1:])
        inner = graph.op("Min", graph.op("Max", x, lowest), highest)
        place, step = graph.op("Mul", numbers, graph.integers(self.length)), self.first_step
        while step:  # place is that of the last knot which is known not to be above
            further = graph.op("Add", place, graph.integers(step))
            knot = graph.op("Gather", from_[0], further, axis=0)
            place = graph.where(graph.op("LessOrEqual", knot, inner), further, place)
            step //= 2
        after = graph.op("Add", place, graph.integers(1))
        (left, right), (first, second) = (
            [graph.op("Gather", table, number, axis=0) for number in (place, after)] for table in (from_[0], to[0])
        )
        slope = graph.divide(graph.subtract(second, first), graph.subtract(right, left))
        between = graph.add(first, graph.multiply(slope, graph.subtract(inner, left)))
        found = graph.where(graph.op("Equal", left, right), first, between)  # at the last knot
        if self.is_mapped.all():
            return found
        is_mapped = graph.op("Gather", graph.constant(self.is_mapped.ravel(), bool), numbers, axis=0)
        return graph.where(is_mapped, found, x)
