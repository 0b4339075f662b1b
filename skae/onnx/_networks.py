"""Fitted encoders and decoders as graphs."""

from typing import Any

import numpy as np
import torch
from torch import nn

from .._networks.custom import Linked
from .._networks.gaussian import GaussianEncoder
from .._networks.inference import DenseForward
from .._networks.nested import NestedDecoder
from .._networks.networks import Decoder, Encoder, dense_blocks
from .._networks.selection import Bits, Selection, Threshold, TopK
from ._graph import Graph
from ._inline import inline
from ._modules import array, convert, link

# Networks --------------------------------------------------------------------------------------------------


def encode(graph: Graph, encoder: nn.Module, x: str, width: int, *, heads: bool = False) -> str:
    """Map rows of this width to codes.

    With ``heads``, map them to the mean and the raw log-variance of a Gaussian code side by side.
    """
    if not isinstance(encoder, Encoder):
        return inline(graph, encoder, width, x)
    if dense_blocks(encoder):
        code = _dense(graph, encoder, x, heads=heads)
    else:
        x = x if encoder.offset is None else graph.subtract(x, array(encoder.offset))
        x = x if encoder.unit == 1 else graph.multiply(x, 1 / encoder.unit)
        code = _blocks(graph, encoder, _mark(graph, encoder, _compress(graph, encoder, x)), width)
        if isinstance(encoder, GaussianEncoder) and not heads:
            code = graph.op("Split", code, outputs=2, axis=1, num_outputs=2)[0]
    return code if encoder.selection is None else _select(graph, encoder.selection, code)


def decode(graph: Graph, decoder: nn.Module, z: str, width: int, *, linked: bool = True) -> str:
    """Map codes of this width to rows; without ``linked``, to what the link takes."""
    if isinstance(decoder, Linked):
        return convert(graph, decoder.link, inline(graph, decoder.unlinked, width, z))
    if not isinstance(decoder, Decoder):
        return inline(graph, decoder, width, z)
    if dense_blocks(decoder) and not isinstance(decoder, NestedDecoder):
        return _dense(graph, decoder, z, linked=linked)
    x = _prefixes(graph, decoder, z) if isinstance(decoder, NestedDecoder) else _blocks(graph, decoder, z, width)
    if linked and decoder.n_features is not None:  # without the variances
        x = graph.columns(x, range(decoder.n_features))
    x = link(graph, decoder.link, x) if linked else x
    if decoder.offset is None:
        return x
    offset, unit = array(decoder.offset), np.full(len(decoder.offset), decoder.unit)
    n_variances = 0 if linked or decoder.n_features is None else len(decoder.variance_floor)  # type: ignore[arg-type]
    x = x if decoder.unit == 1 else graph.multiply(x, np.pad(unit, (0, n_variances), constant_values=1))
    return graph.add(x, np.pad(offset, (0, n_variances)))


def _dense(graph: Graph, network: Any, x: str, **which: bool) -> str:
    """Take rows through dense blocks, on the matrices that `transform` and the others use."""
    prepared = DenseForward(network, torch.float64 if graph.is_double else torch.float32, **which)
    if prepared._offset is not None:
        x = graph.subtract(x, array(prepared._offset))
    if isinstance(network, Encoder):
        x = _mark(graph, network, _compress(graph, network, x))
    names: list[Any] = [block.activation for block in network.blocks]
    if which.get("linked") and network.link != "identity":
        names[-1] = network.link
    for (weight, bias, _), name in zip(prepared.layers, names, strict=True):
        x = link(graph, name, graph.op("Gemm", x, array(weight), array(bias)))
    return x


def _blocks(graph: Graph, network: Any, x: str, width: int) -> str:
    if network.own is not None:
        return inline(graph, network.own, width * (1 + getattr(network, "marks_missing", False)), x)
    for block in network.blocks:
        x = convert(graph, block, x)
    return x


def _prefixes(graph: Graph, decoder: NestedDecoder, z: str) -> str:
    """Decode with all decoders of a nested code, and take each row from the one that its prefix belongs to."""
    width = decoder.parallel[0].blocks[0].linear.weight.shape[1]
    is_zero = graph.op("Equal", z, 0.0)
    last = graph.reduce("Max", graph.where(is_zero, 0.0, np.arange(1, width + 1)))
    result = ""
    for group, end in reversed([*enumerate(decoder.ends.tolist())]):
        x = z
        for parallel in decoder.parallel:
            x = convert(graph, parallel.blocks[group], x)
        result = x if not result else graph.where(graph.op("LessOrEqual", last, float(end)), x, result)
    return result


def _compress(graph: Graph, encoder: Encoder, x: str) -> str:
    """Bring centred columns x with a ``log_scale`` s > 0 to log(1 + x / s), with s < 0 to arsinh(x / -s)."""
    if encoder.log_scale is None:
        return x
    log_scale = array(encoder.log_scale)
    scaled = graph.divide(x, np.where(log_scale == 0, 1, np.abs(log_scale)))
    logs = graph.op("Log", graph.add(graph.op("Relu", scaled), 1.0))
    compressed = graph.where(graph.constant(log_scale > 0, bool), logs, x)
    if not encoder.compresses_tails:
        return compressed
    return graph.where(graph.constant(log_scale < 0, bool), graph.arsinh(scaled), compressed)


def _mark(graph: Graph, encoder: Encoder, x: str) -> str:
    """Mark what is missing, where entries may be."""
    if not encoder.marks_missing:
        return x
    missing = graph.op("IsNaN", x)
    return graph.stack([graph.where(missing, 0.0, x), graph.cast(missing)])


def _select(graph: Graph, selection: Selection, code: str) -> str:
    """Keep the units that a selection keeps."""
    if isinstance(selection, Bits):
        return graph.cast(graph.op("Greater", code, 0.0))
    magnitude = graph.op("Abs", code)
    if isinstance(selection, Threshold):
        kept = graph.cast(graph.op("GreaterOrEqual", magnitude, array(selection.threshold)))
    else:
        assert isinstance(selection, TopK)
        values, places = graph.op("TopK", magnitude, graph.integers([selection.n_active]), outputs=2, axis=1)
        ones = graph.add(graph.multiply(values, 0.0), 1.0)
        kept = graph.op("ScatterElements", graph.multiply(magnitude, 0.0), places, ones, axis=1)
    return graph.multiply(code, kept)
