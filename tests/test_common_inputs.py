"""Every estimator with every kind of input: what comes in decides what comes out, and is never written."""

import contextlib
import os
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import (
    DETECTORS,
    ESTIMATORS,
    EVERY_ESTIMATOR,
    IMPUTERS,
    assert_same,
    dtype_out,
    fitted,
    labels,
    row_methods,
    rows,
    width_parameter,
)
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.utils import check_array

from skae import (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    TabularVAESampler,
)
from skae._data import chunks


def counts():
    """Small non-negative integers, some of them zero; every kind of input can hold them exactly."""
    return np.random.default_rng(0).poisson(1.5, size=(40, 5)).astype(float)


def read_only(X, folder):
    X = X.copy()
    X.setflags(write=False)
    return X


def memory_map(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def in_parts(X):
    """CSR rows that store each entry as two halves, as SciPy allows."""
    X = sparse.csr_array(X)
    return sparse.csr_array((np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)


# Each of these holds the same numbers; all that is not floating becomes float64, and float16 does too.
SAME_NUMBERS = {
    "int64": lambda X, folder: X.astype(np.int64),
    "int8": lambda X, folder: X.astype(np.int8),
    "uint16": lambda X, folder: X.astype(np.uint16),
    "float16": lambda X, folder: X.astype(np.float16),
    "list": lambda X, folder: X.tolist(),
    "fortran": lambda X, folder: np.asfortranarray(X),
    "read_only": read_only,
    "memory_map": memory_map,
    "negative_strides": lambda X, folder: X[::-1, ::-1].copy()[::-1, ::-1],
    "every_other_row": lambda X, folder: np.repeat(X, 2, axis=0)[::2],
    "big_endian": lambda X, folder: X.astype(">f8"),
    "pandas": lambda X, folder: pd.DataFrame(X, columns=list("abcde")),
    "pandas_int": lambda X, folder: pd.DataFrame(X, columns=list("abcde")).astype("int32"),
    "polars": lambda X, folder: pl.DataFrame(X, schema=list("abcde")),
    "csr_matrix": lambda X, folder: sparse.csr_matrix(X),
    "csr_array": lambda X, folder: sparse.csr_array(X),
    "csc": lambda X, folder: sparse.csc_array(X),
    "coo": lambda X, folder: sparse.coo_array(X),
    "csr_in_parts": lambda X, folder: in_parts(X),
    "csr_int": lambda X, folder: sparse.csr_array(X.astype(np.int64)),
}


@pytest.mark.parametrize("kind", SAME_NUMBERS)
@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_the_kind_of_input_does_not_matter(estimator, kind, tmp_path):
    X = counts()
    reference = fitted(estimator, X)
    same = SAME_NUMBERS[kind](X, tmp_path)
    model = fitted(estimator, same)
    tolerance = 1e-4 if getattr(estimator, "dtype", None) == "float32" else 1e-7
    for method in row_methods(model):
        result = getattr(model, method)(same)
        assert type(result) is np.ndarray
        assert result.dtype == dtype_out(estimator, method, np.float64)
        assert_allclose(result, getattr(reference, method)(X), rtol=tolerance, atol=tolerance)
    assert_allclose(model.score(same, labels(X)), reference.score(X, labels(X)), rtol=tolerance)


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_booleans(estimator):
    X = counts() > 1
    model = fitted(estimator, X)
    assert_same(model.transform(X), fitted(estimator, X.astype(float)).transform(X.astype(float)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fitted_with", [np.float32, np.float64])
@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_floating_dtypes_stay_and_inference_computes_in_them(estimator, fitted_with, dtype):
    X = rows()
    model = fitted(estimator, X.astype(fitted_with))
    for method in row_methods(model):
        result = getattr(model, method)(X.astype(dtype))
        assert result.dtype == dtype_out(estimator, method, dtype)
        assert_allclose(result, getattr(model, method)(X), rtol=1e-4, atol=1e-5)
    if is_classifier(estimator):
        return
    codes = model.transform(X.astype(dtype)).astype(dtype)
    assert model.inverse_transform(codes).dtype == dtype
    assert model.reconstruction_error(X.astype(dtype), per_feature=True).dtype == dtype


# Of single precision, which scikit-learn's own validation makes double.
SINGLE = {
    "polars": lambda X: pl.DataFrame(X, schema=list("abcde")),
    "nullable": lambda X: pd.DataFrame(X, columns=list("abcde")).astype("Float32"),
    "big_endian": lambda X: X.astype(">f4"),
}


@pytest.mark.parametrize("kind", SINGLE)
@pytest.mark.parametrize("estimator", [*EVERY_ESTIMATOR, *IMPUTERS.values()])
def test_single_precision_stays_in_containers_of_any_kind(estimator, kind):
    X = counts().astype(np.float32)
    same, reference = SINGLE[kind](X), fitted(estimator, X)
    model = fitted(estimator, same)
    for method in ["transform"] if isinstance(model, AutoencoderImputer) else row_methods(model):
        result = getattr(model, method)(same)
        assert result.dtype == dtype_out(estimator, method, np.float32)
        assert_allclose(result, getattr(reference, method)(X), rtol=1e-4, atol=1e-4)


def test_frames_of_mixed_precision_are_double():
    frame = pd.DataFrame(rows(), columns=list("abcde")).astype({"b": "Float32", "c": "float32"})
    for mixed in (frame, pl.from_pandas(frame)):
        assert fitted(AutoencoderTransformer(2, max_iter=1), mixed).transform(mixed).dtype == np.float64


@pytest.mark.parametrize(
    "make", [np.array, np.asfortranarray, sparse.csr_array, in_parts], ids=["c", "fortran", "csr", "csr_in_parts"]
)
@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_input_is_never_written(estimator, make):
    X = counts()
    given = make(X)
    buffers = [given.data, given.indices, given.indptr] if sparse.issparse(given) else [given]
    for buffer in buffers:
        buffer.setflags(write=False)
    y = labels(given)
    y.setflags(write=False)
    model = clone(estimator).fit(given, y)
    for method in row_methods(model):
        getattr(model, method)(given)
    model.score(given, y)
    if not is_classifier(estimator):
        if hasattr(model, "partial_fit"):
            model.partial_fit(given)
        codes = model.transform(given)
        codes.setflags(write=False)
        before = codes.copy()
        model.inverse_transform(codes)
        assert_same(codes, before)
    assert_same(given.toarray() if sparse.issparse(given) else given, X)


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_input_is_not_kept(estimator):
    X = rows()
    model = fitted(estimator, X)
    codes = model.transform(X)
    kept = codes.copy()
    X += 100
    model.transform(X)
    assert_same(codes, kept)


@contextlib.contextmanager
def dispatching():
    assert os.environ["SCIPY_ARRAY_API"] == "1", "conftest sets this before SciPy is imported"
    with config_context(array_api_dispatch=True):
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tensor_in_tensor_out(estimator, dtype):
    X = torch.tensor(rows(), dtype=dtype)
    with dispatching():
        model = clone(estimator).fit(X)
        results = {method: getattr(model, method)(X) for method in row_methods(model)}
        results["inverse_transform"] = model.inverse_transform(results["transform"].to(dtype))
        score = model.score(X)
    assert type(score) is float
    reference = clone(estimator).fit(X.numpy())
    for method, result in results.items():
        assert type(result) is torch.Tensor
        assert result.dtype == dtype_out(estimator, method, dtype)
        assert result.device == X.device
        assert not result.requires_grad
        argument = X if method != "inverse_transform" else results["transform"].to(dtype)
        assert_same(result.numpy(), getattr(reference, method)(argument.numpy()))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_tensor_that_requires_grad_gets_none(estimator):
    X = torch.tensor(rows(), requires_grad=True)
    with dispatching():
        codes = clone(estimator).fit(X).transform(X)
    assert X.grad is None
    assert not codes.requires_grad


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_result_can_enter_autograd(estimator):
    """Results are ordinary tensors: those made in inference mode could not be saved for a backward pass."""
    X = torch.tensor(rows())
    with dispatching():
        results = clone(estimator).fit(X).reconstruct(X)
    weight = torch.ones(results.shape[1], dtype=results.dtype, requires_grad=True)
    (results @ weight).sum().backward()
    assert_allclose(weight.grad.numpy(), results.sum(0).numpy(), atol=1e-9)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.zeros((4, 3, 2)), [r"reshape\(len\(X\), -1\)", "image_shape"]),
        (np.zeros((4, 2, 2, 3)), [r"reshape\(len\(X\), -1\)", "image_shape"]),
        (np.zeros(4), ["Expected 2D array"]),
        (pd.Series(np.zeros(4)), ["Expected (a 2-dimensional container|2D array)"]),
        (np.full((4, 2), np.nan), ["Input X contains NaN"]),
        (np.full((4, 2), np.inf), ["Input X contains infinity"]),
    ],
    ids=["3d", "4d", "1d", "series", "nan", "inf"],
)
@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_errors_about_input(estimator, X, words):
    for word in words:
        with pytest.raises(ValueError, match=word):
            clone(estimator).fit(X, np.zeros(len(X)))


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_a_row_of_a_frame_is_refused_as_scikit_learn_does(estimator):
    model, frame = fitted(estimator), pd.DataFrame(rows(60))
    for method in row_methods(model):
        with pytest.raises(ValueError, match=r"Expected (a 2-dimensional container|2D array)"):
            getattr(model, method)(frame.iloc[0])


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_fitted_models_complain_of_values_as_scikit_learn_does(estimator, monkeypatch):
    """They are looked for chunk by chunk: here they are in the last of several."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1000)
    model, X = fitted(estimator), np.zeros((60, 5), dtype=np.float32)
    takes_missing = getattr(model, "missing_values", None) is not None
    for bad in [np.inf] if takes_missing else [np.nan, np.inf]:
        X[-1, 2] = bad
        with pytest.raises(ValueError, match="Input X contains") as expected:
            check_array(X, estimator=model, input_name="X")
        for given in [X] if takes_missing else [X, sparse.csr_array(X)]:
            for method in row_methods(model) if is_classifier(model) else [*row_methods(model), "score"]:
                with pytest.raises(ValueError, match="Input X contains") as found:
                    getattr(model, method)(given)
                assert str(found.value).startswith(str(expected.value))


@pytest.mark.parametrize(
    "estimator", [AutoencoderTransformer(2), AutoencoderOutlierDetector(), AutoencoderImputer()]
)
def test_tables_as_people_have_them_are_refused_with_a_remedy(estimator):
    """Of missing values the message begins as scikit-learn's, and goes on to say what takes them."""
    table = pd.DataFrame({"size": np.arange(20.0), "kind": ["a", "b"] * 10})
    with pytest.raises(ValueError, match=r"could not convert string.*Column 'kind' holds text.*TabularVAESampler"):
        clone(estimator).fit(table)
    for frame in (table.assign(colour="red"), pl.from_pandas(table.assign(colour="red"))):
        with pytest.raises(ValueError, match="Columns 'kind', 'colour' hold text"):
            clone(estimator).fit(frame)
    mixed = table.assign(kind=pd.Categorical(table["kind"]), is_new=table["size"] > 3)  # fails elsewhere
    with pytest.raises(ValueError, match=r"Column 'kind' holds text.*TabularVAESampler"):
        clone(estimator).fit(mixed)
    if not isinstance(estimator, AutoencoderImputer):
        with pytest.raises(ValueError, match="contains NaN") as caught:
            clone(estimator).fit(np.where(np.eye(20, 3) > 0, np.nan, 1.0))
        assert "AutoencoderImputer fills missing values" in str(caught.value)


REFUSING = [
    AutoencoderTransformer(2),
    AutoencoderImputer(),
    AutoencoderOutlierDetector(),
    AutoencoderOutlierDetector(AutoencoderTransformer(2)),
    AutoencoderOutlierDetector(TabularVAESampler(2)),
    AutoencoderClassifier(),
    TabularVAESampler(2),
]
DAYS = pd.Series(pd.date_range("2020-01-01", periods=20))
DATES = {
    "dates": DAYS,
    "zone": DAYS.dt.tz_localize("UTC"),
    "durations": DAYS - DAYS[0],
    "periods": DAYS.dt.to_period("D"),
    "objects": DAYS.dt.date,
    "stamps": DAYS.astype(object),
}


def fit(estimator, X):
    return clone(estimator).fit(X, np.arange(20) % 2)


@pytest.mark.parametrize("kind", DATES)
@pytest.mark.parametrize("estimator", REFUSING)
def test_dates_are_refused_with_a_remedy(estimator, kind):
    frame = pd.DataFrame({"size": np.arange(20.0), "day": DATES[kind], "end": DATES[kind]})
    tables = [frame, frame[["day", "end"]]]
    if kind != "periods":
        tables += [pl.from_pandas(frame)]
    for table in tables:
        with pytest.raises(ValueError, match=r"Columns? 'day'.* hold.*dates.*skrub.TableVectorizer"):
            fit(estimator, table)
    array = frame.to_numpy()
    arrays = [array, array.tolist()]
    if DATES[kind].dtype.kind in "mM" and kind != "zone":
        arrays.append(frame[["day", "end"]].to_numpy())
    for table in arrays:
        with pytest.raises(ValueError, match=r"Columns? [01].* hold.*dates.*skrub.TableVectorizer"):
            fit(estimator, table)


@pytest.mark.parametrize("estimator", REFUSING)
def test_frames_without_rows_or_with_doubled_names_are_refused_with_a_remedy(estimator):
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) ** 2})
    few = {
        "n_estimators": 2,
        "max_iter": 1,
        "autoencoder__max_iter": 1,
        "false_alarm_rate": 0.5,
        "random_state": 0,
    }
    names = estimator.get_params()
    quick = clone(estimator).set_params(**{name: value for name, value in few.items() if name in names})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few steps
        model = fit(quick, frame)
    method = model.predict if hasattr(model, "predict") else model.transform
    for use in (lambda X: fit(estimator, X), method):
        with pytest.raises(TypeError, match=r"X is a LazyFrame.*X.collect\(\)"):
            use(pl.from_pandas(frame).lazy())
    for doubled in (frame[["a", "b", "a"]], frame[["a", "b", "a"]].set_axis([0, 1, 0], axis=1)):
        for use in (lambda X: fit(estimator, X), method):
            with pytest.raises(ValueError, match=r"more than one column named ('a'|0). Rename them"):
                use(doubled)


