"""Rows of X on their way into the networks: gathered, made dense, centred, cast; never all at once."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .chunks import Buffer, Reader, chunk_rows, slices

SMALL_BYTES = 1 << 22


class Rows:
    """Rows of X, served as dense batches of the networks' dtype on the networks' device.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
        Read only: it may share the caller's memory.
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
        self._read_from(X, offset, change)
        # Small data are prepared once; on an accelerator all data are, since the transfer is what costs.
        dense_bytes = self.n_rows * self.n_features * dtype.itemsize
        if device.type != "cpu" or (dense_bytes <= SMALL_BYTES and self._reader.is_dense):
            prepared = torch.empty(self.n_rows, self.n_features, dtype=dtype, device=device)
            for part in slices(self.n_rows, 8 * self.n_features):
                self.gather(torch.arange(part.start, part.stop, device=device), out=prepared[part])
            self._read_from(prepared, None, None)

    def _read_from(self, X, offset: Tensor | None, change: Callable[[Tensor], Tensor] | None) -> None:
        reader = self._reader = Reader(X)
        self._offset = None if offset is None else offset.to(reader.device, reader.dtype)
        self._change = change
        self._direct = X if reader.is_dense and reader.device == self.device else None

    def gather(self, index: Tensor, out: Tensor) -> None:
        """Write the rows numbered ``index`` (int64, on the rows' device) to ``out``."""
        X = self._direct
        if X is not None and X.dtype == out.dtype:
            torch.index_select(X, 0, index, out=out)
            if self._offset is not None:
                out.sub_(self._offset)
        else:
            # In the processor's memory a few at a time: wide rows in X's precision are large.
            on_cpu = self._reader.device.type == "cpu"
            n_rows = chunk_rows(8 * self.n_features) if on_cpu else len(index)
            for numbers, batch in zip(index.split(n_rows), out.split(n_rows), strict=True):
                staged = self._reader.gather(numbers)
                batch.copy_(staged if self._offset is None else staged.sub_(self._offset))
        if self._change is not None:
            out.copy_(self._change(out))

    def batch(self, index: Tensor) -> Tensor:
        """Return the rows numbered ``index`` as a new batch."""
        out = torch.empty(len(index), self.n_features, dtype=self.dtype, device=self.device)
        self.gather(index, out)
        return out

    def chunks(self, order: Tensor, width: int = 0, at_least: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk over the rows numbered ``order``: yield numbers, and rows that are there until the next chunk.

        Parameters
        ----------
        order : int64 Tensor
            On the rows' device.
        width : int
            Of the widest that is made of a row.
        at_least : int
            Rows of a chunk, however many bytes these have.
        """
        buffer = Buffer(self.n_features, self.dtype, self.device)
        row_bytes = self.dtype.itemsize * max(width, self.n_features)
        for index in order.split(max(at_least, chunk_rows(row_bytes))):
            rows = buffer(len(index))
            self.gather(index, out=rows)
            yield index, rows

    def __getitem__(self, part: slice) -> Tensor:
        """Return a run of rows as a new batch."""
        return self.batch(torch.arange(*part.indices(self.n_rows), device=self.device))


def codings(network: nn.Module, rows: Rows) -> Rows:
    """Map all rows through trained layers, once, for what is trained on top of them."""
    with torch.no_grad():
        width = network(rows[:1]).shape[1]
        mapped = torch.empty(rows.n_rows, width, dtype=rows.dtype, device=rows.device)
        for index, x in rows.chunks(torch.arange(rows.n_rows, device=rows.device), width):
            mapped[index] = network(x)
    return Rows(mapped, None, rows.dtype, rows.device)
