"""Class labels, and which rows have one."""

from numbers import Real

import numpy as np

from .._support.warnings import warn
from .remedies import UNLABELLED
from .tables.frames import is_missing


def refuse_missing(y) -> None:
    """Refuse missing labels among objects, where scikit-learn's message does not say what they are.

    Raises
    ------
    ValueError
        If one is None, NaN or NA.
    """
    if hasattr(y, "to_numpy"):
        y = y.to_numpy()
    elif isinstance(y, list | tuple):
        y = np.asarray(y, dtype=object)
    if isinstance(y, np.ndarray) and y.dtype.kind == "O":
        for value in y.ravel().tolist():
            if is_missing(value):
                name = "NaN" if isinstance(value, float) else repr(value)
                raise ValueError(f"Input y contains {name}. {UNLABELLED}")


def labelled(y: np.ndarray) -> np.ndarray:
    """Tell which rows have a label: those that are not -1, if two classes remain without them.

    Warns where it looks as if -1 were to mark rows without a label, but is a class.

    Raises
    ------
    ValueError
        If all are -1, or if labels cannot be sorted.
    """
    if y.dtype.kind == "O":  # labels of other types beside the number -1
        has_label = np.array([not (isinstance(label, Real) and label == -1) for label in y], dtype=bool)
    else:
        has_label = y != -1 if y.dtype.kind in "iuf" else np.ones(len(y), dtype=bool)
    if not has_label.any():
        raise ValueError(
            f"y is -1 for all n_samples={len(y)} rows, which marks rows without a label, but a classifier needs "
            "labels of at least two classes. Give some rows theirs."
        )
    others = classes_of(y[has_label])
    if len(others) >= 2:
        _warn_of_strings(others)
        return has_label
    classes_of(y)
    if not has_label.all() and others[0] != 1:
        warn(
            f"y holds -1 and one other label, {others[0]!s}, so that -1 is a class: it marks rows without a label "
            "only where two other classes remain. If it is to mark them, give labels to rows of another class; if "
            "it is a class, call the two classes 0 and 1."
        )
    return np.ones(len(y), dtype=bool)


def classes_of(y: np.ndarray) -> np.ndarray:
    """Return the distinct labels, sorted.

    Raises
    ------
    ValueError
        If they are of types without an order between them.
    """
    try:
        return np.unique(y)
    except TypeError:
        one, *others = y.tolist()
        other = next((label for label in others if type(label) is not type(one)), others[0])
        raise ValueError(
            f"y holds labels of types that cannot be sorted, such as {one!r} and {other!r}. Make all of them "
            "strings; only the number -1 may be beside these, to mark rows without a label where two classes "
            "remain."
        ) from None


def _warn_of_strings(classes: np.ndarray) -> None:
    """Warn of strings that NumPy makes of -1: '-1', or '-' in an array of single characters."""
    strings = {label for label in classes.tolist() if isinstance(label, str)}
    marker = "-" if classes.dtype.str[1:] == "U1" and "+" not in strings else "-1"
    if marker not in strings or strings == {"-1", "1"}:
        return
    cut = " (NumPy cuts -1 to that in an array of single characters)" if marker == "-" else ""
    warn(
        f"y holds the string {marker!r}{cut}, which is a class like any other: only the number -1 marks rows "
        f"without a label. If it is to mark them: y = np.array(y, dtype=object); y[y == {marker!r}] = -1. If it "
        "is a class, give it another name."
    )
