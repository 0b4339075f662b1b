"""The outlier detector: scores against their definition, p-values, selection, reasons, and use in scikit-learn."""

import json
import os
import pickle
import subprocess
import sys
import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import DETECTORS, along_columns, assert_same, configured, detector, rows
from numpy.testing import assert_allclose, assert_array_equal
from recorder import Recorder
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from test_common_persistence import ROUND_TRIPS

from skae import (
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    TabularVAESampler,
    VAESampler,
)
from skae._fitted.distances import fit_gaussian, fit_to_closest, squared_distance
from skae.inspection import OutlierDisplay

every_detector = pytest.mark.parametrize(
    "estimator", [pytest.param(value, id=name) for name, value in DETECTORS.items()]
)
METHODS = ["score_samples", "decision_function", "predict", "p_values", "score_features", "expected_values"]


@pytest.fixture(scope="module")
def benign():
    X, y = load_breast_cancer(return_X_y=True)
    return X[y == 1], X[y == 0]


@pytest.fixture(scope="module")
def fitted_to_benign(benign):
    return AutoencoderOutlierDetector(random_state=0).fit(benign[0][:250])


# Scores ----------------------------------------------------------------------------------------------------


def test_scores_are_mean_distances(fitted_to_benign, benign):
    """Put together from what is public: the members, and which rows they were given."""
    model, X, new = fitted_to_benign, benign[0][:250], benign[1][:20]
    scale, total, fall, free = X.std(0), 0, np.zeros(30), np.zeros(30)
    for member, seen in zip(model.estimators_, model.estimators_samples_, strict=True):
        unseen = np.setdiff1d(np.arange(250), seen)
        residuals, of_new = ((member.reconstruct(part) - part) / scale for part in (X[unseen], new))
        of_residuals = fit_gaussian([torch.from_numpy(residuals)], 0.02)
        of_codes = fit_to_closest(torch.from_numpy(member.transform(X[seen])), 0.02)
        total = total + squared_distance(of_residuals, torch.from_numpy(of_new)).numpy()
        total = total + 0.3 * squared_distance(of_codes, torch.from_numpy(member.transform(new))).numpy()
        asked = np.tile(new[0], (30, 1))  # one row for each column that is free
        for turn in range(6):
            slope, curvature = along_columns(member, scale, of_residuals, of_codes, asked)
            fall += slope**2 / curvature if turn == 0 else 0
            asked -= np.diag(scale * slope / curvature)
        free += np.diag(asked) / 10
    assert_allclose(model.score_samples(new), -total / 10, rtol=1e-6)
    assert_allclose(model.score_features(new)[0], fall / 10, rtol=1e-6)
    assert_allclose(model.expected_values(new)[0], free, rtol=1e-6)
    exact = EmpiricalCovariance().fit(residuals)  # nearly what is done, but for shrinking
    assert (
        np.corrcoef(exact.mahalanobis(of_new), squared_distance(of_residuals, torch.from_numpy(of_new)))[0, 1]
        > 0.5
    )


def test_columns_that_go_with_no_other_are_explained_too():
    """They pass through the code, so that their residual is small whatever they are."""
    rng = np.random.default_rng(0)
    tie = rng.normal(size=(500, 1))
    X = np.hstack([tie * [1, 2, -1, 3] + 0.1 * rng.normal(size=(500, 4)), rng.normal(size=(500, 2))])
    model = AutoencoderOutlierDetector(random_state=0).fit(X[:400])
    new, column = X[400:].copy(), np.arange(100) % 6
    new[np.arange(100), column] += 4 * X.std(0)[column]
    assert np.mean(model.score_features(new).argmax(1) == column) > 0.9
    off = np.abs(model.expected_values(new) - X[400:])[np.arange(100), column] / X.std(0)[column]
    assert np.median(off[column >= 4]) < 1.5
    assert np.median(off[column < 4]) < 0.3


def with_some_of_another_class(load, normal, n_odd):
    X, y = load(return_X_y=True)
    first = np.flatnonzero(~np.isin(y, normal))[:n_odd]
    chosen = np.r_[np.flatnonzero(np.isin(y, normal)), first]
    return X[chosen], np.repeat([0, 1], [len(chosen) - n_odd, n_odd])


def test_parameters_of_the_recipe_beside_an_autoencoder_are_told_of():
    autoencoder = AutoencoderTransformer(2, max_iter=1)
    with pytest.warns(
        UserWarning, match=r"Without effect beside an autoencoder: trim=0\.1, code_weight=0\.5\."
    ) as caught:
        detector(autoencoder, trim=0.1, code_weight=0.5).fit(rows())
    assert len(caught) == 1
    detector(autoencoder, trim=0.0, device="cpu").fit(rows())


@pytest.mark.parametrize("autoencoder", [None, AutoencoderTransformer(2, max_iter=1)])
def test_devices_are_checked_whatever_the_members_are(autoencoder):
    with pytest.raises(ValueError, match=r"device='gpu' is no device.*'cuda'"):
        detector(autoencoder, device="gpu").fit(rows())
    with pytest.raises(RuntimeError, match="device='cuda:99' is not available"):
        detector(autoencoder, device="cuda:99").fit(rows())


