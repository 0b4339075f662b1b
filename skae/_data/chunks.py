"""Walking over rows a chunk at a time: the one place where CSR matrices are made dense, and columns measured.

Chunks are bounded in bytes, so that a wide matrix needs no more memory than a narrow one. Memory for them is
allocated once: new memory for each, beside small tensors that stay, leaves a heap of holes that can grow as large
as the dense matrix. For the same reason no operation has an ``out=`` of another dtype than its operands: torch
would allocate the result a second time, in theirs.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.sparsefuncs import incr_mean_variance_axis, mean_variance_axis, min_max_axis
from torch import Tensor

from .._support.devices import sum_dtype
from .._support.ranks import current

CHUNK_BYTES = 1 << 22
SMALL_CHUNKS = 64  # bytes for each number of a row, where rows are converted: in the cache, and in little memory

# Sizes -----------------------------------------------------------------------------------------------------


def chunk_rows(row_bytes: int) -> int:
    """Return how many rows of so many bytes a chunk holds."""
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def slices(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Cut ``n_rows`` into chunks."""
    step = chunk_rows(row_bytes)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def evenly(n_rows: int, at_most: int) -> slice:
    """Return which of so many rows are at most ``at_most`` of the whole's, evenly spaced."""
    ranks = current()
    step = max(1, -(-ranks.count(n_rows) // at_most))
    return slice(-ranks.before(n_rows) % step, None, step)


def spread(order: Tensor, at_most: int) -> Tensor:
    """Return at most so many of the whole's row numbers, evenly spaced."""
    return order[evenly(len(order), at_most)]


# Reading ---------------------------------------------------------------------------------------------------


class Buffer:
    """Memory for rows that is allocated once, and once more only for more rows than ever before."""

    def __init__(self, width: int, dtype: torch.dtype, device: torch.device | str = "cpu") -> None:
        self._rows = torch.empty(0, width, dtype=dtype, device=device)

    def __call__(self, n_rows: int) -> Tensor:
        """Return so many rows, with whatever they hold."""
        if len(self._rows) < n_rows:
            with torch.inference_mode(False):  # for use in any mode
                self._rows = self._rows.new_empty(n_rows, self._rows.shape[1])
        return self._rows[:n_rows]


class Reader:
    """Reads rows of X as dense tensors of its dtype and device.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
        Never written.
    """

    def __init__(self, X) -> None:
        self.X, self.is_dense = X, isinstance(X, Tensor)
        self.dtype = X.dtype if self.is_dense else getattr(torch, X.dtype.name)
        self.device = X.device if self.is_dense else torch.device("cpu")
        self._buffer = Buffer(X.shape[1], self.dtype, self.device)

    def run(self, part: slice) -> Tensor:
        """Return a run of rows, which are not to be written and are there until the next call."""
        return self.X[part] if self.is_dense else self._densify(self.X[part])

    def gather(self, index: Tensor) -> Tensor:
        """Return rows by their numbers; they are there until the next call, and may be written."""
        if self.is_dense:
            return torch.index_select(self.X, 0, index.to(self.device), out=self._buffer(len(index)))
        return self._densify(self.X[index.cpu().numpy()])

    def _densify(self, rows) -> Tensor:
        dense = self._buffer(rows.shape[0])
        rows.toarray(out=dense.numpy())
        return dense


def chunks(X, row_bytes: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Walk over X, a tensor or a CSR matrix: yield which rows, and the rows as a dense tensor.

    Rows are not to be written, and are there until the next chunk. ``row_bytes`` counts what is made of a row,
    where that is more than the row in float64.
    """
    reader = Reader(X)
    for part in slices(X.shape[0], 8 * X.shape[1] if row_bytes is None else row_bytes):
        yield part, reader.run(part)


# Summing ---------------------------------------------------------------------------------------------------


def sum_rows(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Sum (n, ...) over rows, each times its weight, (n,), in the precision for sums."""
    dtype = sum_dtype(values.device)
    if weight is None:
        return values.sum(0, dtype=dtype)
    return weight.to(values.device, dtype) @ values.to(dtype)


def total(terms: Iterable[Tensor]) -> Tensor:
    """Add up what each chunk gives."""
    return fold(((term,) for term in terms), torch.add)[0]


def fold(terms: Iterable[tuple[Tensor, ...]], *joins: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
    """Join what each chunk gives into totals of the whole: the first tensors by the first of ``joins``, and so on.

    ``torch.add`` makes sums, ``torch.minimum`` and ``torch.maximum`` extremes.
    """

    def join(totals: tuple[Tensor, ...], term: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(by(total, one) for by, total, one in zip(joins, totals, term, strict=True))

    terms = iter(terms)
    first = next(terms, None)
    return current().join(None if first is None else functools.reduce(join, terms, first), joins)


# Measuring columns: of tensors chunk by chunk, of CSR matrices by scikit-learn, without making them dense -----


def column_means(X: "Tensor | sparse.csr_matrix", weight: Tensor | None = None, missing: bool = False) -> Tensor:
    """Return the weighted mean of each column, summed in float64: shape (n_features,), float64.

    Where entries may be ``missing``, which are NaN, it is that of the others; 0 if there are none.
    """
    if sparse.issparse(X):
        return moments_of_csr(X, weight)[0].double()
    short = chunks(X, SMALL_CHUNKS * X.shape[1])
    if missing:
        return _means_of_observed(short, weight)
    if weight is None:
        return total(sum_rows(x) for _, x in short) / current().count(len(X))
    return total(sum_rows(x, weight[part]) for part, x in short) / current().sum(sum_rows(weight)).to(X.device)


def _means_of_observed(parts: Iterable[tuple[slice, Tensor]], weight: Tensor | None) -> Tensor:
    def sums(part: slice, x: Tensor) -> tuple[Tensor, Tensor]:
        own = None if weight is None else weight[part]
        return sum_rows(x.nan_to_num(), own), sum_rows(~x.isnan(), own)

    totals, counts = fold((sums(part, x) for part, x in parts), torch.add, torch.add)
    return totals / counts.where(counts > 0, 1)


def extremes(X: "Tensor | sparse.csr_matrix", missing: bool = False) -> tuple[float, float]:
    """Return the smallest and the largest entry, of those that are not missing."""
    if missing:
        _, *both, _ = column_statistics(X, missing)
        return float(both[0].min()), float(both[1].max())
    if sparse.issparse(X):
        lowest, highest = min_max_axis(X, axis=0)
        terms: Any = [(torch.tensor(lowest.min()), torch.tensor(highest.max()))]
    else:
        terms = (x.aminmax() for _, x in chunks(X))
    lowest, highest = fold(terms, torch.minimum, torch.maximum)
    return float(lowest), float(highest)


def column_statistics(X: "Tensor | sparse.csr_matrix", missing: bool = False) -> tuple[np.ndarray, ...]:
    """Return each column's standard deviation, minimum, maximum and mean; all 0 if all entries are missing."""
    if sparse.issparse(X):
        return _statistics_of_csr(X)
    mean = column_means(X, missing=missing)
    if missing:
        columns = _statistics_of_observed(X, mean)
    else:
        short = chunks(X, SMALL_CHUNKS * X.shape[1])
        terms = ((sum_rows((x - mean).square_()), x.amin(0), x.amax(0)) for _, x in short)
        squares, lowest, highest = fold(terms, torch.add, torch.minimum, torch.maximum)
        columns = (squares / current().count(len(X))).sqrt(), lowest, highest
    return tuple(column.cpu().numpy() for column in (*columns, mean))


@np.errstate(over="ignore")  # of variances, which are infinite then
def moments_of_csr(
    X: "sparse.csr_matrix", weight: Tensor | None = None, index: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the weighted mean and variance of each column, in X's dtype; zeros where this rank has no rows.

    With ``index`` only the rows of these numbers count; ``weight`` is of all rows.
    """
    weights = None if weight is None else weight.cpu().numpy().astype(str(X.dtype))
    if index is None:
        mean, variance = mean_variance_axis(X, axis=0, weights=weights)
        n = X.shape[0] if weights is None else float(weights.sum())
    else:
        mean, variance, counts = np.zeros((3, X.shape[1]), dtype=X.dtype)
        for part in index.cpu().split(chunk_rows(16 * max(1, X.nnz // X.shape[0]))):
            own = None if weights is None else weights[part]
            mean, variance, counts = incr_mean_variance_axis(
                X[part.numpy()], axis=0, last_mean=mean, last_var=variance, last_n=counts, weights=own
            )
        n = len(index) if weights is None else float(weights[index.cpu()].sum())
    return _of_all_ranks(torch.from_numpy(mean), torch.from_numpy(variance), n)


def _of_all_ranks(own: Tensor, variance: Tensor, n: float) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance over the rows of all ranks, given those over the n rows of this one."""
    ranks = current()
    if not ranks.is_shared:
        return own, variance
    mean = ranks.mean(own, n)
    return mean, ranks.mean(variance + (own - mean).square(), n)


def _statistics_of_csr(X: "sparse.csr_matrix") -> tuple[np.ndarray, ...]:
    mean, variance = moments_of_csr(X)
    extremes = tuple(torch.from_numpy(np.asarray(a)) for a in min_max_axis(X, axis=0))
    extremes = current().join(extremes, (torch.minimum, torch.maximum))
    return tuple(column.numpy() for column in (variance.sqrt(), *extremes, mean))


def _statistics_of_observed(X: Tensor, mean: Tensor) -> tuple[Tensor, ...]:
    """Return standard deviations, minima and maxima of the entries that are not missing."""

    def terms(x: Tensor) -> tuple[Tensor, ...]:
        gone = x.isnan()
        extremes = x.masked_fill(gone, torch.inf).amin(0), x.masked_fill(gone, -torch.inf).amax(0)
        return sum_rows((x - mean).nan_to_num_().square_()), *extremes, sum_rows(~gone)

    joins = (torch.add, torch.minimum, torch.maximum, torch.add)
    squares, lowest, highest, counts = fold((terms(x) for _, x in chunks(X)), *joins)
    seen = counts > 0
    return (squares / counts.where(seen, 1)).sqrt(), lowest.where(seen, 0), highest.where(seen, 0)


def count_rows(X: "Tensor | sparse.csr_matrix", missing: bool = False) -> np.ndarray:
    """Return the number of rows, (1,), or of those with a value in each column, (n_features,)."""
    if not missing:
        return np.array([float(current().count(X.shape[0]))])
    return total((~x.isnan()).sum(0) for _, x in chunks(X)).cpu().double().numpy()


def pooled(first: tuple, n_first: np.ndarray, second: tuple, n_second: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the statistics of rows of which so many (see `count_rows`) have one `column_statistics` each."""
    share = n_second / np.maximum(n_first + n_second, 1)
    (deviation, lowest, highest, mean), (deviation2, lowest2, highest2, mean2) = first, second
    with np.errstate(over="ignore", invalid="ignore"):  # training will say what is wrong
        between = share * (1 - share) * np.square(mean2 - mean)
    variance = (1 - share) * np.square(deviation) + share * np.square(deviation2) + between
    both = n_first > 0, n_second > 0
    return (
        np.sqrt(variance),
        *pooled_ranges((lowest, highest), (lowest2, highest2), *both),
        mean + share * (mean2 - mean),
    )


def pooled_ranges(
    first: Any, second: Any, has_first: np.ndarray, has_second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return minima and maxima of rows of which these are known, if there are any."""
    lowest, highest = np.minimum(first[0], second[0]), np.maximum(first[1], second[1])
    lowest = np.where(has_second, np.where(has_first, lowest, second[0]), first[0])
    return lowest, np.where(has_second, np.where(has_first, highest, second[1]), first[1])
