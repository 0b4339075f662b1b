"""Numbers far from one: a right result or an error that says what to do, and never a bare error of torch's."""

import warnings

import numpy as np
import pytest
from estimators import configured, detector, rows
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skae import AutoencoderImputer, AutoencoderTransformer, DenoisingAutoencoder, TabularVAESampler

SCALES = (1e-100, 1e-40, 1e40, 1e100)
IMPUTER = AutoencoderImputer(n_estimators=2, max_iter=2, random_state=0)


def with_holes(X):
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    return holes


@pytest.mark.parametrize("scale", SCALES)
def test_a_detector_judges_rows_of_any_unit(scale):
    X = rows(200)
    plain, model = detector().fit(X), detector().fit(X * scale)
    assert_allclose(model.score_samples(X * scale), plain.score_samples(X), rtol=0.05)
    assert_allclose(model.score_features(X * scale), plain.score_features(X), rtol=0.2, atol=0.02)
    assert np.mean(model.predict(X * scale) != plain.predict(X)) < 0.02


def test_a_detector_judges_subnormal_rows_of_single_precision():
    X = (rows(200) * 1e-40).astype(np.float32)
    model = detector().fit(X)
    scores = model.score_samples(X)
    assert scores.dtype == np.float32
    assert_allclose(scores, detector().fit(rows(200)).score_samples(rows(200)), rtol=0.1)


@pytest.mark.parametrize("scale", SCALES)
def test_an_imputer_fills_rows_of_any_unit(scale):
    X = with_holes(rows(100))
    filled = clone(IMPUTER).fit_transform(X * scale) / scale
    assert_allclose(filled, clone(IMPUTER).fit_transform(X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("estimator", [detector(), IMPUTER], ids=["detector", "imputer"])
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_what_cannot_be_measured_is_an_error(estimator, scale):
    X = rows()
    X[:, 1] *= scale
    with pytest.raises(ValueError, match=r"magnitude in column 1 of X is \d.*[+-]\d+.*divide it by") as error:
        clone(estimator).fit(X)
    assert f"{np.abs(X[:, 1]).max():.4g}" in str(error.value)


@pytest.mark.parametrize("rescaled", [lambda X: X * 1e-300, lambda X: (X * 1e-40).astype(np.float32)])
@pytest.mark.parametrize("estimator", [AutoencoderTransformer, DenoisingAutoencoder])
def test_rows_whose_deviation_vanishes_are_an_error(estimator, rescaled):
    X = rescaled(rows())
    model = configured(estimator)
    with pytest.raises(ValueError, match=r"largest magnitude in X is .* divide it by"):
        model.fit(X)
    assert not hasattr(model, "encoder_")
    if X.dtype == np.float64:
        with pytest.raises(ValueError, match=r"largest magnitude in X is .* divide it by"):
            model.fit(sparse.csr_array(X))


def test_rows_that_do_not_vary_are_none():
    for value in (0.0, 1e-300, 0.1):
        configured(AutoencoderTransformer).fit(np.full((60, 3), value))


@pytest.mark.parametrize("scale", [1e-300, *SCALES, 1e300])
@pytest.mark.parametrize("transform", ["quantile", "standard"])
def test_tables_of_any_unit_have_the_scores_of_others(transform, scale):
    X = rows()
    plain, model = (
        configured(TabularVAESampler, numeric_transform=transform).fit(table) for table in (X, X * scale)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(model.score_samples(X * scale), plain.score_samples(X), rtol=1e-4)
