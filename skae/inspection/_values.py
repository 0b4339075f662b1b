"""Values of rows that a detector explains, in the units of its pipeline's input where there is a way back."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.utils import _safe_indexing

from .._data.chunks import evenly
from .._data.tables.frames import is_missing, library_of, objects
from ._rows import take, to_numpy
from ._steps import Found, Steps, names_in, steps_of

_MOST_ROWS = 500  # by which a way back is judged
_NEAR = 1e-3  # of the distance from the usual value: so far off is the same
# What a step raises that has no inverse, or that refuses rows which nobody has measured.
_NO_WAY = (AttributeError, NotImplementedError, TypeError, ValueError, LookupError, ArithmeticError)


class Values(NamedTuple):
    """Values of rows to explain, and what to compare them with, all in the same units.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_features)
    usual_values : ndarray of shape (n_features,) or None
    expected_values : ndarray of shape (n_rows, n_features) or None
        None if the detector does not know; NaN or infinite where a step before it has no way back.
    bounds : ndarray of shape (2, n_features) or None
        The lowest and the highest value in rows of `fit`; NaN where unknown.
    transformed_by : str
        The step that returns them, if some are not as in X though their column is.
    """

    values: np.ndarray
    usual_values: np.ndarray | None
    expected_values: np.ndarray | None
    bounds: np.ndarray | None = None
    transformed_by: str = ""


def values_of(found: Found, X, numbers: np.ndarray, expected: np.ndarray | None) -> Values:
    """Return the values of chosen rows and others, in the units of the pipeline's input if that can be.

    It can be where the features are those of the input, and each step before the detector has a way back for
    values as they are found in most rows, whichever are chosen. Else they are in the units of the detector, as
    ``expected`` is, which None stands for the lack of. Behind a ``ColumnTransformer`` as first step, that holds
    for each of its transformers.
    """
    usual = getattr(found.estimator, "usual_values_", None)
    values = _cells(take(found.rows, numbers))
    if usual is not None and usual.dtype != object:
        values = values.astype(np.float64)  # the detector's numbers, such as 1 for True
    bounds = getattr(found.estimator, "_range", None)
    here = Values(values, usual, expected, bounds, type(found.before[-1][1]).__name__ if found.before else "")
    if not found.before or not len(numbers) or usual is None:
        return here
    bounds = np.full((2, len(usual)), np.nan) if bounds is None else bounds
    others = [usual, *bounds, *(() if expected is None else expected)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of arrays without names, and of numbers that overflow
        if isinstance(found.before[0][1], ColumnTransformer):
            return _by_columns(found.before, X, numbers, others) or here
        if names_in(found.before) != found.names:
            return here
        restored = _way_back(found.before, take(X, evenly(found.rows.shape[0], _MOST_ROWS)), others)
    return here if restored is None else _of_rows(_cells(take(X, numbers)), restored)


def _of_rows(values: np.ndarray, others: np.ndarray, unit: str = "") -> Values:
    usual, (one, other), expected = others[0], others[1:3].astype(np.float64), others[3:]
    bounds = np.stack([np.minimum(one, other), np.maximum(one, other)])  # steps may turn the order round
    return Values(values, usual, expected if len(expected) else None, bounds, unit)


def _by_columns(before: Steps, X, numbers: np.ndarray, others: list[np.ndarray]) -> Values | None:
    """Return values behind a ``ColumnTransformer``, each in the units of the input whose column has a way back.

    None if the steps after it have none.
    """
    (_, columns), *later = before
    stage = columns.transform(X)
    sample = evenly(stage.shape[0], _MOST_ROWS)
    restored = _way_back(later, take(stage, sample), others)
    if restored is None:
        return None
    values, units = _cells(take(stage, numbers)).astype(object), []
    for name, transformer, chosen in columns.transformers_:
        place = columns.output_indices_[name]
        given = _safe_indexing(X, chosen, axis=1)
        if place.start == place.stop or len(given.shape) == 1:  # dropped; texts
            continue
        back = _way_back(steps_of(transformer), take(given, sample), list(restored[:, place]))
        if back is not None:
            restored[:, place], values[:, place] = back, _cells(take(given, numbers))
        elif given.shape[1] == place.stop - place.start:
            units.append(type(transformer).__name__)
    return _of_rows(values, restored, " and ".join(dict.fromkeys(units)))


# The way back ----------------------------------------------------------------------------------------------


def _way_back(before: Steps, given, others: list[np.ndarray]) -> np.ndarray | None:
    """Return other rows, the first of which is usual, at the input of steps; None if a step has no way back.

    ``given`` are the rows at the input by which that is judged.
    """
    stages = [given]
    for _, step in before:
        stages.append(step.transform(stages[-1]))
    try:
        numbers = [_cells(stage).astype(np.float64) for stage in stages]
        rows = np.stack(others).astype(np.float64)
    except (TypeError, ValueError):  # of what is no number
        return None
    for number, (_, step) in reversed([*enumerate(before)]):
        ways = _unchanged, getattr(step, "inverse_transform", None)  # imputers have none, and need none
        tried = (_back(step, way, stages[number], numbers[number], numbers[number + 1], rows) for way in ways)
        found = next((back for back in tried if back is not None), None)
        if found is None:
            return None
        rows = found
    return rows


def _unchanged(rows: np.ndarray) -> np.ndarray:
    return rows


def _back(
    step: Any, way: Callable | None, stage: Any, goes_in: np.ndarray, comes_out: np.ndarray, rows: np.ndarray
) -> np.ndarray | None:
    """Return rows at the input of a step, by a way back; None if it is none for most values of some column.

    It is one for a value that comes back. What a step squeezes or clips, as it may do with what is far off, comes
    back by no way: there, take the value half way to the usual one, and see whether the step makes it again.
    """
    if way is None or goes_in.shape != comes_out.shape:
        return None
    usual, n, m = rows[0], len(rows), len(comes_out)
    half = usual + (np.where(np.isnan(comes_out), usual, comes_out) - usual) / 2
    known = np.isfinite(rows)  # others are beyond what a later step can bring back, and would be refused
    try:
        back = _cells(way(np.vstack([np.where(known, rows, usual), half, comes_out]))).astype(np.float64)
        again = _cells(step.transform(_like(stage, back[n : n + m]))).astype(np.float64)
    except _NO_WAY:
        return None
    is_way = _near(back[n + m :], goes_in, back[0]) | _near(again, half, usual)
    tells = ~np.isnan(goes_in) & (half != usual)
    if not tells.any() and way is _unchanged:
        return None
    return np.where(known, back[:n], np.nan) if (2 * (is_way & tells).sum(0) >= tells.sum(0)).all() else None


def _near(rows: np.ndarray, others: np.ndarray, usual: np.ndarray) -> np.ndarray:
    return np.abs(rows - others) <= _NEAR * np.abs(others - usual)


def _like(table: Any, rows: np.ndarray) -> Any:
    """Return rows as a data frame, with the columns of a table, if that is one."""
    library = library_of(table)
    if library == "numpy":
        return rows
    return type(table)(rows, **{"columns" if library == "pandas" else "schema": table.columns})


def _cells(rows) -> np.ndarray:
    """Return rows of any container as an array: of objects, if a data frame holds what is no number."""
    if library_of(rows) == "numpy":
        return to_numpy(rows)
    columns = [
        rows[:, i].to_list() if hasattr(rows, "get_columns") else rows.iloc[:, i].to_list()
        for i in range(rows.shape[1])
    ]
    cells = np.empty((len(rows), len(columns)), dtype=object)
    for number, column in enumerate(columns):
        cells[:, number] = objects([np.nan if is_missing(value) else value for value in column])
    return cells
