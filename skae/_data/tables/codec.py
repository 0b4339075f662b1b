"""A codec between tables and the matrices that networks take: normal scores, and one-hot blocks.

A column of categories becomes a block of one-hot columns. A column of numbers becomes a column of normal scores;
a number that many rows share (an atom, such as a gain of zero) is a category beside them, so that the scores are
those of the rest, and are missing where there is an atom. Missing cells are NaN in all their columns.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..._support.warnings import warn
from . import frames, roles, writing
from .columns import (
    Categories,
    Rounding,
    Scores,
    Variable,
    atoms_of,
    check_finite,
    distances,
    limits_of,
    sorted_values,
)
from .frames import CATEGORY, Column, Layout

UNKNOWN = "unknown categories"  # a cause of warnings
MOST_CATEGORIES = 255  # as scikit-learn's histogram gradient boosting takes


class TableCodec:
    """Encodes tables as matrices, and back.

    Parameters
    ----------
    categorical_features : "from_dtype", or array-like of names, of column numbers, or of booleans
        Which columns hold categories; "from_dtype" takes booleans, strings, objects and categorical dtypes.
    numeric_transform : {"quantile", "standard"}
    atom_share : float
        A number that more than this share of the rows has becomes a category.

    Attributes
    ----------
    layout : Layout
        Of the table that it was fitted to.
    variables : list of Variable
        One for each column of the table.
    width : int
        Number of columns of the matrix.
    """

    layout: Layout
    variables: list[Variable]

    def __init__(
        self,
        categorical_features: Any = "from_dtype",
        numeric_transform: str = "quantile",
        atom_share: float = 0.05,
    ) -> None:
        self.categorical_features, self.numeric_transform = categorical_features, numeric_transform
        self.atom_share = atom_share

    def fit(self, table: Any, generator: np.random.Generator, whole: Any = None) -> "TableCodec":
        """Learn categories, atoms and quantiles; rounded numbers are spread by a ``generator``.

        Where the table is a part of a ``whole`` one, the categories are those of the whole.

        Raises
        ------
        TypeError, ValueError
            If a column cannot be encoded; the message names it, and says what to do.
        """
        columns, self.layout = frames.read(table)
        all_rows = columns if whole is None else frames.read(whole)[0]
        self.variables, self.width = [], 0
        for column, of_all in zip(self._in_roles(columns), self._in_roles(all_rows), strict=True):
            variable = self._variable(of_all if of_all.kind == CATEGORY else column, generator)
            self.variables.append(variable)
            self.width += len(variable.columns)
        self._check_writable(columns)
        return self

    def _in_roles(self, columns: list[Column]) -> list[Column]:
        return roles.by_choice(columns, self.categorical_features)

    def _variable(self, column: Column, generator: np.random.Generator) -> Variable:
        seen = column.values[~column.missing]
        if len(seen) == 0:
            raise ValueError(f"Column {column.name!r} has no value at all. Drop it.")
        if column.kind == CATEGORY:
            return Variable(column.name, False, _categories(column.name, seen), None, self.width)
        check_finite(column.name, seen)
        limits = limits_of(column.exact, column.missing)
        if column.exact is not None:
            seen = column.exact[~column.missing]
        atoms = atoms_of(seen, len(column.values), self.atom_share)
        rest = distances(seen[~np.isin(seen, atoms)], limits)
        scores = Scores(rest, column.is_single, generator, self.numeric_transform) if len(rest) else None
        categories = Categories(atoms.tolist()) if len(atoms) else None
        return Variable(column.name, True, categories, scores, self.width, column.is_integer, limits)

    def _check_writable(self, columns: list[Column]) -> None:
        """Refuse columns that cannot be made again of their values."""
        matrix = np.zeros((1, self.width))
        for number, (column, cells) in enumerate(zip(columns, self._cells(matrix), strict=True)):
            writing.check(column, cells, self.layout, number)

    @property
    def likelihood(self) -> list[tuple[str, tuple[int, ...]]]:
        """Pairs of a family, 'categorical' or 'gaussian', and the columns of the matrix that it rules."""
        pairs = [("categorical", variable.block) for variable in self.variables if variable.block]
        scores = tuple(variable.columns[-1] for variable in self.variables if variable.scores is not None)
        return [*pairs, ("gaussian", scores)] if scores else pairs

    @property
    def groups(self) -> list[int]:
        """Of each column of the matrix, the number of the variable that it belongs to."""
        return [number for number, variable in enumerate(self.variables) for _ in variable.columns]

    @property
    def categories(self) -> dict[Any, list]:
        """The categories of each column that has nothing else, in the order of the matrix."""
        return {v.name: [*v.categories.values] for v in self.variables if v.categories and not v.is_number}

    def encode(self, table: Any, generator: np.random.Generator | None = None) -> np.ndarray:
        """Return the matrix of a table like the one of `fit`, (n, width), with NaN where there is no cell.

        With a ``generator``, numbers are spread over what was rounded to them: for training. Categories that are
        not known count as missing, with a warning.

        Raises
        ------
        TypeError, ValueError
            If the columns are others, or hold what they cannot.
        """
        columns, layout = frames.read(table)
        self._check_names(layout)
        columns = roles.as_in_fit(columns, self.variables)
        matrix = np.empty((len(columns[0].values), self.width))
        unknown = {}
        for column, variable in zip(columns, self.variables, strict=True):
            matrix[:, variable.columns], new = variable.encode(column, generator)
            if new:
                unknown[column.name] = new[0]
        if unknown:
            name, value = next(iter(unknown.items()))
            n = len(unknown) - 1
            others = f" So do{'es' * (n == 1)} {n} other column{'s' * (n > 1)}." if n else ""
            warn(
                f"Column {name!r} holds values that fit did not see, such as {value!r}: they count as missing."
                f"{others}",
                cause=UNKNOWN,
            )
        return matrix

    def row_of(self, given: Mapping[Any, Any]) -> np.ndarray:
        """Return the row of a matrix, (width,), with these values of columns, and NaN in all others.

        Raises
        ------
        TypeError, ValueError
            If it names no column, or a column cannot have its value.
        """
        row, variables = np.full(self.width, np.nan), {variable.name: variable for variable in self.variables}
        for name, value in given.items():
            if name not in variables:
                raise ValueError(f"given names {name!r}, but the columns are {[*variables]}.")
            variable = variables[name]
            row[list(variable.columns)] = variable.encode_one(value)
        return row

    def decode(
        self,
        matrix: np.ndarray,
        missing: np.ndarray | None = None,
        *,
        given: Mapping[Any, Any] | None = None,
        like: Any = None,
    ) -> Any:
        """Return the table of a matrix: of each block the category with the largest entry, of scores the numbers.

        ``missing``, (n, n_columns), says which cells are to be left without a value; columns of numbers that are
        ``given`` hold these; the rows have the index of the frame ``like`` which they are, if that has one.
        """
        if missing is None:
            missing = np.zeros((len(matrix), len(self.variables)), dtype=bool)
        cells = self._cells(matrix)
        for number, variable in enumerate(self.variables):
            if variable.is_number and given is not None and variable.name in given:
                cells[number] = variable.constant(given[variable.name], len(matrix))
        return writing.write([*zip(cells, missing.T, strict=True)], self.layout, like)

    def fill(self, table: Any, matrix: np.ndarray) -> Any:
        """Return a table with cells filled by those of a matrix: missing ones, and categories that are not known.

        All other cells are those of the table, bit for bit: numbers that `fit` did not see, too.
        """
        columns = roles.as_in_fit(frames.read(table)[0], self.variables)
        holes = [
            (values, column.missing if variable.is_number else np.isnan(variable.encode(column, None)[0]).all(1))
            for column, variable, values in zip(columns, self.variables, self._cells(matrix), strict=True)
        ]
        return writing.fill(table, holes, self.layout)

    def to_plain(self) -> dict[str, Any]:
        """Return what has been learnt as plain values and arrays, to be saved."""
        variables = []
        for variable in self.variables:
            scores, categories = variable.scores, variable.categories
            parts = {
                "scores": None if scores is None else vars(scores) | {"rounding": tuple(scores.rounding)},
                "categories": None if categories is None else categories.values,
            }
            variables.append(variable._asdict() | parts)
        return {"layout": self.layout._asdict(), "variables": variables, "width": self.width}

    @classmethod
    def from_plain(cls, state: dict[str, Any]) -> "TableCodec":
        """Undo `to_plain`."""
        codec = cls()
        codec.layout, codec.width = Layout(**state["layout"]), state["width"]
        codec.variables = [_variable(**variable) for variable in state["variables"]]
        return codec

    def _cells(self, matrix: np.ndarray) -> list[np.ndarray]:
        return [variable.decode(matrix[:, variable.columns]) for variable in self.variables]

    def missing(self, matrix: np.ndarray) -> np.ndarray:
        """Return which cells of an encoded table are missing, (n, n_columns)."""
        gone = np.isnan(matrix)
        return np.stack([gone[:, variable.columns].all(1) for variable in self.variables], axis=1)

    def _check_names(self, layout: Layout) -> None:
        names, expected = layout.names, self.layout.names
        if len(names) != len(expected):
            raise ValueError(f"X has {len(names)} columns, but {len(expected)} were given to fit.")
        if names == expected or "numpy" in (layout.library, self.layout.library):
            return
        wrong = next(new for new, old in zip(names, expected, strict=True) if new != old)
        raise ValueError(
            f"The columns of X must be those given to fit, in their order: {[*expected]}. Column {wrong!r} is not "
            "in its place."
        )


def _variable(categories: list | None, scores: dict[str, Any] | None, **others: Any) -> Variable:
    """Return a variable of its plain values."""
    restored = None
    if scores is not None:
        restored = Scores.__new__(Scores)
        vars(restored).update(scores | {"rounding": Rounding(*scores["rounding"])})
    return Variable(categories=None if categories is None else Categories(categories), scores=restored, **others)


def _categories(name: Any, seen: np.ndarray) -> Categories:
    try:
        distinct = dict.fromkeys(seen.tolist())
    except TypeError as error:
        raise ValueError(
            f"Column {name!r} holds values that cannot be compared ({error}). Convert them to strings."
        ) from None
    if len(distinct) > MOST_CATEGORIES:
        raise ValueError(
            f"Column {name!r} has {len(distinct)} categories, but at most {MOST_CATEGORIES} are supported. Group "
            "the rare ones, for instance with sklearn.preprocessing.OrdinalEncoder(max_categories=255), or make "
            "numbers of the column, for instance with skrub.TableVectorizer; an identifier or free text is best "
            "dropped."
        )
    return Categories(sorted_values([*distinct]))
