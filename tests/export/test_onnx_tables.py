"""Exported samplers of tables against their own methods, in the ONNX runtime."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from skl2onnx.sklapi import CastTransformer
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderClassifier, AutoencoderTransformer, TabularVAESampler
from skae.onnx import to_onnx

pytestmark = pytest.mark.filterwarnings("ignore:Column .* holds values that fit did not see:UserWarning")
N = 120
OUTPUTS = ["codes", "score_samples"]
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def sampler(**settings):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "tol": None, "n_importance_samples": 8} | settings
    return TabularVAESampler(3, random_state=0, **settings)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.integers(17, 90, N),
            "hours-per week": np.round(rng.normal(40, 10, N), 1),
            "gain": np.where(rng.random(N) < 0.6, 0.0, rng.exponential(1000, N)),
            "sex": rng.choice(["Male", "Female", "élève", "", "nan"], N),
            "grade": pd.Categorical(rng.integers(0, 4, N)),
            "married": rng.random(N) < 0.5,
        }
    )


def with_holes(frame, seed=1):
    """The columns that can have holes, with holes."""
    rng = np.random.default_rng(seed)
    frame = frame.copy()
    for name in ("hours-per week", "gain", "sex"):
        frame.loc[rng.random(len(frame)) < 0.3, name] = np.nan
    frame.loc[0, ["hours-per week", "gain", "sex"]] = np.nan
    return frame.assign(sex=frame["sex"].replace("nan", "x"))


def session_of(model):
    return onnxruntime.InferenceSession(model.SerializeToString())


def run(model, X):
    session = session_of(model)
    if not hasattr(X, "columns"):
        return session.run(None, {"X": X})
    return session.run(None, {value.name: X[[value.name]].to_numpy() for value in session.get_inputs()})


def assert_close(got, expected):
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    tolerance = TOLERANCE[got.dtype.name]
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def assert_agrees(X, Y=None, **settings):
    """Fit to X and compare on X, and on other rows."""
    model = sampler(**settings).fit(X)
    exported = to_onnx(model, X, outputs=OUTPUTS)
    for rows in (X,) if Y is None else (X, Y):
        for method, result in zip(("transform", "score_samples"), run(exported, rows), strict=True):
            assert_close(result, getattr(model, method)(rows))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"numeric_transform": "standard"},
        {"prior": "normal"},
        {"atom_share": 1.0},
        {"atom_share": 0.005},
        {"categorical_features": ["age", "hours-per week", "sex", "grade", "married"]},
        {"dtype": "float64", "n_importance_samples": 3},
    ],
    ids=str,
)
def test_every_kind_of_column(settings, table):
    assert_agrees(table, **settings)
    assert_agrees(with_holes(table), with_holes(table, 2), **settings)


@pytest.mark.parametrize("transform", ["quantile", "standard"])
def test_rows_unlike_those_of_fit(transform, table):
    """Categories that are not known, numbers far outside, and numbers between those seen and beside atoms."""
    other = table.copy()
    other.loc[0, "sex"] = "other"
    other["grade"] = other["grade"].astype(int) + 2
    other.loc[1:5, "age"] = [-(10**6), 16, 17, 89, 2**60]
    other.loc[1:6, "gain"] = [-1e300, 1e300, -1.0, 1e-9, 1e5, 3.25]
    other["hours-per week"] += np.random.default_rng(1).normal(size=N)
    assert_agrees(table, other, numeric_transform=transform)


@pytest.mark.parametrize("make", [pl.from_pandas, pd.DataFrame.convert_dtypes], ids=["polars", "nullable"])
def test_other_frames(make, table):
    frame = with_holes(table).assign(grade=table["grade"].astype(int), gain=table["gain"])
    X = make(frame)
    model = sampler().fit(X)
    (codes,) = run(to_onnx(model, X), X)
    assert_close(codes, model.transform(X))


@pytest.mark.parametrize("dtype", ["string", "category", object, pd.CategoricalDtype(["b", "a"], ordered=True)])
def test_dtypes_of_strings(dtype):
    X = pd.DataFrame({"a": np.resize(["a", "b", "b"], 30), "x": np.arange(30.0)})
    X.loc[:3, "a"] = None
    X["a"] = X["a"].astype(dtype)
    assert_agrees(X)


def test_integers_and_booleans_with_holes_are_float64():
    X = pd.DataFrame({"b": pd.array([True, False, None] * 9, "boolean"), "i": pd.array([1, 2, None] * 9, "Int64")})
    for chosen in ("from_dtype", ["b", "i"]):
        model = sampler(categorical_features=chosen).fit(X)
        exported = to_onnx(model, X)
        assert [value.type for value in session_of(exported).get_inputs()] == ["tensor(double)"] * 2
        feed = {name: X[[name]].to_numpy(float, na_value=np.nan) for name in X}
        assert_close(session_of(exported).run(None, feed)[0], model.transform(X))


def test_types_and_names_of_inputs(table):
    table = table.assign(small=table["age"].astype("int8"), single=table["gain"].astype("float32"))
    session = session_of(to_onnx(sampler().fit(table), table))
    assert [value.name for value in session.get_inputs()] == [*table]
    assert [value.type[7:-1] for value in session.get_inputs()] == [
        *("int64", "double", "double", "string", "int64", "bool", "int8", "float")
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "<U5", object])
def test_arrays(dtype, table):
    X = table[["age", "hours-per week"]].to_numpy()
    X = (X > 40).astype(dtype) if dtype == "bool" else X.round(-1).astype(dtype)
    assert_agrees(X.astype(str).astype(object) if dtype is object else X)
    if X.dtype.kind in "if":
        assert_agrees(X, categorical_features=[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("transform", ["quantile", "standard"])
def test_arrays_with_holes_ties_and_few_rows(transform, dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(dtype)
    X[:, 1] = np.repeat(X[:20, 1], 3)  # several quantiles at one place
    X[:, 2] = np.repeat(X[:5, 2], 12)  # nothing but atoms
    X[rng.random(X.shape) < 0.2] = np.nan
    X[0] = np.nan
    for rows in (X, X[:2], np.where(X > 9, X, 1)):
        rows = np.where(np.isnan(rows).all(0), 1, rows).astype(dtype)
        assert_agrees(rows, np.nan_to_num(X) + dtype_one(dtype), numeric_transform=transform)


def dtype_one(dtype):
    return np.dtype(dtype).type(1)


def test_large_integers():
    """Told apart where float64 does not."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"id": 2**61 + rng.integers(0, 40, 50)})
    X["hash"] = rng.choice([-(2**62), 2**62 + 1, 2**62 + 2], 50)

    X["span"] = rng.integers(-(2**62), 2**62, 50)
    X.loc[:19, "id"] = 2**61 + 7
    Y = X.assign(id=X["id"] + rng.integers(-9, 9, 50))
    assert_agrees(X, Y)
    assert_agrees(X, Y, categorical_features=["hash"])