@pytest.mark.parametrize(
    ("load", "normal", "n_odd", "least"), [(load_wine, [1, 2], 10, 0.84), (load_breast_cancer, [1], 18, 0.93)]
)
def test_outliers_among_the_training_rows_are_found(load, normal, n_odd, least):
    """Where they widen no Gaussian; an isolation forest reaches 0.86 and 0.96."""
    X, is_odd = with_some_of_another_class(load, normal, n_odd)
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    assert roc_auc_score(is_odd, -model.score_samples(X)) > least


def test_members_are_autoencoders_of_the_data(fitted_to_benign, benign):
    X = benign[0][250:]
    for member in fitted_to_benign.estimators_:
        assert type(member) is AutoencoderTransformer
        assert member.score(X) > 0.9
        assert_allclose(member.encoder_.offset, benign[0][:250].mean(0), rtol=1e-6)


def test_all_rows_are_left_out_equally_often(fitted_to_benign):
    seen = np.concatenate(fitted_to_benign.estimators_samples_)
    assert set(map(len, fitted_to_benign.estimators_samples_)) == {150}
    assert (np.bincount(seen, minlength=250) == 6).all()


def test_left_out_scores_are_of_members_that_have_not_seen_the_row(fitted_to_benign, benign):
    """A row does not know its own scores: it is as odd as if it were new, however far away it is."""
    X = benign[0][:250].copy()
    X[0] = benign[1][0]
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    unlike, like = model.left_out_scores_[0], np.median(model.left_out_scores_)
    assert unlike < 2 * fitted_to_benign.score_samples(X[:1])[0] / 3
    assert unlike < model.score_samples(X[:1])[0]
    assert like > fitted_to_benign.offset_


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_units_do_not_matter(factor):
    X, new = rows(80), rows(20, seed=1)
    units, shift = np.array([1, factor, 1, 1 / factor, 10]), np.array([0, 3 * factor, 1, -1 / factor, 5])
    plain, other = detector().fit(X), detector().fit(X * units + shift)
    for method in ("score_samples", "score_features", "p_values"):
        changed = getattr(other, method)(new * units + shift)
        assert_allclose(changed, getattr(plain, method)(new), rtol=2e-3, err_msg=method)


def test_far_away_is_odd():
    model = detector().fit(rows(100))
    scores = model.score_samples(np.outer([1.0, 10, 1e3, 1e30], rows(1)[0]))
    assert (np.diff(scores) < 0).all()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e7, 1e12, 1e20, 1e30])
def test_far_away_has_reasons_and_expected_values(dtype, size):
    X = rows(200).astype(dtype)
    X[:, 1] += X[:, 0]
    model = detector().fit(X)
    odd = X[:1].copy()
    odd[0, 1] = size
    assert np.isfinite(model.score_samples(odd)).all()
    slip, near = (model.score_features(np.where(odd == size, x, odd)) for x in (min(size, 1e15), 1e4))
    assert_allclose(slip / slip.sum(), near / near.sum(), atol=2e-3)
    usual = X[:1].copy()
    usual[0, 1] = 0
    assert abs(model.expected_values(odd)[0, 1] - model.expected_values(usual)[0, 1]) < 0.1


def test_trim_keeps_outliers_from_being_learnt():
    rng = np.random.default_rng(0)
    normal, odd = rows(400), rng.normal(size=(40, 1)) * np.array([1, -1, 1, -1, 1.0]) * 4
    X, is_odd = np.vstack([normal, odd]), np.repeat([0, 1], [400, 40])
    areas = [
        roc_auc_score(is_odd, -detector(trim=trim, code_weight=0.0).fit(X).score_samples(X)) for trim in (0.0, 0.2)
    ]
    assert areas[1] > areas[0] + 0.01


# P-values --------------------------------------------------------------------------------------------------


@every_detector
def test_p_values_are_valid(estimator):
    """Over training sets, new rows have small p-values as often as they should, give or take chance."""
    p = np.empty((12, 100))
    for seed in range(12):
        X = rows(159, seed=seed)
        p[seed] = clone(estimator).set_params(random_state=seed).fit(X[:59]).p_values(X[59:])
    assert ((p > 0) & (p <= 1)).all()
    for alpha in (0.1, 0.3):
        assert (p <= alpha).mean() < alpha + 0.05
        assert (p <= alpha).mean() > alpha / 4


@every_detector
def test_an_outlier_is_a_row_below_the_threshold(estimator):
    X, new = rows(100), np.vstack([rows(50, seed=1), 3 * rows(50, seed=2)])
    model = clone(estimator).fit(X)
    decision = model.decision_function(new)
    assert_allclose(decision, model.score_samples(new) - model.offset_)
    np.testing.assert_array_equal(model.predict(new), np.where(decision < 0, -1, 1))
    if model.contamination == "auto":
        np.testing.assert_array_equal(model.predict(new) == -1, model.p_values(new) <= 0.05)
    else:
        assert (model.predict(X) == -1).mean() == model.contamination


@pytest.mark.parametrize("autoencoder", [None, configured(AutoencoderTransformer, random_state=None)])
@pytest.mark.parametrize("rate", [0.01, 0.02, 0.07, 1 / 3, 0.58, 1 - 1e-13])
def test_the_rate_of_false_alarms_is_that_of_p_values(rate, autoencoder):
    """Where p-values are multiples of 0.01, some of which are no such float."""
    X, new = rows(99), np.vstack([rows(99) + 1e-3, rows(150, seed=1), 3 * rows(50, seed=2)])
    model = detector(autoencoder, false_alarm_rate=rate).fit(X)
    expected = model.p_values(new) <= rate
    assert 0 < expected.sum() < len(new) + (rate > 0.9)
    np.testing.assert_array_equal(model.predict(new) == -1, expected)
    np.testing.assert_array_equal(model.decision_function(new) < 0, expected)
    np.testing.assert_array_equal(model.score_samples(new) < model.offset_, expected)