def test_finite_values_whose_sum_is_not():
    model = fitted(ESTIMATORS[0].values[0])
    X = np.full((50, 5), 2e38, dtype=np.float32)
    assert model.transform(X).shape == (50, 2)
    with config_context(assume_finite=True):
        assert model.transform(np.full((3, 5), np.nan)).shape == (3, 2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_codes_of_another_width_are_refused(estimator):
    model = clone(estimator).fit(rows())
    width = model.transform(rows()).shape[1]
    with pytest.raises(ValueError, match=rf"Z has 3 columns.*{width_parameter(model)}={width}"):
        model.inverse_transform(np.zeros((4, 3)))


@pytest.mark.parametrize("estimator", [*DETECTORS.values(), *IMPUTERS.values()], ids=[*DETECTORS, *IMPUTERS])
@pytest.mark.filterwarnings("ignore:No row can be selected")
def test_detectors_and_imputers_return_tensors_for_tensors(estimator):
    X = rows()
    plain, methods = clone(estimator).fit(X), ("transform",)
    if hasattr(estimator, "p_values"):
        methods = ("score_samples", "decision_function", "predict", "p_values", "select", "score_features")
    with dispatching():
        model = clone(estimator).fit(torch.from_numpy(X))
        for method in methods:
            found = getattr(model, method)(torch.from_numpy(X))
            assert isinstance(found, torch.Tensor)
            assert_same(found, getattr(plain, method)(X))
