"""`OutlierDisplay` of the rows of `fit`: all that it draws is by members that have not seen the row."""

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import along_columns, configured, detector, rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from skae import AutoencoderOutlierDetector, TabularVAESampler, VAESampler
from skae._fitted.distances import fit_gaussian, fit_to_closest
from skae.inspection import OutlierDisplay


@pytest.fixture(scope="module")
def wine():
    return load_wine(as_frame=True).data


@pytest.fixture(scope="module")
def fitted(wine):
    return AutoencoderOutlierDetector(random_state=0).fit(wine)


def test_scores_and_p_values_are_those_of_rows_left_out(fitted, wine):
    is_odd = fitted.left_out_scores_ < fitted.offset_
    display = OutlierDisplay.from_estimator(fitted, wine, rows=is_odd)
    assert_array_equal(display.scores, fitted.left_out_scores_)
    assert is_odd.sum() == len(display.rows) == 7
    assert_array_equal(display.p_values <= fitted.false_alarm_rate, is_odd)
    assert_allclose(
        np.sort(display.p_values), np.arange(2, 180) / 179
    )  # ranks; each is among those it is compared with
    assert display.axes_[0].lines[0].get_xdata()[0] == fitted.offset_


def without(gaussian, row):
    """The Gaussian of the others (Sherman and Morrison's formula)."""
    n, own = gaussian.n_rows, row - gaussian.mean
    inverse = gaussian.root @ gaussian.root.T
    weight = gaussian.share * n / (n - 1) ** 2
    inverse += weight / (1 - weight * own @ inverse @ own) * np.outer(inverse @ own, inverse @ own)
    return gaussian._replace(mean=gaussian.mean - own / (n - 1), root=np.linalg.cholesky(inverse))


def test_reasons_and_expected_values_are_by_members_that_have_not_seen_the_row(fitted, wine):
    """Put together from what is public. The residual of the row is not among those it is compared with."""
    X, row = wine.to_numpy(), 121
    display = OutlierDisplay.from_estimator(fitted, wine, rows=[row, 0])
    scale, falls, values = X.std(0), [], []
    for member, seen in zip(fitted.estimators_, fitted.estimators_samples_, strict=True):
        if row in seen:
            continue
        residuals = (member.reconstruct(X) - X) / scale
        gaussian = fit_gaussian([torch.from_numpy(np.delete(residuals, seen, 0))], 0.02)
        gaussian = without(gaussian, residuals[row])
        of_codes = fit_to_closest(torch.from_numpy(member.transform(X[seen])), 0.02)
        asked = np.tile(X[row], (X.shape[1], 1))
        for turn in range(6):
            slope, curvature = along_columns(member, scale, gaussian, of_codes, asked)
            if turn == 0:
                falls.append(slope**2 / curvature)
            asked -= np.diag(scale * slope / curvature)
        values.append(np.diag(asked))
    assert len(falls) == 4
    assert_allclose(display.reasons[0], np.mean(falls, axis=0), rtol=1e-5)
    assert_allclose(display.expected_values[0], np.mean(values, axis=0), rtol=1e-5)


def test_a_value_moved_by_four_deviations_is_expected_to_be_what_it_was():
    """Members that have learned the rows are off by 0.6 deviations, as the usual values are."""
    X, y = load_breast_cancer(return_X_y=True)
    X, changed, column = X[y == 1][:250], np.arange(25), np.arange(25)
    scale, before = X.std(0)[column], X[changed, column]
    X[changed, column] += 4 * scale
    model = AutoencoderOutlierDetector(random_state=0).fit(X)
    display = OutlierDisplay.from_estimator(model, X, rows=changed, max_rows=25)
    assert np.median(np.abs(display.expected_values[changed, column] - before) / scale) < 0.2
    assert np.mean(display.reasons.argmax(1) == column) > 0.9


def test_a_share_of_the_rows(wine):
    """Scores are those that `predict` and the threshold are of."""
    model = AutoencoderOutlierDetector(contamination=0.05, random_state=0).fit(wine)
    display = OutlierDisplay.from_estimator(model, wine, rows=model.predict(wine) == -1)
    assert_allclose(display.scores, model.score_samples(wine))
    assert_array_equal(np.sort(display.rows), np.flatnonzero(display.scores < model.offset_))
    assert not display.axes_[1].lines
    likewise = OutlierDisplay.from_estimator(
        clone(model).set_params(contamination="auto").fit(wine), wine, rows=display.rows
    )
    assert_array_equal(display.p_values, likewise.p_values)
    assert_array_equal(display.reasons, likewise.reasons)


