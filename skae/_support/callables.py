"""Functions that users bring: their errors say what they are given, and who has made NaN."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_LARGEST = 1e6  # of what a function is given, above which it is training that has diverged
_TO_NUMPY = "Use tensor.detach().numpy() instead."  # torch's advice, after which a term has no effect
_AT_ZERO = (
    "Roots, logarithms and divisions are not finite at zero: add a small constant inside them, or bound with "
    "torch.clamp what they are given."
)
_ONE_ROW = (
    "The batch had a single row, which has no deviation: leave out the correction, such as by "
    "code.var(0, correction=0), or choose another batch_size, so that none is left over."
)
_DTYPES = "Bring tensors of your own to the dtype of those that are given, such as by constant.to(code). "
_AT_ONCE = 64  # calls that are looked at together: one by one, that would take as long as small functions


class OwnFunction:
    """A user's function of tensors.

    Parameters
    ----------
    function : callable
    name : str
        What it is called in messages.
    contract : str
        What it is given and has to return, as a sentence.
    cause : str
        A sentence on what makes its numbers NaN or infinite, where that is known beforehand.
    """

    def __init__(self, function: Callable[..., Any], name: str, contract: str, cause: str = "") -> None:
        self._function, self.name, self.contract, self._cause = function, name, contract, cause
        # Sums of what it made, and the magnitude of what it was given, of the calls since the last look at these.
        self._calls: list[tuple[Tensor, Tensor]] = []
        self._n_rows: list[int] = []  # that it was given
        self._found: Tensor | None = None  # the largest such magnitude where it was odd, or -1
        self._of_one = torch.zeros((), dtype=torch.bool)  # whether it was odd of a single row

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; what it fails with says what it is given."""
        try:
            return self._function(*arguments)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, AttributeError | TypeError) else ValueError
            cause = _DTYPES if "dtype" in str(error) else ""
            raise kind(f"{self.name} failed with {_told(error)}. {cause}{self.contract}") from error

    def watched(self, given: Tensor, *others: Tensor) -> Tensor:
        """Return what to give in place of a tensor, beside others, so that its gradient is looked at."""
        if not given.requires_grad:
            return given
        view, largest = given.view_as(given), _largest(given, *others)
        view.register_hook(lambda gradient: self._note(gradient, largest))
        return view

    def look(self, result: Tensor, *given: Tensor) -> None:
        """Take note of whether a result is finite, without waiting for the device."""
        self._note(result.detach(), _largest(*given))

    def _note(self, made: Tensor, largest: Tensor) -> None:
        self._calls.append((made.sum(), largest))
        self._n_rows.append(len(made) if made.ndim else 0)
        if len(self._calls) >= _AT_ONCE:
            self._look_back()

    def _look_back(self) -> None:
        made, largest = (torch.stack(values) for values in zip(*self._calls, strict=True))
        is_odd = ~made.isfinite() & (largest <= _LARGEST)
        odd = torch.where(is_odd, largest, -1).amax()
        self._found = odd if self._found is None else torch.maximum(self._found, odd)
        single = torch.tensor(self._n_rows, device=odd.device) == 1
        self._of_one = self._of_one.to(odd.device) | (is_odd & single).any()
        self._calls.clear()
        self._n_rows.clear()

    def blame(self) -> str | None:
        """Say that the function has made numbers that are not finite of ordinary ones, or return None."""
        if self._calls:
            self._look_back()
        if self._found is None or self._found < 0:
            return None
        cause = self._cause or (_ONE_ROW if self._of_one else _AT_ZERO)
        return (
            f"{self.name} returned NaN or infinity, or had such a gradient, where it was given finite numbers, of "
            f"magnitude {float(self._found):.4g} at most. {cause}"
        )


def _told(error: Exception) -> str:
    """Return the kind of an error and what it says, without torch's advice to lose the gradient."""
    said = str(error).replace(_TO_NUMPY, "").strip().removesuffix(".")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _largest(*given: Tensor) -> Tensor:
    first, *others = (torch.linalg.vector_norm(each.detach(), torch.inf) for each in given)
    for other in others:
        first = torch.maximum(first, other.to(first))
    return first


def described(rows: Tensor, name: str) -> str:
    """Say what tensor a function is given."""
    return f"{name}, a torch tensor of shape {tuple(rows.shape)}, {rows.dtype} on {rows.device}"
