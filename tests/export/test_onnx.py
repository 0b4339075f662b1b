"""Exported models against the estimators' own methods, in the ONNX runtime."""

import subprocess
import sys
import textwrap

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pytest
import skl2onnx
import torch
from estimators import CONFIGURATIONS, CONVOLUTIONAL, DETECTORS, INEXACT_WEIGHTS, MISSING
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper
from scipy import special
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn

from skae import (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    VAESampler,
)
from skae.onnx import to_onnx
from skae.onnx._graph import Graph

METHODS = {"codes": "transform", "reconstruction": "reconstruct", "score_samples": "score_samples"}
CATEGORIES = {"likelihood": [("categorical", range(5))]}
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
ALL = {**CONFIGURATIONS, **INEXACT_WEIGHTS, **CONVOLUTIONAL}


def run(model, X):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: X})


def assert_close(got, expected):
    expected = np.asarray(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE.get(got.dtype.name, 0))


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).uniform(0, 1, (60, 5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL)
def test_every_configuration(name, dtype, rows):
    X = rows.astype(dtype)
    model = clone(ALL[name]).fit(X)
    results = run(to_onnx(model, X, outputs=list(METHODS)), X)
    for method, result in zip(METHODS.values(), results, strict=True):
        assert_close(result, getattr(model, method)(X))


@pytest.mark.parametrize("marker", [np.nan, -9.0])
@pytest.mark.parametrize("name", MISSING)
def test_missing_values(name, marker, rows):
    X = rows.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = marker
    model = clone(MISSING[name]).set_params(missing_values=marker).fit(X)
    for method, result in zip(METHODS.values(), run(to_onnx(model, X, outputs=list(METHODS)), X), strict=True):
        assert_close(result, getattr(model, method)(X))


@pytest.mark.parametrize("activation", ["elu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid", "identity"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_activation_far_from_zero(activation, dtype, rows):
    X = (100 * rows).astype(dtype)
    model = AutoencoderTransformer(2, activation=activation, code_activation=activation, max_iter=1, tol=None)
    model.fit(X)
    for result, expected in zip(
        run(to_onnx(model, X, outputs=["codes", "reconstruction"]), X),
        (model.transform(X), model.reconstruct(X)),
        strict=True,
    ):
        np.testing.assert_allclose(result, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(7, 5, 2), (6, 6, 1)])
@pytest.mark.parametrize("settings", [{}, {"downsampling": "pool"}, {"code_layer": "convolution"}])
def test_images_of_odd_sides(shape, settings, rows):
    for dtype in TOLERANCE:
        X = np.random.default_rng(1).normal(size=(20, np.prod(shape))).astype(dtype)
        model = AutoencoderTransformer(
            12, image_shape=shape, hidden_layer_sizes=(4, 3), kernel_size=5, max_iter=2, tol=None, **settings
        ).fit(X)
        results = run(to_onnx(model, X, outputs=["codes", "reconstruction"]), X)
        assert_close(results[0], model.transform(X))
        assert_close(results[1], model.reconstruct(X))


@pytest.mark.parametrize(
    "settings",
    [
        {"likelihood": "bernoulli"},
        {"likelihood": "poisson"},
        {"likelihood": "exponential"},
        {"likelihood": [("poisson", [0, 3]), ("gaussian", [1]), ("bernoulli", [2, 4])]},
        {"likelihood": [("categorical", [0, 3]), ("gaussian", [1]), ("categorical", [2, 4])]},
        {"likelihood": "student_t"},
        {"decoder_variance": "conditional"},
        {
            "likelihood": [("student_t", [3, 1]), ("gaussian", [2]), ("bernoulli", [0, 4])],
            "decoder_variance": "conditional",
        },
        {"decoder_variance": "conditional", "image_shape": (5, 1), "hidden_layer_sizes": (4,)},
        {"loss": "huber"},
        {"loss": "absolute_error"},
        {"loss": "binary_cross_entropy"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_likelihoods(settings, dtype, rows):
    X = np.round(rows).astype(dtype)
    X[:, 3:] = 1 - X[:, [0, 2]]
    model = VAESampler(2, max_iter=2, tol=None, n_importance_samples=8, random_state=0, **settings).fit(X)
    results = run(to_onnx(model, X, outputs=list(METHODS)), X)
    for method, result in zip(METHODS.values(), results, strict=True):
        assert_close(result, getattr(model, method)(X))


@pytest.mark.parametrize("settings", [{"likelihood": "bernoulli"}, {"loss": "binary_cross_entropy"}, CATEGORIES])
def test_rows_outside_the_support_score_minus_infinity(settings, rows):
    """Row by row, also for values that are off by rounding alone."""
    X = np.repeat(np.eye(5), 3, axis=0)
    model = VAESampler(2, max_iter=2, tol=None, random_state=0, **settings).fit(X)
    Y = X.copy()
    Y[[1, 4], [2, 0]], Y[6, 0], Y[8, 3] = 2, -0.5, 1e-9
    (scores,) = run(to_onnx(model, X, outputs=["score_samples"]), Y)
    with pytest.warns(UserWarning, match="score -inf"):
        expected = model.score_samples(Y)
    assert np.isneginf(expected).sum() == 3
    assert_close(scores, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name, dtype, rows):
    """Rows like those trained on and odd ones; a p-value is one more for a score that is rounded."""
    X = rows.astype(dtype)
    model = clone(DETECTORS[name]).fit(X)
    Y = np.concatenate([X, 5 * X, X[:5] + np.array([3, 0, 0, 0, 0], dtype)])
    labels, scores, p = run(to_onnx(model, X, outputs=["labels", "score_samples", "p_values"]), Y)
    expected = model.score_samples(Y)
    assert scores.dtype == expected.dtype
    np.testing.assert_allclose(scores, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert_array_equal(labels, model.predict(Y))
    assert {-1, 1} == {*labels}
    step = 1 / (1 + len(model._reference()))
    np.testing.assert_allclose(p, model.p_values(Y), atol=1e-12 if dtype == "float64" else 1.001 * step)
    assert len(np.unique(p)) > 5


@pytest.mark.parametrize("rate", [0.3, 0.001])
@pytest.mark.filterwarnings("ignore:No row can be an outlier:UserWarning")  # at the smaller rate
@pytest.mark.filterwarnings("ignore:.* are rows of fit, which members have learned:UserWarning")
def test_detectors_keep_their_rate_of_false_alarms(rate, rows):
    model = AutoencoderOutlierDetector(n_estimators=3, false_alarm_rate=rate, random_state=0).fit(rows)
    Y = np.vstack([rows, 5 * rows])
    labels, _ = run(to_onnx(model, rows), Y)
    assert_array_equal(labels, model.predict(Y))
    assert {*labels} == ({-1, 1} if rate == 0.3 else {1})


def test_a_detector_of_other_members_says_so(rows):
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, max_iter=2, tol=None))
    model = AutoencoderOutlierDetector(pipe, n_estimators=2, random_state=0).fit(rows)
    with pytest.raises(NotImplementedError, match="members of the detector are of Pipeline"):
        to_onnx(model, rows)


def test_some_say_why_they_cannot(rows):
    estimator = AutoencoderImputer(n_estimators=1, max_iter=1, sample_posterior=True, random_state=0)
    reason, autoencoder = "draws anew", AutoencoderTransformer(2, max_iter=1, tol=None)
    with pytest.raises(NotImplementedError, match=f"cannot be exported.*{reason}"):
        to_onnx(estimator.fit(rows), rows)
    for pipe in (
        make_pipeline(estimator, autoencoder),
        make_pipeline(make_column_transformer((estimator, [0, 1, 2, 3, 4])), autoencoder),
        make_pipeline(make_union(estimator, estimator), StandardScaler()),
    ):
        for export in (to_onnx, skl2onnx.to_onnx):
            with pytest.raises(NotImplementedError, match=f"cannot be exported.*{reason}"):
                export(pipe.fit(rows), rows)
    with pytest.raises(NotImplementedError, match="export the steps after it, and give them what it returns"):
        to_onnx(pipe, rows)
    after = make_pipeline(estimator, autoencoder).fit(rows)
    assert to_onnx(after[1:], after[:1].transform(rows)).graph.output


BROKEN = [(1, 0, np.nan), (2, 4, np.inf), (3, 2, -np.inf)]


def with_broken(rows, dtype):
    """Rows of which the second to the fourth hold what skae refuses."""
    X = rows[:6].astype(dtype)
    for row, column, value in BROKEN:
        X[row, column] = value
    return X


def assert_broken(result, nothing):
    is_broken = np.isnan(result) if np.isnan(nothing) else result == nothing
    assert is_broken[1:4].all()
    assert not is_broken[[0, 4, 5]].any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*ALL, *MISSING])
def test_rows_that_are_not_finite(name, dtype, rows):
    """What the methods refuse comes back as NaN, with a score of -inf; tanh and bits would hide it."""
    X, Y = rows.astype(dtype), with_broken(rows, dtype)
    model = clone({**ALL, **MISSING}[name]).fit(X)
    if name in MISSING:
        model.set_params(missing_values=-9.0)
    codes, reconstruction, scores = run(to_onnx(model, X, outputs=list(METHODS)), Y)
    assert_broken(scores, -np.inf)
    assert_broken(reconstruction, np.nan)
    if codes.dtype.kind == "f":
        assert_broken(codes, np.nan)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.3, 0.001])
