"""Activations: the module, and its two passes on preallocated buffers.

A backward pass multiplies, in place, the gradient of the loss with respect to the activation by the
activation's derivative. Where the derivative follows from the output (relu, tanh, ...) the forward pass
overwrites its input; ``gelu`` and ``silu`` need the input kept.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

_aten = torch.ops.aten


class Activation(NamedTuple):
    """One activation function.

    Attributes
    ----------
    module : callable returning a torch.nn.Module
    forward : callable (z, a), writes f(z) into ``a``; None for the identity
    backward : callable (gradient, saved), turns dL/da into dL/dz in place; None for the identity
    saves_input : bool, whether ``saved`` is z (then ``a`` is another buffer) or a (then ``a`` is ``z``)
    """

    module: Callable[[], nn.Module]
    forward: Callable[[Tensor, Tensor], object] | None
    backward: Callable[[Tensor, Tensor], object] | None
    saves_input: bool = False


ACTIVATIONS = {
    "identity": Activation(nn.Identity, None, None),
    "relu": Activation(
        nn.ReLU,
        lambda z, a: torch.relu_(z),
        lambda g, a: _aten.threshold_backward.grad_input(g, a, 0, grad_input=g),
    ),
    "elu": Activation(
        nn.ELU,
        lambda z, a: nn.functional.elu_(z),
        lambda g, a: _aten.elu_backward.grad_input(g, 1.0, 1.0, 1.0, True, a, grad_input=g),
    ),
    "leaky_relu": Activation(
        nn.LeakyReLU,
        lambda z, a: nn.functional.leaky_relu_(z, 0.01),
        lambda g, a: _aten.leaky_relu_backward.grad_input(g, a, 0.01, True, grad_input=g),
    ),
    "gelu": Activation(
        nn.GELU,
        lambda z, a: a.copy_(nn.functional.gelu(z)),  # its out= kernel mistakes strided results
        lambda g, z: _aten.gelu_backward.grad_input(g, z, grad_input=g),
        saves_input=True,
    ),
    "silu": Activation(
        nn.SiLU,
        lambda z, a: _aten.silu.out(z, out=a),
        lambda g, z: _aten.silu_backward.grad_input(g, z, grad_input=g),
        saves_input=True,
    ),
    "tanh": Activation(
        nn.Tanh,
        lambda z, a: torch.tanh(z, out=a),
        lambda g, a: _aten.tanh_backward.grad_input(g, a, grad_input=g),
    ),
    "sigmoid": Activation(
        nn.Sigmoid,
        lambda z, a: torch.sigmoid(z, out=a),
        lambda g, a: _aten.sigmoid_backward.grad_input(g, a, grad_input=g),
    ),
}
ACTIVATIONS["logistic"] = ACTIVATIONS["sigmoid"]  # scikit-learn's name for it


def activation_module(name: str) -> nn.Module:
    """Return a new module of the activation called ``name``."""
    return ACTIVATIONS[name].module()
