"""Every public estimator as a part of something: pipelines, unions, searches, copies, several processes."""

import inspect

import numpy as np
import pandas as pd
import pytest
from estimators import WITH_CODES, assert_same, configured, labels, row_methods, rows, width_parameter
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skae import AutoencoderTransformer

X = rows(80, 6)
Y = labels(X)


def small(estimator_class, **parameters):
    """A fast configuration of any public class, those to come included."""
    known = inspect.signature(estimator_class).parameters
    settings = {"n_components": 2, "n_bits": 2, "hidden_layer_sizes": (8,), "pretrain_max_iter": 2}
    settings |= {"autoencoder": configured(AutoencoderTransformer, random_state=None)}
    settings |= {"max_iter": 4, "tol": None, "random_state": 0, **parameters}
    return estimator_class(**{name: value for name, value in settings.items() if name in known})


def width_of(estimator):
    """The name of the parameter that sets the code's width."""
    return "autoencoder__n_components" if is_classifier(estimator) else width_parameter(estimator)


def last_step(pipeline):
    return pipeline.steps[-1][0]


every_class = pytest.mark.parametrize("estimator_class", WITH_CODES, ids=lambda c: c.__name__)


# Pipelines -------------------------------------------------------------------------------------------------


@every_class
def test_the_end_of_a_pipeline(estimator_class):
    pipeline = make_pipeline(StandardScaler(), small(estimator_class)).fit(X, Y)
    scaled = StandardScaler().fit_transform(X)
    alone = small(estimator_class).fit(scaled, Y)
    assert_same(pipeline.transform(X), alone.transform(scaled))
    assert pipeline.score(X, Y) == alone.score(scaled, Y)
    if is_classifier(alone):
        assert_same(pipeline.predict_proba(X), alone.predict_proba(scaled))
    else:
        codes = pipeline.transform(X)
        back = pipeline[0].inverse_transform(alone.inverse_transform(codes))
        np.testing.assert_allclose(pipeline.inverse_transform(codes), back, rtol=1e-12)


@every_class
def test_the_middle_of_a_pipeline(estimator_class):
    pipeline = make_pipeline(StandardScaler(), small(estimator_class), LogisticRegression()).fit(X, Y)
    codes = pipeline[:-1].transform(X)
    assert codes.shape == (80, 2)
    assert_same(pipeline.predict(X), LogisticRegression().fit(codes, Y).predict(codes))
    assert set(pipeline.predict(X)) <= {0, 1, 2}


@every_class
def test_two_in_a_row(estimator_class):
    pipeline = Pipeline([("first", small(estimator_class)), ("second", small(estimator_class))])
    codes = pipeline.set_params(second__random_state=1).fit(X, Y).transform(X)
    assert codes.shape == (80, 2)
    assert np.isfinite(codes).all()


@every_class
def test_a_pipeline_that_remembers(estimator_class, tmp_path):
    steps = [("scale", MinMaxScaler()), ("code", small(estimator_class)), ("fit", Ridge())]
    plain = Pipeline(steps).fit(X, Y)
    for _ in range(2):  # the second time from the cache
        cached = clone(Pipeline(steps, memory=str(tmp_path))).fit(X, Y)
        assert_same(cached.predict(X), plain.predict(X))


@every_class
def test_a_pipeline_of_sparse_rows(estimator_class):
    counts = np.random.default_rng(0).poisson(0.7, size=(80, 6)).astype(float)
    scaler = StandardScaler(with_mean=False)
    pipeline = make_pipeline(scaler, small(estimator_class)).fit(sparse.csr_array(counts), Y)
    dense = make_pipeline(clone(scaler), small(estimator_class)).fit(counts, Y)
    codes = pipeline.transform(sparse.csr_array(counts))
    np.testing.assert_allclose(codes, dense.transform(counts), rtol=1e-6, atol=1e-7)


# Columns and unions ----------------------------------------------------------------------------------------


@every_class
def test_some_of_the_columns(estimator_class):
    frame = pd.DataFrame(X, columns=list("abcdef"), index=np.arange(100, 180))
    prefix = estimator_class.__name__.lower()
    columns = ColumnTransformer(
        [("codes", small(estimator_class), ["a", "b", "c", "d"]), ("rest", StandardScaler(), ["e"])],
        remainder="passthrough",
    ).set_output(transform="pandas")
    out = columns.fit_transform(frame, Y)
    assert list(out.columns) == [f"codes__{prefix}0", f"codes__{prefix}1", "rest__e", "remainder__f"]
    assert list(out.index) == list(frame.index)
    alone = small(estimator_class).fit(frame[["a", "b", "c", "d"]], Y)
    assert_same(out.iloc[:, :2], alone.transform(frame[["a", "b", "c", "d"]]))
    shuffled = frame[list("fedcba")]  # by name, wherever they stand
    assert_same(columns.transform(shuffled).to_numpy(), columns.transform(frame).to_numpy())


