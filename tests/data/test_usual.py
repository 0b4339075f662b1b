"""What is usual in each column."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse

from skae._data import usual
from skae._data.usual import usual_values


@pytest.fixture(name="X")
def some_rows():
    return np.random.default_rng(0).normal(size=(30, 300)) + np.arange(300)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, pd.DataFrame, lambda X: pl.DataFrame(X)])
def test_medians_of_numbers(X, kind):
    found = usual_values(kind(X))
    assert found.dtype == np.float64
    assert_allclose(found, np.median(X, axis=0))


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
def test_medians_of_sparse_rows(X, kind):
    X[np.random.default_rng(0).random(X.shape) < 0.5] = 0
    assert_allclose(usual_values(kind(X)), np.median(X, axis=0))


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "object"])
def test_medians_of_other_numbers(dtype):
    X = np.random.default_rng(0).integers(0, 2, (21, 4)).astype(dtype)
    found = usual_values(X)
    assert found.dtype == np.float64
    assert_allclose(found, np.median(X.astype(float), axis=0))


def test_missing_values_do_not_count(X):
    X[::3, 1], X[:, 2] = np.nan, np.nan
    assert_allclose(
        usual_values(X),
        [*np.median(X[:, :1], axis=0), np.nanmedian(X[:, 1]), np.nan, *np.median(X[:, 3:], axis=0)],
    )


@pytest.mark.parametrize("kind", [pd.DataFrame, lambda columns: pl.DataFrame(columns, strict=False)])
def test_columns_of_any_kind(kind):
    day = datetime.date(2020, 1, 1)
    table = kind(
        {
            "word": ["b", "a", "a", None],
            "flag": [True, False, True, True],
            "count": [1, None, 2, 6],
            "day": [day, day, None, None],
            "list": [[1], [2], [1], [1]],
            "nothing": [None] * 4,
        }
    )
    *known, nothing = usual_values(table).tolist()
    assert known == ["a", True, 2.0, str(day), None]
    assert nothing is None or np.isnan(nothing)


def test_medians_of_decimals():
    prices = [decimal.Decimal(price) for price in ("0.10", "0.10", "1.20", "2.30", "9.90")]
    table = pl.DataFrame({"price": pl.Series([*prices, None], dtype=pl.Decimal(9, 2))})
    assert usual_values(table).tolist() == usual_values(table.to_pandas().astype(object)).tolist() == [1.2]


def test_of_many_rows_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(usual, "MOST_ROWS", 10)
    X = np.arange(100.0)[:, np.newaxis]
    for kind in (np.asarray, pd.DataFrame, sparse.csr_array):
        assert usual_values(kind(X)) == np.median(X[::10])
