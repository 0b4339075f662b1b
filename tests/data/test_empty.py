"""Rows without any value."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from skae._data.empty import empty_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_arrays(dtype):
    X = np.array([[np.nan, 1], [np.nan, np.nan], [0, np.nan], [np.nan, np.nan]], dtype=dtype)
    assert empty_rows(X).tolist() == [False, True, False, True]
    assert not empty_rows(np.nan_to_num(X.astype(float))).any()


def test_markers():
    for X in (np.array([[-1, -1], [-1, 0]]), np.array([[-1.0, np.nan], [-1, 0]])):
        assert empty_rows(X, -1).tolist() == [True, False]
    assert not empty_rows(np.array([[-1, -1]])).any()


def test_frames():
    columns = {"a": [None, None, 1.0], "b": ["x", None, None]}
    for frame in (pd.DataFrame(columns), pl.DataFrame(columns)):
        assert empty_rows(frame).tolist() == [False, True, False]


def test_sparse_rows_have_zeros():
    assert not empty_rows(sparse.csr_array((3, 2))).any()