@pytest.mark.filterwarnings("ignore:No row can be an outlier:UserWarning")  # at the smaller rate
@pytest.mark.filterwarnings("ignore:.* are rows of fit, which members have learned:UserWarning")
@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_call_no_row_normal_that_is_not_finite(name, rate, dtype, rows):
    X, Y = rows.astype(dtype), with_broken(rows, dtype)
    model = clone(DETECTORS[name]).set_params(contamination="auto", false_alarm_rate=rate).fit(X)
    labels, scores, p = run(to_onnx(model, X, outputs=["labels", "score_samples", "p_values"]), Y)
    assert_broken(scores, -np.inf)
    assert (labels[1:4] == -1).all()
    np.testing.assert_allclose(p[1:4], 1 / (1 + len(model._reference())))
    assert_array_equal(labels[[0, 4, 5]], model.predict(Y[[0, 4, 5]]))


@pytest.mark.parametrize("member", [DenoisingAutoencoder, VAESampler])
def test_detectors_with_missing_values(member, rows):
    """Missing values are none of this, nor are rows without any value, of which nothing is known."""
    model = AutoencoderOutlierDetector(
        member(2, max_iter=2, tol=None, missing_values=np.nan), n_estimators=2, random_state=0
    ).fit(rows)
    Y = with_broken(rows, "float64")
    Y[5] = np.nan
    labels, _, p = run(to_onnx(model, rows, outputs=["labels", "score_samples", "p_values"]), Y)
    assert_array_equal(labels[2:4], [-1, -1])
    finite = [0, 1, 4, 5]
    assert_array_equal(labels[finite], model.predict(Y[finite]))
    np.testing.assert_allclose(p[finite], model.p_values(Y[finite]))
    assert labels[5] == p[5] == 1


