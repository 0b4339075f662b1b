"""What exported models take: rows like those of `fit`, and for tables inputs with types and names of their own."""

from typing import Any

import numpy as np
from skl2onnx.common import data_types
from sklearn.base import TransformerMixin

from .. import AutoencoderClassifier, AutoencoderOutlierDetector, BaseAutoencoder, TabularVAESampler
from .._data.arrays import is_nan
from .._data.markers import without_na
from .._data.tables import frames, roles
from .._data.tables.columns import Variable
from .._data.tables.frames import LARGEST_EXACT, Column
from ._graph import Graph
from ._parts import first_step, parts_of

FLOATS = ("float32", "float64")

_TYPES = {
    "float32": data_types.FloatTensorType,
    "float64": data_types.DoubleTensorType,
    "bool": data_types.BooleanTensorType,
    "str": data_types.StringTensorType,
    "int8": data_types.Int8TensorType,
    "int16": data_types.Int16TensorType,
    "int32": data_types.Int32TensorType,
    "int64": data_types.Int64TensorType,
    "uint8": data_types.UInt8TensorType,
    "uint16": data_types.UInt16TensorType,
    "uint32": data_types.UInt32TensorType,
    "uint64": data_types.UInt64TensorType,
}
_KINDS = {
    data_types.StringTensorType: "text",
    data_types.BooleanTensorType: "bool",
    data_types.UInt64TensorType: "uint64",
    data_types.FloatTensorType: "float",
    data_types.DoubleTensorType: "float",
    data_types.Float16TensorType: "float",
}
_WORDS = {"text": "strings", "bool": "booleans", "int": "integers", "uint64": "uint64", "float": "float64"}
_TAKE_COLUMNS = (TransformerMixin, BaseAutoencoder, AutoencoderClassifier, AutoencoderOutlierDetector)


def first_row(model: Any, X: Any) -> Any:
    """Return the first row of X: of a table as it is, else of numbers that skl2onnx knows."""
    if not hasattr(X, "columns") and takes_table(model, X):
        return frames.as_table(X)[:1]
    return _plain_row(X)


def _plain_row(X: Any) -> Any:
    """Return the first row, as an array of float32 or float64, or as a frame of columns that skl2onnx knows."""
    if hasattr(X, "iloc"):
        return _plain(X[:1])
    if hasattr(X, "columns"):
        return X[:1]
    rows = without_na(np.atleast_1d(X)[:1])
    return rows if rows.dtype.name in FLOATS else rows.astype(np.float32 if rows.dtype == "float16" else float)


def _plain(frame: Any) -> Any:
    """Return a frame of pandas with plain columns in place of nullable ones of numbers, whose NA becomes NaN."""
    result = frame.copy()
    for number, dtype in enumerate(frame.dtypes):
        kind = getattr(dtype, "numpy_dtype", dtype)  # the nullable ones have it
        if kind is not dtype and getattr(kind, "kind", "") in "iuf":
            plain = np.float32 if kind == np.float32 else np.float64
            result.isetitem(number, frame.iloc[:, number].to_numpy(dtype=plain, na_value=np.nan))
    return result


def as_marked(graph: Graph, model: Any, x: str) -> str:
    """Return float32 values as float64 ones in which missing values are those that the model's number marks.

    In single precision, what stands for a missing value is the number next to it.
    """
    wide = graph.cast(x)
    marker = getattr(model, "missing_values", getattr(getattr(model, "autoencoder", None), "missing_values", None))
    if not isinstance(marker, int | float | np.number) or is_nan(marker) or float(np.float32(marker)) == marker:
        return wide
    return graph.where(graph.op("Equal", wide, float(np.float32(marker))), float(marker), wide)


def takes_table(model: Any, X: Any) -> bool:
    """Tell whether a model takes X as a table, whose columns have types of their own."""
    if isinstance(first_step(model), TabularVAESampler):
        return True
    return hasattr(X, "columns") and any(isinstance(part, TabularVAESampler) for part in parts_of(model))


def with_names(model: Any, names: Any) -> Any:
    """Call the inputs of a model as the columns, of whose names skl2onnx keeps letters and digits only."""
    inputs, outputs = model.graph.input, {output.name for output in model.graph.output}
    if len(inputs) == len(names):
        pairs = zip(inputs, map(str, names), strict=True)
        new = {value.name: name for value, name in pairs if name not in outputs}
        for value in inputs:
            value.name = new.get(value.name, value.name)
        _rename(model.graph.node, new)
    return model


def _rename(nodes: Any, new: dict[str, str]) -> None:
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = new.get(name, name)
        for attribute in node.attribute:
            _rename(attribute.g.node, new)


