"""What the imputer gives: rows with their missing entries filled, as `AutoencoderImputer.transform` fills them.

What is filled in is computed in float64, as there. Rows with missing entries are sorted by how many there are, and
taken a few at a time, so that memory is bounded.
"""

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from .._data.arrays import is_nan
from .._data.chunks import CHUNK_BYTES
from .._imputation.imputation import Imputation, from_plain
from .._imputation.plausible import Range
from ._conditionals import Fills
from ._graph import Graph
from ._members import Networks
from ._support import missing, nan_if_not_finite


class Imputer:
    """The output of an imputer that draws nothing.

    Parameters
    ----------
    graph : Graph
    model : AutoencoderImputer
        Fitted.
    x : str
        Name of the rows, of the graph's dtype.
    """

    outputs: ClassVar = ("filled",)
    defaults: ClassVar = ("filled",)

    def __init__(self, graph: Graph, model: Any, x: str) -> None:
        self.graph, self.model, self.x = graph, model, x

    @staticmethod
    def shape(model: Any, output: str) -> tuple[int, ...]:
        return (len(model.get_feature_names_out()),)

    @staticmethod
    def dtype(model: Any, output: str, dtype: np.dtype) -> np.dtype:
        return dtype

    @cached_property
    def filled(self) -> str:
        graph, model = self.graph, self.model
        holes = missing(graph, self.x, model._marker)
        zeroed = graph.where(holes, 0.0, self.x)
        kept, empty = np.flatnonzero(~model._empty), np.flatnonzero(model._empty)
        parts, numbers = [graph.columns(zeroed, kept)], kept
        if len(kept):
            parts = [self._fill(parts[0], graph.columns(holes, kept))]
        if model.keep_empty_features:
            parts, numbers = [*parts, graph.columns(zeroed, empty)], np.concatenate([kept, empty])
        whole = graph.columns(graph.stack(parts), np.argsort(numbers))
        if model.indicator_ is not None:
            marks = graph.columns(holes, model.indicator_.features_)
            whole = graph.stack([whole, graph.cast(marks)])
        return graph.add(whole, nan_if_not_finite(graph, self.x, is_nan(model._marker)))

    def _fill(self, x: str, holes: str) -> str:
        """Fill the holes of rows that are zero there; of the columns that `fit` saw values of."""
        model, wide = self.model, Graph(self.graph.scope, self.graph.container, np.dtype(np.float64))
        kept = ~model._empty
        given = wide.cast(x)
        # Infinity is not looked up in anything; its row is marked in the end.
        seen = wide.op("And", wide.op("Not", holes), wide.op("Equal", wide.multiply(given, 0.0), 0.0))
        limits = getattr(model, "_range", None)  # imputers of earlier versions have none
        if limits is not None:
            lowest, highest = Range(*limits)
            seen = wide.op("And", seen, wide.op("LessOrEqual", lowest, given))
            seen = wide.op("And", seen, wide.op("GreaterOrEqual", highest, given))
        scale = np.where(model._scale > 0, model._scale, 1.0)
        rows = wide.where(seen, wide.divide(wide.subtract(given, model._mean), scale), 0.0)
        imputation = from_plain(model._model, torch.device("cpu"), torch.float64)
        values = wide.add(wide.multiply(_filled(wide, imputation, rows, seen), model._scale), model._mean)
        lowest, highest = (limit[kept] for limit in model._limits)
        values = wide.op("Min", wide.op("Max", values, lowest), highest)
        return self.graph.where(holes, self.graph.cast(values), x)


def _filled(graph: Graph, imputation: Imputation, x: str, seen: str) -> str:
    """Return standardised rows (n, d) with all filled that is not seen."""
    n_unseen = graph.reduce("Sum", graph.cast(graph.op("Not", seen), np.int64), keepdims=False)
    is_incomplete = graph.op("Greater", n_unseen, graph.integers(0))
    n_rows = graph.reduce("Sum", graph.cast(is_incomplete, np.int64), axis=0)
    _, order = graph.op("TopK", n_unseen, n_rows, outputs=2, axis=0)
    rows = graph.op("Gather", x, order, axis=0)
    seen = graph.op("Gather", graph.cast(seen), order, axis=0)

    chunk = _Chunk(imputation, rows, seen)
    most = graph.reduce("Max", graph.stack([n_unseen, graph.integers([1])], axis=0), axis=0)
    size = chunk.n_rows(graph, most)
    upwards = graph.op("Sub", graph.op("Add", n_rows, size), graph.integers([1]))
    n_chunks = graph.op("Squeeze", graph.op("Div", upwards, size))
    # No rows yet. It depends on those that the loop reads, so that skl2onnx sorts the loop after them.
    none = graph.op("Slice", graph.multiply(rows, seen), *(graph.integers([0]) for _ in range(3)))
    _, filled = graph.loop(n_chunks, chunk.write, (size, np.int64), (none, np.float64))
    return graph.op("ScatterND", x, graph.op("Unsqueeze", order, graph.integers([1])), filled)


class _Chunk:
    """Fills a few of the rows at a time.

    Parameters
    ----------
    imputation : Imputation
    rows, seen : str
        All rows (n, d), and one where an entry is seen. They are read from outside of the loop.
    """

    def __init__(self, imputation: Imputation, rows: str, seen: str) -> None:
        self.imputation, self.rows, self.seen = imputation, rows, seen
        has_members = imputation.network_share > 0
        blocks = (imputation.whole, *(imputation.of_members if has_members else ()))
        self.fills = Fills(blocks, imputation.shares)
        self.networks = Networks(imputation.members) if has_members else None

    def n_rows(self, graph: Graph, most: str) -> str:
        """Return of how many rows there is memory for, where this many entries are missing."""
        of_systems = graph.op("Mul", most, graph.op("Mul", most, graph.integers([self.fills.bytes_of_systems])))
        more = graph.op("Mul", most, graph.integers([self.fills.bytes_of_entries]))
        of_networks = 0 if self.networks is None else self.networks.row_bytes
        all_rows = graph.integers([self.fills.row_bytes + of_networks])
        row_bytes = graph.op("Add", graph.op("Add", of_systems, more), all_rows)
        size = graph.op("Div", graph.integers([CHUNK_BYTES]), row_bytes)
        return graph.op("Max", size, graph.integers([1]))

    def write(self, graph: Graph, number: str, size: str, before: str) -> tuple[str, str]:
        """Add the next rows to those before."""
        start = graph.op("Mul", graph.reshape(number, 1), size)
        part = start, graph.op("Add", start, size), graph.integers([0])
        x, seen = (graph.op("Slice", value, *part) for value in (self.rows, self.seen))
        filled = self.fills.write(graph, x, seen)  # (rows, d, blocks)
        result = graph.op("Gather", filled, graph.integers(0), axis=2)
        if self.networks is not None:
            of_members = graph.columns(filled, range(1, len(self.fills.blocks)), axis=2)
            correction = self.networks.correction(graph, x, seen, graph.transpose(of_members, 2, 0, 1))
            result = graph.add(result, graph.multiply(correction, self.imputation.network_share))
        return size, graph.stack([before, result], axis=0)
