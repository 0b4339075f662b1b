"""Tables as graphs: what `TableCodec.encode` makes of their columns, and what a sampler of tables gives for them.

Each column is an input of its own, of numbers, booleans or strings, or all are one matrix. The codec computes in
float64, whatever the inputs are, and so does its graph.
"""

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import skl2onnx

from .. import TabularVAESampler
from .._data.tables.codec import TableCodec
from .._data.tables.columns import LARGEST
from . import _outputs
from ._graph import Graph
from ._inputs import check, is_large, kind_of_input
from ._outputs import Variational, empty
from ._support import minus_infinity_where, nan_if_not_finite

_HALF = 2**32  # integers are taken apart there, so that differences of large ones are rounded only once


class Table(Variational):
    """The outputs of a sampler of tables: those of its autoencoder, with the prior of the sampler.

    Parameters
    ----------
    graph : Graph
    model : TabularVAESampler
        Fitted.
    inputs : list of skl2onnx variables
        One for each column, or one for all.
    """

    outputs: ClassVar = ("codes", "score_samples")

    def __init__(self, graph: Graph, model: Any, inputs: list) -> None:
        encoding = Encoding(graph, model._codec, inputs)
        super().__init__(graph, model._scoring_vae, graph.cast(encoding.matrix))
        self._mark = graph.cast(encoding.mark)
        self._weights, self._means, self._factors = model._prior

    def _log_prior(self, z: str) -> str:
        graph, (m, k) = self.graph, self._means.shape
        inverse = np.linalg.inv(self._factors)
        with np.errstate(divide="ignore"):
            log_scale = np.log(self._weights) + np.log(inverse.diagonal(axis1=1, axis2=2)).sum(1)
        shift = np.einsum("mij,mj->mi", inverse, self._means).reshape(m * k)
        white = graph.subtract(graph.product(z, inverse.reshape(m * k, k).T), shift)
        squares = graph.reshape(graph.square(white), -1, self.model.n_importance_samples, m, k)
        halves = graph.multiply(graph.reduce("Sum", squares, axis=3, keepdims=False), 0.5)
        return graph.reduce("LogSumExp", graph.subtract(log_scale, halves), axis=2, keepdims=False)

    def _allowed(self, score: str) -> str:
        score = self.graph.where(empty(self.graph, self.x, math.nan), 0.0, score)
        return minus_infinity_where(self.graph, self._mark, score)


def kind_of(model: Any) -> Any:
    """Return the class of a model's outputs."""
    return Table if isinstance(model, TabularVAESampler) else _outputs.kind_of(model)


# What a ColumnTransformer gives to one step is joined to a matrix before, but here columns differ in their types.
_apart = getattr(skl2onnx._parse, "do_not_merge_columns", ())
skl2onnx._parse.do_not_merge_columns = (*_apart, TabularVAESampler)


