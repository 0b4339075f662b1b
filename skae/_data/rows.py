"""Rows of X on their way into the networks: gathered, made dense, centred, cast; never all at once.

Dense rows come as a torch tensor that shares the caller's memory, sparse ones as a CSR matrix. Either is
read only. Chunks are bounded in bytes, so that a wide matrix needs no more memory than a narrow one.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

CHUNK_BYTES = 1 << 22
SMALL_BYTES = 1 << 22


def as_tensor(X: np.ndarray | Tensor) -> Tensor:
    """View an array as a tensor without a copy, also when its memory is read only.

    `torch.from_numpy` warns about read-only memory, since torch cannot enforce it; here nothing writes.
    """
    if isinstance(X, Tensor):
        return X.detach()
    if any(stride < 0 for stride in X.strides) or not X.dtype.isnative:
        X = np.array(X, dtype=X.dtype.newbyteorder("="))
    if not X.flags.writeable:
        X = np.asarray(_Writeable(X))
    return torch.from_numpy(X)


class _Writeable:
    """An array's memory under an interface that does not say read-only."""

    def __init__(self, X: np.ndarray) -> None:
        interface = dict(X.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self._owner = X


class Densifier:
    """Makes runs of rows dense, one after the other in the same memory; dense ones stay where they are.

    New memory for each, of ever other sizes, leaves a heap of holes that can grow as large as the dense matrix.
    """

    def __init__(self) -> None:
        self._memory = np.empty((0, 0))

    def __call__(self, part) -> Tensor:
        """Return a run of rows as a tensor, which holds them until the next call and is not to be written."""
        if not sparse.issparse(part):
            return part
        if len(self._memory) < part.shape[0] or self._memory.dtype != part.dtype:
            self._memory = np.empty(part.shape, part.dtype)
        return torch.from_numpy(part.toarray(out=self._memory[: part.shape[0]]))


def chunk_rows(row_bytes: int) -> int:
    """Return how many rows of so many bytes a chunk holds."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def index_chunks(order: Tensor, row_bytes: int, at_most: int) -> tuple[Tensor, ...]:
    """Cut numbers of rows of so many bytes into chunks, of no more than ``at_most`` rows."""
    return order.split(min(at_most, chunk_rows(row_bytes)))


def slices(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut ``n_rows`` into chunks."""
    step = chunk_rows(row_bytes)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


class Rows:
    """Rows of X, served as dense batches of the networks' dtype on the networks' device.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
    offset : Tensor of shape (d,) or None
        Subtracted from each row in X's own precision, before the cast.
    dtype : torch.dtype
    device : torch.device
    change : callable (Tensor) -> Tensor or None
        Applied last to a batch, row by row; it keeps the shape.
    """

    def __init__(
        self,
        X,
        offset: Tensor | None,
        dtype: torch.dtype,
        device: torch.device,
        change: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.n_rows, self.n_features = X.shape
        self.dtype, self.device, self.change = dtype, device, change
        self._X, self._offset = X, offset
        self._staging: Tensor | None = None
        self._densify = Densifier()
        self._prepared = False
        # Small data are prepared once; on an accelerator all data are, since the transfer is what costs.
        dense_bytes = self.n_rows * self.n_features * dtype.itemsize
        if device.type != "cpu" or (dense_bytes <= SMALL_BYTES and not sparse.issparse(X)):
            self._X, self._offset, self._prepared = self._prepare(), None, True

    def _prepare(self) -> Tensor:
        prepared = torch.empty(self.n_rows, self.n_features, dtype=self.dtype, device=self.device)
        for part in slices(self.n_rows, self.n_features * 8):
            prepared[part] = self[part]
        return prepared

    def _changed(self, batch: Tensor) -> Tensor:
        return batch if self.change is None or self._prepared else self.change(batch)

    def _centre(self, part: Tensor, out: Tensor) -> Tensor:
        return out.copy_(part) if self._offset is None else torch.sub(part, self._offset.to(part.device), out=out)

    def gather(self, index: Tensor, out: Tensor) -> None:
        """Write the rows numbered ``index`` (int64, on the rows' device) to ``out``."""
        X = self._X
        if sparse.issparse(X):
            self._centre(self._densify(X[index.numpy()]), out)
        elif X.dtype == out.dtype:
            torch.index_select(X, 0, index, out=out)
            if self._offset is not None:
                out.sub_(self._offset)
        else:
            staging = self._stage(len(index))
            torch.index_select(X, 0, index, out=staging)
            self._centre(staging, out)
        if self.change is not None and not self._prepared:
            out.copy_(self.change(out))

    def batch(self, index: Tensor) -> Tensor:
        """Return the rows numbered ``index`` as a new batch."""
        out = torch.empty(len(index), self.n_features, dtype=self.dtype, device=self.device)
        self.gather(index, out)
        return out

    def _stage(self, n_rows: int) -> Tensor:
        if self._staging is None or len(self._staging) < n_rows:
            with torch.inference_mode(False):  # for use in any mode
                self._staging = self._X.new_empty(n_rows, self.n_features)
        return self._staging[:n_rows]

    def __getitem__(self, part: slice) -> Tensor:
        """Return a run of rows as a new dense batch."""
        x = self._densify(self._X[part])
        centred = self._centre(x, torch.empty(x.shape, dtype=self.dtype, device=x.device))
        return self._changed(centred.to(self.device))


def codings(network: nn.Module, rows: Rows) -> Rows:
    """Map all rows through trained layers, once, for what is trained on top of them."""
    with torch.no_grad():
        width = network(rows[:1]).shape[1]
        mapped = torch.empty(rows.n_rows, width, dtype=rows.dtype, device=rows.device)
        for part in slices(rows.n_rows, max(width, rows.n_features) * mapped.itemsize):
            mapped[part] = network(rows[part])
    return Rows(mapped, None, rows.dtype, rows.device)
