"""The rows that a fit is given: weighted, split, centred; what is measured of them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from .._support.ranks import current
from . import arrays, chunks, units
from .chunks import Reader, chunk_rows
from .rows import Rows
from .split import are_few_kinds, hold_out


class TrainingData:
    """Rows for training.

    Parameters
    ----------
    X : validated rows
    X_clean : validated rows or None
        What to restore from X; None restores X itself.
    sample_weight : array-like of shape (n_samples,) or None
    X_val : validated rows or None
        Rows to watch; None leaves it to `split`.
    missing : bool
        Whether entries may be missing: these are NaN.
    dtype : torch.dtype
    device : torch.device
        The networks'.

    Attributes
    ----------
    n_train : int
        The number of rows to train on, of all ranks.
    validation_rows : int64 Tensor on the device or None
        Numbers of the rows to hold out (None before `split`, and without early stopping).
    offset, target_offset : Tensor of shape (n_features,) or None
        What is subtracted from inputs and targets (None before `centre`).
    unit, target_unit : float
        What they are divided by then.
    watched : TrainingData or None
        The rows to watch.
    """

    def __init__(
        self,
        X,
        *,
        X_clean=None,
        sample_weight=None,
        X_val=None,
        missing: bool = False,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.X, self.dtype, self.device, self.missing = X, dtype, device, missing
        self.watched = None if X_val is None else TrainingData(X_val, missing=missing, dtype=dtype, device=device)
        self.paired, self._inputs = X_clean is not None, arrays.to_torch(X)
        self._targets = arrays.to_torch(X_clean) if self.paired else self._inputs
        weight = arrays.check_weights(sample_weight, X)
        self._weight = None if weight is None else units.counting_weights(weight).to(dtype)
        # Rows of weight zero are as good as absent.
        self._used = torch.ones(X.shape[0], dtype=torch.bool) if self._weight is None else self._weight.cpu() > 0
        self.train_rows = self._used.nonzero()[:, 0].to(device)
        self.validation_rows: Tensor | None = None
        self.offset: Tensor | None = None
        self.target_offset: Tensor | None = None
        self.unit = self.target_unit = 1.0
        self._shared: dict[Any, Any] = {}  # what has been made once for all parts of these data

    def part(self, index: Tensor) -> "TrainingData":
        """Return the same data with only the rows numbered ``index`` to train on.

        Centring and the scale of noise are those of all rows, and what has been made of rows is shared.
        """
        part = copy.copy(self)
        part._used = torch.zeros_like(self._used)
        part._used[index] = self._used[index]
        part.train_rows, part.validation_rows = part._used.nonzero()[:, 0].to(self.device), None
        return part

    @property
    def sample_weight(self) -> Tensor | None:
        """The weights of all rows, as `units.counting_weights` makes them, on the device; None for equal ones."""
        return None if self._weight is None else self._weight.to(self.device)

    @property
    def total_weight(self) -> float:
        """The number of rows of all ranks, each counted as often as its weight says."""
        total = self._used.double() if self._weight is None else self._weight.cpu()[self._used].double()
        return float(current().sum(total.sum()))

    @property
    def train_rows(self) -> Tensor:
        """Numbers of the rows to train on, int64, on the device."""
        return self._train_rows

    @train_rows.setter
    def train_rows(self, rows: Tensor) -> None:
        self._train_rows, self.n_train = rows, current().count(len(rows))

    def split(
        self, fraction: float, generator: torch.Generator, groups: Tensor | None = None, extremes: bool = True
    ) -> None:
        """Hold rows out for validation; with ``groups``, numbers of classes, of each class that can spare some.

        Raises
        ------
        ValueError
            If no row would be left to train on, or to hold out.
        """
        weight, ranks = self._used.double() if self._weight is None else self._weight.cpu() * self._used, current()
        groups = torch.zeros(len(weight), dtype=torch.int64) if groups is None else groups
        held_out = torch.zeros(len(weight), dtype=torch.bool)
        for group in groups.unique():
            members = groups == group
            chosen = hold_out(self._inputs, weight * members, fraction, generator, extremes)
            if len(groups.unique()) == 1 or not (chosen == (members & self._used)).all():
                held_out |= chosen
        kept = self._used & ~held_out
        trains = ranks.any(bool(kept.any()))
        if not (ranks.any(bool(held_out.any())) and trains):
            n_used = ranks.count(int(self._used.sum()))
            raise ValueError(
                f"early_stopping=True cannot split n_samples={n_used} with validation_fraction="
                f"{fraction}: no row would be left to {'hold out' if trains else 'train on'}. Give fit more "
                "rows that differ, change validation_fraction, or set early_stopping=False."
            )
        self.train_rows = kept.nonzero()[:, 0].to(self.device)
        self.validation_rows = held_out.nonzero()[:, 0].to(self.device)

    @property
    def holds_out_repeats(self) -> bool:
        """Whether the rows held out are a few kinds, each there many times over; see `split.are_few_kinds`."""
        return are_few_kinds(self._inputs, self.validation_rows, self._weight)

    def unsplit(self) -> None:
        """Train on all rows again."""
        self.train_rows, self.validation_rows = self._used.nonzero()[:, 0].to(self.device), None

    def centre(self, uncentred: tuple[int, ...] = (), medians: tuple[int, ...] = ()) -> None:
        """Subtract from rows the means of all columns but those given, in float64; of ``medians``, the median.

        An offset is a bias by another name. As in PCA, it spares the networks the work of finding the mean,
        and it keeps what a column like 1e9 + N(0, 1) holds through the cast to float32.
        """
        key = uncentred, medians
        if key not in self._shared:
            means = self._mean(self._inputs)
            self._shared[key] = means, self._mean(self._targets) if self.paired else means
            for means in self._shared[key]:
                means[list(uncentred)] = 0
            if medians:  # heavy tails can move a mean anywhere
                means[list(medians)] = torch.as_tensor(self.quantiles(medians, (0.5,))[0]).to(means)
        self.offset, self.target_offset = self._shared[key]

    def divide(self) -> None:
        """Divide inputs and targets, once they are centred, by their deviation; see `units.unit`.

        Then they are what networks, their first weights and learning rates are made for, whatever the unit that
        X is given in.
        """
        key = "unit", id(self.offset)
        if key not in self._shared:
            own = units.unit(self._inputs, self.offset, self._weight)
            other = units.unit(self._targets, self.target_offset, self._weight) if self.paired else own
            self._shared[key] = own, other, self.offset
        self.unit, self.target_unit, _ = self._shared[key]

    def counts(self) -> np.ndarray:
        """Return how many rows have a value, of inputs and of targets: (2, 1), or (2, n_features) with gaps."""
        inputs = chunks.count_rows(self._inputs, self.missing)
        return np.stack([inputs, chunks.count_rows(self._targets, self.missing) if self.paired else inputs])

    def move_centre(self, n_before: np.ndarray, fixed: tuple[int, ...] = ()) -> tuple[Tensor, Tensor] | None:
        """Move the centres that there are, but for ``fixed`` columns, to the means of these and so many rows.

        ``n_before`` are `counts`. Return how far they move, if they do.
        """
        n, shifts = self.counts(), []
        shares = n / np.maximum(n_before + n, 1)
        for rows, centre, share in zip(
            (self._inputs, self._targets), (self.offset, self.target_offset), shares, strict=True
        ):
            shift = self._mean(rows).to(centre) - centre  # type: ignore[operator]
            shift[list(fixed)] = 0
            shifts.append(shift * torch.as_tensor(share).to(shift))
        if not any(shift.any() for shift in shifts):
            return None
        self.offset, self.target_offset = self.offset + shifts[0], self.target_offset + shifts[1]  # type: ignore[operator]
        return shifts[0], shifts[1]

    def _mean(self, rows) -> Tensor:
        return chunks.column_means(rows, self._weight, self.missing).to(arrays.torch_dtype(self.X))

    def to_watch(self) -> "TrainingData | None":
        """Return the rows to watch, centred as those to train on, where they were given apart from these."""
        if self.watched is not None:
            self.watched.offset = self.watched.target_offset = self.offset
            self.watched.unit, self.watched.target_unit = self.unit, self.target_unit
        return self.watched

    def inputs(self, change: Callable[[Tensor], Tensor] | None = None) -> Rows:
        """Serve the inputs, once they are centred.

        ``change`` is applied to each batch of them, and marks what is missing.
        """
        if change is not None:
            width = 2 * self.X.shape[1] if self.missing else None
            return Rows(self._inputs, self.offset, self.dtype, self.device, self.unit, change, width)
        key = "inputs", id(self.offset), self.unit
        if key not in self._shared:
            self._shared[key] = Rows(self._inputs, self.offset, self.dtype, self.device, self.unit), self.offset
        return self._shared[key][0]

    def targets(self, apart: bool = False) -> Rows | None:
        """Serve the targets, zero where they are missing; None where they are the inputs, and not ``apart``."""
        if not (self.paired or self.missing or apart):
            return None
        fill = torch.nan_to_num if self.missing else None
        return Rows(self._targets, self.target_offset, self.dtype, self.device, self.target_unit, fill)

    def entry_weight(self) -> Rows | None:
        """Serve weights of the targets' entries: zero for those that are missing; None where none can be."""
        if not self.missing:
            return None
        return Rows(self._targets, None, self.dtype, self.device, 1.0, lambda x: (x == x).to(x.dtype))

    def row_weight(self) -> Tensor | None:
        """Return weights with mean one over the rows trained on, and over those held out."""
        if self._weight is None:
            return None
        weight = self._weight.to(self.device, copy=True)
        for rows in (self.train_rows, self.validation_rows):
            if rows is not None:
                ranks = current()
                weight[rows] /= ranks.sum(weight[rows].sum()) / ranks.count(len(rows))
        return weight

    def largest_magnitude(self) -> float:
        """Return the largest absolute value of an input."""
        return max(map(abs, chunks.extremes(self._inputs, self.missing)))

    def target_range(self) -> tuple[float, float]:
        """Return the smallest and the largest target."""
        return chunks.extremes(self._targets, self.missing)

    def target_chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Walk over the targets as they were given: yield which rows, and the rows."""
        return chunks.chunks(self._targets)

    def dominant_columns(self, power: int, among: Sequence[int] | None = None) -> list[int]:
        """Return the few target columns, of those ``among``, that carry nearly all of a loss; see `units`."""
        if among is None or len(among) == self._targets.shape[1]:
            return units.dominant_columns(self._targets, power)
        found = units.dominant_columns(self._targets[:, [*among]], power) if among else []
        return [among[number] for number in found]

    def looks_channels_first(self, shape: tuple[int, int, int]) -> bool:
        """Tell whether inputs plainly are images in another order; see `units.looks_channels_first`."""
        return units.looks_channels_first(self._inputs, shape)

    def input_means(self) -> Tensor:
        """Return each input column's mean."""
        return self._mean(self._inputs)

    def column_means(self) -> Tensor:
        """Return each target column's mean."""
        return self._mean(self._targets)

    @property
    def scaler(self) -> str:
        """What to advise to whom columns should be of one unit."""
        return "sklearn.preprocessing.StandardScaler" + ("(with_mean=False)" if sparse.issparse(self.X) else "")

    @property
    def precision(self) -> float:
        """The relative spacing of the numbers that X is given in."""
        return torch.finfo(arrays.torch_dtype(self.X)).eps

    def quantiles(self, columns: Sequence[int], probabilities: Sequence[float]) -> np.ndarray:
        """Return quantiles of input columns, (n_quantiles, n_columns); of many rows, of evenly spaced ones."""
        some = chunks.spread(torch.arange(self._inputs.shape[0]), 20_000)
        reader, numbers = Reader(self._inputs), torch.tensor(columns)
        batches = some.split(chunk_rows(8 * self._inputs.shape[1]))
        parts = [reader.gather(index).cpu()[:, numbers].double() for index in batches]
        picked = current().gather(torch.cat(parts))
        if not self.missing:
            return np.quantile(picked.numpy(), probabilities, axis=0)
        seen = torch.where(picked.isnan().all(0), 0.0, picked)  # a column without a value is zero
        return np.nanquantile(seen.numpy(), probabilities, axis=0)

    def statistics(self) -> tuple:
        """Return each input column's standard deviation, minimum, maximum and mean, as NumPy arrays."""
        return chunks.column_statistics(self._inputs, self.missing)