@pytest.mark.parametrize(
    ("classes", "none"),
    [
        ([0, 1], -1),
        ([-1, 1], -2),
        (["", "b"], "?"),
        (["a", "b"], ""),
        ([0.0, 1.0], np.nan),
        ([False, True], False),
    ],
)
def test_a_classifier_of_rows_that_are_not_finite(classes, none, rows):
    y = np.array(classes)[(rows[:, 0] > 0.5).astype(int)]
    autoencoder = AutoencoderTransformer(2, activation="tanh", max_iter=2, tol=None)
    model = AutoencoderClassifier(autoencoder, max_iter=3, tol=None, random_state=0).fit(rows, y)
    Y = with_broken(rows, "float64")
    labels, probabilities, codes = run(to_onnx(model, rows, outputs=["labels", "probabilities", "codes"]), Y)
    assert_broken(probabilities, np.nan)
    assert_broken(codes, np.nan)
    assert_array_equal(labels[1:4], [none] * 3)
    assert_array_equal(labels[[0, 4, 5]], model.predict(Y[[0, 4, 5]]))


@pytest.mark.parametrize("kind", [int, str, bool, np.int32])
def test_classifier(kind, rows):
    y = (rows[:, 0] > 0.5).astype(kind)
    model = AutoencoderClassifier(AutoencoderTransformer(2, max_iter=2, tol=None), max_iter=3, tol=None).fit(
        rows, y
    )
    labels, probabilities, codes = run(
        to_onnx(model, rows, outputs=["predict", "predict_proba", "transform"]), rows
    )
    assert_array_equal(labels, model.predict(rows))
    assert_close(probabilities, model.predict_proba(rows))
    assert_close(codes, model.transform(rows))
    default = to_onnx(model, rows)
    assert [output.name for output in default.graph.output] == ["labels", "probabilities"]