def test_infinite_numbers(table):
    model = sampler().fit(table)
    other = table[:3].copy()
    other.loc[1, "gain"] = np.inf
    codes, scores = run(to_onnx(model, table, outputs=OUTPUTS), other)
    assert np.isnan(codes[1]).all()
    assert scores[1] == -np.inf
    assert_close(codes[[0, 2]], model.transform(other.loc[[0, 2]]))


def test_rows_without_any_value_score_zero():
    X = np.random.default_rng(0).normal(size=(50, 2))
    model, empty = sampler().fit(X), np.full((2, 2), np.nan)
    assert_array_equal(run(to_onnx(model, X, outputs="score_samples"), empty)[0], [0, 0])


# Pipelines ---------------------------------------------------------------------------------------------------


PIPELINES = {
    "classifier": lambda: make_pipeline(sampler(), LogisticRegression()),
    "scaler": lambda: make_pipeline(sampler(), StandardScaler(), LogisticRegression()),
    "of skae": lambda: make_pipeline(
        sampler(), AutoencoderClassifier(AutoencoderTransformer(2, max_iter=2, tol=None), max_iter=2, tol=None)
    ),
    "search": lambda: GridSearchCV(
        make_pipeline(sampler(), LogisticRegression()), {"tabularvaesampler__beta": [1, 2]}, cv=2
    ),
    "columns": lambda: make_pipeline(
        make_column_transformer((sampler(), ["sex", "age"]), (StandardScaler(), ["hours-per week"])),
        LogisticRegression(),
    ),
    "pipeline of columns": lambda: make_pipeline(
        make_column_transformer((make_pipeline(sampler(), StandardScaler()), ["age", "sex", "married"])),
        LogisticRegression(),
    ),
}