def test_the_rate_is_learnt_by_fit():
    X, new = rows(100), rows(100, seed=1)
    model = detector(false_alarm_rate=0.3).fit(X)
    before = model.predict(new), model.offset_
    model.set_params(false_alarm_rate=0.05)
    np.testing.assert_array_equal(model.predict(new), before[0])
    assert model.fit(X).offset_ < before[1]
    assert model.offset_ == detector().fit(X).offset_
    shares = [
        detector(contamination=0.1, false_alarm_rate=rate).fit(X).offset_ for rate in (0.05, 0.3)
    ]  # where it has no effect
    assert shares[0] == shares[1]


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, "0.1", None])
def test_the_rate_is_checked(rate):
    with pytest.raises(InvalidParameterError, match="'false_alarm_rate' parameter"):
        detector(false_alarm_rate=rate).fit(rows())


@pytest.mark.parametrize(
    ("share", "n", "remedy"),
    [(0.99, 100, ", or lower max_samples"), (0.01, 100, ", or raise max_samples"), (0.6, 3, r"\.$")],
)
def test_too_few_rows_for_members(share, n, remedy):
    with pytest.raises(ValueError, match=rf"n_samples={n} and max_samples={share} .*Give fit more rows{remedy}"):
        detector(max_samples=share).fit(rows(n))


@pytest.mark.parametrize(
    ("settings", "n", "smallest", "needed"),
    [({}, 10, r"10 rows.*0\.0909", 19), ({"n_estimators": 1, "max_samples": 0.5}, 30, r"15 rows.*0\.0625", 37)],
)
def test_too_few_rows_for_the_rate(settings, n, smallest, needed):
    """A warning says so, and how many there have to be: from then on, there is none."""
    with pytest.warns(UserWarning, match=rf"No row can be an outlier.*{smallest}.*at least {needed} rows") as told:
        model = detector(**settings).fit(rows(n))
    assert len(told) == 1
    assert told[0].filename == __file__
    odd = 100 + rows(3)
    assert model.p_values(odd).max() > 0.05
    assert (model.predict(odd) == 1).all()
    assert (model.decision_function(odd) == np.inf).all()
    assert model.offset_ == -np.inf
    model.fit(rows(needed))  # where a warning would be an error
    assert (model.predict(odd) == -1).all()
    with pytest.warns(UserWarning, match="No row can be an outlier"):
        model.fit(rows(needed - 1))


def test_few_rows_and_the_smallest_p_value():
    model = detector(false_alarm_rate=0.1).fit(rows(10))
    odd = 100 + rows(3)
    assert_allclose(model.p_values(odd), 1 / 11)
    assert (model.predict(odd) == -1).all()
    assert np.isfinite(model.offset_)
    with pytest.warns(UserWarning, match=r"smallest p-value is 0\.0909.*Fit to at least 19 rows"):
        assert not model.select(odd, alpha=0.05).any()


def test_rows_needed_to_select_where_members_leave_few_out():
    model = detector(n_estimators=1, max_samples=0.75, false_alarm_rate=0.3).fit(rows(40))
    with pytest.warns(UserWarning, match="with 10 rows to compare with.*Fit to at least 75 rows"):
        assert not model.select(100 + rows(3), alpha=0.05).any()
    assert model.fit(rows(75)).select(100 + rows(3), alpha=0.05).all()


def test_select(fitted_to_benign, benign):
    new = np.vstack([benign[0][250:], benign[1]])
    is_odd = np.arange(len(new)) >= len(benign[0]) - 250
    chosen = fitted_to_benign.select(new, alpha=0.1)
    assert chosen.dtype == bool
    assert chosen[is_odd].mean() > 0.4
    assert (chosen & ~is_odd).sum() <= 0.15 * chosen.sum()
    assert fitted_to_benign.select(new, alpha=0.3).sum() > chosen.sum()


@pytest.mark.parametrize("alpha", [0, 1, 1.5, -0.1, "0.1", None])
def test_select_checks_alpha(alpha, fitted_to_benign, benign):
    with pytest.raises(ValueError, match=r"alpha=.*must be a number in"):
        fitted_to_benign.select(benign[0], alpha=alpha)


# Reasons ---------------------------------------------------------------------------------------------------


def test_reasons_name_the_changed_feature(fitted_to_benign, benign):
    rng, new = np.random.default_rng(0), benign[0][250:].copy()
    column = rng.integers(0, 30, len(new))
    new[np.arange(len(new)), column] += 4 * benign[0].std(0)[column]
    reasons = fitted_to_benign.score_features(new)
    assert reasons.shape == new.shape
    assert (reasons >= 0).all()
    assert (reasons.argmax(1) == column).mean() > 0.85


