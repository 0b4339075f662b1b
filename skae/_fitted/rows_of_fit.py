"""Rows of `fit` that are given to an outlier detector again: most members have learned them."""

from typing import Any, NamedTuple

import numpy as np

from .._data.fingerprint import places
from .._support.warnings import warn
from . import conformal

_TOO_FEW = 5  # outliers that are missed: from so many on it is told, and of a half from so many on:
_FEWEST = 3


class RowsOfFit(NamedTuple):
    """What is known of the rows of `fit`.

    Attributes
    ----------
    fingerprint : dict
        What tells them from others, see `fingerprint`; an array, or None, in files of older versions.
    oddness : ndarray of shape (n_rows,)
        How odd they are to members that have not seen them, NaN where all have.
    reference : ndarray
        The same, sorted, of those that p-values compare with.
    false_alarm_rate : float
        Rows are outliers whose p-value is at most this.
    """

    fingerprint: Any
    oddness: np.ndarray
    reference: np.ndarray
    false_alarm_rate: float

    def places(self, X) -> np.ndarray:
        """Return which row of `fit` each row is, -1 for others."""
        return places(X, self.fingerprint)

    def unseen(self, which: np.ndarray, samples: list[np.ndarray]) -> np.ndarray:
        """Tell which of these rows of `fit` are new to which members, trained on ``samples``; no others are."""
        of_fit, unseen = which >= 0, np.zeros((len(samples), len(which)), dtype=bool)
        for is_unseen, seen in zip(unseen, samples, strict=True):
            is_unseen[of_fit] = ~np.isin(which[of_fit], seen)
        return unseen

    def tell_of_p_values(self, X, oddness: np.ndarray, *, has_left_out: bool = False) -> None:
        """Warn where fewer rows of `fit` have small p-values, by their oddness, than to members without them."""
        n, found, unseen = self._count(self.places(X), oddness)
        if not _are_missed(found, unseen):
            return
        instead = (
            "These have left_out_scores_ < offset_, attributes of the detector; or give the share to find as "
            "contamination"
        )
        if has_left_out:
            instead = "Pass left_out=True to judge rows by members that have not seen them"
        which = "X are the rows of fit" if n == len(oddness) else f"{n} rows of X are rows of fit"
        warn(
            f"{which}, which members have learned, so that their p-values are too large: {found} of {n} are at "
            f"most {self.false_alarm_rate}. To members that have not seen them, {unseen} rows are as odd as that. "
            f"{instead}."
        )

    def tell_of_reasons(self, which: np.ndarray, oddness: np.ndarray) -> None:
        """Warn where odd rows of `fit` are explained, of which members that have learned them find few odd."""
        n, found, unseen = self._count(which, oddness)
        if _are_missed(found, unseen) or (unseen == len(which) and found <= unseen / 2):
            warn(
                f"{n} rows of X are rows of fit, which most members have learned: reasons are too weak, and "
                f"expected values too near to those found. {unseen} of them are odd to members that have not seen "
                f"them, {found} to all members. Pass left_out=True to ask the former."
            )

    def _count(self, which: np.ndarray, oddness: np.ndarray) -> tuple[int, int, int]:
        """Count the rows of `fit`, and those with small p-values by all members and by members without them."""
        of_fit, threshold = which >= 0, conformal.threshold(self.reference, self.false_alarm_rate)
        by_others = self.oddness[which[of_fit]]
        return int(of_fit.sum()), int((oddness[of_fit] > threshold).sum()), int((by_others > threshold).sum())


def _are_missed(found: int, unseen: int) -> bool:
    """Tell whether members that have learned rows find too few of the outliers that members without them find."""
    n_missed = unseen - found
    return n_missed >= _TOO_FEW or n_missed >= max(_FEWEST, unseen / 2)
