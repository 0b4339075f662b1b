"""Steps of a pipeline: the detector or imputer among them, and the names of its features."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

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
        if hasattr(step, "missing_values") and (hasattr(step, "impute") or hasattr(step, "keep_empty_features"))
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


def names_in(before: Steps) -> list[str]:
    first = before[0][1]
    names = getattr(first, "feature_names_in_", None)
    return [f"x{i}" for i in range(getattr(first, "n_features_in_", 0))] if names is None else [*map(str, names)]


def without_prefixes(names: list[str]) -> list[str]:
    """Return names without what steps have put before two underscores, if they differ without it."""
    short = [name.rpartition("__")[2] or name for name in names]
    return short if len({*short}) == len(names) else names


def _names_out(before: Steps) -> list[str]:
    """Return the names of what steps make; a step that does not tell them is taken to keep its features."""
    names = names_in(before) if before else []
    try:
        for _, step in before:
            if hasattr(step, "get_feature_names_out"):
                names = [str(name) for name in step.get_feature_names_out(np.array(names, dtype=object))]
    except (AttributeError, TypeError, ValueError):  # it cannot tell them
        return []
    return names