def test_a_changed_value_is_expected_to_be_what_it_was(fitted_to_benign, benign):
    rng, old = np.random.default_rng(0), benign[0][250:]
    new, row, column = old.copy(), np.arange(len(old)), rng.integers(0, 30, len(old))
    new[row, column] += 4 * benign[0].std(0)[column]
    unit = benign[0].std(0)[column]
    away = np.abs(fitted_to_benign.expected_values(new) - old)[row, column] / unit
    usual = np.abs(fitted_to_benign.usual_values_ - old)[row, column] / unit
    assert np.median(away) < 0.5 * np.median(usual)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_expected_values_have_the_unit_and_the_dtype_of_rows(dtype, benign):
    X = (1000 * benign[0][:60] + 5).astype(dtype)
    expected = detector().fit(X).expected_values(X)
    assert expected.dtype == dtype
    assert np.median(np.abs(expected - X).mean(0) / X.std(0)) < 0.5
    assert_allclose(detector().fit(X).expected_values(sparse.csr_array(X)), expected, rtol=1e-3)


def test_expected_values_of_autoencoders_that_are_given():
    X, new = rows(100), rows(20, seed=1)
    given = detector(configured(AutoencoderTransformer)).fit(X)
    assert_allclose(given.expected_values(new), np.mean([m.reconstruct(new) for m in given.estimators_], 0))
    with pytest.raises(AttributeError, match="members that reconstruct rows, which Marginal does not"):
        detector(Marginal()).fit(X).expected_values(new)


def test_reasons_of_autoencoders_that_are_given():
    X, new = rows(100), rows(20, seed=1)
    new[:, 3] += 20
    by_error = detector(configured(AutoencoderTransformer)).fit(X)
    expected = np.mean([m.reconstruction_error(new, per_feature=True) for m in by_error.estimators_], 0)
    assert_allclose(by_error.score_features(new), expected)
    by_score = detector(Marginal()).fit(X)
    reasons = by_score.score_features(new)
    assert (reasons >= 0).all()
    assert (reasons.argmax(1) == 3).all()
    told = "score_features needs members .*reconstruction_error.*EmpiricalCovarianceScore does not: leave"
    with pytest.raises(AttributeError, match=told):
        detector(EmpiricalCovarianceScore()).fit(X).score_features(new)


class Marginal(BaseEstimator):
    """Scores columns one by one."""

    def fit(self, X, y=None):
        self.mean_, self.scale_ = X.mean(0), X.std(0)
        return self

    def score_features(self, X):
        return -(((X - self.mean_) / self.scale_) ** 2) / 2 - np.log(self.scale_)

    def score_samples(self, X):
        return self.score_features(X).sum(1)


class EmpiricalCovarianceScore(EmpiricalCovariance):
    """Scores rows, and not columns."""

    def score_samples(self, X):
        return -self.mahalanobis(X)


@pytest.mark.parametrize("member", [None, configured(AutoencoderTransformer)], ids=["recipe", "given"])
def test_a_row_of_a_frame_is_refused_as_scikit_learn_does(member):
    frame = pd.DataFrame(rows(60))
    model = detector(member).fit(frame)
    for method in METHODS:
        with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
            getattr(model, method)(frame.iloc[0])


def test_usual_values():
    X = rows(61)
    assert_allclose(detector().fit(X).usual_values_, np.median(X, axis=0))
    assert detector(Frames()).fit(some_frame()).usual_values_.tolist()[0] in ("red", "blue")


# What members may be ---------------------------------------------------------------------------------------


def test_an_autoencoders_own_score_is_the_members():
    X, new = rows(60), rows(20, seed=1)
    model = detector(configured(VAESampler, random_state=None)).fit(X)
    assert all(isinstance(member, VAESampler) for member in model.estimators_)
    assert len({member.random_state for member in model.estimators_}) == 3
    assert_allclose(model.score_samples(new), np.mean([m.score_samples(new) for m in model.estimators_], 0))


class Frames(BaseEstimator):
    """Takes data frames of numbers and words, with holes."""

    def fit(self, X, y=None):
        assert isinstance(X, pd.DataFrame)
        self.share_ = X["colour"].value_counts(normalize=True, dropna=False)
        return self

    def score_features(self, X):
        colour = np.log(X["colour"].map(self.share_).fillna(1e-3).to_numpy(float))
        return np.column_stack([colour, -(np.nan_to_num(X["size"].to_numpy(float)) ** 2)])

    def score_samples(self, X):
        return self.score_features(X).sum(1)


def some_frame():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"colour": rng.choice(["red", "blue", None], 200), "size": rng.normal(size=200)})
    X.loc[::9, "size"] = np.nan
    return X


def test_data_frames_go_to_the_members_as_they_are():
    X = some_frame()
    new = pd.DataFrame({"colour": ["red", "green"], "size": [0.1, 9.0]})
    model = detector(Frames()).fit(X)
    assert list(model.feature_names_in_) == ["colour", "size"]
    assert model.predict(new).tolist() == [1, -1]
    assert model.score_features(new)[1].argmin() == 0
    with pytest.raises(ValueError, match="feature names"):
        model.predict(new.rename(columns={"size": "length"}))


# Data of all kinds -----------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:150 rows of X are rows of fit:UserWarning")
def test_sparse_rows_are_dense_rows():
    X = sparse.random_array((150, 20), density=0.3, rng=0, format="csr")
    dense, same = detector().fit(X.toarray()), detector().fit(X)
    for kind in (sparse.csr_array, sparse.coo_array, sparse.csc_matrix):
        assert_allclose(same.score_samples(kind(X)), same.score_samples(X.toarray()), rtol=1e-9)
    assert_allclose(same.score_samples(X), dense.score_samples(X.toarray()), rtol=0.05)
    assert_allclose(same.score_features(X), same.score_features(X.toarray()), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["float32", "int", "frame", "list", "fortran"])
