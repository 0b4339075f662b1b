"""The imputer: scikit-learn's contract of imputers, and what it promises of its own."""

import copy
import io
import pickle
from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
import torch
from estimators import IMPUTERS, assert_same, fitted
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skae import AutoencoderImputer
from skae._imputation import parametric

quick = partial(AutoencoderImputer, n_estimators=2, max_iter=2, hidden_layer_sizes=(8,), random_state=0)
every_imputer = pytest.mark.parametrize("imputer", [pytest.param(i, id=name) for name, i in IMPUTERS.items()])


def table(n_samples=80, n_features=5, seed=0, share=0.2):
    """Correlated columns, as they were and with holes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 2)) @ rng.normal(size=(2, n_features))
    X += 0.2 * rng.normal(size=X.shape)
    return X, np.where(rng.random(X.shape) < share, np.nan, X)


# What comes out --------------------------------------------------------------------------------------------


@every_imputer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_observed_entries_come_back_bit_for_bit(imputer, dtype):
    holes = (1e3 * table()[1]).astype(dtype)
    before = holes.copy()
    filled = clone(imputer).fit_transform(holes)
    observed = ~np.isnan(holes)
    assert filled.dtype == dtype
    assert np.isfinite(filled).all()
    assert_same(filled[observed], holes[observed])
    np.testing.assert_array_equal(holes, before)


@every_imputer
def test_rows_are_filled_each_by_itself(imputer):
    model = clone(imputer).fit(table()[1])
    holes = table(40, seed=1)[1]
    filled = model.transform(holes)
    assert_same(model.transform(holes), filled)
    assert_allclose(np.concatenate([model.transform(row[None]) for row in holes]), filled, rtol=1e-9, atol=1e-11)
    assert_allclose(model.transform(np.vstack([holes, 1e3 * holes]))[:40], filled, rtol=1e-9, atol=1e-11)


def test_correlated_columns_are_filled_better_than_by_means():
    X, holes = table(300, share=0.3)
    hidden = np.isnan(holes)
    errors = [
        np.sqrt(np.square(imputer.fit_transform(holes) - X)[hidden].mean())
        for imputer in (AutoencoderImputer(max_iter=20, random_state=0), SimpleImputer(), KNNImputer())
    ]
    assert errors[0] < 0.5 * errors[1]
    assert errors[0] < errors[2]


@pytest.mark.parametrize("with_mixture", [True, False])
def test_a_curve_is_filled_where_no_gaussian_can(with_mixture, monkeypatch):
    """One column is the square of the other: they are uncorrelated, and yet one tells much of the other.

    The mixture knows it best; tables that are too wide for it have the networks.
    """
    if not with_mixture:
        monkeypatch.setattr(parametric, "MOST_WORK_OF_MIXTURE", 0)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=400)
    X = np.stack([x, x**2], 1)
    holes = X.copy()
    hidden = rng.random(400) < 0.3
    holes[hidden, 1] = np.nan
    imputer = AutoencoderImputer(n_estimators=2, hidden_layer_sizes=32, max_iter=150, random_state=0).fit(holes)
    error = np.sqrt(np.square(imputer.transform(holes) - X)[hidden, 1].mean())
    share, other = imputer.mixture_share_, imputer.network_share_
    assert (share if with_mixture else other) > 0.8
    assert error < (0.3 if with_mixture else 0.8) * X[:, 1].std()


def test_the_error_is_told_in_the_columns_units():
    X, holes = table(400, share=0.25)
    units = np.array([1.0, 10.0, 1e-3, 1e6, 1.0])
    X, holes = X * units, holes * units + np.array([0, 5.0, 1.0, -1e7, 0])
    X = X + np.array([0, 5.0, 1.0, -1e7, 0])
    imputer = AutoencoderImputer(max_iter=20, random_state=0).fit(holes)
    hidden = np.isnan(holes)
    squares = np.where(hidden, np.square(imputer.transform(holes) - X), np.nan)
    assert_allclose(imputer.imputation_error_ / np.sqrt(np.nanmean(squares, 0)), 1, atol=0.45)
    assert imputer.imputation_error_.shape == (5,)


def test_units_and_the_order_of_columns_change_little():
    X, holes = table(200, share=0.2)
    hidden, order = np.isnan(holes), [3, 1, 4, 0, 2]
    imputer = AutoencoderImputer(n_estimators=4, max_iter=5, random_state=0)
    filled = imputer.fit_transform(holes)
    scaled = imputer.fit_transform(holes * 1e4 - 7) / 1e4 + 7e-4
    assert_allclose(scaled, filled, atol=1e-3)
    turned = imputer.fit_transform(holes[:, order])
    moved = np.square(turned - filled[:, order])[hidden[:, order]].mean()
    assert moved < 0.1 * np.square(filled - X)[hidden].mean() + 1e-3


# scikit-learn's contract of imputers -------------------------------------------------------------------------


def test_indicator_columns_are_appended():
    holes = table()[1]
    holes[:, 1] = 0.5
    model = quick(add_indicator=True).fit(holes)
    filled, seen = model.transform(holes), np.isnan(holes)
    assert_same(filled[:, :5], quick().fit(holes).transform(holes))
    assert_same(filled[:, 5:], seen[:, [0, 2, 3, 4]].astype(float))
    names = [f"x{i}" for i in range(5)] + [f"missingindicator_x{i}" for i in (0, 2, 3, 4)]
    assert list(model.get_feature_names_out()) == names
    assert quick().fit(holes).indicator_ is None


@pytest.mark.parametrize("keep", [False, True])
def test_empty_columns(keep):
    holes = table()[1]
    holes[:, 2] = np.nan
    model = quick(keep_empty_features=keep).fit(holes)
    filled = model.transform(holes)
    assert filled.shape[1] == (5 if keep else 4)
    assert list(model.get_feature_names_out()) == [f"x{i}" for i in range(5) if keep or i != 2]
    assert np.isnan(model.imputation_error_[2])
    assert np.isfinite(model.imputation_error_[[0, 1, 3, 4]]).all()
    if keep:
        assert not filled[:, 2].any()
        new = table(seed=1, share=0)[0]
        assert_same(model.transform(new), new)


def test_a_table_without_any_value():
    empty = np.full((5, 3), np.nan)
    assert quick().fit_transform(empty).shape == (5, 0)
    assert_same(quick(keep_empty_features=True).fit_transform(empty), np.zeros((5, 3)))


def test_rows_without_any_value_get_expected_values():
    holes = table(300)[1]
    model = quick().fit(holes)
    filled = model.transform(np.full((1, 5), np.nan))
    assert_allclose(filled[0], np.nanmean(holes, 0), atol=0.35 * np.nanstd(holes, 0).max())


def test_names_of_data_frames():
    frame = pd.DataFrame(table()[1], columns=list("abcde"), index=[f"row {i}" for i in range(80)])
    model = quick(add_indicator=True).set_output(transform="pandas").fit(frame)
    filled = model.transform(frame)
    assert list(filled.columns)[:5] == list("abcde")
    assert list(filled.columns)[5] == "missingindicator_a"
    assert list(filled.index) == list(frame.index)
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[list("edcba")])
    polars = (
        quick().set_output(transform="polars").fit_transform(pl.DataFrame(frame.to_numpy(), schema=list("abcde")))
    )
    assert_same(polars.to_numpy(), filled.to_numpy()[:, :5])


def test_nullable_integer_and_boolean_columns():
    frame = pd.DataFrame(
        {
            "number": pd.array([1, 2, None, 4, 5, 6] * 6, dtype="Int64"),
            "flag": pd.array([True, None, False, True, True, False] * 6, dtype="boolean"),
            "whole": np.arange(36),
            "yes": np.arange(36) % 2 == 0,
        }
    )
    filled = quick().fit_transform(frame)
    assert filled.dtype == np.float64
    assert np.isfinite(filled).all()
    seen = ~frame.isna().to_numpy()
    assert_same(filled[seen], frame.to_numpy(dtype=float, na_value=np.nan)[seen])


def test_missing_values_of_pandas():
    holes = table()[1]
    frame = pd.DataFrame({name: pd.array(column, dtype="Float64") for name, column in enumerate(holes.T)})
    assert_same(quick(missing_values=pd.NA).fit_transform(frame), quick().fit_transform(holes))
    assert quick(missing_values=pd.NA).__sklearn_tags__().input_tags.allow_nan
    with pytest.raises(ValueError, match="infinity"):
        quick(missing_values=pd.NA).fit(np.where(np.isnan(holes), np.inf, holes))


def test_another_mark_of_missing_values():
    holes = table()[1]
    marked = np.where(np.isnan(holes), -999.0, holes)
    model = quick(missing_values=-999, add_indicator=True)
    assert_same(model.fit_transform(marked), quick(add_indicator=True).fit_transform(holes))
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(holes)
    with pytest.raises(ValueError, match="contains NaN"):
        model.transform(holes)


def test_limits_hold_for_what_is_filled_in_alone():
    X, holes = table(share=0.4)
    lowest, highest = np.full(5, -0.1), np.array([0.1, 0.2, np.inf, 0.1, 0.05])
    filled = quick(min_value=lowest, max_value=highest).fit_transform(holes)
    hidden = np.isnan(holes)
    assert (filled >= lowest)[hidden].all()
    assert (filled <= highest)[hidden].all()
    assert_same(filled[~hidden], X[~hidden])
    assert quick(min_value=0.0).fit_transform(holes)[hidden].min() >= 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_value": 1, "max_value": 0}, "min_value >= max_value"),
        ({"min_value": [0, 0, 0, 0, 2], "max_value": 1}, "column 4"),
        ({"max_value": [1, 2]}, r"must be a number or have shape \(5,\)"),
        ({"n_estimators": 0}, "n_estimators"),
        ({"missing_values": "?"}, "missing_values"),
        ({"learning_rate": 1e30}, "learning_rate"),
        ({"hidden_layer_sizes": (8, 0)}, "holds 0, but every width"),
        ({"hidden_layer_sizes": (2.5,)}, r"hidden_layer_sizes=\(2\.5,\) holds 2\.5"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_the_model(settings, message):
    holes = table()[1]
    model = quick().fit(holes)
    filled = model.transform(holes)
    with pytest.raises(ValueError, match=message):
        model.set_params(**settings).fit(holes)
    assert_same(model.set_params(**quick().get_params()).transform(holes), filled)


def test_infinity_and_sparse_rows_are_refused():
    holes = table()[1]
    with pytest.raises(TypeError, match="Sparse data was passed"):
        quick().fit(sparse.csr_array(np.nan_to_num(holes)))
    holes[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        quick().fit(holes)


def test_unfitted():
    for call in (partial(quick().transform, table()[1]), quick().get_feature_names_out):
        with pytest.raises(NotFittedError):
            call()


# Odd tables ------------------------------------------------------------------------------------------------


def test_constant_columns_are_filled_with_their_value():
    holes = table()[1]
    holes[:, 1] = np.where(np.isnan(holes[:, 1]), np.nan, 1e9 + 0.1)
    filled = quick().fit_transform(holes)
    assert_allclose(filled[:, 1], 1e9 + 0.1, rtol=1e-12)


def test_a_column_far_from_zero_is_filled_as_one_that_is_near():
    holes = table(200)[1]
    near, far = (quick(max_iter=5).fit_transform(holes + shift) for shift in (0, 1e9))
    assert_allclose(far - 1e9, near, atol=1e-3)


def test_more_columns_than_rows():
    X, holes = table(30, 60, share=0.2)
    hidden = np.isnan(holes)
    filled = quick().fit_transform(holes)
    assert (
        np.square(filled - X)[hidden].mean()
        < 0.5 * np.square(SimpleImputer().fit_transform(holes) - X)[hidden].mean()
    )


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_very_few_rows(n_samples):
    holes = table(n_samples, share=0)[0]
    holes[0, 0] = np.nan
    filled = quick(keep_empty_features=True).fit_transform(holes)
    assert filled.shape == holes.shape
    assert np.isfinite(filled).all()


def test_complete_rows_teach_how_to_fill_others():
    X, holes = table(300, share=0.2)
    model = quick().fit(X)
    assert_same(model.transform(X), X)
    hidden = np.isnan(holes)
    assert np.square(model.transform(holes) - X)[hidden].mean() < 0.3 * X.var()


def test_many_columns():
    """Many more than there are rows."""
    X, holes = table(40, 300, share=0.03)
    hidden = np.isnan(holes)
    model = quick(n_estimators=1, max_iter=1).fit(holes)
    filled = model.transform(holes)
    assert np.square(filled - X)[hidden].mean() < 0.5 * np.square(np.nanmean(holes, 0) - X)[hidden].mean()
    assert model.mixture_share_ == 0  # which would take long


def test_many_rows_are_fitted_by_a_part_of_them():
    X, holes = table(100_000, 3, share=0.2)
    model = quick(n_estimators=1, max_iter=1).fit(holes)
    assert model.n_iter_ == 1
    hidden = np.isnan(holes)
    assert np.square(model.transform(holes) - X)[hidden].mean() < 0.5 * X.var()


def test_fill_values_that_come_in_few_patterns_share_their_work():
    """Whole blocks missing together, as in joined tables."""
    X, holes = table(500, 6, share=0)
    holes = X.copy()
    holes[:200, :2] = np.nan
    holes[400:, 4:] = np.nan
    filled = quick().fit_transform(holes)
    hidden = np.isnan(holes)
    assert np.square(filled - X)[hidden].mean() < 0.4 * X.var()


# Gross values ----------------------------------------------------------------------------------------------


def errors(filled, X, hidden):
    return np.sqrt(np.nanmean(np.where(hidden, np.square(filled - X), np.nan), 0))


@pytest.mark.parametrize("size", [20, 1e3, 1e9])
def test_a_gross_value_changes_no_other_row(size):
    X, holes = table(200)
    holes[3] = X[3]
    hidden = np.isnan(holes)
    clean = errors(quick().fit_transform(holes), X, hidden)
    holes[3, 0] = size * X[:, 0].std()
    model = quick()
    with pytest.warns(UserWarning, match=r"column 0 \(1 cell, the largest"):
        filled = model.fit_transform(holes)
    assert_same(filled[~hidden], holes[~hidden])
    assert_allclose(errors(filled, X, hidden), clean, rtol=0.15)
    assert model.n_set_aside_.tolist() == [1, 0, 0, 0, 0]
    assert model.imputation_error_.max() < X.std()


def test_a_gross_value_of_a_new_row_says_nothing_of_the_rest_of_it():
    X, holes = table(200)
    model = quick().fit(holes)
    rows = X[:2].copy()
    rows[:, 1] = np.nan
    without = rows.copy()
    rows[:, 0], without[:, 0] = 1e6, np.nan
    filled = model.transform(rows)
    assert_same(filled[:, 1], model.transform(without)[:, 1])
    assert (filled[:, 0] == 1e6).all()


def test_gross_values_are_told_once_by_the_names_of_their_columns():
    X = table(200, 8)[0]
    X[0, :7] = -1e6
    X[1, 0] = 1e7
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    with pytest.warns(UserWarning, match="look like slips") as told:
        quick().fit_transform(frame)
    assert len(told) == 1
    message = str(told[0].message)
    assert "column 'a' (2 cells, the largest 1e+07); column 'b' (1 cell, the largest -1e+06);" in message
    assert "and 2 columns more" in message


def test_the_only_other_value_of_a_constant_column_is_set_aside_silently():
    """It may be a rare category."""
    holes = table()[1]
    holes[:, 1] = 0
    holes[:2, 1] = 1, np.nan
    model = quick()
    assert model.fit_transform(holes)[1, 1] == 0
    assert model.n_set_aside_.tolist() == [0, 1, 0, 0, 0]


# Multiple imputation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("skewed", "tolerance"), [(False, 0.15), (True, 0.5)])
def test_draws_vary_as_the_missing_entries_do(skewed, tolerance):
    """By the conditional variance: of a Gaussian, or of log-normal columns, which the copula has a share of."""
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal(np.zeros(2), [[1, 0.8], [0.8, 1]], size=2000)
    X = np.exp(z) if skewed else z
    holes = X.copy()
    holes[rng.random(2000) < 0.3, 1] = np.nan
    model = AutoencoderImputer(sample_posterior=True, n_estimators=2, max_iter=10, random_state=0).fit(holes)
    new = np.full((4000, 2), np.nan)
    new[:, 0] = np.exp(0.5) if skewed else 0.5
    draws = model.transform(new)[:, 1]
    variance = np.expm1(0.36) * np.exp(0.8 + 0.36) if skewed else 0.36
    assert np.var(draws) == pytest.approx(variance, rel=tolerance)
    # Several entries of a row are drawn together, with the correlation that the table has.
    assert np.corrcoef(model.transform(np.full((4000, 2), np.nan)).T)[0, 1] == pytest.approx(
        np.corrcoef(X.T)[0, 1], abs=0.1
    )


def test_each_call_draws_anew_and_all_of_them_again_from_the_seed():
    holes = table()[1]
    one, other = (quick(sample_posterior=True).fit(holes) for _ in range(2))
    first, second = one.transform(holes), one.transform(holes)
    hidden = np.isnan(holes)
    assert not np.isclose(first, second)[hidden].any()
    assert_same(first[~hidden], second[~hidden])
    assert_same(other.transform(holes), first)
    assert_same(other.transform(holes), second)
    assert one.__sklearn_tags__().non_deterministic
    assert not quick().__sklearn_tags__().non_deterministic


def test_draws_are_around_what_is_filled_in():
    holes = table(200)[1]
    model = AutoencoderImputer(n_estimators=2, max_iter=20, random_state=0).fit(holes)
    filled = model.transform(holes)
    model.set_params(sample_posterior=True)
    draws = np.stack([model.transform(holes) for _ in range(60)])
    hidden = np.isnan(holes)
    gap = (draws.mean(0) - filled)[hidden] / draws.std(0)[hidden]
    assert np.abs(gap).mean() < 0.25


# Determinism, saving, and use inside scikit-learn -------------------------------------------------------------


def states(model):
    return [vars(model)[name] for name in ("imputation_error_", "network_share_", "error_curve_", "n_iter_")]


def test_one_seed_one_model_and_no_global_generator():
    holes = table()[1]

    def life(seed):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        models = [quick(sample_posterior=draws).fit(holes) for draws in (False, True)]
        quick(random_state=None).fit(holes)
        filled = [model.transform(holes) for model in models]
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_equal(before[1], np.random.get_state())  # noqa: NPY002
        return filled

    for one, other in zip(life(1), life(2), strict=True):
        assert_same(one, other)
    seeds = [quick(random_state=seed).fit_transform(holes) for seed in (0, 1, None, None)]
    hidden = np.isnan(holes)
    for i, j in ((0, 1), (0, 2), (2, 3)):
        assert not np.allclose(seeds[i][hidden], seeds[j][hidden], rtol=1e-12)


def through_joblib(model):
    joblib.dump(model, stream := io.BytesIO())
    stream.seek(0)
    return joblib.load(stream)


ROUND_TRIPS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "joblib": through_joblib,
    "skops": lambda model: skops.io.loads(
        dumped := skops.io.dumps(model), skops.io.get_untrusted_types(data=dumped)
    ),
}


@every_imputer
@pytest.mark.parametrize("round_trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_saved_and_loaded(imputer, round_trip):
    holes = table()[1]
    model = fitted(imputer, holes)
    assert_same(round_trip(model).transform(holes), model.transform(holes))
    assert torch.float32 not in [getattr(v, "dtype", None) for v in vars(model).values()]


def test_pipelines_and_searches():
    X, y = load_iris(return_X_y=True)
    holes = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    pipe = make_pipeline(quick(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(pipe, {"autoencoderimputer__n_components": [1, 2]}, cv=2).fit(holes, y)
    assert search.best_score_ > 0.75
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_precision_and_device():
    holes = table()[1]
    exact, single = (quick(dtype=dtype).fit(holes).transform(holes) for dtype in ("float64", "float32"))
    assert_allclose(exact, single, atol=1e-2)
    with pytest.raises(RuntimeError, match="not available"):
        quick(device="cuda:99").fit(holes)


def test_progress_is_printed_only_if_asked_for(capfd):
    quick(max_iter=200).fit(table()[1])
    assert capfd.readouterr() == ("", "")
    model = quick(max_iter=200, verbose=True).fit(table()[1])
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == len(model.error_curve_) == 4
    assert "held-out error" in lines[0]


class Reviewer:
    """A callback that counts reviews, and after some of them does something."""

    def __init__(self, last, act):
        self.last, self.act, self.n_reviews = last, act, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.n_reviews += context.task_name == "review"
        return self.act() if context.task_name == "review" and self.n_reviews == self.last else None


def press_ctrl_c():
    raise KeyboardInterrupt


def test_callbacks_see_reviews_and_may_stop():
    reviewer = Reviewer(2, lambda: True)
    model = quick(max_iter=1000).set_callbacks(reviewer).fit(table()[1])
    assert reviewer.n_reviews == len(model.error_curve_) == 2


def test_an_interrupt_keeps_what_has_been_learnt():
    holes = table()[1]
    model = quick(max_iter=1000).set_callbacks(Reviewer(2, press_ctrl_c))
    with pytest.warns(UserWarning, match="interrupted after 100 steps"):
        model.fit(holes)
    assert np.isfinite(model.transform(holes)).all()


def test_divergence_names_epoch_magnitude_and_learning_rate():
    X = np.random.default_rng(0).normal(size=(100, 4)) * 50
    X[0, 0] = np.nan
    model = AutoencoderImputer(n_estimators=1, learning_rate=1e30, max_iter=60, random_state=0)
    told = rf"in epoch \d+\. The largest magnitude in X is {np.nanmax(np.abs(X)):.4g} and learning_rate"
    with pytest.raises(ValueError, match=told):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")
