"""What an outlier detector says of rows, as displays ask for it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Verdicts(NamedTuple):
    """What an outlier detector says of rows.

    Attributes
    ----------
    scores, p_values : ndarray of shape (n_rows,)
        NaN where nothing can be said.
    reasons, expected : callable
        Given the numbers of rows, return the contributions of features to how odd these are, and what each feature
        is expected to be: ndarrays of shape (len(numbers), n_features). An ``AttributeError`` says that the
        detector does not know.
    """

    scores: np.ndarray
    p_values: np.ndarray
    reasons: Callable[[np.ndarray], np.ndarray]
    expected: Callable[[np.ndarray], np.ndarray]