def test_kinds_of_rows(kind):
    X = np.round(10 * rows(60))
    given = {
        "float32": X.astype(np.float32),
        "int": X.astype(int),
        "frame": pd.DataFrame(X),
        "list": X.tolist(),
        "fortran": np.asfortranarray(X),
    }[kind]
    model, plain = detector().fit(given), detector().fit(X)
    for method in METHODS:
        result = getattr(model, method)(given)
        assert_allclose(result, getattr(plain, method)(X), rtol=1e-3, atol=1e-3)
        floating = method in ("score_samples", "decision_function", "score_features", "expected_values")
        assert result.dtype == (np.float32 if floating and kind == "float32" else getattr(plain, method)(X).dtype)


def test_constant_columns_and_duplicates():
    X = np.repeat(rows(30), 4, axis=0)
    X[:, 1], X[:, 2] = 0.1, 0.0
    model = detector().fit(X)
    new = rows(20, seed=1)
    new[:, 1], new[:, 2] = 0.1, 0.0
    assert np.isfinite(model.score_samples(new)).all()
    new[:, 1] = 0.2
    assert (model.predict(new) == -1).all()
    assert (model.score_features(new)[:, 1] > 30).all()


def test_a_share_of_the_rows_is_found_whatever_the_batch_and_the_dtype():
    """The threshold is no row's score: scores differ by rounding with the place that a row has among others."""
    X = np.random.default_rng(0).poisson(2, size=(189, 2)).astype(float)  # of which many are equal
    model = detector(contamination=0.05).fit(X)
    found = model.predict(X)
    assert 0 < (found == -1).mean() <= 0.06
    one_by_one = np.concatenate([model.predict(row[None]) for row in X])
    assert_array_equal(one_by_one, found)
    assert_array_equal(model.predict(X.astype(np.float32)), found)
    assert_array_equal(model.predict(X[::-1])[::-1], found)
    assert_array_equal(np.sign(model.decision_function(X)), found)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("constant", "other"), [(7, 8), (2024, 2025), (-3e-3, -4e-3), (0, 1), (1, 0)])
def test_another_value_in_a_constant_column_is_odd_wherever_its_zero_is(constant, other, dtype):
    X, new = np.split(rows(170).astype(dtype), [150])
    X[:, 1] = new[:, 1] = constant
    model = detector().fit(X)
    assert (model.predict(new) == 1).mean() > 0.7
    new[:, 1] = other
    assert (model.predict(new) == -1).all()
    assert (model.score_features(new).argmax(1) == 1).all()


def test_one_column_and_more_columns_than_rows():
    rng = np.random.default_rng(0)
    one = detector().fit(rng.normal(size=(100, 1)))
    assert one.predict([[0.1], [30.0]]).tolist() == [1, -1]
    p = [detector().fit(rng.normal(size=(40, 300))).p_values(rng.normal(size=(50, 300))) for _ in range(5)]
    assert 0.03 < (np.array(p) <= 0.1).mean() < 0.16


def test_more_rows_than_a_member_takes(monkeypatch):
    monkeypatch.setattr("skae._outliers.N_STEPS", 2)
    model = detector().fit(rows(700))
    assert [len(seen) for seen in model.estimators_samples_] == [420] * 3
    assert all(member.n_iter_ == 1 for member in model.estimators_)


# Determinism, saving, failing ------------------------------------------------------------------------------


@every_detector
def test_one_seed_one_model(estimator):
    X, new = rows(), rows(seed=1)
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    one, same, other = (clone(estimator).set_params(random_state=s).fit(X) for s in (0, 0, 1))
    for method in METHODS:
        assert_same(getattr(one, method)(new), getattr(same, method)(new))
    assert not np.allclose(one.score_samples(new), other.score_samples(new))
    assert_same(one.left_out_scores_, same.left_out_scores_)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_equal(before[1], np.random.get_state())  # noqa: NPY002
    unseeded = [clone(estimator).set_params(random_state=None).fit(X).score_samples(new) for _ in range(2)]
    assert not np.allclose(*unseeded)


def test_threads_change_nothing():
    code = """
        import json, sys, numpy as np, torch
        torch.set_num_threads(int(sys.argv[1]))
        from skae import AutoencoderOutlierDetector
        X = np.random.default_rng(0).normal(size=(500, 40))
        model = AutoencoderOutlierDetector(n_estimators=4, random_state=0).fit(X)
        print(json.dumps([model.offset_, *model.score_samples(X[:20]).tolist()]))
    """
    code = "\n".join(line[8:] for line in code.splitlines())
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    found = [
        json.loads(subprocess.check_output([sys.executable, "-c", code, n_threads], env=environment))
        for n_threads in ("1", "2")
    ]
    assert found[0] == found[1]


@every_detector
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_saving(estimator, round_trip, tmp_path):
    model = clone(estimator).fit(rows())
    loaded = round_trip(model, tmp_path)
    for method in METHODS:
        assert_same(getattr(loaded, method)(rows(seed=1)), getattr(model, method)(rows(seed=1)))
    assert clone(loaded).fit(rows()).offset_ == model.offset_


@every_detector
def test_scores_are_row_by_row(estimator):
    X, model = rows(30, seed=1), clone(estimator).fit(rows())
    state = pickle.dumps(model)
    for method in METHODS:
        apply = getattr(model, method)
        assert_allclose(np.concatenate([apply(X[i : i + 1]) for i in range(30)]), apply(X), rtol=1e-9, atol=1e-12)
    assert pickle.dumps(model) == state


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_too_few_rows(n_samples):
    with pytest.raises(ValueError, match=f"n_samples={n_samples}"):
        detector().fit(rows(n_samples))


