"""Penalties that an objective adds to the reconstruction loss: by autograd, and in closed form."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .._training.explicit import CodePenalty
from .._training.layers import Affine, Pass


class Penalty(NamedTuple):
    """A term added to the objective.

    Attributes
    ----------
    value : callable (x, code, row_weight) -> 0-d tensor
        The term, a mean over rows, differentiable by autograd. ``x`` is (n, n_features) as it enters the
        encoder and requires a gradient, ``code`` (n, n_components); ``row_weight`` is (n,) or None.
    closed_form : CodePenalty or None
        The same term with its gradient written out; without it, the networks train by autograd.
    """

    value: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    closed_form: CodePenalty | None = None

    @classmethod
    def of_rows(cls, function: Callable[[Tensor, Tensor], Tensor]) -> "Penalty":
        """Average a term ``function(x, code)`` of each row, (n,), over rows."""
        return cls(lambda x, code, row_weight: _mean(function(x, code), row_weight))


def _mean(rows: Tensor, row_weight: Tensor | None) -> Tensor:
    return (rows if row_weight is None else rows * row_weight).mean()


# f'(z) and f''(z) from a = f(z). Of one layer the Jacobian is diag(f'(z)) W, so that its squared norm is
# the sum over units of f'(z)^2 times the squared length of the unit's weights.
_DERIVATIVES: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "identity": lambda a: (torch.ones_like(a), torch.zeros_like(a)),
    "relu": lambda a: (torch.sign(a), torch.zeros_like(a)),
    "sigmoid": lambda a: (a * (1 - a), a * (1 - a) * (1 - 2 * a)),
    "tanh": lambda a: (1 - a * a, -2 * a * (1 - a * a)),
}
_DERIVATIVES["logistic"] = _DERIVATIVES["sigmoid"]


def contractive(strength: float, activation: str | None) -> Penalty:
    """Penalise the squared Frobenius norm of each row's code Jacobian (Rifai et al. 2011).

    Parameters
    ----------
    strength : float
    activation : str or None
        The code's, where the encoder has one layer, which has a closed form for some; None for deeper ones.
    """
    closed_form = None
    derivatives = None if activation is None else _DERIVATIVES.get(activation)
    if derivatives is not None:
        closed_form = CodePenalty(
            lambda layer, p, weight: _on_code(strength, derivatives, layer, p, weight),
            lambda layer, p, weight: _on_weight(strength, derivatives, layer, p, weight),
        )
    return Penalty.of_rows(lambda x, code: strength * jacobian_norm(x, code))._replace(closed_form=closed_form)


def jacobian_norm(x: Tensor, code: Tensor) -> Tensor:
    """Return ||d code / d x||^2 of each row, (n,), exactly: one backward pass for each unit.

    Rows do not mix in an encoder, so that the gradient of a unit's sum over rows holds each row's own.
    """
    squares = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for unit in code.unbind(1):
        (gradient,) = torch.autograd.grad(unit.sum(), x, create_graph=True)
        squares = squares + gradient.flatten(1).square().sum(1)
    return squares


def _on_code(strength, derivatives, layer: Affine, p: Pass, row_weight: Tensor | None) -> Tensor:
    first, second = derivatives(p.a)
    lengths = layer.weight[:-1].square().sum(0)
    scale = strength / len(p.a) if row_weight is None else strength / len(p.a) * row_weight
    # d/da of f'(z)^2 is 2 f'(z) f''(z) / f'(z): the activation's own derivative comes in afterwards.
    p.dz.add_(2 * scale * second * lengths)
    return (scale * first.square() * lengths).sum()


def _on_weight(strength, derivatives, layer: Affine, p: Pass, row_weight: Tensor | None) -> None:
    first, _ = derivatives(p.a)
    scale = strength / len(p.a) if row_weight is None else strength / len(p.a) * row_weight
    layer.gradient[:-1].add_(2 * layer.weight[:-1] * (scale * first.square()).sum(0))
