"""Converters for skl2onnx, and the function that exports a model or a pipeline."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse
import skl2onnx
from skl2onnx.common import data_types
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

import skae

from .. import (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    BaseAutoencoder,
    TabularVAESampler,
)
from .._data.remedies import refuse_lazy
from ._graph import Graph
from ._inputs import FLOATS, as_marked, check_columns, first_row, inputs_of, takes_table, with_names
from ._parts import first_step, last_step, parts_of, plain, refuse
from ._tables import kind_of

MINIMUM_OPSET = 18  # since it, reductions take their axes as an input
_SYNONYMS = {  # methods whose results the outputs are
    "transform": "codes",
    "reconstruct": "reconstruction",
    "denoise": "reconstruction",
    "predict": "labels",
    "predict_proba": "probabilities",
}
_TENSORS = {
    "float32": data_types.FloatTensorType,
    "float64": data_types.DoubleTensorType,
    "uint8": data_types.UInt8TensorType,
    "int64": data_types.Int64TensorType,
    "bool": data_types.BooleanTensorType,
}


def to_onnx(model, X, *, outputs=None, target_opset=None):
    """Export a fitted estimator of skae, or a pipeline that has one, to ONNX.

    Parameters
    ----------
    model : estimator
        Fitted: an estimator of skae, or a `sklearn.pipeline.Pipeline` (or another estimator that skl2onnx knows)
        with one in it, or a search over one, whose best estimator is exported.
    X : {array-like, data frame} of shape (n_samples, n_features)
        Rows such as the exported model will be given: their number of columns and their dtype are what it takes.
        Only the first row is read; nullable columns of numbers count as plain ones, with NaN. The model computes
        in float32 for float32, and in float64 for float64 and integers. Of a data frame, each column is an input
        of shape (n, 1). For a `TabularVAESampler` all rows are read: see the notes.
    outputs : str or sequence of str, default=None
        What the model, or the last step of the pipeline, is to give, in this order:

        - 'codes': what ``transform`` returns;
        - 'reconstruction': what ``reconstruct`` returns, in the units of the rows that the estimator itself is
          given: in a pipeline, those after the scaler;
        - 'score_samples', of shape (n_samples,);
        - 'codes' and 'score_samples', of a `TabularVAESampler`;
        - 'labels' and 'probabilities', of a classifier;
        - 'labels', 'score_samples' and 'p_values', of an outlier detector;
        - 'filled', of an imputer: what its ``transform`` returns.

        None gives the codes; of a classifier, labels and probabilities; of a detector, labels and scores; of an
        imputer, the filled rows. The methods' names ('transform', 'reconstruct', 'predict', 'predict_proba') mean
        the same. Outputs have the names by which they are asked for.
    target_opset : int, default=None
        Version of ONNX's operators, at least 18. None takes the newest that skl2onnx knows.

    Returns
    -------
    onnx_model : onnx.ModelProto
        The model; its input is called 'X', or as the columns of the data frame. Save it with
        ``onnx_model.SerializeToString()``.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    TypeError
        If X is sparse, which ONNX has no matrices for, or a lazy frame.
    ValueError
        If an output is asked for that the model does not give, X has other columns than the rows of `fit`, or a
        column of a table other dtypes, or the version of the operators is too old.
    NotImplementedError
        If the model holds what cannot be exported, such as a loss that is a Python function, or an imputer that
        draws what it fills in; or a table what no input can hold: an array of numbers beside strings, categories
        that are dates or of several types, integers beyond 2**53 that do not come as int64.

    Notes
    -----
    The results agree with those of the methods up to rounding: to about 1e-5 of their size in float32. CSR rows
    have to be made dense before they are given to the exported model.

    An exported model refuses no rows. For those with NaN (unless it marks missing values) or infinity, codes,
    reconstructions, probabilities and filled rows are NaN, scores are -inf, and a detector's labels are -1, with
    the smallest p-value. A classifier's labels are then none of its classes: -1 or, if that is one, the next
    integer below; an empty string; or NaN. Boolean labels and the bits of a hasher do not tell: look at
    probabilities and scores.

    *Tables.* Inputs for the columns of a frame take what ``frame[[name]].to_numpy()`` gives: numbers, booleans, or
    strings. Missing numbers are NaN; integers and booleans with missing cells in X are inputs of float64. As
    `TabularVAESampler` does with categories that `fit` did not see, the model takes a string that is none of the
    categories for a missing cell: an empty one, if that is no category, or 'None' and 'nan', which ONNX Runtime
    makes of None and NaN in arrays of objects.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoencoderTransformer
    >>> from skae.onnx import to_onnx
    >>> X = load_iris().data
    >>> pipe = make_pipeline(StandardScaler(), AutoencoderTransformer(2, random_state=0)).fit(X)
    >>> model = to_onnx(pipe, X, outputs=["codes", "score_samples"])
    >>> [output.name for output in model.graph.output]
    ['codes', 'score_samples']

    Without skae, scikit-learn and torch, where onnxruntime is installed:

    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(model.SerializeToString())
    >>> codes, scores = session.run(None, {"X": X})
    >>> codes.shape, scores.shape
    ((150, 2), (150,))
    """
    check_is_fitted(model)
    model = plain(model)
    refuse(model)
    refuse_lazy(X)
    if scipy.sparse.issparse(X):
        raise TypeError("X is sparse, but ONNX models take dense rows. Give a few dense ones: X[:1].toarray().")
    if target_opset is not None and target_opset < MINIMUM_OPSET:
        raise ValueError(f"target_opset={target_opset} is too old: at least {MINIMUM_OPSET} is needed.")
    for estimator in _estimators(model):
        _register(type(estimator))
    first, rows = first_step(model), first_row(model, X)
    check_columns(first, rows)
    last = last_step(model)
    options: dict[int, dict[str, Any]] = {}
    if is_classifier(last):
        options[id(last)] = {"zipmap": False}  # probabilities as a matrix
    if outputs is not None:
        names = [outputs] if isinstance(outputs, str) else [*outputs]
        _check_outputs(last, names)
        options.setdefault(id(last), {})["outputs"] = names
    given = inputs_of(X, first) if takes_table(model, X) else rows
    converted = skl2onnx.to_onnx(model, given, options=options or None, target_opset=target_opset)
    return with_names(converted, getattr(rows, "columns", ()))


def _check_outputs(last: Any, names: Sequence[str]) -> None:
    if not isinstance(last, _ESTIMATORS):
        raise ValueError(
            f"outputs={names!r} are those of an estimator of skae, but the last step is {type(last).__name__}. "
            "Leave outputs out, or export the pipeline up to the estimator: model[:-1]."
        )
    kind = kind_of(last)
    known = kind.outputs
    for name in names:
        if _meaning(kind, name) not in known:
            raise ValueError(
                f"outputs names {name!r}, which {type(last).__name__} does not give to ONNX. Choose among "
                f"{', '.join(map(repr, known))}."
            )


def _estimators(model: Any) -> Iterator[Any]:
    """Yield the estimators of skae that a model is made of."""
    return (part for part in parts_of(model) if isinstance(part, _ESTIMATORS))


# What skl2onnx calls -----------------------------------------------------------------------------------------


def _parse(scope: Any, model: Any, inputs: list, custom_parsers: Any = None) -> list:
    """Declare the outputs of an estimator."""
    refuse(model)  # also where skl2onnx is called by itself
    operator = scope.declare_local_operator(_alias(type(model)), model)
    operator.inputs = inputs
    operator.skae_outputs = _names(scope, model)
    kind, dtype = kind_of(model), _dtype(inputs)
    for name in operator.skae_outputs:
        # Steps that follow choose the dtype of their own outputs by these, before `_infer` is called.
        found = np.dtype(kind.dtype(model, _meaning(kind, name), dtype)).name
        tensor = _TENSORS[found if found in FLOATS else "float32"]
        operator.outputs.append(scope.declare_local_variable(name, tensor()))
    return operator.outputs


def _meaning(kind: Any, name: str) -> str:
    """Return the name of the output that a method's name, or a name of its own, stands for."""
    if name == "transform" and "filled" in kind.outputs:
        return "filled"
    return _SYNONYMS.get(name, name)


