"""Missing values in estimators that take them: a masked loss, marked inputs, marginals, imputations."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import MISSING
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.stats import multivariate_normal
from sklearn.base import clone

from skae import AutoencoderOutlierDetector, DenoisingAutoencoder, VAESampler

EVERY = [pytest.param(estimator, id=name) for name, estimator in MISSING.items()]


@pytest.fixture(scope="module")
def holes(wine):
    """Wine with a fifth of its values missing, one row and no column without any."""
    X = wine.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    X[7] = np.nan
    return X


@pytest.mark.parametrize("name", sorted({*MISSING} - {"denoising_missing_masking"}))  # which makes some missing
def test_without_missing_values_the_fit_is_the_same(name, wine):
    model, plain = clone(MISSING[name]).fit(wine), clone(MISSING[name]).set_params(missing_values=None).fit(wine)
    assert_allclose(model.transform(wine), plain.transform(wine), rtol=1e-9, atol=1e-12)
    assert_allclose(model.loss_curve_, plain.loss_curve_, rtol=1e-12)


@pytest.mark.parametrize("estimator", EVERY)
class TestEveryEstimator:
    def test_what_stands_at_missing_values_is_never_seen(self, estimator, holes):
        marked = np.where(np.isnan(holes), -999.0, holes)
        model = clone(estimator).fit(holes)
        other = clone(estimator).set_params(missing_values=-999).fit(marked)
        assert_array_equal(model.transform(holes), other.transform(marked))
        assert_array_equal(model.impute(holes), other.impute(marked))
        assert_array_equal(model.score_samples(holes), other.score_samples(marked))

    def test_values_that_are_there_come_back(self, estimator, holes):
        for X in (holes, holes.astype(np.float32)):
            filled = clone(estimator).fit(X).impute(X)
            assert filled.dtype == X.dtype
            assert np.isfinite(filled).all()
            assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])

    def test_rows_do_not_depend_on_each_other(self, estimator, holes):
        model = clone(estimator).fit(holes)
        assert_allclose(model.impute(holes[3:5]), model.impute(holes)[3:5], rtol=1e-12)
        assert_allclose(model.transform(holes[3:5]), model.transform(holes)[3:5], rtol=1e-12, atol=1e-12)

    def test_errors_and_score_are_those_of_what_is_there(self, estimator, holes):
        model = clone(estimator).fit(holes)
        X = np.delete(holes, 7, axis=0)
        squares = (model.reconstruct(X) - X) ** 2
        assert_allclose(model.reconstruction_error(X, per_feature=True), squares)
        assert_allclose(model.reconstruction_error(X), np.nanmean(squares, axis=1))
        assert np.isfinite(model.score(X))

    def test_both_steps_agree(self, estimator, holes):
        class ByAutograd(type(estimator)):
            def _penalty(self, x, code):
                return 0 * code.sum(1)

        explicit = clone(estimator).fit(holes)
        autograd = ByAutograd(**explicit.get_params()).fit(holes)
        assert_allclose(autograd.loss_curve_, explicit.loss_curve_, rtol=1e-9)

    def test_portions_and_files(self, estimator, holes):
        model = clone(estimator)
        for rows in (slice(0, 60), slice(60, 178)):
            model.partial_fit(holes[rows])
        loaded = pickle.loads(pickle.dumps(model))
        assert_array_equal(loaded.impute(holes), model.impute(holes))

    def test_data_frames_with_na(self, estimator, holes):
        frame = pd.DataFrame(holes, columns=[f"x{i}" for i in range(13)]).astype("Float64")
        model = clone(estimator).fit(frame)
        assert_allclose(model.transform(frame), clone(estimator).fit_transform(holes), rtol=1e-9)

    def test_early_stopping_and_columns_without_a_value(self, estimator, holes):
        X = holes.copy()
        X[:, 3] = np.nan
        model = clone(estimator).set_params(early_stopping=True, validation_fraction=0.2).fit(X)
        assert np.isfinite(model.validation_loss_curve_).all()
        assert np.isfinite(model.impute(X)).all()

    def test_refused(self, estimator, holes):
        with pytest.raises(ValueError, match="infinity"):
            clone(estimator).fit(np.where(np.isnan(holes), np.inf, holes))
        with pytest.raises(ValueError, match=r"Input.* contains NaN"):
            clone(estimator).set_params(missing_values=-1).fit(holes)
        with pytest.raises(TypeError, match=r"[Ss]parse"):
            clone(estimator).fit(csr_array(np.nan_to_num(holes)))
        with pytest.raises(ValueError, match=r"missing_values=nan .*does not work with image_shape"):
            clone(estimator).set_params(image_shape=(13, 1)).fit(holes)
        model = clone(estimator).set_params(missing_values=None).fit(np.nan_to_num(holes))
        assert not hasattr(model, "impute")
        with pytest.raises(ValueError, match="contains NaN"):
            model.transform(holes)


# Against closed forms ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linear_gaussian():
    """A linear model of one factor, and the mean and covariance of its p(x)."""
    rng = np.random.default_rng(1)
    X = (
        rng.normal(size=(400, 1)) @ np.array([[1.0, -0.8, 0.6]])
        + 0.5 * rng.normal(size=(400, 3))
        + [1.0, 2.0, 3.0]
    )
    X[rng.random(X.shape) < 0.2] = np.nan
    model = VAESampler(
        1, hidden_layer_sizes=(), missing_values=np.nan, learning_rate=0.01, max_iter=60, tol=None, random_state=0
    ).fit(X)
    weight = (model.inverse_transform([[1.0]]) - model.inverse_transform([[0.0]])).reshape(-1, 1)
    mean = model.inverse_transform([[0.0]])[0]
    covariance = weight @ weight.T + np.diag(model.decoder_.variance.detach().numpy())
    return model.set_params(n_importance_samples=4096), mean, covariance


@pytest.mark.parametrize("gone", [[0], [1, 2], []])
def test_scores_are_marginal_likelihoods(linear_gaussian, gone):
    model, mean, covariance = linear_gaussian
    x = np.array([2.0, 1.0, 3.5])
    seen = [column for column in range(3) if column not in gone]
    expected = multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(x[seen])
    x[gone] = np.nan
    assert_allclose(model.score_samples([x]), expected, atol=0.02)


@pytest.mark.parametrize("gone", [[0], [1, 2]])
def test_imputations_are_conditional_means(linear_gaussian, gone):
    model, mean, covariance = linear_gaussian
    x = np.array([2.0, 1.0, 3.5])
    seen = [column for column in range(3) if column not in gone]
    slope = covariance[np.ix_(gone, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    expected = mean[gone] + slope @ (x - mean)[seen]
    x[gone] = np.nan
    assert_allclose(model.impute([x])[0, gone], expected, atol=0.02)


@pytest.mark.parametrize(
    "settings",
    [{"likelihood": "student_t"}, {"decoder_variance": "conditional"}, {"likelihood": "poisson"}],
    ids=str,
)
def test_every_likelihood_starts_at_what_is_there(settings, holes):
    X = np.abs(holes)
    X[:, 3] = np.nan
    model = VAESampler(2, missing_values=np.nan, max_iter=3, random_state=0, **settings).fit(X)
    assert np.isfinite(model.loss_curve_).all()
    assert np.isfinite(model.impute(X)).all()


@pytest.mark.parametrize(
    "estimator", [VAESampler(4), DenoisingAutoencoder(8, noise="masking")], ids=lambda e: type(e).__name__
)
def test_missing_values_are_filled_better_than_by_means(estimator, breast_cancer):
    hidden = np.random.default_rng(0).random(breast_cancer.shape) < 0.3
    X = np.where(hidden, np.nan, breast_cancer)
    settings = {"learning_rate": 3e-3, "batch_size": 200, "max_iter": 100, "tol": None, "random_state": 0}
    model = clone(estimator).set_params(missing_values=np.nan, **settings).fit(X)
    error = np.sqrt(np.mean((model.impute(X) - breast_cancer)[hidden] ** 2))
    assert error < 0.75  # 1.0 by means


# Noise on rows with missing values -------------------------------------------------------------------------------


def denoising(**settings):
    return DenoisingAutoencoder(
        3, missing_values=np.nan, hidden_layer_sizes=(8,), max_iter=3, tol=None, random_state=0, **settings
    )


def test_masking_makes_values_missing(holes):
    def gone(x, generator):
        drawn = torch.empty(x.shape, dtype=torch.float32).uniform_(generator=generator)
        return x.masked_fill(drawn < 0.4, torch.nan)

    masked = denoising(noise="masking", noise_level=0.4, clean_fraction=0).fit(holes)
    own = denoising(noise=gone).fit(holes)
    assert_allclose(own.loss_curve_, masked.loss_curve_, rtol=1e-9)
    assert_allclose(own.impute(holes), masked.impute(holes), rtol=1e-9)


def test_what_is_missing_stays_so_under_any_noise(holes):
    missing = np.isnan(holes)

    def filling(x, generator):
        assert (x.isnan().sum(0) <= torch.tensor(missing.sum(0))).all()
        assert x.isnan().any()
        return x.nan_to_num(1e6)

    silent = denoising(noise_level=0.0, batch_size=178).fit(holes)
    own = denoising(noise=filling, batch_size=178).fit(holes)
    assert_allclose(own.loss_curve_, silent.loss_curve_, rtol=1e-9)
    pepper = denoising(noise="salt_and_pepper", noise_level=1.0, clean_fraction=0, batch_size=178).fit(holes)
    assert np.isfinite(pepper.loss_curve_).all()


def test_residual_variance_is_that_of_what_is_there(holes):
    X = holes.copy()
    X[:, 3] = np.nan
    model = denoising(noise_level=0.0).fit(X)
    squares = model.reconstruction_error(X, per_feature=True)
    expected = np.where(np.arange(13) == 3, 0, np.nanmean(np.where(np.arange(13) == 3, 0, squares), axis=0))
    assert_allclose(model.residual_variance_, expected, rtol=1e-6)


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper"])
def test_chains_start_anywhere_and_draw_whole_rows(noise, holes):
    model = denoising(noise=noise).fit(holes)
    drawn = model.sample(20, random_state=0, burn_in=3, X_init=holes[:20])
    assert np.isfinite(drawn).all()
    assert np.isfinite(model.sample(5, random_state=0, burn_in=3)).all()


def test_pairs_may_have_missing_values_on_both_sides(wine, holes):
    clean = wine.copy()
    clean[::5, 2] = np.nan
    model = denoising().fit(holes, X_clean=clean)
    marked = [np.where(np.isnan(X), -999.0, X) for X in (holes, clean)]
    other = denoising().set_params(missing_values=-999).fit(marked[0], X_clean=marked[1])
    assert_array_equal(other.loss_curve_, model.loss_curve_)
    assert np.isfinite(model.impute(holes)).all()
    with pytest.raises(ValueError, match=r"Input X_clean contains NaN"):
        denoising().set_params(missing_values=None).fit(wine, X_clean=clean)


@pytest.mark.parametrize("estimator", EVERY)
def test_nothing_speaks_against_a_row_without_values(estimator, holes):
    """Among rows to fit to, and in every method."""
    model = clone(estimator).fit(holes)
    assert model.score_samples(holes)[7] == model.reconstruction_error(holes)[7] == 0
    assert np.isfinite(model.score(holes))
    members = clone(estimator).set_params(random_state=None)
    detector = AutoencoderOutlierDetector(members, n_estimators=3, random_state=0).fit(holes)
    assert np.isnan(detector.left_out_scores_[7])
    assert detector.p_values(holes)[7] == detector.predict(holes)[7] == 1
    scores = detector.score_samples(holes)
    assert scores[7] == np.nanmax(detector.left_out_scores_)
    assert detector.decision_function(holes)[7] == scores[7] - detector.offset_ > 0
    assert not detector.score_features(holes)[7].any()
    assert not detector.select(holes)[7]
    marked = np.where(np.isnan(holes), -999.0, holes)
    other = clone(detector).set_params(autoencoder__missing_values=-999).fit(marked)
    assert_array_equal(other.score_samples(marked), scores)
