"""The layers of skae's networks as graphs: one function for each kind, activations and links included."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from .._networks import convolutions
from .._networks.activations import ACTIVATIONS, Link
from .._networks.blocks import Block, Linear, TiedLinear
from ._graph import Graph

Sides = tuple[int, int] | None  # the height and width of images, where they are known


def array(tensor: Tensor) -> np.ndarray:
    """Return a tensor's values."""
    return tensor.detach().cpu().numpy()


def bias_of(layer: Any) -> np.ndarray:
    """Return a layer's bias; zero where it has none."""
    return np.zeros(1) if layer.bias is None else array(layer.bias)


def convert(graph: Graph, module: nn.Module, x: str) -> str:
    """Add what a block or a layer of skae does, in evaluation mode; return the name of its output."""
    layers = [*module] if isinstance(module, Block) else [module]
    sides: Sides = None
    for layer in layers:
        if type(layer) in _IMAGES:
            x, sides = _IMAGES[type(layer)](graph, layer, x, sides)
        else:
            x = _LAYERS[type(layer)](graph, layer, x)
    return x


# Activations and links -------------------------------------------------------------------------------------

_BY_OPERATOR = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "logistic": "Sigmoid"}


def activate(graph: Graph, name: str, x: str) -> str:
    """Apply the activation, or the link, of this name."""
    if name == "identity":
        return x
    if name in _BY_OPERATOR:
        return graph.op(_BY_OPERATOR[name], x)
    if name == "exp":
        return graph.op("Exp", x)
    if name == "softmax":
        return graph.op("Softmax", x, axis=1)
    if name == "elu":  # whose operator the runtime has for float32 only
        below = graph.subtract(graph.op("Exp", graph.op("Min", x, 0.0)), 1.0)
        return graph.where(graph.op("Greater", x, 0.0), x, below)
    if name == "leaky_relu":
        below = graph.multiply(graph.op("Min", x, 0.0), 0.01)  # the operator would round the slope to float32
        return graph.add(graph.op("Relu", x), below)
    if name == "silu":
        return graph.multiply(x, graph.op("Sigmoid", x))
    if name == "gelu":
        normal = graph.add(graph.erf(graph.multiply(x, math.sqrt(0.5))), 1.0)
        return graph.multiply(graph.multiply(x, 0.5), normal)
    raise NotImplementedError(f"The activation or link {name!r} has no translation to ONNX.")


def link(graph: Graph, name: Link, x: str) -> str:
    """Apply a link: of all columns, or of groups of them."""
    if isinstance(name, str):
        return activate(graph, name, x)
    parts = [activate(graph, own, graph.columns(x, columns)) for own, columns in name]
    order = np.argsort([column for _, columns in name for column in columns], kind="stable")
    return graph.columns(graph.stack(parts), order)


# Layers of rows --------------------------------------------------------------------------------------------


def _activation_layer(name: str, graph: Graph, layer: Any, x: str) -> str:
    return activate(graph, name, x)


def _linear(graph: Graph, layer: Any, x: str) -> str:
    return graph.op("Gemm", x, array(layer.weight).T, bias_of(layer))


def _batch_normalization(graph: Graph, layer: Any, x: str) -> str:
    """Normalize with the means and variances of the training rows, for each unit or channel."""
    scale = array(layer.weight) / np.sqrt(array(layer.running_var).astype(np.float64) + layer.eps)
    shift = array(layer.bias) - array(layer.running_mean) * scale
    shape = (-1, 1, 1) if isinstance(layer, nn.BatchNorm2d) else (-1,)
    return graph.add(graph.multiply(x, scale.reshape(shape)), shift.reshape(shape))


def _layer_normalization(graph: Graph, layer: Any, x: str) -> str:
    """Normalize each row; an image over all that it holds."""
    axes, shape = ([1, 2, 3], (-1, 1, 1)) if isinstance(layer, nn.GroupNorm) else ([1], (-1,))
    centred = graph.subtract(x, graph.op("ReduceMean", x, graph.integers(axes)))
    variance = graph.op("ReduceMean", graph.square(centred), graph.integers(axes))
    normal = graph.divide(centred, graph.op("Sqrt", graph.add(variance, layer.eps)))
    return graph.add(graph.multiply(normal, array(layer.weight).reshape(shape)), array(layer.bias).reshape(shape))


def _to_rows(graph: Graph, layer: convolutions.ToRows, x: str) -> str:
    """Bring images (n, heads * channels, height, width) to rows, one head after the other."""
    heads = [x]
    if layer.heads > 1:
        heads = graph.op("Split", x, outputs=layer.heads, axis=1, num_outputs=layer.heads)
    return graph.stack([graph.op("Flatten", graph.transpose(head, 0, 2, 3, 1), axis=1) for head in heads])


def _pool(graph: Graph, layer: nn.MaxPool2d, x: str) -> str:
    side: Any = layer.kernel_size
    return graph.op("MaxPool", x, kernel_shape=[side, side], strides=[side, side], ceil_mode=1)