def test_rows_that_all_members_have_seen(wine):
    model = AutoencoderOutlierDetector(n_estimators=2, random_state=0).fit(wine)
    unknown = np.isnan(model.left_out_scores_)
    number = int(np.flatnonzero(unknown)[0])
    display = OutlierDisplay.from_estimator(
        model, wine, wine["hue"] > 1, rows=[number, int(np.flatnonzero(~unknown)[0])]
    )
    assert_array_equal(np.isnan(display.p_values), unknown)
    assert_array_equal(display.p_values <= 0.05, model.left_out_scores_ < model.offset_)
    assert_allclose(display.reasons[0], model.score_features(wine.iloc[[number]])[0])
    assert_allclose(display.expected_values[0], model.expected_values(wine.iloc[[number]])[0])
    assert [ax.get_title(loc="right").partition(", ")[2][:4] for ax in display.axes_[2:]] == ["no p", "p = "]
    assert display.axes_[1].get_xlabel().endswith(f"({unknown.sum()} rows have none)")
    assert number not in OutlierDisplay.from_estimator(model, wine, rows=3).rows
    display.figure_.canvas.draw()


def test_a_row_that_differs_is_judged_by_all_and_the_others_as_before(fitted, wine):
    other = wine.copy()
    other.iloc[20, 3] += 1
    display = OutlierDisplay.from_estimator(fitted, other, rows=[20, 21])
    whole = OutlierDisplay.from_estimator(fitted, wine, rows=[21])
    same = np.arange(len(wine)) != 20
    assert_array_equal(display.scores[same], fitted.left_out_scores_[same])
    assert_allclose(display.scores[20], fitted.score_samples(other)[20])
    assert_allclose(display.p_values[20], fitted.p_values(other.iloc[[20]])[0])
    assert_allclose(display.reasons[0], fitted.score_features(other.iloc[[20]])[0])
    assert_allclose(display.reasons[1], whole.reasons[0])


def test_parts_and_other_orders_of_the_rows(fitted, wine):
    chosen = [121, 3, 177, 20]
    whole = OutlierDisplay.from_estimator(fitted, wine, rows=chosen)
    part = OutlierDisplay.from_estimator(fitted, wine.iloc[chosen], rows=range(4))
    assert_array_equal(part.scores, fitted.left_out_scores_[chosen])
    assert_array_equal(part.p_values, whole.p_values[chosen])
    assert_allclose(part.reasons, whole.reasons)
    assert_allclose(part.expected_values, whole.expected_values, rtol=1e-5)


def test_equal_rows_keep_their_own_scores():
    X = np.repeat(rows(60), 2, axis=0)
    model = detector().fit(X)
    assert_array_equal(OutlierDisplay.from_estimator(model, X).scores, model.left_out_scores_)


def test_in_a_pipeline(wine):
    model = make_pipeline(PowerTransformer(), detector()).fit(wine)
    display = OutlierDisplay.from_estimator(model, wine, rows=[3])
    assert_array_equal(display.scores, model[-1].left_out_scores_)
    assert_allclose(display.values.astype(float), wine.iloc[[3]])


KINDS = {"array": np.asarray, "frame": pd.DataFrame, "csr": sparse.csr_array, "tensor": torch.from_numpy}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(
    "autoencoder", [None, configured(VAESampler, random_state=None)], ids=["none", "variational"]
)
def test_kinds_of_rows(kind, autoencoder):
    X = kind(rows(100))
    model = detector(autoencoder).fit(X)
    display = OutlierDisplay.from_estimator(model, kind(rows(100)))
    assert_array_equal(display.scores, model.left_out_scores_)


def test_tables_and_rows_without_any_value():
    X = pd.DataFrame({"a": np.arange(40.0), "b": ["x", "y"] * 20})
    X.loc[7] = [np.nan, None]
    sampler = TabularVAESampler(2, hidden_layer_sizes=(8,), max_iter=3)
    model = detector(sampler).fit(X)
    display = OutlierDisplay.from_estimator(model, X, rows=[7, 3])
    known = np.arange(40) != 7
    assert_array_equal(display.scores[known], model.left_out_scores_[known])
    assert display.p_values[7] == 1
    assert not display.reasons[0].any()
    assert display.expected_values is None
