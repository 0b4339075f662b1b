"""Rows on their way into the networks: gathered, centred, made dense and cast, batch by batch."""

import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._support.ranks import current
from .chunks import Buffer, Reader, chunk_rows, moments_of_csr, slices

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
    unit : float
        What rows are divided by once they are centred.
    change : callable (Tensor) -> Tensor or None
        Applied last to a batch, row by row.
    width : int or None
        Of what ``change`` returns; None if it keeps the shape.
    """

    def __init__(
        self,
        X,
        offset: Tensor | None,
        dtype: torch.dtype,
        device: torch.device,
        unit: float = 1.0,
        change: Callable[[Tensor], Tensor] | None = None,
        width: int | None = None,
    ) -> None:
        self.n_rows, self.n_features = X.shape[0], X.shape[1] if width is None else width
        self.dtype, self.device, self.change = dtype, device, change
        self._read_from(X, offset, unit, change)
        # Small data are prepared once; on an accelerator all data are, since the transfer is what costs.
        dense_bytes = self.n_rows * self.n_features * dtype.itemsize
        if device.type != "cpu" or (dense_bytes <= SMALL_BYTES and self._reader.is_dense):
            prepared = torch.empty(self.n_rows, self.n_features, dtype=dtype, device=device)
            for part in slices(self.n_rows, 8 * self.n_features):
                self.gather(torch.arange(part.start, part.stop, device=device), out=prepared[part])
            self._read_from(prepared, None, 1.0, None)

    def _read_from(self, X, offset: Tensor | None, unit: float, change: Callable[[Tensor], Tensor] | None) -> None:
        reader = self._reader = Reader(X)
        self._offset = None if offset is None else offset.to(reader.device, reader.dtype)
        self._change, self._factor = change, 1 / unit
        self._direct = X if reader.is_dense and reader.device == self.device else None
        is_wider = X.shape[1] != self.n_features
        self._unchanged = Buffer(X.shape[1], self.dtype, self.device) if is_wider else None

    def gather(self, index: Tensor, out: Tensor) -> None:
        """Write the rows numbered ``index`` (int64, on the rows' device) to ``out``."""
        if self._change is None:
            self._read(index, out)
            return
        rows = out if self._unchanged is None else self._unchanged(len(index))
        self._read(index, rows)
        out.copy_(self._change(rows))

    def _read(self, index: Tensor, out: Tensor) -> None:
        """Write the rows, centred, to ``out``."""
        X = self._direct
        if X is not None and X.dtype == out.dtype:
            torch.index_select(X, 0, index, out=out)
            if self._offset is not None:
                out.sub_(self._offset)
            if self._factor != 1:
                out.mul_(self._factor)
        else:
            # In the processor's memory a few at a time: wide rows in X's precision are large.
            on_cpu = self._reader.device.type == "cpu"
            n_rows = chunk_rows(8 * self.n_features) if on_cpu else len(index)
            for numbers, batch in zip(index.split(n_rows), out.split(n_rows), strict=True):
                staged = self._reader.gather(numbers)
                if self._offset is not None:
                    staged.sub_(self._offset)
                batch.copy_(staged if self._factor == 1 else staged.mul_(self._factor))

    @property
    def _is_stored(self) -> bool:
        """Whether rows are CSR ones, served as they are."""
        return not self._reader.is_dense and self._change is None

    def stored(self, index: Tensor) -> "tuple[sparse.csr_matrix, np.ndarray, float] | None":
        """Return rows as they are, numbered ``index``, what is subtracted from them, and what multiplies them.

        None unless they are CSR.
        """
        if not self._is_stored:
            return None
        offset = np.zeros(self.n_features) if self._offset is None else self._offset.numpy()
        return self._reader.X[index.cpu().numpy()], offset, self._factor

    @functools.cached_property
    def offset_in_unit(self) -> Tensor:
        """What is subtracted from rows, in the unit and the dtype of what they are served as."""
        if self._offset is None:
            return torch.zeros(self.n_features, dtype=self.dtype)
        return (self._offset * self._factor).to(self.dtype)

    def variance(self, index: Tensor, weight: Tensor | None) -> Tensor | None:
        """Return the weighted variance of each column of CSR rows, given the weights of all; None of others."""
        if not self._is_stored:
            return None
        return moments_of_csr(self._reader.X, weight, index)[1].double() * self._factor**2

    @property
    def density(self) -> float | None:
        """The share of the whole's entries that are not zero, of CSR rows that are served as they are.

        None of others, and on accelerators.
        """
        ranks = current()
        if ranks.any(not self._is_stored or self.device.type != "cpu"):
            return None
        return ranks.count(self._reader.X.nnz) / max(1, ranks.count(self.n_rows) * self.n_features)

    @property
    def share_left(self) -> float:
        """The share of the sum of squares of the whole's CSR rows that is left once they are centred."""
        X, ranks = self._reader.X, current()
        own = torch.tensor(np.square(X.data, dtype=np.float64).sum())
        squares = float(ranks.sum(own)) / max(1, ranks.count(X.shape[0]))
        centre = 0.0 if self._offset is None else float(self._offset.double().square().sum())
        return 1 - centre / squares if squares else 0.0

    def batch(self, index: Tensor) -> Tensor:
        """Return the rows numbered ``index`` as a new batch."""
        out = torch.empty(len(index), self.n_features, dtype=self.dtype, device=self.device)
        self.gather(index, out)
        return out

    def chunks(self, order: Tensor, width: int = 0, at_least: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Walk over the rows numbered ``order``: yield numbers, and rows that are there until the next chunk.

        With several ranks, chunks are this rank's parts of the whole's, those without any left out.

        Parameters
        ----------
        order : int64 Tensor
            On the rows' device.
        width : int
            Of the widest that is made of a row.
        at_least : int
            Rows of a chunk, however many bytes these have.
        """
        return self.serve(current().batches(order, self.chunk_rows(width, at_least), padded=False))

    def chunk_rows(self, width: int = 0, at_least: int = 1) -> int:
        """Return how many rows `chunks` has in one."""
        return max(at_least, chunk_rows(self.dtype.itemsize * max(width, self.n_features)))

    def serve(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the numbers of rows that are given, and the rows, which are there until the next."""
        buffer = Buffer(self.n_features, self.dtype, self.device)
        for index in batches:
            rows = buffer(len(index))
            self.gather(index, out=rows)
            yield index, rows

    def __getitem__(self, part: slice) -> Tensor:
        """Return a run of rows as a new batch."""
        return self.batch(torch.arange(*part.indices(self.n_rows), device=self.device))


def codings(network: Callable[[Tensor], Tensor], rows: Rows) -> Rows:
    """Map all rows through trained layers, once, for what is trained on top of them."""
    with torch.no_grad():
        width = network(rows[:1]).shape[1]
        mapped = torch.empty(rows.n_rows, width, dtype=rows.dtype, device=rows.device)
        for index, x in rows.chunks(torch.arange(rows.n_rows, device=rows.device), width):
            mapped[index] = network(x)
    return Rows(mapped, None, rows.dtype, rows.device)
