"""Numbers that stand for missing values, as rows hold them, pandas.NA among objects, and masks of arrays."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._array_api import get_namespace
from sklearn.utils._missing import is_pandas_na
from torch import Tensor, as_tensor

from .tables.dtypes import is_decimal_in_pandas

_HALF, SINGLE = ("float16", "halffloat[pyarrow]"), ("float32", "float[pyarrow]")  # as names of dtypes end


def is_nan(value) -> bool:
    """Tell whether a value is NaN."""
    return isinstance(value, Real) and value != value


def marked(X, marker: Any, given: Any):
    """Return validated rows with NaN for missing values, where a ``marker`` stands for these.

    NaN elsewhere is refused, as it is without a marker. ``given`` are the rows as they were before validation.
    """
    if marker is None or is_nan(marker):
        return X
    xp, _ = get_namespace(X)
    X = check_array(X, dtype=None)
    return xp.where(in_rows(marker, given) == X, xp.asarray(xp.nan, dtype=X.dtype), X)


def in_rows(marker: Any, given: Any) -> Any:
    """Return what ``marker`` is in rows as they were ``given``: a number, or one for each column of a frame.

    Columns of low precision hold the number next to it, also after they have been made float64.
    """
    if isinstance(given, Tensor):
        number = as_tensor(_plain(marker))
        return number.to(given.dtype).item() if given.is_floating_point() else number.item()
    if not hasattr(given, "columns"):
        return _rounded(marker, getattr(given, "dtype", ""))
    numbers = [_rounded(marker, dtype) for dtype in given.dtypes]
    return numbers[0] if len(set(numbers)) == 1 else np.array(numbers)


def _rounded(marker: Any, dtype: Any) -> Any:
    """Return a number as a column of a dtype holds it: a number of Python, which takes any array's precision."""
    name = str(dtype).lower()
    with np.errstate(over="ignore"):
        if name.endswith(_HALF) and not name.endswith("bfloat16"):
            return float(np.float16(marker))
        return float(np.float32(marker)) if name.endswith(SINGLE) else _plain(marker)


def _plain(marker: Any) -> Any:
    return marker.item() if isinstance(marker, np.generic) else marker


def without_na(X: Any, *, dense: bool = False) -> Any:
    """Return rows with NaN for pandas.NA among objects, which no numbers can be made of; others as they are.

    So are NA among decimal numbers of Arrow, and masked cells, whose mask NumPy would drop. Frames whose columns
    are all sparse become dense where it has to be so, or where no sparse matrix can be made of them.
    """
    X = unmasked(X)
    if isinstance(X, np.ndarray):
        return _without_na(X) if X.dtype == object else X
    if not (hasattr(X, "iloc") and hasattr(X, "columns")):
        return X
    fills = [getattr(dtype, "fill_value", None) for dtype in X.dtypes]
    if len(fills) and None not in fills and (dense or any(fill != 0 for fill in fills)):
        return X.sparse.to_dense()
    result = X
    for number, dtype in enumerate(X.dtypes):
        if is_decimal_in_pandas(dtype):
            result = X.copy(deep=False) if result is X else result
            result.isetitem(number, X.iloc[:, number].to_numpy(dtype=np.float64, na_value=np.nan))
        elif isinstance(dtype, np.dtype) and dtype.kind == "O":
            column = X.iloc[:, number].to_numpy()
            filled = _without_na(column)
            if filled is not column:
                result = X.copy(deep=False) if result is X else result
                result.isetitem(number, filled)
    return result


def unmasked(X: Any) -> Any:
    """Return a masked array as one with NaN in its masked cells, None among what is no number; all else as is."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.getmaskarray(X).any():
        return X.data
    if X.dtype.kind in "iuf":
        return np.ma.filled(X.astype(X.dtype if X.dtype.kind == "f" else np.float64), np.nan)
    cells: Any = X.data.astype(object)
    cells[np.ma.getmaskarray(X)] = None
    return cells


def _without_na(cells: np.ndarray) -> np.ndarray:
    is_na = np.frompyfunc(is_pandas_na, 1, 1)(cells).astype(bool)
    return np.where(is_na, np.nan, cells) if is_na.any() else cells