class Encoding:
    """A table's matrix.

    Parameters
    ----------
    graph : Graph
    codec : TableCodec
    inputs : list of skl2onnx variables
        One for each column, or one for all.
    """

    def __init__(self, graph: Graph, codec: TableCodec, inputs: list) -> None:
        self.graph = Graph(graph.scope, graph.container, np.dtype(np.float64))
        self.variables, self._inputs = codec.variables, inputs
        if len(inputs) not in (1, len(self.variables)):
            raise ValueError(
                f"TabularVAESampler takes {len(self.variables)} columns, but is given {len(inputs)} inputs. Give "
                "one for each column, or one for all."
            )
        self._kinds = [
            kind_of_input(inputs[number if len(inputs) > 1 else 0]) for number in range(len(self.variables))
        ]
        for variable, kind in zip(self.variables, self._kinds, strict=True):
            check(variable, kind)
        self._numbers = [number for number, variable in enumerate(self.variables) if variable.is_number]

    @cached_property
    def matrix(self) -> str:
        """The matrix, (n, width), with NaN where there is no cell: blocks and scores, in the codec's order."""
        blocks = [number for number, variable in enumerate(self.variables) if variable.block]
        scored = [number for number in self._numbers if self.variables[number].scores is not None]
        order = [column for number in blocks for column in self.variables[number].block]
        order += [self.variables[number].columns[-1] for number in scored]
        parts = [self._block(number) for number in blocks] + ([self._scores(scored)] if scored else [])
        return self._picked(self.graph.stack(parts), np.argsort(order).tolist(), len(order))

    @cached_property
    def mark(self) -> str:
        """What is to be added to outputs, (n, 1): 0, or NaN for rows with infinite numbers, which skae refuses."""
        x = self._values if self._numbers else self.graph.columns(self.matrix, [0])
        return nan_if_not_finite(self.graph, x, allow_nan=True)

    # Cells ------------------------------------------------------------------------------------------------------

    def _picked(self, x: str, which: list[int], width: int) -> str:
        return x if which == [*range(width)] else self.graph.columns(x, which)

    def _cell(self, number: int) -> str:
        """Return a column as it is given, (n, 1)."""
        if len(self._inputs) > 1:
            return self._inputs[number].onnx_name
        return self._picked(self._inputs[0].onnx_name, [number], len(self.variables))

    def _wide(self, number: int) -> str:
        return self.graph.cast(self._cell(number))

    @cached_property
    def _values(self) -> str:
        """Return all columns of numbers, (n, n_numbers): of integers with limits, distances from the least."""
        numbers = self._numbers
        if len(self._inputs) == 1 and not any(self.variables[number].limits for number in numbers):
            return self._picked(self.graph.cast(self._inputs[0].onnx_name), numbers, len(self.variables))
        return self.graph.stack(
            [self._distance(n) if self.variables[n].limits else self._wide(n) for n in numbers]
        )

    def _values_of(self, which: list[int]) -> str:
        places = [self._numbers.index(number) for number in which]
        return self._picked(self._values, places, len(self._numbers))

    def _distance(self, number: int) -> str:
        """Subtract the least integer, as exactly as float64 can hold the result."""
        graph, (lowest, _) = self.graph, self.variables[number].limits or (0, 0)
        cell = graph.cast(self._cell(number), np.int64)
        below = graph.op("Mod", cell, graph.integers([_HALF]))
        above = graph.op("Div", graph.op("Sub", cell, below), graph.integers([_HALF]))
        high, low = divmod(lowest, _HALF)
        above = graph.cast(graph.op("Sub", above, graph.integers([high])))
        below = graph.cast(graph.op("Sub", below, graph.integers([low])))
        return graph.add(graph.multiply(above, float(_HALF)), below)

    # Categories and atoms ---------------------------------------------------------------------------------------

    def _block(self, number: int) -> str:
        """Return the one-hot columns of a variable, with NaN where it is missing or not known."""
        graph, variable = self.graph, self.variables[number]
        assert variable.categories is not None
        if self._kinds[number] == "text":
            hits, known = self._hits_of_text(number)
        else:
            hits = self._hits(number)
            known = graph.op("Greater", graph.reduce("Sum", graph.cast(hits)), 0.0)
        if variable.scores is not None:  # and so one more column, for all other numbers
            missing = graph.op("IsNaN", self._values_of([number]))
            rest = graph.op("Not", graph.op("Or", known, missing))
            hits, known = graph.stack([hits, rest]), graph.op("Not", missing)
        return graph.where(known, graph.cast(hits), math.nan)

    def _hits_of_text(self, number: int) -> tuple[str, str]:
        values = self.variables[number].categories.values  # type: ignore[union-attr]
        code = self.graph.op(
            "LabelEncoder",
            self._cell(number),
            op_domain="ai.onnx.ml",
            op_version=2,
            keys_strings=values,
            values_int64s=[*range(len(values))],
            default_int64=-1,
        )
        hits = self.graph.op("Equal", code, self.graph.integers(range(len(values))))
        return hits, self.graph.op("GreaterOrEqual", code, self.graph.integers([0]))

    def _hits(self, number: int) -> str:
        """Tell which of the values a number or a boolean is, (n, n_values)."""
        values = self.variables[number].categories.values  # type: ignore[union-attr]
        if any(map(is_large, values)):
            graph, cell = self.graph, self.graph.cast(self._cell(number), np.int64)
            whole = [float(value).is_integer() and abs(value) < 2**63 for value in values]
            integers = [int(value) if is_whole else 0 for value, is_whole in zip(values, whole, strict=True)]
            same = graph.op("Equal", cell, graph.integers(integers))
            return graph.op("And", same, graph.constant(whole, bool))
        exact = [float(value) if float(value) == value else math.nan for value in values]
        return self.graph.op("Equal", self._wide(number), np.array(exact))

    # Scores -----------------------------------------------------------------------------------------------------

    def _scores(self, which: list[int]) -> str:
        """Return the normal scores of columns of numbers, with NaN where there is none."""
        graph, x = self.graph, self._values_of(which)
        scores = [s for number in which if (s := self.variables[number].scores) is not None]
        deviation, n = np.array([s.deviation for s in scores]), np.array([s.n for s in scores], dtype=float)
        inside = self._clipped(x, [s.lowest for s in scores], [s.highest for s in scores])
        outside = graph.op("Clip", graph.divide(graph.subtract(x, inside), deviation), -LARGEST, LARGEST)
        if scores[0].quantiles is None:
            result = graph.divide(graph.subtract(inside, np.array([s.mean for s in scores])), deviation)
        else:
            ranks = self._ranks(inside, [s.quantiles for s in scores])  # type: ignore[misc]
            share = graph.divide(graph.add(graph.multiply(ranks, n - 1), 0.5), n)
            result = graph.normal_quantile(share)
        result = graph.where(graph.op("IsNaN", x), math.nan, graph.add(result, graph.arsinh(outside)))
        return self._without_atoms(result, which)

    def _without_atoms(self, scores: str, which: list[int]) -> str:
        if not any(self.variables[number].categories for number in which):
            return scores
        none = self.graph.op("Less", scores, -math.inf)
        atoms = []
        for place, number in enumerate(which):
            has = self.variables[number].categories is not None
            known = self.graph.reduce("Sum", self.graph.cast(self._hits(number))) if has else ""
            atoms.append(self.graph.op("Greater", known, 0.0) if has else self._picked(none, [place], len(which)))
        return self.graph.where(self.graph.stack(atoms), math.nan, scores)

    def _clipped(self, x: str, lowest: Any, highest: Any) -> str:
        return self.graph.op("Max", self.graph.op("Min", x, np.array(highest)), np.array(lowest))

    def _ranks(self, x: str, quantiles: list[np.ndarray]) -> str:
        """Interpolate between quantiles, as `Scores._ranks`: from below and, mirrored, from above."""
        graph, n_steps = self.graph, max(map(len, quantiles)).bit_length()
        x = self._clipped(x, [q[0] for q in quantiles], [q[-1] for q in quantiles])
        x = graph.stack([x, graph.op("Neg", x)])
        tables = [_interpolation(q, np.linspace(0, 1, len(q)), 2**n_steps) for q in quantiles]
        tables += [_interpolation(-q[::-1], -np.linspace(0, 1, len(q))[::-1], 2**n_steps) for q in quantiles]
        knots, heights, slopes = (graph.constant(np.concatenate(parts)) for parts in zip(*tables, strict=True))
        starts = np.arange(len(tables)) * 2**n_steps
        place = graph.op("Add", _zeros(graph, x), graph.integers(starts))
        for step in [2**power for power in reversed(range(n_steps))]:  # how many knots are no larger than x
            further = graph.op("Add", place, graph.integers([step]))
            before = graph.op("Gather", knots, graph.op("Sub", further, graph.integers([1])), axis=0)
            place = graph.where(graph.op("LessOrEqual", before, x), further, place)
        place = graph.op("Max", graph.op("Sub", place, graph.integers([1])), graph.integers(starts))
        knot, height, slope = (graph.op("Gather", table, place, axis=0) for table in (knots, heights, slopes))
        ranks = graph.add(graph.multiply(slope, graph.subtract(x, knot)), height)
        up, down = graph.op("Split", ranks, outputs=2, axis=1, num_outputs=2)
        return graph.multiply(graph.subtract(up, down), 0.5)


def _zeros(graph: Graph, x: str) -> str:
    """Return integers of the shape of x, all zero."""
    return graph.op("Mul", graph.cast(graph.op("IsNaN", x), np.int64), graph.integers([0]))


def _interpolation(knots: np.ndarray, heights: np.ndarray, size: int) -> tuple[np.ndarray, ...]:
    """Return knots, heights there, and the slopes behind them, all padded to a size."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slopes = np.append(np.diff(heights) / np.diff(knots), 0)
    slopes[~np.isfinite(slopes)] = 0  # of knots at the same place, but for the last of them, which is taken
    n = size - len(knots)
    return np.pad(knots, (0, n), constant_values=np.inf), np.pad(heights, (0, n)), np.pad(slopes, (0, n))