class OwnEncoder(nn.Module):
    """With layers that skae itself does not have."""

    def __init__(self):
        super().__init__()
        self.hidden, self.code, self.dropout = nn.Linear(5, 7), nn.Linear(7, 2), nn.Dropout(0.5)

    def forward(self, x):
        return self.code(self.dropout(nn.functional.gelu(self.hidden(x)))).clamp(-1, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_own_networks(dtype, rows):
    X = rows.astype(dtype)
    torch.manual_seed(0)
    networks = {"encoder": OwnEncoder(), "decoder": nn.Sequential(nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 5))}
    model = AutoencoderTransformer(2, loss="binary_cross_entropy", max_iter=2, tol=None, **networks).fit(X)
    results = run(to_onnx(model, X, outputs=list(METHODS)), X)
    for method, result in zip(METHODS.values(), results, strict=True):
        assert_close(result, getattr(model, method)(X))


def test_own_convolution_in_float64_is_refused_with_a_remedy(rows):
    encoder = nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(6, 2))
    model = AutoencoderTransformer(2, encoder=encoder, decoder=nn.Linear(2, 5), max_iter=1, tol=None).fit(rows)
    with pytest.raises(NotImplementedError, match=r"'Conv'.*float32 only.*astype\('float32'\)"):
        to_onnx(model, rows)


def with_matrix(model, X):
    """What skl2onnx makes of a model, with probabilities as a matrix."""
    return skl2onnx.to_onnx(model, X, options={"zipmap": False})


# Pipelines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("convert", [to_onnx, with_matrix])
@pytest.mark.parametrize("kinds", [["yes", "no"], ["a", "b", "c"]])
def test_pipeline_with_a_classifier_of_scikit_learn(kinds, convert, dtype, rows):
    X, y = rows.astype(dtype), np.array(kinds)[(rows[:, 0] * len(kinds)).astype(int)]
    autoencoder = AutoencoderTransformer(3, max_iter=2, tol=None, random_state=0)
    pipe = make_pipeline(StandardScaler(), autoencoder, LogisticRegression()).fit(X, y)
    labels, probabilities = run(convert(pipe, X), X)
    assert_array_equal(labels, pipe.predict(X))
    np.testing.assert_allclose(probabilities, pipe.predict_proba(X), atol=TOLERANCE[dtype])


def test_pipeline_from_a_data_frame(rows):
    frame = pd.DataFrame(rows, columns=list("abcde")).assign(kind=np.resize(["u", "v", "w"], len(rows)))
    columns = make_column_transformer(
        (StandardScaler(), list("abcde")), (OneHotEncoder(sparse_output=False), ["kind"])
    )
    pipe = make_pipeline(columns, AutoencoderTransformer(3, max_iter=2, tol=None, random_state=0)).fit(frame)
    session = onnxruntime.InferenceSession(to_onnx(pipe, frame).SerializeToString())
    (codes,) = session.run(None, {name: frame[[name]].to_numpy() for name in frame})
    assert_close(codes, pipe.transform(frame))


def test_search_subclass_and_the_function_of_skl2onnx(rows):
    class Variant(SparseAutoencoder):
        pass

    variant = Variant(2, sparsity="topk", n_active=1, max_iter=1, tol=None, random_state=0)
    search = GridSearchCV(make_pipeline(StandardScaler(), variant), {"variant__n_active": [1, 2]}, cv=2).fit(rows)
    assert_close(run(to_onnx(search, rows), rows)[0], search.transform(rows))
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, max_iter=1, tol=None)).fit(rows)
    assert_close(run(skl2onnx.to_onnx(pipe, rows), rows)[0], pipe.transform(rows))


def test_one_row_integers_and_any_number_of_rows(rows):
    X = (10 * rows).astype(int)
    model = AutoencoderTransformer(2, max_iter=1, tol=None).fit(X)
    exported = to_onnx(model, X[:1])
    assert_close(run(exported, X.astype(float))[0], model.transform(X))
    assert_close(run(exported, X[:1].astype(float))[0], model.transform(X[:1]))


def small(n_components=2):
    return AutoencoderTransformer(n_components, max_iter=1, tol=None, random_state=0)