@every_class
def test_beside_the_columns_themselves(estimator_class):
    union = FeatureUnion(
        [("same", FunctionTransformer(feature_names_out="one-to-one")), ("codes", small(estimator_class))]
    )
    out = union.fit(X, Y).transform(X)
    assert out.shape == (80, 8)
    assert_same(out[:, :6], X)
    np.testing.assert_array_equal(out[:, 6:], small(estimator_class).fit(X, Y).transform(X))
    prefix = estimator_class.__name__.lower()
    names = union.get_feature_names_out([f"x{i}" for i in range(6)])
    assert list(names[6:]) == [f"codes__{prefix}0", f"codes__{prefix}1"]


@every_class
def test_a_union_in_several_processes(estimator_class):
    def union(n_jobs):
        members = [(f"seed{seed}", small(estimator_class, random_state=seed)) for seed in range(3)]
        return FeatureUnion(members, n_jobs=n_jobs).fit(X, Y)

    one, two = union(1).transform(X), union(2).transform(X)
    assert one.shape == (80, 6)
    assert_same(one, two)
    assert not np.allclose(one[:, :2], one[:, 2:4])


# Searches --------------------------------------------------------------------------------------------------


def search_of(kind, estimator, n_jobs=None):
    grid = {f"{last_step(estimator)}__{width_of(estimator[-1])}": [1, 2, 3]}
    if kind is HalvingGridSearchCV:
        return kind(estimator, grid, cv=2, factor=2, min_resources=30, random_state=0, n_jobs=n_jobs)
    if kind is RandomizedSearchCV:
        return kind(estimator, grid, cv=2, n_iter=2, random_state=0, n_jobs=n_jobs)
    return kind(estimator, grid, cv=2, n_jobs=n_jobs)


@pytest.mark.parametrize("kind", [GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV])
@every_class
def test_searches_in_one_process_and_in_two(kind, estimator_class):
    pipeline = make_pipeline(StandardScaler(), small(estimator_class))
    one, two = (search_of(kind, clone(pipeline), n_jobs).fit(X, Y) for n_jobs in (1, 2))
    assert one.best_params_ == two.best_params_
    scores = [name for name in one.cv_results_ if "test_score" in name]
    assert scores
    for name in scores:
        assert_same(one.cv_results_[name], two.cv_results_[name])
    assert np.isfinite(one.cv_results_["mean_test_score"]).all()
    for method in row_methods(one.best_estimator_[-1])[:1]:
        assert_same(getattr(one, method)(X), getattr(two, method)(X))
    assert one.score(X, Y) == two.score(X, Y)
    name = f"{last_step(pipeline)}__{width_of(pipeline[-1])}"
    assert one.transform(X).shape == (80, one.best_params_[name])


@every_class
def test_a_halving_search_over_epochs(estimator_class):
    """Epochs are a resource like any other: more of them for the better candidates."""
    model = small(estimator_class)
    search = HalvingGridSearchCV(
        model,
        {"learning_rate": [1e-6, 1e-3, 1e-2]},
        cv=2,
        resource="max_iter",
        min_resources=2,
        max_resources=8,
        factor=2,
    ).fit(X, Y)
    assert search.n_resources_ == [2, 4]
    assert search.best_estimator_.n_iter_ == search.best_params_["max_iter"] == 4


@every_class
def test_a_search_through_a_whole_pipeline(estimator_class):
    pipeline = make_pipeline(StandardScaler(), small(estimator_class), LogisticRegression())
    name = f"{pipeline.steps[1][0]}__{width_of(pipeline[1])}"
    search = GridSearchCV(pipeline, {name: [1, 2], "logisticregression__C": [0.1, 1]}, cv=2).fit(X, Y)
    assert search.best_params_[name] in (1, 2)
    assert len(search.cv_results_["params"]) == 4
    assert search.predict(X).shape == (80,)


@every_class
def test_cross_validation_in_one_process_and_in_two(estimator_class):
    one, two = (
        cross_validate(small(estimator_class), X, Y, cv=3, n_jobs=n_jobs, return_estimator=True)
        for n_jobs in (1, 2)
    )
    assert_same(one["test_score"], two["test_score"])
    for first, second in zip(one["estimator"], two["estimator"], strict=True):
        assert_same(first.transform(X), second.transform(X))


# Copies ----------------------------------------------------------------------------------------------------


@every_class
def test_clone_of_the_fitted_is_unfitted_and_fits_the_same(estimator_class):
    model = small(estimator_class).fit(X, Y)
    copied = clone(model)
    assert not [name for name in vars(copied) if name.endswith("_") and not name.startswith("_")]
    assert repr(copied) == repr(small(estimator_class))
    assert_same(copied.fit(X, Y).transform(X), model.transform(X))


@every_class
def test_clone_of_nested_parts_shares_nothing(estimator_class):
    pipeline = make_pipeline(StandardScaler(), small(estimator_class))
    copied = clone(pipeline)
    name = f"{last_step(pipeline)}__{width_of(pipeline[-1])}"
    copied.set_params(**{name: 3})
    assert pipeline.get_params()[name] == 2
    copied.fit(X, Y)
    assert not hasattr(pipeline[-1], "n_iter_")


@every_class
def test_defaults_are_immutable_and_shown_as_unchanged(estimator_class):
    model = estimator_class()
    assert repr(model) == f"{estimator_class.__name__}()"
    for name, parameter in inspect.signature(estimator_class).parameters.items():
        assert getattr(model, name) is parameter.default, name
        assert not isinstance(parameter.default, list | dict | set), name
