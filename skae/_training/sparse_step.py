"""The explicit step on CSR rows, whose products skip the zeros: for text, of thousands of columns.

With rows ``x - m`` of which x is sparse, both in the unit of the networks, and W without its row of biases b, the
first layer is::

    z = x W + (b - m W)          dW = x' dz - m (sum of dz over rows)

Under squared error the last layer, ``h W + b``, needs no dense row either. With h and P the layer's input and its
parameters, both with biases (ones in h, ``b + m`` in P), the residual is ``h P' - x``, and all that is asked of it
follows from two small matrices, ``h'h`` and ``P'P``, and from sparse products::

    L = <h'h, P'P> - 2 <h, x P> + <x, x>        dh / 2 = h (P'P) - x P        dP / 2 = P (h'h) - x'h
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._networks.blocks import Block
from .._networks.nested import Parallel
from .._support import threads
from .buffers import LayerBuffers
from .explicit import ExplicitStep, StepPlan
from .layers import Affine, Call, Layer, activate, dense_layers, derive
from .problem import Objective, Served

LEAST_COLUMNS = 1000
MOST_DENSITY = 0.015  # share of entries that are not zero; with more, products of dense rows are faster
LEAST_SHARE_LEFT = 0.01  # of squares, once rows are centred: with less, differences of large sums are not exact
LEAST_ROWS = 0.8  # of a batch, for the last layer, in units of its inputs: with fewer, dense rows are faster


class SparseInput(Affine):
    """An affine layer that takes each batch as CSR rows where it is stored so, else as its buffer holds it."""

    batch: "sparse.csr_array | None" = None
    offset: Tensor  # of the batch: portions of `partial_fit` have a centre each

    def __init__(self, layer: Affine) -> None:
        super().__init__(layer.linear, layer.activation)

    def forward(self, p: LayerBuffers) -> list[Call]:
        return [partial(self._map, p), *activate(self.activation, p)]

    def backward(self, p: LayerBuffers) -> list[Call]:
        return [*derive(self.activation, p), partial(self._differentiate, p)]

    def _map(self, p: LayerBuffers) -> None:
        weight, bias = self.weight[:-1], self.weight[-1]
        if self.batch is None:
            torch.mm(p.h, self.weight, out=p.z)
        else:
            torch.add(_product(self.batch, weight), bias - self.offset @ weight, out=p.z)

    def _differentiate(self, p: LayerBuffers) -> None:
        if self.batch is None:
            torch.mm(p.h.mT, p.dz, out=self.gradient)
            return
        dbias = self.gradient[-1]
        torch.sum(p.dz, 0, out=dbias)
        torch.outer(self.offset, -dbias, out=self.gradient[:-1])
        _add_product(self.batch, p.dz, 1.0, self.gradient)


class SparseOutput(Affine):
    """The last affine layer, and the squared error of what it gives, of CSR rows and without dense ones.

    Its parameters are transposed, a row for each output, so that sparse products read and write whole rows; its
    biases are those of rows that are not centred. Where ``batch`` is None, it maps as its buffers hold it.
    """

    batch: "sparse.csr_array | None" = None

    def __init__(self, layer: Affine, offset: Tensor) -> None:
        super().__init__(layer.linear, layer.activation)
        self.shape, self._offset = (self.fan_out, self.fan_in + 1), offset

    def forward(self, p: LayerBuffers) -> list[Call]:
        return [partial(self._map, p)]

    def backward(self, p: LayerBuffers) -> list[Call]:
        return [partial(self._differentiate, p)]

    def load(self, master: Tensor) -> None:
        master[:, :-1].copy_(self.linear.weight.detach())
        torch.add(self.linear.bias.detach(), self._offset, out=master[:, -1])

    def store(self, master: Tensor) -> None:
        self.linear.weight.detach().copy_(master[:, :-1])
        torch.sub(master[:, -1], self._offset, out=self.linear.bias.detach())

    def mark_weight(self, mask: Tensor) -> None:
        mask[:, :-1].fill_(True)

    def _map(self, p: LayerBuffers) -> None:
        if self.batch is None:
            torch.mm(p.h, self.weight.mT, out=p.z).sub_(self._offset)

    def _differentiate(self, p: LayerBuffers) -> None:
        if self.batch is not None:  # `sum_and_gradient` has done it
            return
        torch.mm(p.dz.mT, p.h, out=self.gradient)
        if p.dh is not None:
            torch.mm(p.dz, self.weight[:, :-1], out=p.dh)

    def sum_and_gradient(self, p: LayerBuffers, row_weight: Tensor | None, scale: Tensor) -> Tensor:
        """Return the squared error of the batch, summed; write the derivatives of ``scale`` times it."""
        x, h = self.batch, p.h
        assert x is not None
        weighted = h if row_weight is None else h * row_weight
        of_inputs, of_weights = weighted.mT @ h, _times_itself(self.weight)
        products = _product(x, self.weight)
        squares = np.square(x.data, dtype=np.float64)
        if row_weight is not None:
            squares *= np.repeat(row_weight[:, 0].numpy(), np.diff(x.indptr))
        # In double precision, since what is left is small where the rows are reconstructed well.
        total = torch.sum(of_inputs.double() * of_weights) - 2 * torch.sum(weighted.double() * products)
        factor = 2 * scale
        if p.dh is not None:
            torch.sub(weighted @ of_weights[:, :-1], _weigh(products[:, :-1], row_weight), out=p.dh).mul_(factor)
        _multiply(self.weight, of_inputs.mul_(factor), self.gradient)
        _add_product(x, weighted * factor, -1.0, self.gradient)
        return (total + squares.sum()).clamp_(min=0).to(h.dtype)


class SparseStep(ExplicitStep):
    """An explicit step whose first layer, and whose last one where it can, read CSR rows as they are stored.

    Parameters
    ----------
    *arguments, **settings
        As for `ExplicitStep`.
    goes_on : bool
        Whether a step on rows of another kind may carry on the solver's state: parameters must have the usual
        order then.
    """

    takes_models = False

    def __init__(self, *arguments: Any, goes_on: bool, **settings: Any) -> None:
        self._goes_on, self._evaluates = goes_on, False
        super().__init__(*arguments, **settings)

    def arrange(self, layers: list[Layer]) -> list[Layer]:
        served, objective, first, last = self.served, self.objective, layers[0], layers[-1]
        assert isinstance(first, Affine)
        self._input, self._output = SparseInput(first), None
        if not self._goes_on and isinstance(last, Affine) and _is_squared_error(last, served, objective):
            self._output = SparseOutput(last, served.rows.offset_in_unit)
        return [self._input, *layers[1:-1], self._output or last]

    def gather(self, plan: StepPlan, index: Tensor) -> None:
        self._input.batch = batch = self._stored(index)
        if self._output is None:
            super().gather(plan, index)
            return
        fits = plan.n >= LEAST_ROWS * self._output.fan_in and plan.n_passes == 1 and not self._evaluates
        self._output.batch = batch if fits else None
        if self._output.batch is None:
            super().gather(plan, index)
        else:
            plan.row_weight, plan.weight = self._weights_of(index)

    def _stored(self, index: Tensor) -> "sparse.csr_array | None":
        """Return rows in the unit and the dtype of the networks, not centred; None where they are dense.

        Their centre is noted for the first layer.
        """
        rows = self.served.rows
        stored = rows.stored(index)
        if stored is None:
            return None
        x, _, factor = stored
        self._input.offset = rows.offset_in_unit
        x = sparse.csr_array(x if factor == 1 else x * factor)
        return x.astype(str(rows.dtype).removeprefix("torch."), copy=False)

    def loss(self, plan: StepPlan) -> Tensor:
        if self._output is None or self._output.batch is None:
            return super().loss(plan)
        return self._output.sum_and_gradient(plan.decoder[-1], plan.row_weight, self.scale(plan.n))

    def to_mean(self, plan: StepPlan) -> None:
        if self._output is None or self._output.batch is None:
            super().to_mean(plan)

    def _evaluate(self, index: Tensor) -> Tensor:
        self._evaluates = True  # on dense rows: without a gradient, products with these cost least
        try:
            return super()._evaluate(index)
        finally:
            self._evaluates = False


def reads_stored_rows(blocks: Sequence[Block | Parallel], served: Served, objective: Objective) -> bool:
    """Tell whether a `SparseStep` is possible on these rows, and faster than one on dense rows."""
    rows, density = served.rows, served.rows.density
    if density is None or density > MOST_DENSITY or rows.n_features < LEAST_COLUMNS:
        return False
    restores = served.targets is not None or objective.corruption is not None or objective.hiding is not None
    first = dense_layers(blocks)[0]
    return not restores and isinstance(first, Affine) and not first.accumulates


def _is_squared_error(last: Affine, served: Served, objective: Objective) -> bool:
    """Tell whether the objective is the squared error of an affine last layer, whose output nothing else needs."""
    plain = served.entry_weight is None and not objective.projections and objective.loss.is_squared_error
    return plain and last.activation.forward is None and served.rows.share_left >= LEAST_SHARE_LEFT


def _times_itself(matrix: Tensor) -> Tensor:
    """Return M'M, which is symmetric: NumPy computes half of it, with one thread in .6 of the time of all."""
    if torch.get_num_threads() > 1:
        return matrix.mT @ matrix
    with threads.one_for_all():
        return torch.from_numpy(matrix.numpy().T @ matrix.numpy())


def _multiply(left: Tensor, right: Tensor, out: Tensor) -> None:
    """Write a product: with one thread, NumPy takes .6 of MKL's time for the odd width that the biases make."""
    if torch.get_num_threads() > 1:
        torch.mm(left, right, out=out)
        return
    with threads.one_for_all():
        np.matmul(left.numpy(), right.numpy(), out=out.numpy())


def _product(x: "sparse.csr_array", right: Tensor) -> Tensor:
    return torch.from_numpy(x @ right.numpy())


def _add_product(x: "sparse.csr_array", rows: Tensor, factor: float, out: Tensor) -> None:
    """Add ``factor`` times x' rows, of which only the rows of columns of x that are not empty are touched."""
    columns = x.T.tocsr()
    used = np.flatnonzero(np.diff(columns.indptr))
    ends = np.append(columns.indptr[used], columns.nnz)
    some = sparse.csr_array((columns.data, columns.indices, ends), shape=(len(used), x.shape[0]))
    out.index_add_(0, torch.from_numpy(used), _product(some, rows), alpha=factor)


def _weigh(rows: Tensor, row_weight: Tensor | None) -> Tensor:
    return rows if row_weight is None else rows * row_weight
