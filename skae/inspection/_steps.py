"""Steps of a pipeline: the detector or imputer among them, its features' names, and values at the input."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._data.tables.frames import is_missing, library_of, objects
from ._rows import take, to_numpy

Steps = list[tuple[str, Any]]


def steps_of(estimator, name: str = "") -> Steps:
    """List the steps of a pipeline, and of pipelines in it, in order."""
    if not isinstance(estimator, Pipeline):
        return [(name, estimator)]
    steps = [(n, step) for n, step in estimator.steps if step is not None and step != "passthrough"]
    return [inner for n, step in steps for inner in steps_of(step, n)]


# Which estimator -------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """An estimator in a pipeline, and rows as it takes them.

    Attributes
    ----------
    estimator : estimator
    before : list of (str, transformer)
        The steps before it.
    rows : {array-like, sparse matrix} of shape (n_rows, n_features)
    names : list of str
        Of the features that it takes.
    """

    estimator: Any
    before: Steps
    rows: Any
    names: list[str]


def _found(before: Steps, estimator, X) -> Found:
    for _, step in before:
        X = step.transform(X)
    return Found(estimator, before, X, _names_of(estimator, before))


def find_detector(estimator, X) -> Found:
    """Return the outlier detector in a fitted estimator.

    Raises
    ------
    TypeError
        If the estimator does not end in a detector with p-values.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    *before, (_, detector) = steps_of(estimator)
    if not (hasattr(detector, "p_values") and hasattr(detector, "score_features")):
        raise TypeError(
            f"{type(detector).__name__} has no p_values and score_features. Pass a fitted "
            "AutoencoderOutlierDetector, or a Pipeline that ends in one."
        )
    return _found(before, detector, X)


def find_imputer(estimator, X) -> tuple[Found, np.ndarray]:
    """Return the imputer in a fitted estimator, and the numbers of the columns that it keeps.

    Raises
    ------
    TypeError
        If there is none.
    """
    estimator = getattr(estimator, "best_estimator_", estimator)
    check_is_fitted(estimator)
    steps = steps_of(estimator)
    numbers = [
        number
        for number, (_, step) in enumerate(steps)
        if hasattr(step, "impute") or (hasattr(step, "missing_values") and hasattr(step, "keep_empty_features"))
    ]
    if not numbers:
        raise TypeError(
            f"{type(estimator).__name__} contains no imputer. Pass a fitted AutoencoderImputer, an imputer of "
            "scikit-learn, an autoencoder with missing_values, or a Pipeline that contains one of these."
        )
    before, (_, imputer) = steps[: numbers[0]], steps[numbers[0]]
    kept = np.arange(imputer.n_features_in_)
    if not hasattr(imputer, "impute"):
        unnamed = np.array([f"x{number}" for number in kept], dtype=object)
        own = getattr(imputer, "feature_names_in_", unnamed)
        left = set(imputer.get_feature_names_out())
        kept = np.flatnonzero([name in left for name in own])
    return _found(before, imputer, X), kept


# Names -----------------------------------------------------------------------------------------------------


def _names_of(step, before: Steps) -> list[str]:
    """Return the names of the features that a step takes."""
    for names in (getattr(step, "feature_names_in_", ()), _names_out(before)):
        if len(names) == step.n_features_in_:
            return [str(name) for name in names]
    return [f"x{i}" for i in range(step.n_features_in_)]


def _names_in(before: Steps) -> list[str]:
    first = before[0][1]
    names = getattr(first, "feature_names_in_", None)
    return [f"x{i}" for i in range(getattr(first, "n_features_in_", 0))] if names is None else [*map(str, names)]


def _names_out(before: Steps) -> list[str]:
    """Return the names of what steps make; a step that does not tell them is taken to keep its features."""
    names = _names_in(before) if before else []
    try:
        for _, step in before:
            if hasattr(step, "get_feature_names_out"):
                names = [str(name) for name in step.get_feature_names_out(np.array(names, dtype=object))]
    except (AttributeError, TypeError, ValueError):  # it cannot tell them
        return []
    return names


# Values ----------------------------------------------------------------------------------------------------


class Values(NamedTuple):
    """Values of rows to explain, and what to compare them with, all in the same units.

    Attributes
    ----------
    found : ndarray of shape (n_rows, n_features)
    usual : ndarray of shape (n_features,) or None
    expected : ndarray of shape (n_rows, n_features) or None
        None if the detector does not know; NaN where a step before it has no way back.
    """

    found: np.ndarray
    usual: np.ndarray | None
    expected: np.ndarray | None


def values_of(found: Found, X, numbers: np.ndarray) -> Values:
    """Return the values of chosen rows and others, in the units of the pipeline's input if that can be.

    It can be where the features are those of the input, and each step before the detector has a way back that
    brings these very rows back. Else they are in the units of the detector.
    """
    usual, rows = getattr(found.estimator, "usual_values_", None), take(found.rows, numbers)
    values = _cells(rows)
    if usual is not None and usual.dtype != object:
        values = values.astype(np.float64)  # the detector's numbers, such as 1 for True
    here = Values(values, usual, _expected(found.estimator, rows) if len(numbers) else None)
    if not found.before or not len(numbers) or usual is None or _names_in(found.before) != found.names:
        return here
    given = take(X, numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of arrays without names
        restored = _way_back(found.before, given, [usual, *(() if here.expected is None else here.expected)])
    if restored is None:
        return here
    return Values(_cells(given), restored[0], None if here.expected is None else restored[1:])


def _expected(detector, rows) -> np.ndarray | None:
    try:
        return to_numpy(detector.expected_values(rows))
    except AttributeError:  # neither it nor its members know
        return None


def _way_back(before: Steps, given, others: list[np.ndarray]) -> np.ndarray | None:
    """Return other rows at the input of steps; None if a step does not bring the given rows back."""
    stages = [given]
    for _, step in before:
        stages.append(step.transform(stages[-1]))
    try:
        numbers = [_cells(stage).astype(np.float64) for stage in stages]
        rows = np.stack(others).astype(np.float64)
        for (_, step), goes_in, comes_out in reversed([*zip(before, numbers[:-1], numbers[1:], strict=True)]):
            if not _same(goes_in, comes_out):  # as they would be to an imputer
                both = _cells(step.inverse_transform(np.vstack([rows, comes_out]))).astype(np.float64)
                rows = both[: len(rows)]
                if not _same(goes_in, both[len(rows) :]):
                    return None
    except (AttributeError, NotImplementedError, TypeError, ValueError):  # there is no inverse, or it refuses
        return None
    return rows


def _same(rows: np.ndarray, others: np.ndarray) -> bool:
    """Tell whether rows are the same where they are not missing."""
    if rows.shape != others.shape:
        return False
    return bool((np.isnan(rows) | np.isclose(rows, others, rtol=1e-3, atol=1e-5)).all())


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
