"""Exported imputers against `transform`, in the ONNX runtime."""

import copy
import itertools
import subprocess
import sys
import textwrap

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from numpy.testing import assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

import skae
from skae import AutoencoderImputer, AutoencoderTransformer
from skae.onnx import to_onnx

pytestmark = pytest.mark.filterwarnings("ignore:Some values are so far from all others:UserWarning")
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE)


def imputer(**settings):
    return AutoencoderImputer(**{"n_estimators": 2, "max_iter": 5, "random_state": 0, **settings})


def encoder():
    return AutoencoderTransformer(2, max_iter=2, tol=None, random_state=0)


def table(n=150, d=6, share=0.25):
    """Rows in two groups, of a skewed column, one of integers and others, with holes; a row has nothing else."""
    random = np.random.default_rng(0)
    X = random.normal(size=(n, 3)) @ random.normal(size=(3, d)) + 0.3 * random.normal(size=(n, d))
    X[: n // 2] += 3
    X[:, 1] = np.exp(X[:, 1])
    X[:, 2] = X[:, 2].round()
    X[random.random(X.shape) < share] = np.nan
    X[7] = np.nan
    return X


def run(exported, X):
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    if hasattr(X, "columns"):
        return session.run(None, {name: X[[name]].to_numpy(dtype=X[name].to_numpy().dtype) for name in X})
    return session.run(None, {"X": X})


def assert_close(got, expected):
    """The largest difference, relative to the values' size."""
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    tolerance = TOLERANCE[got.dtype.name]
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def assert_same(model, X):
    assert_close(run(to_onnx(model, X), X)[0], model.transform(X))


def with_shares(model, copula, mixture, network):
    """Return the imputer with other shares of its models than it chose: on small tables, some have none."""
    model = copy.deepcopy(model)
    model._model["shares"] = (copula, mixture, network, model._model["shares"][-1])
    return model


@pytest.fixture(scope="module")
def fitted():
    return {dtype: imputer().fit(table().astype(dtype)) for dtype in TOLERANCE}


SETTINGS = {
    "one network": {"n_estimators": 1},
    "three networks": {"n_estimators": 3, "max_iter": 30},
    "default width": {"n_components": 4, "hidden_layer_sizes": (64, 64)},
    "no hidden layers": {"hidden_layer_sizes": (), "n_components": 1},
    "trained in float64": {"dtype": "float64"},
    "indicator": {"add_indicator": True},
    "limits": {"min_value": -1, "max_value": 2.5},
    "limits of columns": {"min_value": [-1, 0, 0, -2, -np.inf, 0], "max_value": [1, 9, 1, np.inf, 5, 0.5]},
}


@DTYPES
@pytest.mark.parametrize("name", SETTINGS)
def test_every_configuration(name, dtype):
    X = table().astype(dtype)
    model = imputer(**SETTINGS[name]).fit(X)
    assert_same(model, X)
    assert_same(with_shares(model, 0.3, 0.4, 0.7), X)


@pytest.mark.parametrize("shares", [*itertools.product((0, 0.4, 1), repeat=3)], ids=str)
def test_every_blend_of_models(shares, fitted):
    """A model without a share is left out of the file, which still has to agree."""
    assert_same(with_shares(fitted["float64"], *shares), table())


@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "leaky_relu", "tanh", "sigmoid", "identity"])
def test_every_activation(activation):
    X = table(60)
    model = imputer(activation=activation, hidden_layer_sizes=(8, 5)).fit(X)
    assert_same(with_shares(model, 0, 0, 1), X)


@DTYPES
def test_rows_of_all_kinds(dtype, fitted):
    """One row, none, complete ones, those without any value, and gross values, which count as missing."""
    X, model = table().astype(dtype), with_shares(fitted[dtype], 0.3, 0.4, 0.7)
    gross = X[:20].copy()
    gross[[3, 9], [0, 4]] = 1e7, -1e300 if dtype == "float64" else -1e30
    for rows in (X[:1], X[:0], np.nan_to_num(X), np.full_like(X[:3], np.nan), X[7:8], gross, X[:, ::-1][::-1]):
        expected = model.transform(rows) if len(rows) else rows
        assert_close(run(to_onnx(model, X), rows)[0], expected)


