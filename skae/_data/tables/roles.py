"""Which columns of a table hold numbers, and which categories."""

from numbers import Number
from typing import Any

import numpy as np

from .columns import Variable
from .dtypes import name_of
from .frames import CATEGORY, DATE, NUMBER, Column, objects


def by_choice(columns: list[Column], categorical_features: Any) -> list[Column]:
    """Decide which columns hold categories.

    Raises
    ------
    ValueError
        If ``categorical_features`` does not fit the columns, or if one holds neither numbers nor categories.
    """
    if isinstance(categorical_features, str):
        if categorical_features != "from_dtype":
            raise ValueError(
                f"categorical_features={categorical_features!r} must be 'from_dtype', or a list: of names, of "
                "column numbers, or of booleans."
            )
        chosen = [column.kind == CATEGORY for column in columns]
    else:
        chosen = _chosen(categorical_features, [column.name for column in columns])
    for column, is_category in zip(columns, chosen, strict=True):
        if column.kind == DATE:
            raise ValueError(
                f"Column {column.name!r} holds dates, times or nested values (dtype {name_of(column.dtype)}), "
                "which are neither numbers nor categories. Drop it, or make numbers of it first, for instance "
                "with skrub.TableVectorizer."
            )
        if column.kind == CATEGORY and not is_category:
            raise ValueError(
                f"Column {column.name!r} has dtype {name_of(column.dtype)}, but categorical_features does not "
                "name it. Add it, convert it to numbers, or use categorical_features='from_dtype'."
            )
    return [
        column.as_category() if is_category else column
        for column, is_category in zip(columns, chosen, strict=True)
    ]


def _chosen(categorical_features: Any, names: list) -> list[bool]:
    given = _as_array([] if categorical_features is None else categorical_features)
    if given.dtype == bool:
        if given.shape != (len(names),):
            raise ValueError(
                f"categorical_features is a mask of shape {given.shape}, but X has {len(names)} columns."
            )
        return given.tolist()
    wanted, by_number = given.ravel().tolist(), given.dtype.kind in "iu"
    unknown = [name for name in wanted if name not in (range(len(names)) if by_number else names)]
    if unknown and by_number:
        raise ValueError(
            f"categorical_features has the number {unknown[0]}, but X has {len(names)} columns: numbers count "
            f"them, from 0 to {len(names) - 1}, whatever they are called."
        )
    if unknown:
        raise ValueError(f"categorical_features names {unknown[0]!r}, but the columns of X are {names}.")
    return [(number if by_number else name) in wanted for number, name in enumerate(names)]


def _as_array(given: Any) -> np.ndarray:
    """Return what was listed as an array, with names that are tuples, as of a MultiIndex, as its entries."""
    if isinstance(given, list | tuple) and any(isinstance(name, tuple) for name in given):
        return objects(given)
    return np.asarray(given)


def as_in_fit(columns: list[Column], variables: list[Variable]) -> list[Column]:
    """Read columns as those of `fit` were read.

    Raises
    ------
    ValueError
        If one that held numbers holds something else, or one of other values holds none of their types.
    """
    typed = []
    for column, variable in zip(columns, variables, strict=True):
        if not variable.is_number:
            column = column.as_category()
            _check_types(column, variable)
        elif column.kind != NUMBER:
            column = column.as_numbers() if column.kind == CATEGORY else column
            if column.kind != NUMBER and not column.missing.all():
                raise ValueError(
                    f"Column {column.name!r} has dtype {name_of(column.dtype)}, but held numbers in fit. Convert "
                    "it to numbers."
                )
            if column.missing.all():
                column = column._replace(kind=NUMBER, values=np.full(len(column.values), np.nan))
        typed.append(column)
    return typed


def _check_types(column: Column, variable: Variable) -> None:
    """Refuse a column of which no value is like those that `fit` saw."""
    assert variable.categories is not None
    seen, known = column.values[~column.missing].tolist(), variable.categories.values
    if not seen or _types(seen) & _types(known) or not set(seen).isdisjoint(known):
        return
    raise ValueError(
        f"Column {column.name!r} has dtype {name_of(column.dtype)} and holds {_shown(seen[0])}, but held other "
        f"values in fit, such as {known[0]!r}. Convert it to values like these."
    )


def _types(values: list) -> set[type]:
    """Return the types of values: one for all numbers, one for all strings."""
    types = {type(value) for value in values}
    kinds = (Number, str)
    return {
        Number if kind is np.bool_ else next((most for most in kinds if issubclass(kind, most)), kind)
        for kind in types
    }


def _shown(value: Any) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)
