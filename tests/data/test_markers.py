"""What stands for missing values, in columns of any precision and among objects."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone

from skae import (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    TabularVAESampler,
    VAESampler,
)
from skae.inspection import ImputationDisplay

MARKER = -99.9  # which float32 and float16 round
HOLES = np.random.default_rng(0).random((60, 3)) < 0.2
ROWS = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float16).astype(np.float64)
MODELS = {
    "imputer": AutoencoderImputer(n_estimators=2, max_iter=2, hidden_layer_sizes=(8,), random_state=0),
    "vae": VAESampler(2, missing_values=np.nan, max_iter=2, hidden_layer_sizes=(4,), random_state=0),
    "denoising": DenoisingAutoencoder(
        2, missing_values=np.nan, noise="masking", max_iter=2, hidden_layer_sizes=(4,), random_state=0
    ),
}
every_model = pytest.mark.parametrize("name", MODELS)


def _mixed(holes, **dtypes):
    """Return a frame whose columns differ in precision."""
    frame = pd.DataFrame(np.where(HOLES, holes, ROWS), columns=list("abc"))
    return frame.astype({"a": np.float32, "b": np.float16} | dtypes)


KINDS = {
    "float32": lambda holes: np.where(HOLES, holes, ROWS).astype(np.float32),
    "float16": lambda holes: np.where(HOLES, holes, ROWS).astype(np.float16),
    "pandas": _mixed,
    "nullable": lambda holes: _mixed(holes, a="Float32"),
    "pyarrow": lambda holes: _mixed(holes, a="float[pyarrow]", b=np.float32),
    "polars": lambda holes: pl.from_pandas(_mixed(holes, b=np.float32)),
    "torch": lambda holes: torch.from_numpy(np.where(HOLES, holes, ROWS)).float(),
}


def _fitted(name, X, marker=np.nan):
    model = clone(MODELS[name]).set_params(missing_values=marker).fit(X)
    return model, np.asarray(model.transform(X) if name == "imputer" else model.impute(X))


@every_model
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("marker", [MARKER, np.float64(MARKER)])
def test_numbers_are_found_as_a_column_rounds_them(name, kind, marker):
    with config_context(array_api_dispatch=kind == "torch" and name != "imputer"):
        expected = _fitted(name, KINDS[kind](np.nan))[1]
        filled = _fitted(name, KINDS[kind](MARKER), marker)[1]
    assert_array_equal(filled, expected)
    assert filled.min() > -90


def test_those_who_look_for_them_find_them_too():
    X = _mixed(MARKER)
    model = _fitted("imputer", X, MARKER)[0]
    display = ImputationDisplay.from_estimator(model, X, features=["a"])
    assert_allclose(np.sort(display.observed[0]), np.sort(ROWS[~HOLES[:, 0], 0]))
    X.loc[3] = MARKER
    members = VAESampler(2, missing_values=np.float64(MARKER), max_iter=2, hidden_layer_sizes=(4,))
    detector = AutoencoderOutlierDetector(members, n_estimators=3, random_state=0).fit(X)
    assert np.isnan(detector.left_out_scores_[3])
    classifier = AutoencoderClassifier(members.set_params(missing_values=MARKER), max_iter=2)
    with pytest.raises(ValueError, match="which stands for a missing value"):
        classifier.fit(X[["a"]].assign(d=0.0), np.arange(60) % 2)


@every_model
def test_na_of_pandas_among_objects_is_missing(name):
    frame = pd.DataFrame(np.where(HOLES, np.nan, ROWS), columns=list("abc"))
    nullable = frame.convert_dtypes()
    expected = _fitted(name, frame)[1]
    one = frame.assign(b=nullable["b"].astype(object))
    for X in (nullable.to_numpy(dtype=object), nullable.astype(object), one):
        assert_array_equal(_fitted(name, X)[1], expected)
    assert one["b"].dtype == object
    assert one["b"].isna().sum() == HOLES[:, 1].sum()
    assert any(value is pd.NA for value in one["b"])  # X is as it was
    with pytest.raises(ValueError, match="AutoencoderImputer fills missing values"):
        DenoisingAutoencoder(2).fit(one)


def _filled(name, X):
    model = clone(MODELS[name]).fit(X)
    return np.asarray(model.transform(X) if name == "imputer" else model.impute(X))


@every_model
@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
def test_masked_cells_are_missing(name, dtype):
    rows = (8 * ROWS).astype(dtype)
    holes = np.where(HOLES, np.nan, rows).astype(np.result_type(dtype, np.float32))
    expected, found = (_filled(name, X) for X in (holes, np.ma.masked_array(rows, HOLES)))
    assert_array_equal(found, expected)


def test_masked_cells_of_tables_and_to_detectors():
    sampler = TabularVAESampler(1, max_iter=1, hidden_layer_sizes=(4,), random_state=0)
    words = np.ma.masked_array(np.where(ROWS > 0, "up", "down"), HOLES)
    for X, holes in ((np.ma.masked_array(ROWS, HOLES), np.where(HOLES, np.nan, ROWS)), (words, words.tolist())):
        assert_array_equal(sampler.fit(X).impute(X), clone(sampler).fit(holes).impute(holes))
        detector = AutoencoderOutlierDetector(sampler, n_estimators=2, random_state=0)
        assert_array_equal(detector.fit(X).left_out_scores_, clone(detector).fit(holes).left_out_scores_)


def test_masked_cells_are_refused_where_missing_ones_are():
    model = AutoencoderTransformer(2, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match="AutoencoderImputer fills missing values"):
        model.fit(np.ma.masked_array(ROWS, HOLES))
    assert_array_equal(model.fit(np.ma.masked_array(ROWS)).loss_, clone(model).fit(ROWS).loss_)


@every_model
def test_decimals_and_sparse_columns_with_holes(name):
    tenths = ROWS.round(1)
    cells = np.where(HOLES, None, np.vectorize(lambda x: Decimal(str(x)), otypes=[object])(tenths))
    kind = pd.ArrowDtype(pa.decimal128(9, 1))
    decimals = pd.DataFrame({f"x{number}": pd.array(column, dtype=kind) for number, column in enumerate(cells.T)})
    holes = pd.DataFrame(np.where(HOLES, np.nan, tenths), columns=decimals.columns)
    expected = _filled(name, holes)
    for X in (decimals, holes.astype(pd.SparseDtype(float, np.nan)), holes.astype(pd.SparseDtype(float, 0))):
        assert_allclose(_filled(name, X), expected)


@pytest.mark.parametrize("name", ["imputer", "vae", "denoising"])
def test_nan_beside_a_number_that_stands_for_missing_values(name):
    model = clone(MODELS[name]).set_params(missing_values=-1)
    with pytest.raises(ValueError, match=r"contains NaN\. But missing_values=-1 is what stands for"):
        model.fit(np.where(HOLES, np.nan, ROWS))