def test_a_fit_that_fails_leaves_the_model_as_it_was(monkeypatch):
    model = detector().fit(rows())
    before = model.score_samples(rows())

    monkeypatch.setattr("skae._outliers.conformal.threshold", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.fit(rows(90))
    monkeypatch.undo()
    assert_same(model.score_samples(rows()), before)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.full((20, 3), np.nan))
    assert_same(model.score_samples(rows()), before)


# In scikit-learn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normal_and_odd", [(1, -1), (1, 0)])
def test_searches_score_by_the_area_under_the_curve(normal_and_odd):
    data = load_wine()
    order = np.random.default_rng(0).permutation(len(data.data))
    X, y = data.data[order], np.where(data.target[order] == 0, *normal_and_odd[::-1])
    pipeline = make_pipeline(StandardScaler(), detector())
    grid = {"autoencoderoutlierdetector__n_components": [2, 4]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="roc_auc", error_score="raise").fit(X, y)
    assert np.isfinite(search.best_score_)
    decision = cross_val_predict(pipeline, X, y, cv=2, method="decision_function")
    assert decision.shape == y.shape
    assert pipeline.set_params(autoencoderoutlierdetector__contamination=0.1).fit_predict(X).shape == y.shape


def test_n_jobs_make_no_difference():
    scores = []
    for n_jobs in (1, 2):
        search = GridSearchCV(detector(), {"trim": [0.0, 0.1]}, cv=2, scoring="roc_auc", n_jobs=n_jobs)
        scores.append(search.fit(rows(), [0, 1] * 30).cv_results_["mean_test_score"])
    assert_same(scores[0], scores[1])


@pytest.mark.parametrize("autoencoder", [None, configured(DenoisingAutoencoder, random_state=None)])
def test_members_are_tasks_of_callbacks(autoencoder):
    recorder = Recorder()
    model = detector(autoencoder).set_callbacks(recorder).fit(rows())
    for tasks in (recorder.begun, recorder.ended):
        assert tasks.count("member") == 3
        assert tasks.count("fit") == 1
    assert_same(recorder.models[-1].score_samples(rows()), model.score_samples(rows()))


NAMED = ("score_samples", "decision_function", "predict", "p_values", "select", "score_features")


@every_detector
@pytest.mark.parametrize("method", NAMED)
def test_names_that_are_missing_are_warned_of_once(estimator, method):
    frame = pd.DataFrame(rows(), columns=list("abcde"))
    for fitted_to, given in ((frame, frame.to_numpy()), (frame.to_numpy(), frame)):
        model = clone(estimator).fit(fitted_to)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            getattr(model, method)(given)
        assert sum("feature names" in str(warning.message) for warning in told) == 1


def test_members_with_the_same_fault_are_warned_of_once():
    X = rows(100) * np.r_[1e4, np.ones(4)]
    member = AutoencoderTransformer(4, hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        detector(member).fit(X)
    begin = [str(warning.message).partition(" ")[0] for warning in told]
    assert {"Column", "n_components=4"} <= set(begin)
    assert len(set(begin)) == len(begin)


class SeesFilters(DenoisingAutoencoder):
    """Takes note of the filters of warnings that it scores under."""

    seen: ClassVar[list] = []

    def score_samples(self, X):
        self.seen.append(list(warnings.filters))
        return super().score_samples(X)


def test_filters_of_warnings_are_left_alone():
    """They are global: other threads may be at work, and set theirs."""
    model = detector(configured(SeesFilters, random_state=None)).fit(pd.DataFrame(rows(), columns=list("abcde")))
    SeesFilters.seen.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the names
        before = list(warnings.filters)
        model.score_samples(rows())
    assert SeesFilters.seen == [before] * 3


@every_detector
def test_frames_in_single_precision_are_scored_in_it(estimator):
    frame = pd.DataFrame(rows().astype(np.float32), columns=list("abcde"))
    model = clone(estimator).fit(frame)
    for method in ("score_samples", "decision_function", "score_features", "expected_values"):
        if method == "expected_values" and not hasattr(model.estimators_[0], "reconstruct"):
            continue
        assert getattr(model, method)(frame).dtype == np.float32
        assert getattr(model, method)(frame.astype(np.float64)).dtype == np.float64


def test_scores_that_are_no_numbers_are_told_and_the_oddest():
    class Broken(BaseEstimator):
        def fit(self, X, y=None):
            return self

        def score_samples(self, X):
            return np.where(X[:, 0] == X[:, 0].max(), np.nan, X[:, 0])

    model = detector(Broken()).fit(rows())
    with pytest.warns(UserWarning, match="score of 1 rows is NaN"):
        assert model.predict(rows())[rows()[:, 0].argmax()] == -1


class Returning(BaseEstimator):
    """A member whose scores are what it is told."""

    def __init__(self, scores):
        self.scores = scores

    def fit(self, X, y=None):
        return self

    def score_samples(self, X):
        return self.scores(X)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (lambda X: X[:, :1], r"Returning returned an array of shape \(16, 1\) for 16 rows. Let .* shape \(16,\)"),
        (lambda X: np.zeros(1), r"an array of shape \(1,\) for 16 rows"),
        (lambda X: np.full(len(X), np.nan), "returned NaN for every row that a member had left out. Give autoenc"),
    ],
)
def test_scores_that_are_not_one_number_for_each_row_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        detector(Returning(scores)).fit(rows(40))


