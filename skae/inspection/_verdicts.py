"""What a detector says of rows: of new ones by its public methods, of rows of `fit` by members without them."""

from typing import Any

import numpy as np

from .._fitted.verdicts import Verdicts
from ._rows import take, to_numpy
from ._steps import Found


def verdicts_of(found: Found) -> Verdicts:
    """Return scores and p-values of rows, and what tells the reasons of some of them."""
    detector, rows = found.estimator, found.rows
    of_left_out = getattr(detector, "_of_left_out", None)
    if of_left_out is not None:
        return of_left_out(rows)
    return Verdicts(
        to_numpy(detector.score_samples(rows)),
        to_numpy(detector.p_values(rows)),
        lambda numbers: to_numpy(detector.score_features(take(rows, numbers))),
        lambda numbers: to_numpy(detector.expected_values(take(rows, numbers))),
    )


def explain(verdicts: Verdicts, numbers: np.ndarray, n_features: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the contributions of features to the oddness of rows, and the values that are expected.

    None where there is no row, or where neither the detector nor its members know what is expected.
    """
    if not len(numbers):
        return np.empty((0, n_features)), None
    reasons = verdicts.reasons(numbers)
    try:
        return reasons, verdicts.expected(numbers)
    except AttributeError:
        return reasons, None


def told_of_panels(detector) -> dict[str, Any]:
    """Return the units of scores and reasons, and the rate of false alarms where p-values have the threshold."""
    score_unit, reason_unit = getattr(detector, "_units", ("", "contribution"))
    of_scores = getattr(detector, "contamination", "auto") != "auto"
    rate = None if of_scores else getattr(detector, "false_alarm_rate", None)
    return {"score_unit": score_unit, "reason_unit": reason_unit, "false_alarm_rate": rate}