@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize("convert", [pd.DataFrame, pl.from_pandas], ids=["pandas", "polars"])
def test_pipelines(make, convert, table):
    X, y = table.assign(sex=with_holes(table)["sex"]), table["age"] > 50
    X = convert(X)
    pipe = make().fit(X, y)
    labels, probabilities = run(to_onnx(pipe, X), X)
    assert_array_equal(labels, pipe.predict(X))
    np.testing.assert_allclose(probabilities, pipe.predict_proba(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("classifier", [GradientBoostingClassifier(n_estimators=3), RidgeClassifier()])
def test_classifiers_that_are_exported_for_float32_only(classifier, table):
    pipe = make_pipeline(sampler(), CastTransformer(), classifier).fit(table, table["age"] > 50)
    assert_array_equal(run(to_onnx(pipe, table), table)[0], pipe.predict(table))


def test_union(table):
    union = make_union(sampler(), sampler(prior="normal")).fit(table)
    assert_close(run(to_onnx(union, table), table)[0], union.transform(table))


def test_after_a_scaler():
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    pipe = make_pipeline(StandardScaler(), sampler()).fit(X)
    assert_close(run(to_onnx(pipe, X), X)[0], pipe.transform(X))


def test_names_of_columns_that_are_alike():
    """skl2onnx keeps letters and digits of names only."""
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 4)), columns=["a b", "a_b", "1", "a-b"])
    for model in (sampler(), AutoencoderTransformer(2, max_iter=1, tol=None)):
        exported = to_onnx(model.fit(X), X)
        assert [value.name for value in exported.graph.input] == [*X]
        assert_close(run(exported, X)[0], model.transform(X))


def test_the_file_runs_without_torch(tmp_path, table):
    X, y = with_holes(table), table["age"] > 50
    pipe = make_pipeline(sampler(), LogisticRegression()).fit(X, y)
    (tmp_path / "model.onnx").write_bytes(to_onnx(pipe, X).SerializeToString())
    (tmp_path / "X.json").write_text(json.dumps({name: [[v] for v in X[name].tolist()] for name in X}))
    code = """
        import json, sys
        for name in ("torch", "sklearn", "skae", "skl2onnx", "onnx", "pandas", "scipy"):
            sys.modules[name] = None  # importing it fails
        import numpy as np, onnxruntime
        columns = json.load(open("X.json"))
        X = {name: np.array(cells, dtype=object if name == "sex" else None) for name, cells in columns.items()}
        session = onnxruntime.InferenceSession("model.onnx")
        np.save("probabilities.npy", session.run(["probabilities"], X)[0])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "probabilities.npy"), pipe.predict_proba(X), rtol=0, atol=1e-10)


# Errors ------------------------------------------------------------------------------------------------------


def test_what_has_no_graph(table):
    mixed = table.to_numpy(object)
    with pytest.raises(NotImplementedError, match=r"numbers beside strings.*infer_objects"):
        to_onnx(sampler().fit(mixed), mixed)
    frame = pd.DataFrame(mixed).infer_objects()
    model = sampler().fit(mixed)
    feed = {str(name): frame[[name]].to_numpy() for name in frame}
    assert_close(session_of(to_onnx(model, frame)).run(None, feed)[0], model.transform(mixed))
    days = pd.Categorical(pd.to_datetime(["2024-01-01", "2024-01-02"] * 5))
    frame = pd.DataFrame({"day": days, "x": np.arange(10.0)})
    with pytest.raises(NotImplementedError, match=r"Column 'day' holds categories such as .*to strings"):
        to_onnx(sampler().fit(frame), frame)
    large = pd.DataFrame({"id": np.arange(10, dtype=np.uint64) + 2**63, "x": np.arange(10.0)})
    with pytest.raises(NotImplementedError, match=r"Column 'id'.*too large for float64.*given as uint64.*int64"):
        to_onnx(sampler().fit(large), large)


def test_other_tables_than_those_of_fit(table):
    model = sampler().fit(table)
    with pytest.raises(ValueError, match=r"Column 'age' has dtype string, but held numbers in fit"):
        to_onnx(model, table.assign(age="old"))
    with pytest.raises(ValueError, match=r"X has 2 features, but TabularVAESampler takes 6"):
        to_onnx(model, table[["age", "sex"]])
    with pytest.raises(ValueError, match=r"Column 0 of X is 'gain', but TabularVAESampler .* 'age' there"):
        to_onnx(model, table[["gain", *(name for name in table if name != "gain")]])
    with pytest.raises(ValueError, match="outputs names 'reconstruction'"):
        to_onnx(model, table, outputs="reconstruction")
    pipe = make_pipeline(StandardScaler(), sampler()).fit(table[["age", "gain"]])
    pipe[-1]._codec = model._codec
    with pytest.raises(ValueError, match=r"Column 'sex' is given as .*, but .* with strings there"):
        to_onnx(pipe, table[["age", "gain"]])