# Rows of fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, sparse.csr_array], ids=["array", "frame", "csr"])
def test_rows_of_fit_are_told_where_their_p_values_are_asked_for(kind):
    X = kind(load_wine().data)
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    n_unseen = int((model.left_out_scores_ < model.offset_).sum())
    assert n_unseen > 4
    told = rf"rows of fit.* 0 of 178 are at most 0\.05\. .* {n_unseen} rows are "
    for method in (model.predict, model.p_values, model.select):
        remedy = (
            "Pass left_out=True" if method == model.p_values else "left_out_scores_ < offset_, attr.*contamination"
        )
        with pytest.warns(UserWarning, match=f"{told}.*{remedy}") as caught:
            method(X)
        assert len(caught) == 1
    with pytest.warns(UserWarning, match="rows of fit"):
        assert (clone(model).fit_predict(X) == 1).all()


def test_few_outliers_that_are_missed_are_told_where_they_are_half():
    X = load_wine().data[:90]
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    assert (model.left_out_scores_ < model.offset_).sum() == 3
    with pytest.warns(
        UserWarning, match=r"rows of fit.* 0 of 90 are at most 0\.05\. To members .*, 3 rows are as odd"
    ):
        model.predict(X)


def test_parts_of_the_rows_of_fit_among_others_are_told(recwarn):
    X = load_wine().data
    model = AutoencoderOutlierDetector(random_state=0).fit(X[:150])
    assert (model.left_out_scores_ < model.offset_).sum() > 4
    with pytest.warns(UserWarning, match=r"^150 rows of X are rows of fit.* 0 of 150 are at most"):
        model.p_values(X[::-1])
    recwarn.clear()
    model.p_values(X[:20])  # none of them is missed
    assert not recwarn.list


@pytest.mark.parametrize("method", ["score_features", "expected_values"])
def test_reasons_of_odd_rows_of_fit_are_told_to_be_weak(method, recwarn):
    X = load_wine().data
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    is_odd = model.left_out_scores_ < model.offset_
    explain = getattr(model, method)
    n = is_odd.sum()
    told = rf"^{n} rows of X are rows of fit.* {n} of them are odd .*, 0 to all.*Pass left_out=True"
    with pytest.warns(UserWarning, match=told):
        explain(X[is_odd])
    recwarn.clear()
    explain(X[~is_odd])
    explain(X[is_odd] + 1e-3)  # others
    assert not recwarn.list


@pytest.mark.parametrize("contamination", ["auto", 0.1])
def test_rows_of_fit_are_judged_by_members_that_have_not_seen_them(contamination):
    """As the display, whose numbers are put together by hand in its tests, draws them; other rows as ever."""
    X = load_wine().data
    model = AutoencoderOutlierDetector(n_estimators=2, contamination=contamination, random_state=0).fit(X[:150])
    with pytest.warns(UserWarning, match="the 2 oddest are drawn"):
        display = OutlierDisplay.from_estimator(model, X, rows=range(178), max_rows=2)
    p = model.p_values(X, left_out=True)
    unknown = np.r_[np.isnan(model.left_out_scores_), np.zeros(28, dtype=bool)]
    assert 0 < unknown.sum() < 150
    assert_array_equal(np.isnan(p), unknown)
    assert_array_equal(p, display.p_values)
    assert_array_equal(p[150:], model.p_values(X[150:]))
    assert_allclose(model.score_features(X, left_out=True), display.reasons)
    assert_allclose(model.score_features(X, left_out=True)[150:], model.score_features(X[150:]))
    assert_allclose(model.expected_values(X, left_out=True), display.expected_values)
    if contamination == "auto":
        assert_array_equal(p[:150] <= 0.05, model.left_out_scores_ < model.offset_)


@pytest.mark.parametrize("kind", [np.float32, pd.DataFrame, sparse.csr_array, torch.from_numpy])
def test_left_out_rows_of_any_kind(kind):
    X = rows(80) if kind is not np.float32 else rows(80).astype(kind)
    given = X if kind is np.float32 else kind(X)
    model, other = detector().fit(given), kind(X + 1e-3)
    for method in ("p_values", "score_features", "expected_values"):
        found = np.asarray(getattr(model, method)(given, left_out=True))
        if kind is sparse.csr_array:
            assert_allclose(found, getattr(model, method)(X, left_out=True), rtol=1e-6)  # dense, the same rows
        assert not np.allclose(found, np.asarray(getattr(model, method)(other)), rtol=0.05)


@pytest.mark.parametrize("kind", ["nullable", "pyarrow", "polars", "object"])
def test_rows_of_fit_are_known_among_any_others(kind):
    """Columns with missing cells have another dtype in NumPy than parts of them without."""
    generator = np.random.default_rng(0)
    X = pd.DataFrame({"visits": generator.integers(0, 50, 60), "weight": generator.normal(size=60)})
    X["smokes"] = X["visits"] + 10 * generator.normal(size=60) > 25
    X = X.convert_dtypes()
    X.loc[::4, "visits"], X.loc[1::4, "smokes"] = pd.NA, pd.NA
    make = {
        "nullable": lambda rows: rows,
        "pyarrow": lambda rows: rows.convert_dtypes(dtype_backend="pyarrow"),
        "polars": pl.from_pandas,
        "object": lambda rows: rows.to_numpy(dtype=object),
    }[kind]
    model = detector(configured(TabularVAESampler, random_state=None)).fit(make(X))
    complete = X.notna().all(axis=1).to_numpy()
    for method in ("p_values", "score_features"):
        of_all = getattr(model, method)(make(X), left_out=True)
        assert_array_equal(getattr(model, method)(make(X[complete]), left_out=True), of_all[complete])
    assert not np.allclose(model.score_features(make(X), left_out=True), model.score_features(make(X)))


