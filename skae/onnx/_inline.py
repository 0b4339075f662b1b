"""Users' own modules: exported by torch, and written into the graph operator by operator."""

import copy
import warnings
from typing import Any

import torch
from onnx import helper, inliner, numpy_helper
from torch import nn

from ._graph import Graph
from ._modules import activate

LACKS_FLOAT64 = {"Conv", "ConvTranspose", "LSTM", "GRU", "RNN"}  # of onnxruntime's operators on the CPU


def inline(graph: Graph, module: nn.Module, width: int, *rows: str) -> str:
    """Add what a user's module makes of rows of this width, in evaluation mode; return the name of its output.

    The module is called with one tensor for each of ``rows``.

    Raises
    ------
    ImportError
        If onnxscript, which torch's exporter needs, is not installed.
    NotImplementedError
        If the module does what cannot be exported.
    """
    model = inliner.inline_local_functions(_exported(graph, module, width, len(rows)))
    names = dict(zip([value.name for value in model.graph.input], rows, strict=True)) | {"": ""}
    for constant in model.graph.initializer:
        values = numpy_helper.to_array(constant)
        names[constant.name] = graph.constant(values, values.dtype)
    for node in model.graph.node:
        inputs = [names[name] for name in node.input]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute) or node.domain:
            raise NotImplementedError(f"{_of(module)} uses the operator {node.op_type!r}, which is not supported.")
        if graph.is_double and node.op_type in LACKS_FLOAT64:
            raise NotImplementedError(
                f"{_of(module)} uses the operator {node.op_type!r}, which onnxruntime has for float32 only. "
                "Export with rows of float32: to_onnx(model, X.astype('float32'))."
            )
        if node.op_type == "Erf":
            names[node.output[0]] = graph.erf(inputs[0])
            continue
        if node.op_type == "Gelu" and attributes.get("approximate", b"none") == b"none":
            names[node.output[0]] = activate(graph, "gelu", inputs[0])
            continue
        results = graph.op(node.op_type, *inputs, outputs=len(node.output), **attributes)
        names.update(zip(node.output, [results] if len(node.output) == 1 else results, strict=True))
    return names[model.graph.output[0].name]


def _exported(graph: Graph, module: nn.Module, width: int, n_inputs: int) -> Any:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{_of(module)} is exported by torch, which needs the package onnxscript. Install it with: "
            'pip install "skae[onnx]"'
        ) from error
    dtype = torch.float64 if graph.is_double else torch.float32
    wrapped = _Wrapped(copy.deepcopy(module)).cpu().to(dtype).eval()
    settings: dict[str, Any] = {"opset_version": graph.opset, "verbose": False}
    settings["dynamic_shapes"] = (({0: torch.export.Dim("n_rows")},) * n_inputs,)
    rows = tuple(torch.zeros(2, width, dtype=dtype) for _ in range(n_inputs))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch's exporter itself uses
            program = torch.onnx.export(wrapped, rows, dynamo=True, **settings)
    except Exception as error:
        first = str(error.__cause__ or error).split("\n")[0]
        raise NotImplementedError(f"{_of(module)} could not be exported by torch: {first}") from error
    assert program is not None
    return program.model_proto


class _Wrapped(nn.Module):
    """A module one level down, where its attributes cannot clash with torch's, such as a layer called ``code``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *rows: torch.Tensor) -> torch.Tensor:
        return self.module(*rows)


def _of(module: nn.Module) -> str:
    return f"The module {type(module).__name__}"