def _names(scope: Any, model: Any) -> Sequence[str]:
    options = scope.get_options(model, {"outputs": None, "zipmap": False})
    return options["outputs"] or kind_of(model).defaults


def _infer(operator: Any) -> None:
    """Give the outputs their types and shapes."""
    model = operator.raw_operator
    kind, dtype = kind_of(model), _dtype(operator.inputs)
    for name, variable in zip(_outputs(operator), operator.outputs, strict=True):
        name = _meaning(kind, name)
        found = np.dtype(kind.dtype(model, name, dtype)).name
        if found == "uint8" and hasattr(operator, "skae_outputs") and not variable.is_leaf:
            found = "int64"  # bits that other steps read, whose converters take no bytes
        tensor = _TENSORS.get(found, data_types.StringTensorType)
        variable.type = tensor([None, *kind.shape(model, name)])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Write an estimator's outputs into the model."""
    graph = Graph(scope, container, _dtype(operator.inputs))
    if graph.opset < MINIMUM_OPSET:
        raise ValueError(f"target_opset={graph.opset} is too old: at least {MINIMUM_OPSET} is needed.")
    model = operator.raw_operator
    kind, takes_tables = kind_of(model), isinstance(model, TabularVAESampler)
    written = kind(graph, model, operator.inputs if takes_tables else _matrix(graph, model, operator.inputs))
    for name, variable in zip(_outputs(operator), operator.outputs, strict=True):
        result = getattr(written, _meaning(kind, name))
        integers = type(variable.type) is data_types.Int64TensorType
        graph.rename(graph.cast(result, np.int64) if integers else result, variable.onnx_name)