def check_columns(first: Any, rows: Any) -> None:
    """Refuse other columns than those of `fit`, which skl2onnx takes for these by their places."""
    if len(rows.shape) != 2:
        raise ValueError(
            f"X has the shape {rows.shape}, but rows and columns are needed: X.reshape(1, -1) is a row."
        )
    if not isinstance(first, _TAKE_COLUMNS) or hasattr(first, "transformers_"):
        return  # among them those that choose columns by their names
    name, width = type(first).__name__, getattr(first, "n_features_in_", rows.shape[1])
    if rows.shape[1] != width:
        raise ValueError(
            f"X has {rows.shape[1]} features, but {name} takes {width}. Give rows such as those of fit."
        )
    fitted_on, given = getattr(first, "feature_names_in_", None), getattr(rows, "columns", None)
    if fitted_on is None or given is None:
        return
    for number, (expected, found) in enumerate(zip(fitted_on, given, strict=True)):
        if expected != found:
            raise ValueError(
                f"Column {number} of X is {str(found)!r}, but {name} was fitted with {str(expected)!r} there. "
                "Give the columns of fit, in their order."
            )


def inputs_of(table: Any, first: Any) -> list[tuple[str, Any]]:
    """Return the names and types of a model's inputs for a table: those of ``table[[name]].to_numpy()``.

    Parameters
    ----------
    table : {DataFrame, ndarray}
    first : estimator
        That takes the table.

    Raises
    ------
    TypeError, ValueError
        If it is no table, or not like that of `fit`.
    NotImplementedError
        If it is an array of numbers beside strings.
    """
    columns, layout = frames.read(table)
    variables = [None] * len(columns)
    if isinstance(first, TabularVAESampler):
        variables = first._codec.variables
        first._codec._check_names(layout)
        roles.as_in_fit(columns, variables)
    table = frames.as_table(table)
    arrays = [table] * len(columns)
    if layout.library != "numpy":
        arrays = [
            (table.iloc[:, [number]] if layout.library == "pandas" else table[[name]]).to_numpy()
            for number, name in enumerate(layout.names)
        ]
    found = [
        _dtype(column, variable, array.dtype)
        for column, variable, array in zip(columns, variables, arrays, strict=True)
    ]
    if layout.library != "numpy":
        return [(str(name), _TYPES[dtype]([None, 1])) for name, dtype in zip(layout.names, found, strict=True)]
    if len({*found}) > 1:
        raise NotImplementedError(
            "X is an array of numbers beside strings, for which ONNX has no type. Give a data frame with the same "
            "columns, each with a dtype of its own: pandas.DataFrame(X).infer_objects()."
        )
    return [("X", _TYPES[found[0]]([None, len(columns)]))]


def _dtype(column: Column, variable: Variable | None, dtype: np.dtype) -> str:
    """Return the name of the dtype of a column's input; ``dtype`` is that of an array of its cells."""
    if dtype.kind in "iub":
        return dtype.name
    if dtype.kind == "f":
        return "float32" if dtype.itemsize <= 4 else "float64"
    seen = column.values[~column.missing].tolist()
    if not seen and variable is not None:  # as in fit
        seen = [0.0] if variable.categories is None else variable.categories.values
    return "float64" if seen and all(map(_is_plain, seen)) else "str"


def kind_of_input(given: Any) -> str:
    """Return what an input holds."""
    return _KINDS.get(type(given.type), "int")


def check(variable: Variable, kind: str) -> None:
    """Refuse a column whose values no input can hold, or this one cannot."""
    name, categories = variable.name, [] if variable.categories is None else variable.categories.values
    odd = [value for value in categories if not _is_plain(value)]
    is_text = bool(odd) and all(isinstance(value, str) for value in categories)
    if odd and not is_text:
        raise NotImplementedError(
            f"Column {name!r} holds categories such as {odd[0]!r}, but an ONNX model takes columns of strings, or "
            "of numbers and booleans. Convert the whole column to strings before fit."
        )
    if is_text != (kind == "text") or (variable.is_number and kind == "bool"):
        raise ValueError(
            f"Column {name!r} is given as {_WORDS[kind]}, but TabularVAESampler was fitted with "
            f"{'strings' if is_text else 'numbers'} there. Give X with the dtypes of fit."
        )
    large: list[Any] = [value for value in (*categories, *(variable.limits or ())) if is_large(value)]
    if large and kind != "int":
        raise NotImplementedError(
            f"Column {name!r} held integers in fit that are too large for float64, such as {large[0]}: an ONNX "
            f"model takes these as int64, but they are given as {_WORDS[kind]}. Give X with int64 there, and "
            "without missing cells."
        )
    for value in large:
        if not -(2**63) < value < 2**63:
            raise NotImplementedError(
                f"Column {name!r} held {value} in fit, which is too large for int64, the integers of ONNX's "
                "operators. Convert the column to strings, or divide it, before fit."
            )


def is_large(value: Any) -> bool:
    """Tell whether a category is an integer that float64 may not tell from others."""
    return isinstance(value, int | np.integer) and abs(int(value)) >= LARGEST_EXACT


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating)