@DTYPES
@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_columns_that_are_empty_in_fit(keep, indicator, dtype):
    X = table().astype(dtype)
    later = X.copy()
    X[:, [0, 3]] = np.nan
    model = imputer(keep_empty_features=keep, add_indicator=indicator).fit(X)
    assert_same(with_shares(model, 0.3, 0.4, 0.7), later)
    nothing = np.full((9, 3), np.nan, dtype)
    assert_same(imputer(keep_empty_features=keep, add_indicator=indicator).fit(nothing), nothing)


@DTYPES
def test_odd_tables(dtype):
    """Constant columns, copies of a column, a single column, few rows, none missing in fit; more columns."""
    X = table().astype(dtype)
    odd = X.copy()
    odd[:, 4] = odd[:, 3]
    odd[:, 1] = np.where(np.isnan(odd[:, 1]), np.nan, 7)
    for rows in (odd, X[:, :1], X[:12], table(60, 25).astype(dtype)):
        assert_same(with_shares(imputer().fit(rows), 0.3, 0, 0.7), rows)
    assert_same(imputer(add_indicator=True).fit(np.nan_to_num(X)), X)


def test_a_member_without_a_mixture(fitted):
    """Whether there is one depends on how many entries are missing, which differs between members."""
    model = with_shares(fitted["float64"], 0.3, 0.4, 0.7)
    del model._model["parametric"][1]["mixture"]
    assert_same(model, table())


def test_an_imputer_of_an_earlier_version(fitted):
    model = copy.deepcopy(fitted["float64"])
    del model._range
    assert_same(model, table())


@DTYPES
@pytest.mark.parametrize("marker", [-9.1, -1, 0, np.int64(7)])
def test_numbers_that_mark_missing_values(marker, dtype):
    X = np.nan_to_num(table(60).astype(dtype), nan=marker)
    model = imputer(missing_values=marker, add_indicator=True).fit(X)
    assert_same(model, X)
    if isinstance(marker, int):
        whole = X.round().astype(int)
        model = imputer(missing_values=marker).fit(whole)
        assert_close(run(to_onnx(model, whole), whole.astype(float))[0], model.transform(whole))


@pytest.mark.parametrize(
    "estimator",
    [
        imputer(missing_values=-9.1),
        skae.DenoisingAutoencoder(2, missing_values=-9.1, max_iter=2, tol=None, random_state=0),
    ],
    ids=["imputer", "autoencoder"],
)
def test_a_mark_in_columns_of_several_precisions(estimator):
    """In single precision it is the nearest number there."""
    frame = pd.DataFrame(table(60), columns=list("abcdef")).fillna(-9.1).astype({"a": "float32", "b": "float32"})
    assert_same(estimator.fit(frame), frame)


@pytest.mark.parametrize("kind", ["Float64", "Float32"])
def test_nullable_columns(kind):
    """The file takes plain ones, with NaN."""
    frame = pd.DataFrame(table(60), columns=list("abcdef")).astype(kind)
    frame["c"] = frame["c"].astype("Int64") if kind == "Float64" else frame["c"]
    model = imputer(missing_values=pd.NA).fit(frame)
    plain = frame.astype(kind.lower())
    assert_close(run(to_onnx(model, frame), plain)[0], model.transform(frame))
    cells = pd.DataFrame(table(60)).astype("Float64").astype(object).to_numpy()
    model = imputer(missing_values=pd.NA).fit(cells)
    assert_close(run(to_onnx(model, cells), table(60))[0], model.transform(cells))


@DTYPES
def test_rows_that_are_not_finite(dtype, fitted):
    X = table()[:6].astype(dtype)
    broken = X.copy()
    broken[[1, 2], [4, 1]] = np.inf, -np.inf
    (filled,) = run(to_onnx(fitted[dtype], X), broken)
    assert np.isnan(filled[1:3]).all()
    assert_close(filled[[0, 3, 4, 5]], fitted[dtype].transform(X[[0, 3, 4, 5]]))
    marked = imputer(missing_values=-9).fit(np.nan_to_num(X, nan=-9))
    assert np.isnan(run(to_onnx(marked, X), X)[0]).all(1).tolist() == np.isnan(X).any(1).tolist()


# Pipelines ---------------------------------------------------------------------------------------------------


