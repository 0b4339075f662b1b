"""Which rows are those of a fit."""

import numpy as np
from numpy.testing import assert_array_equal

from skae._data.fingerprint import fingerprint, places


def test_zeros_and_missing_values_have_no_sign():
    """That of the NaN of 0 / 0 is another than that of `numpy.nan` on most processors."""
    X = np.array([[0.0, np.nan, i] for i in range(5)])
    for signs in ([-1, 1, 1], [1, -1, 1]):
        assert_array_equal(places(np.copysign(X, signs * np.ones(X.shape)), fingerprint(X)), np.arange(5))
