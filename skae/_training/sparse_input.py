"""The first layer on CSR rows, whose products skip the zeros: for text, of thousands of columns.

With rows ``x - m`` of which x is sparse, both in the unit of the data, and W without its row of biases b::

    z = x W + (b - m W)          dW = x' dz - m (sum of dz over rows)
"""

from functools import partial

import torch
from scipy import sparse
from torch import Tensor

from .._data.rows import Rows
from .buffers import LayerBuffers
from .layers import Affine, Call, Layer, activate, derive

LEAST_COLUMNS = 1000
MOST_DENSITY = 0.015  # share of entries that are not zero; with more, products of dense rows are faster


class SparseInput(Affine):
    """An affine layer that takes each batch as CSR rows where it is stored so, else as its buffer holds it."""

    _batch: "sparse.csr_matrix | None" = None

    def serve(self, rows: Rows, index: Tensor) -> None:
        """Take the rows numbered ``index`` as the next batch."""
        stored = rows.stored(index)
        if stored is None:
            self._batch = None
            return
        x, offset, factor = stored
        batch = x if factor == 1 else x * factor
        self._batch = batch.astype(str(rows.dtype).removeprefix("torch."), copy=False)
        self._offset = torch.from_numpy(offset * factor).to(rows.dtype)

    def forward(self, p: LayerBuffers) -> list[Call]:
        return [partial(self._map, p), *activate(self.activation, p)]

    def backward(self, p: LayerBuffers) -> list[Call]:
        return [*derive(self.activation, p), partial(self._differentiate, p)]

    def _map(self, p: LayerBuffers) -> None:
        weight, bias = self.weight[:-1], self.weight[-1]
        if self._batch is None:
            torch.mm(p.h, self.weight, out=p.z)
        else:
            product = torch.from_numpy(self._batch @ weight.numpy())
            torch.add(product, bias - self._offset @ weight, out=p.z)

    def _differentiate(self, p: LayerBuffers) -> None:
        if self._batch is None:
            torch.mm(p.h.mT, p.dz, out=self.gradient)
            return
        dbias = self.gradient[-1]
        torch.sum(p.dz, 0, out=dbias)
        product = torch.from_numpy(self._batch.T @ p.dz.numpy())
        torch.addr(product, self._offset, dbias, alpha=-1, out=self.gradient[:-1])


def take_sparse_input(layers: list[Layer], rows: Rows) -> SparseInput | None:
    """Let the first layer read CSR rows as they are stored, where that is faster; return it then."""
    first, density = layers[0], rows.density
    if not isinstance(first, Affine) or first.accumulates or density is None:
        return None
    if rows.n_features < LEAST_COLUMNS or density > MOST_DENSITY:
        return None
    layers[0] = taken = SparseInput(first.linear, first.activation)
    return taken
