"""What to do about input that cannot be taken: missing values, text, dates, lazy frames, names used twice."""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._support.texts import first_of

UNLABELLED = (
    "Mark rows without a label by the number -1: of a pandas Series of numbers, y.fillna(-1) does, and of one of "
    "strings y.astype(object).fillna(-1)."
)
_MISSING = (
    "In skae, AutoencoderImputer fills missing values; DenoisingAutoencoder and VAESampler take rows with "
    "missing_values=np.nan, and TabularVAESampler takes tables as they are."
)
_TEXT = ("object", "str", "string", "category")
_DATES = ("date", "time", "period", "duration")  # as names of dtypes begin, in pandas, polars and pyarrow
_OF_DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)


@contextmanager
def with_remedy(X, marker: Any = None) -> Iterator[None]:
    """Refuse lazy frames, dates and doubled names; say what there is for missing values and text that are refused.

    ``marker`` is what stands for missing values that are taken; None where none are.

    Raises
    ------
    TypeError
        If X is a lazy frame.
    ValueError
        If it holds dates or text, or two of its columns have one name.
    """
    refuse_lazy(X)
    refuse_doubled(getattr(X, "columns", ()))
    refuse_dates(_columns_of_dates(X))
    try:
        yield
    except ValueError as error:
        if "Input y contains NaN" in str(error):
            raise ValueError(f"{error} {UNLABELLED}") from error
        if "contains NaN" in str(error):
            error.args = (f"{error}\n{_MISSING}" if marker is None else _two_markers(error, marker),)
        elif "could not convert string" in str(error) or "Cannot cast str" in str(error):
            raise ValueError(
                f"{error}. {_columns_of_text(X)}. Encode text first, for instance by OneHotEncoder in a "
                "ColumnTransformer, or use TabularVAESampler, which takes categories too."
            ) from error
        raise
    except TypeError as error:
        if "must be a string or a real number" in str(error) or "could not be promoted" in str(error):
            refuse_dates(_columns_of_date_objects(X))
        raise


@contextmanager
def named(name: str) -> Iterator[None]:
    """Begin errors of other rows than X, which say X of any, with what these are called."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.args = (f"In {name}: {error}",)
        raise


def _two_markers(error: ValueError, marker: Any) -> str:
    said = str(error).splitlines()[0]
    return (
        f"{said} But missing_values={marker!r} is what stands for missing values. Give missing_values=np.nan and "
        f"make NaN of {marker!r}, for instance by np.where(X == {marker!r}, np.nan, X), or make {marker!r} of NaN."
    )


def refuse_lazy(X) -> None:
    """Refuse frames that hold a query in the place of rows, as those of polars can."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame, which holds a query and no rows yet. Pass X.collect().")


def refuse_doubled(names: Iterable) -> None:
    """Refuse columns that have one name."""
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"X has more than one column named {doubled[0]!r}. Rename them.")


def is_date(value) -> bool:
    """Tell whether a value is a date, a time or a duration."""
    return isinstance(value, _OF_DATES) or type(value).__name__ == "Period"


def refuse_dates(names: list[str]) -> None:
    if names:
        raise ValueError(
            f"{listed(names)} hold{'s' * (len(names) == 1)} dates, times or durations, which are no numbers. "
            "Make features of them first: by skrub.TableVectorizer or skrub.DatetimeEncoder, or by the column's "
            ".dt, such as the year, the day of the year or, of durations, the seconds."
        )


def _columns_of_dates(X) -> list[str]:
    """Return which columns of a frame or an array have a dtype of dates."""
    if getattr(getattr(X, "dtype", None), "kind", "") in ("m", "M"):
        return [str(number) for number in range(X.shape[-1])]
    return [name for name, dtype in _dtypes(X) if str(dtype).lower().startswith(_DATES)]


def _columns_of_date_objects(X) -> list[str]:
    """Return which columns hold dates as Python objects, among columns of any dtype."""
    names = [repr(str(name)) for name in getattr(X, "columns", ())]
    values = np.asarray(X, dtype=object)
    if values.ndim != 2:
        return []
    return [
        names[number] if names else str(number)
        for number, column in enumerate(values.T.tolist())
        if any(map(is_date, column))
    ]


def _columns_of_text(X) -> str:
    """Say which columns of a data frame hold text, or that some column does."""
    names = [name for name, dtype in _dtypes(X) if str(dtype).lower() in _TEXT]
    return f"{listed(names)} hold{'s' * (len(names) == 1)} text" if names else "A column holds text"


def _dtypes(X) -> list[tuple[str, object]]:
    """Return names, as they are to be written, and dtypes of the columns of a data frame."""
    if not hasattr(X, "columns"):  # a Series of pandas has dtypes as well: a single one
        return []
    dtypes = getattr(X, "dtypes", ())
    pairs = dtypes.items() if hasattr(dtypes, "items") else zip(X.columns, dtypes, strict=False)
    return [(repr(str(name)), dtype) for name, dtype in pairs]


def listed(names: list[str]) -> str:
    """Name columns, the first ones of many."""
    return f"Column{'s' * (len(names) > 1)} {first_of(names, 5)}"