def test_rows_of_fit_with_words_that_are_no_text_are_known():
    X = np.array([["\ud800" if i % 3 else "b", float(i)] for i in range(40)], dtype=object)
    model = detector(Returning(lambda X: -X[:, 1].astype(float))).fit(X)
    assert_array_equal(model.p_values(X[::-1], left_out=True)[::-1], model.p_values(X, left_out=True))


def test_other_rows_and_shares_of_the_rows_of_fit_are_not_told():
    X = load_wine().data
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    model.predict(X + 1e-3)
    model.p_values(X + 1e-3)
    model.score_samples(X)
    model.decision_function(X)
    model.set_params(contamination=0.05)
    assert (model.fit_predict(X) == -1).sum() == 9
    with pytest.warns(UserWarning, match="at most 0.05. .* Pass left_out=True"):
        model.p_values(X)


@pytest.mark.parametrize("method", ["score_samples", "predict", "p_values", "select", "score_features"])
def test_members_warn_once_of_the_same_rows(method, recwarn):
    X = pd.DataFrame(rows(), columns=list("abcde"))
    X["size"] = np.where(X["a"] > X["a"].mean(), "large", "small")
    X.loc[[3, 50], "size"] = ["huge", "tiny"]
    model = detector(configured(TabularVAESampler, random_state=None), contamination=0.1).fit(X)
    assert not recwarn.list  # of categories that fit has seen, but not each member
    getattr(model, method)(X.iloc[:5].assign(size=["new", "small", "other", "large", "small"]))
    assert [str(warning.message)[:45] for warning in recwarn] == ["Column 'size' holds values that fit did not s"]
    if method != "score_features":
        recwarn.clear()
        X = rows()
        members = configured(VAESampler, likelihood="poisson", loss=None, random_state=None)
        model = detector(members).fit(np.round(np.abs(X)))
        recwarn.clear()
        getattr(model, method)(-np.abs(X[:5]) - 1)
        told = [str(warning.message) for warning in recwarn]
        assert len([message for message in told if "score -inf" in message]) == 1


def test_arrays_with_missing_values_for_pipelines_that_fill_them():
    """As they take frames; tags of pipelines do not tell it."""
    X = np.where(np.random.default_rng(0).random((60, 5)) < 0.1, np.nan, rows())
    member = configured(AutoencoderTransformer, random_state=None)
    columns = make_column_transformer((SimpleImputer(), [0, 1, 2, 3, 4]))
    for steps in (
        [SimpleImputer(), StandardScaler()],
        [StandardScaler(), make_pipeline(KNNImputer())],
        [FunctionTransformer(), columns],
    ):
        model = detector(make_pipeline(*steps, member)).fit(X)
        assert model.__sklearn_tags__().input_tags.allow_nan
        other = clone(model).fit(pd.DataFrame(X))
        assert_allclose(model.score_samples(X), other.score_samples(pd.DataFrame(X)))
    for steps in ([], [StandardScaler()], ["passthrough"], [PCA(2), SimpleImputer()]):
        with pytest.raises(ValueError, match="AutoencoderOutlierDetector does not accept missing values"):
            detector(make_pipeline(*steps, member)).fit(X)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, lambda X: pd.DataFrame(X).to_numpy(dtype=object)])
def test_a_category_of_a_single_row_is_odd(make, recwarn):
    """Also to the members that have not seen the row."""
    generator = np.random.default_rng(0)
    a, size = generator.normal(size=200), generator.choice(["large", "medium", "small"], 200)
    size[7] = "huge"
    X = make({"a": a, "size": size, "b": a + generator.normal(size=200) / 4})
    members = TabularVAESampler(1, hidden_layer_sizes=(8,), max_iter=40)
    model = AutoencoderOutlierDetector(members, n_estimators=4, random_state=0).fit(X)
    assert not recwarn.list
    assert model.p_values(X, left_out=True)[7] < 0.1
    assert model.score_features(X, left_out=True)[7].argmax() == 1
    assert model.estimators_[0].categories_["size" if hasattr(X, "columns") else 1] == [
        *("huge", "large", "medium", "small")
    ]


def test_a_column_that_is_empty_among_the_rows_of_a_member():
    X = pd.DataFrame(rows(), columns=list("abcde"))
    X["e"] = [1.0] + [np.nan] * 59
    message = (
        r"fitted to 36 of the 60 rows \(max_samples=0.6\) has failed: Column 'e' has no value at all. Drop it. If "
        r"TabularVAESampler takes all rows .* drop this column, or raise max_samples"
    )
    with pytest.raises(ValueError, match=message) as caught:
        detector(configured(TabularVAESampler, random_state=None)).fit(X)
    assert "no value at all" in str(caught.value.__cause__)


def test_parameters_of_members_are_told_as_they_are():
    with pytest.raises(ValueError, match=r"^The 'max_iter' parameter of"):
        detector(AutoencoderTransformer(2, max_iter=-1)).fit(rows())
