"""Frames asked for by `set_output` or the global configuration change what comes out, never what is computed."""

import pandas as pd
import pytest
from estimators import assert_same, configured, detector, rows
from sklearn import config_context
from sklearn.base import clone

from skae import AutoencoderTransformer
from skae.inspection import OutlierDisplay

kinds = pytest.mark.parametrize("kind", ["pandas", "polars"])


@kinds
def test_members_that_return_frames(kind):
    """Numbers of frames may be read-only."""
    X = pd.DataFrame(rows(), columns=list("abcde"))
    member = configured(AutoencoderTransformer, random_state=None)
    plain = detector(member).fit(X)
    framed = detector(clone(member).set_output(transform=kind)).fit(X)
    OutlierDisplay.from_estimator(framed, X)
    for name in ("expected_values", "score_features", "score_samples"):
        assert_same(getattr(framed, name)(X), getattr(plain, name)(X))
    with config_context(transform_output=kind):
        assert_same(plain.expected_values(X), framed.expected_values(X))