@DTYPES
@pytest.mark.parametrize("convert", [to_onnx, skl2onnx.to_onnx])
def test_pipelines(convert, dtype):
    X = table().astype(dtype)
    models = [
        make_pipeline(imputer(), StandardScaler(), encoder()),
        make_union(imputer(), imputer(add_indicator=True)),
        make_pipeline(
            make_column_transformer((imputer(), [0, 2, 1]), (make_pipeline(imputer(), StandardScaler()), [5, 4])),
            make_pipeline(StandardScaler(), encoder()),
        ),
    ]
    for model in models:
        model.fit(X)
        assert_close(run(convert(model, X), X)[0], model.transform(X))
    assert_close(run(convert(models[0], X, target_opset=18), X)[0], models[0].transform(X))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-3), ("float64", 1e-10)])
def test_an_imputer_after_a_scaler(dtype, tolerance):
    """In float32 scaled values are rounded, by which normal scores differ more where they are close together."""
    X = table().astype(dtype)
    pipe = make_pipeline(StandardScaler(), imputer(add_indicator=True)).fit(X)
    np.testing.assert_allclose(run(to_onnx(pipe, X), X)[0], pipe.transform(X), atol=tolerance)


@DTYPES
def test_pipelines_of_classifiers_and_detectors(dtype):
    X = table().astype(dtype)
    y = np.nan_to_num(X[:, 0]) > 0
    classifier = make_pipeline(
        imputer(), StandardScaler(), skae.AutoencoderClassifier(encoder(), max_iter=2, tol=None)
    )
    labels, probabilities = run(to_onnx(classifier.fit(X, y), X), X)
    assert_array_equal(labels, classifier.predict(X))
    assert_close(probabilities, classifier.predict_proba(X))
    detector = make_pipeline(imputer(), StandardScaler(), skae.AutoencoderOutlierDetector(n_estimators=2)).fit(X)
    labels, scores = run(to_onnx(detector, X), X)
    assert_array_equal(labels, detector.predict(X))
    assert_close(scores, detector.score_samples(X))
    if dtype == "float32":  # which skl2onnx has for nothing else
        linear = make_pipeline(imputer(), StandardScaler(), LogisticRegression()).fit(X, y)
        assert_array_equal(run(to_onnx(linear, X), X)[0], linear.predict(X))


def test_frames_searches_and_names_of_outputs():
    frame = pd.DataFrame(table(60), columns=list("abcdef"))
    pipe = make_pipeline(imputer(), StandardScaler(), encoder())
    search = GridSearchCV(pipe, {"autoencodertransformer__n_components": [1, 2]}, cv=2).fit(frame)
    assert_same(search, frame)
    for name in ("filled", "transform"):
        exported = to_onnx(search.best_estimator_[:1], frame, outputs=name)
        assert [output.name for output in exported.graph.output] == [name]
        assert_close(run(exported, frame)[0], search.best_estimator_[:1].transform(frame))
    with pytest.raises(ValueError, match=r"'codes', which AutoencoderImputer does not give.*'filled'"):
        to_onnx(search.best_estimator_[0], frame, outputs="codes")


def test_draws_are_refused_with_a_remedy():
    X = table(60)
    drawing = imputer(sample_posterior=True).fit(X)
    for model in (drawing, make_pipeline(drawing, StandardScaler()).fit(X)):
        for export in (to_onnx, skl2onnx.to_onnx):
            with pytest.raises(NotImplementedError, match=r"draws anew.*set_params\(sample_posterior=False\)"):
                export(model, X)
    assert_same(drawing.set_params(sample_posterior=False), X)


def test_the_file_runs_without_torch_and_scikit_learn(tmp_path):
    X = table().astype(np.float32)
    pipe = make_pipeline(imputer(), StandardScaler(), encoder()).fit(X)
    pipe.steps[0] = ("imputer", with_shares(pipe[0], 0.3, 0.4, 0.7))
    (tmp_path / "model.onnx").write_bytes(to_onnx(pipe, X).SerializeToString())
    np.save(tmp_path / "X.npy", X)
    code = """
        import sys
        for name in ("torch", "sklearn", "skae", "skl2onnx", "onnx", "scipy"):
            sys.modules[name] = None  # importing it fails
        import numpy as np, onnxruntime
        session = onnxruntime.InferenceSession("model.onnx")
        np.save("codes.npy", session.run(["codes"], {"X": np.load("X.npy")})[0])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), pipe.transform(X), atol=1e-5)