# Layers of images ------------------------------------------------------------------------------------------


def _to_images(graph: Graph, layer: convolutions.ToImages, x: str, sides: Sides) -> tuple[str, Sides]:
    return graph.transpose(graph.reshape(x, -1, *layer.shape), 0, 3, 1, 2), layer.shape[:2]


def _upsample(graph: Graph, layer: nn.Upsample, x: str, sides: Sides) -> tuple[str, Sides]:
    """Upsample to the nearest neighbour."""
    assert sides is not None
    larger: Any = layer.size
    for axis, (n, n_larger) in enumerate(zip(sides, larger, strict=True)):
        x = graph.columns(x, (np.arange(n_larger) * n // n_larger).tolist(), axis=axis + 2)
    return x, larger


def _convolution(graph: Graph, layer: Any, x: str, sides: Sides) -> tuple[str, Sides]:
    """Convolve, or convolve transposed: then ``output_padding`` says what is added at the ends of both sides."""
    own = getattr(layer, "partner", layer)
    more = None if isinstance(layer, nn.Conv2d) else layer.output_padding
    weight, stride, padding = array(own.weight), own.stride[0], own.padding[0]
    if graph.is_double:
        assert sides is not None
        return _gathered_convolution(graph, x, sides, weight, bias_of(layer), (stride, padding, more)), None
    settings: dict[str, Any] = {
        "kernel_shape": [*weight.shape[2:]],
        "pads": [padding] * 4,
        "strides": [stride] * 2,
    }
    if more is not None:
        settings["output_padding"] = [*more]
    kind, bias = "Conv" if more is None else "ConvTranspose", [] if layer.bias is None else [array(layer.bias)]
    return graph.op(kind, x, weight, *bias, **settings), None


def _gathered_convolution(
    graph: Graph, x: str, sides: tuple[int, int], weight: np.ndarray, bias: np.ndarray, geometry: tuple
) -> str:
    """Convolve in float64, for which the runtime has no operator: gather what each place takes, then multiply."""
    stride, padding, more = geometry
    matrix = weight.transpose(1, 2, 3, 0) if more is None else weight.transpose(0, 2, 3, 1)  # taps, then outputs
    n_in, *kernel, n_out = matrix.shape
    ends = (None, None) if more is None else more
    each = zip(sides, kernel, ends, strict=True)
    rows, cols = (_sources(n, taps, stride, padding, end) for n, taps, end in each)
    # Axes: output's row and column, then the taps: channel, row and column.
    row, col = rows[:, None, None, :, None], cols[None, :, None, None, :]
    channel = np.arange(n_in)[:, None, None]
    number = (channel * sides[0] + row) * sides[1] + col
    number = np.where((row >= 0) & (col >= 0), number, n_in * math.prod(sides))  # of a zero at the end
    padded = graph.op("Pad", graph.op("Flatten", x, axis=1), graph.integers([0, 0, 0, 1]))
    shape = len(rows) * len(cols), n_in * math.prod(kernel)
    taken = graph.reshape(graph.columns(padded, number.ravel()), -1, *shape)
    places = graph.add(graph.op("MatMul", taken, matrix.reshape(-1, n_out)), bias)
    return graph.reshape(graph.transpose(places, 0, 2, 1), -1, n_out, len(rows), len(cols))


def _sources(n: int, kernel: int, stride: int, padding: int, more: int | None) -> np.ndarray:
    """Return which of ``n`` inputs each output takes at each tap, (n_outputs, kernel); -1 for none."""
    taps = np.arange(kernel)
    if more is None:
        found = np.arange((n + 2 * padding - kernel) // stride + 1)[:, None] * stride - padding + taps
    else:
        apart = np.arange((n - 1) * stride - 2 * padding + kernel + more)[:, None] + padding - taps
        found = np.where(apart % stride == 0, apart // stride, -1)
    return np.where((found >= 0) & (found < n), found, -1)


# The tables ------------------------------------------------------------------------------------------------

_LAYERS: dict[type, Callable[[Graph, Any, str], str]] = {
    Linear: _linear,
    TiedLinear: _linear,
    nn.BatchNorm1d: _batch_normalization,
    nn.BatchNorm2d: _batch_normalization,
    nn.LayerNorm: _layer_normalization,
    nn.GroupNorm: _layer_normalization,
    nn.MaxPool2d: _pool,
    convolutions.ToRows: _to_rows,
}
for _name, _activation in ACTIVATIONS.items():
    _LAYERS[type(_activation.module())] = partial(_activation_layer, _name)

_IMAGES: dict[type, Callable[[Graph, Any, str, Sides], tuple[str, Sides]]] = {
    convolutions.ToImages: _to_images,
    nn.Upsample: _upsample,
    convolutions.Convolution: _convolution,
    convolutions.TransposedConvolution: _convolution,
    convolutions.TiedConvolution: _convolution,
}