META_ESTIMATORS = {
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2),
    "bagging": lambda model: BaggingClassifier(model, n_estimators=2, random_state=0),
    "one_vs_rest": OneVsRestClassifier,
    "stacking": lambda model: StackingClassifier([("it", model)], RandomForestClassifier(3, random_state=0), cv=2),
    "search": lambda model: make_pipeline(StandardScaler(), GridSearchCV(model, {"max_iter": [1, 2]}, cv=2)),
}


@pytest.mark.parametrize("convert", [to_onnx, skl2onnx.to_onnx])
@pytest.mark.parametrize("meta", META_ESTIMATORS.values(), ids=META_ESTIMATORS)
def test_classifiers_in_other_estimators(meta, convert, rows):
    X, y = rows.astype(np.float32), np.digitize(rows[:, 0], [0.3, 0.6])
    classifier = AutoencoderClassifier(small(), max_iter=2, tol=None, random_state=0)
    classifier.autoencoder.random_state = None
    model = meta(classifier).fit(X, y)
    options = {} if convert is to_onnx else {"options": {"zipmap": False}}
    labels, probabilities = run(convert(model, X, **options), X)
    assert_array_equal(labels, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("outputs", [None, "reconstruct"])
def test_a_search_within_a_pipeline(outputs, rows):
    search = GridSearchCV(small(), {"n_components": [1, 2]}, cv=2)
    pipe = make_pipeline(StandardScaler(), search).fit(rows)
    method = search.transform if outputs is None else search.best_estimator_.reconstruct
    (result,) = run(to_onnx(pipe, rows, outputs=outputs), rows)
    assert_close(result, method(pipe[0].transform(rows)))


@pytest.mark.parametrize("nothing", ["passthrough", None])
def test_steps_that_do_nothing(nothing, rows):
    """As a search over steps leaves them."""
    alone = Pipeline([("scale", nothing), ("encode", small()), ("select", nothing)])
    columns = [
        ("both", clone(alone), [0, 1, 2]),
        ("none", Pipeline([("scale", nothing)]), [3]),
        ("off", "drop", [4]),
    ]
    union = FeatureUnion([("encode", clone(alone)), ("off", "drop"), ("same", "passthrough")])
    for model in (alone, ColumnTransformer(columns), union):
        assert_close(run(to_onnx(model.fit(rows), rows), rows)[0], model.transform(rows))
    assert alone.steps[0] == ("scale", nothing)
    assert_close(run(to_onnx(alone, rows, outputs="reconstruct"), rows)[0], alone[1].reconstruct(rows))


def test_bits_that_other_steps_read(rows):
    X, y = rows.astype(np.float32), rows[:, 0] > 0.5
    hashers = [SemanticHasher(n_bits, max_iter=1, tol=None, random_state=0) for n_bits in (8, 4)]
    for transformer in (hashers[0], make_union(*hashers), GridSearchCV(hashers[0], {"n_bits": [4, 8]}, cv=2)):
        pipe = make_pipeline(transformer, LogisticRegression()).fit(X, y)
        labels, probabilities = run(to_onnx(pipe, X), X)
        assert_array_equal(labels, pipe.predict(X))
        np.testing.assert_allclose(probabilities, pipe.predict_proba(X), atol=1e-5)
    pipe = make_pipeline(hashers[0], StandardScaler()).fit(X)
    np.testing.assert_allclose(run(to_onnx(pipe, X), X)[0], pipe.transform(X), atol=1e-5)


# Errors ------------------------------------------------------------------------------------------------------


def test_errors(rows):
    model = AutoencoderTransformer(2, max_iter=1, tol=None)
    with pytest.raises(NotFittedError):
        to_onnx(model, rows)
    model.fit(rows)
    with pytest.raises(TypeError, match="X is sparse"):
        to_onnx(model, csr_array(rows))
    with pytest.raises(ValueError, match=r"'labels', which AutoencoderTransformer does not give.*'codes'"):
        to_onnx(model, rows, outputs=["codes", "labels"])
    with pytest.raises(ValueError, match="target_opset=17 is too old: at least 18"):
        to_onnx(model, rows, target_opset=17)
    with pytest.raises(ValueError, match=r"X has the shape \(1,\)"):
        to_onnx(model, rows[0])
    pipe = make_pipeline(model, LogisticRegression()).fit(rows, rows[:, 0] > 0.5)
    with pytest.raises(ValueError, match="the last step is LogisticRegression"):
        to_onnx(pipe, rows, outputs="codes")


@pytest.mark.parametrize("scaled", [False, True])
def test_other_columns_than_those_of_fit(scaled, rows):
    frame = pd.DataFrame(rows, columns=list("abcde"))
    model = AutoencoderTransformer(2, max_iter=1, tol=None)
    model = (make_pipeline(StandardScaler(), model) if scaled else model).fit(frame)
    for other in (rows[:, :3], frame[list("abc")]):
        with pytest.raises(ValueError, match=r"X has 3 features, but .* takes 5"):
            to_onnx(model, other)
    for other in (frame[list("acbde")], pl.from_pandas(frame[list("acbde")])):
        with pytest.raises(ValueError, match=r"Column 1 of X is 'c', but .* 'b' there"):
            to_onnx(model, other)
    to_onnx(model, rows)


def test_columns_that_are_chosen_by_name_may_come_in_any_order(rows):
    frame = pd.DataFrame(rows, columns=list("abcde"))
    pipe = make_pipeline(make_column_transformer((small(), list("abc")))).fit(frame)
    mixed = frame[list("edcba")]
    session = onnxruntime.InferenceSession(to_onnx(pipe, mixed).SerializeToString())
    needed = [entry.name for entry in session.get_inputs()]
    (codes,) = session.run(None, {name: frame[[name]].to_numpy() for name in needed})
    assert_close(codes, pipe.transform(mixed))


def test_without_the_extra_the_error_names_it():
    code = """
        import sys
        sys.modules["skl2onnx"] = None
        import skae
        try:
            import skae.onnx
        except ImportError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert 'pip install "skae[onnx]"' in done.stdout


def test_the_file_runs_without_torch_and_scikit_learn(tmp_path):
    X = load_digits().data.astype(np.float32)
    pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(4, max_iter=2, tol=None, random_state=0)).fit(X)
    (tmp_path / "model.onnx").write_bytes(to_onnx(pipe, X).SerializeToString())
    np.save(tmp_path / "X.npy", X)
    code = """
        import sys
        for name in ("torch", "sklearn", "skae", "skl2onnx", "onnx"):
            sys.modules[name] = None  # importing it fails
        import numpy as np, onnxruntime
        session = onnxruntime.InferenceSession("model.onnx")
        np.save("codes.npy", session.run(["codes"], {"X": np.load("X.npy")})[0])
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "codes.npy"), pipe.transform(X), atol=1e-5)


