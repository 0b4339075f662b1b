"""Activations and links: the module, and both passes on buffers that are allocated once.

The explicit step calls torch's kernels directly, since on small networks a call in between costs as much as the
arithmetic. A backward pass multiplies, in place, the gradient of the loss with respect to the activation by the
activation's derivative. Where the derivative follows from the output (relu, tanh, ...) the forward pass overwrites
its input; ``gelu`` and ``silu`` need the input kept.

A link carries the decoder's output to the data's space, for all columns or for groups of them; the softmax, which
makes probabilities of the columns of one group, is no activation.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_aten = torch.ops.aten


class Activation(NamedTuple):
    """One activation function f.

    Attributes
    ----------
    module : callable returning a torch.nn.Module
    forward : callable (z), or with ``saves_input`` (z, out=a), or None
        Writes f(z) over z, or to ``out``. None is the identity.
    backward : callable or None
        Called as ``backward(g, *before, saved, *after, grad_input=g)``, it turns dL/da into dL/dz in place.
    before, after : tuples
        Its other arguments.
    saves_input : bool
        Whether ``saved`` is z (then a is another buffer) or a (then a is z).
    """

    module: Callable[[], nn.Module]
    forward: Callable[..., object] | None = None
    backward: Callable[..., object] | None = None
    before: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()
    saves_input: bool = False

    def apply_(self, z: Tensor) -> None:
        """Write f(z) over z."""
        if self.forward is not None:
            self.forward(z, **({"out": z} if self.saves_input else {}))


def _gelu(z: Tensor, *, out: Tensor) -> Tensor:
    return out.copy_(nn.functional.gelu(z))  # its own kernel mistakes strided results


ACTIVATIONS = {
    "identity": Activation(nn.Identity),
    "relu": Activation(nn.ReLU, torch.relu_, _aten.threshold_backward.grad_input, after=(0,)),
    "elu": Activation(nn.ELU, nn.functional.elu_, _aten.elu_backward.grad_input, before=(1.0, 1.0, 1.0, True)),
    "leaky_relu": Activation(
        nn.LeakyReLU,
        partial(nn.functional.leaky_relu_, negative_slope=0.01),
        _aten.leaky_relu_backward.grad_input,
        after=(0.01, True),
    ),
    "gelu": Activation(nn.GELU, _gelu, _aten.gelu_backward.grad_input, saves_input=True),
    "silu": Activation(nn.SiLU, _aten.silu.out, _aten.silu_backward.grad_input, saves_input=True),
    "tanh": Activation(nn.Tanh, torch.tanh_, _aten.tanh_backward.grad_input),
    "sigmoid": Activation(nn.Sigmoid, torch.sigmoid_, _aten.sigmoid_backward.grad_input),
}
ACTIVATIONS["logistic"] = ACTIVATIONS["sigmoid"]  # scikit-learn's name for it


# Links -----------------------------------------------------------------------------------------------------

# One name, or a name for each group of columns; plain values, which are kept beside the weights.
Link = str | tuple[tuple[str, tuple[int, ...]], ...]


def _softmax(x: Tensor) -> None:
    x.copy_(torch.softmax(x, 1))


class Exp(nn.Module):
    """The exponential function."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


_LINKS = {"exp": Activation(Exp, torch.exp_), "softmax": Activation(partial(nn.Softmax, dim=1), _softmax)}


class Piecewise(nn.Module):
    """A link for each group of columns."""

    def __init__(self, pieces: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
        super().__init__()
        named = [(name, selector(columns)) for name, columns in pieces if name != "identity"]
        self.pieces = [(link_activation(name).module(), columns) for name, columns in named]

    def forward(self, x: Tensor) -> Tensor:
        return self.overwrite(x.clone())

    def overwrite(self, x: Tensor) -> Tensor:
        """Do as `forward`, in place."""
        for module, columns in self.pieces:
            x[:, columns] = module(x[:, columns])
        return x


def link_activation(link: Link) -> Activation:
    """Return a link's module and its pass on buffers."""
    if isinstance(link, str):
        return _LINKS[link] if link in _LINKS else ACTIVATIONS[link]
    return Activation(lambda: Piecewise(link), Piecewise(link).overwrite)


def selector(columns: Sequence[int]) -> slice | Tensor:
    """Return what picks these columns: a slice where they follow each other, which copies nothing."""
    first, last = columns[0], columns[-1]
    if list(columns) == [*range(first, last + 1)]:
        return slice(first, last + 1)
    return torch.tensor(columns)


# Variances and degrees of freedom, which networks return unbounded -----------------------------------------------

LOG_VARIANCE_BOUND = 10.0


def bounded(raw: Tensor) -> Tensor:
    """Bring log-variances between -10 and 10, smoothly, so that no variance overflows or vanishes."""
    return LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)


def bounded_and_slope(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return `bounded` and its derivative."""
    tanh = torch.tanh(raw / LOG_VARIANCE_BOUND)
    return tanh * LOG_VARIANCE_BOUND, 1 - tanh.square()


def degrees_of_freedom(raw: Tensor) -> Tensor:
    """Return degrees of freedom above 1, so that a mean exists, and below 22,028."""
    return 1 + bounded(raw).exp()
