"""Numbers far from one: a right result or an error that says what to do, and never a bare error of torch's."""

import warnings

import numpy as np
import pytest
from estimators import (
    CLASSIFIERS,
    CONFIGURATIONS,
    CONVOLUTIONAL,
    INEXACT_WEIGHTS,
    MISSING,
    configured,
    detector,
    labels,
    rows,
)
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone

from skae import (
    AutoencoderImputer,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SparseAutoencoder,
    TabularVAESampler,
    VAESampler,
)

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


WITHIN = (2.0**-90, 2.0**90)  # nearly the limits of what networks divide by
UNDIVIDED = ("ordered_linear", "vae_loss")
DIVIDED = {
    name: estimator
    for name, estimator in {**CONFIGURATIONS, **MISSING, **INEXACT_WEIGHTS, **CONVOLUTIONAL, **CLASSIFIERS}.items()
    if (getattr(estimator, "loss", None) in ("squared_error", "absolute_error") and name not in UNDIVIDED)
    or name in ("vae", "vae_conditional", "vae_mixture", "vae_missing", "images_vae", "classifier")
}
every_divided = pytest.mark.parametrize("estimator", DIVIDED.values(), ids=DIVIDED)


@every_divided
@pytest.mark.parametrize("scale", [1e-150, 1e-42, 1e-32, 1e32, 1e39, 1e100, 1e150])
def test_units_that_networks_cannot_have_are_an_error(estimator, scale):
    model = clone(estimator)
    with pytest.raises(ValueError, match=r"largest magnitude in .* must be 0 or between about .* divide it by"):
        model.fit(rows() * scale, labels(rows()))
    assert not hasattr(model, "encoder_")


@pytest.mark.parametrize("dtype", ["auto", "float32", "float64"])
@pytest.mark.parametrize("scale", WITHIN)
@pytest.mark.parametrize("data", [np.float64, np.float32])
def test_scores_up_to_these_limits_do_not_depend_on_the_unit(dtype, scale, data):
    X = rows().astype(data)
    plain, model = (configured(AutoencoderTransformer, dtype=dtype, alpha=0).fit(x) for x in (X, X * data(scale)))
    assert_allclose(model.score(X * data(scale)), plain.score(X), rtol=1e-5)


@pytest.mark.parametrize("likelihood", [VAESampler(), VAESampler(decoder_variance="conditional")])
@pytest.mark.parametrize(("dtype", "scales"), [("float64", WITHIN), ("float32", (2.0**-45, 2.0**55))])
def test_likelihoods_of_any_unit(likelihood, dtype, scales):
    X = rows()
    parameters = {"decoder_variance": likelihood.decoder_variance, "dtype": dtype}
    plain = configured(VAESampler, **parameters).fit(X)
    for scale in scales:
        model = configured(VAESampler, **parameters).fit(X * scale)
        in_units = model.score_samples(X * scale) + X.shape[1] * np.log(scale)
        assert_allclose(in_units, plain.score_samples(X), atol=1e-3)
        assert_allclose(model.sample(50, random_state=0) / scale, plain.sample(50, random_state=0), atol=1e-3)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_variances_that_single_precision_cannot_hold_are_an_error(scale):
    with pytest.raises(ValueError, match=r"magnitude in column 0 of X is .* between about 1e-17 and 2e\+19"):
        configured(VAESampler, dtype="float32").fit(rows() * scale)


def test_sparse_rows_of_single_precision_are_measured_in_it():
    X = sparse.csr_array(rows().astype(np.float32) * np.float32(1e20))
    with pytest.raises(ValueError, match=r"its deviation .* between about 1e-19 and 2e\+19"):
        configured(AutoencoderTransformer).fit(X)


def test_a_penalty_in_units_of_tiny_rows_is_no_bare_error():
    model = configured(SparseAutoencoder, dtype="float32", sparsity="kl", sparsity_weight=0.01)
    assert np.isfinite(model.fit(rows() * 1e-28).transform(rows() * 1e-28)).all()


def test_rows_that_do_not_vary_are_none():
    for value in (0.0, 1e-300, 0.1, 1e-20, 1e40):
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