# Functions that the runtime lacks ------------------------------------------------------------------------------


class _Recorder:
    """Stands for a container: collects nodes and constants, and runs them in the ONNX runtime."""

    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def get_unique_variable_name(self, stem):
        self.count += 1
        return f"{stem}{self.count}"

    get_unique_operator_name = get_unique_variable_name

    def add_node(self, kind, inputs, outputs, name, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, outputs, name, **attributes))

    def add_initializer(self, name, kind, shape, content):
        self.constants.append(helper.make_tensor(name, kind, shape, content))

    def run(self, output, x):
        values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None]) for name in ("x", output)]
        graph = helper.make_graph(self.nodes, "g", values[:1], values[1:], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize(
    ("function", "expected", "x"),
    [
        ("erf", special.erf, np.concatenate([np.linspace(-9, 9, 2001), [-1e6, 0, 1e-12, 1e6]])),
        ("arsinh", np.arcsinh, np.concatenate([np.linspace(-9, 9, 2001), [-1e15, 0, 1e-12, 1e15]])),
        (
            "normal_quantile",
            special.ndtri,
            np.append(np.linspace(1e-9, 1 - 1e-9, 2001), [1e-18, 1 - 1e-15]),
        ),
        ("log_gamma", special.gammaln, np.concatenate([np.linspace(1e-3, 30, 2001), [1e3, 1e6]])),
    ],
)
def test_functions_against_scipy(function, expected, x):
    recorder = _Recorder()
    graph = Graph(recorder, recorder, np.float64)
    result = recorder.run(getattr(graph, function)("x"), x)
    np.testing.assert_allclose(result, expected(x), rtol=1e-12, atol=1e-12)