def _matrix(graph: Graph, model: Any, inputs: list) -> str:
    """Return the columns of all inputs, in the graph's dtype."""
    parts = []
    for variable in inputs:
        part = variable.onnx_name
        if _has_dtype(variable, np.dtype(np.float32)) and graph.is_double:
            part = as_marked(graph, model, part)
        elif not _has_dtype(variable, graph.dtype):
            part = graph.cast(part)
        parts.append(part)
    return graph.stack(parts)


def _outputs(operator: Any) -> Sequence[str]:
    """Return what an operator gives: what is asked for, or what meta-estimators expect, which do not say."""
    defaults = kind_of(operator.raw_operator).defaults[: len(operator.outputs)]
    return getattr(operator, "skae_outputs", defaults)


def _has_dtype(variable: Any, dtype: np.dtype) -> bool:
    return type(variable.type) is _TENSORS[dtype.name]


def _dtype(inputs: list) -> np.dtype:
    """Return the dtype to compute in: float32 where all inputs are, as the estimators do."""
    single = all(_has_dtype(variable, np.dtype(np.float32)) for variable in inputs)
    return np.dtype(np.float32 if single else np.float64)


def _alias(cls: type) -> str:
    return f"skae.{cls.__name__}"


def _register(cls: type) -> None:
    skl2onnx.update_registered_converter(
        cls, _alias(cls), _infer, _convert, parser=_parse, options={"outputs": None, "zipmap": None}
    )


_ESTIMATORS = (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    BaseAutoencoder,
    TabularVAESampler,
)
for _name in skae.__all__:
    _cls = getattr(skae, _name)
    if isinstance(_cls, type) and issubclass(_cls, _ESTIMATORS):
        _register(_cls)
