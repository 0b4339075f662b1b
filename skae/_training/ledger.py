"""What each epoch of a run adds up to beside the objective."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .._objectives.losses import Loss


class Ledger:
    """Sums over the rows of each epoch. They stay on the device, so that no step waits for them.

    Parameters
    ----------
    n_rows : int
        Rows of an epoch: when so many have been seen, the next batch begins another.

    Attributes
    ----------
    row_counts : list of int
        Rows seen in each epoch.
    sums : dict of str to list of 0-d Tensor
        By name, a sum for each epoch.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.row_counts: list[int] = []
        self.sums: dict[str, list[Tensor]] = {}

    def begin(self, n: int) -> float:
        """Note a batch of ``n`` rows; return how many epochs had passed before it."""
        if not self.row_counts or self.row_counts[-1] >= self.n_rows:
            self.row_counts.append(0)
        epochs = len(self.row_counts) - 1 + self.row_counts[-1] / self.n_rows
        self.row_counts[-1] += n
        return epochs

    def add(self, name: str, total: Tensor) -> None:
        """Add a sum over the rows of the batch that has begun."""
        sums = self.sums.setdefault(name, [])
        if len(sums) < len(self.row_counts):
            sums.append(total.clone())  # the memory of ``total`` may be used again
        else:
            sums[-1] += total

    def curve(self, name: str) -> list[float]:
        """Return the mean over rows of each epoch."""
        # An epoch that was cut short may have begun without having a sum.
        return [float(total) / n for total, n in zip(self.sums.get(name, []), self.row_counts, strict=False)]


def watched(loss: Loss, note: Callable[[Tensor], object]) -> Loss:
    """Return the same loss, which tells ``note`` of its values, or of their sum, whenever it is computed."""

    def noting(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def noted(*arguments: Tensor) -> Tensor:
            value = function(*arguments)
            note(value.detach())
            return value

        return noted

    computed = {name: getattr(loss, name) for name in ("entrywise", "sum_and_gradient", "rowwise")}
    noted: dict[str, Any] = {name: noting(function) for name, function in computed.items() if function is not None}
    return loss._replace(**noted)
