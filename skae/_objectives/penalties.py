"""Penalties that an objective adds to the reconstruction loss, by autograd and in closed form; warm-ups."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._support.callables import OwnFunction
from .._support.parameters import not_finite, suspects
from .._support.warnings import warn
from .losses import weighted_rows


class WarmUp:
    """A strength that rises evenly from zero over so many epochs; told between steps how many have passed.

    Parameters
    ----------
    strength : float
        What it rises to.
    n_epochs : float
        0 is no warm-up.

    Attributes
    ----------
    value : float
        The strength in the next step.
    """

    def __init__(self, strength: float, n_epochs: float) -> None:
        self.strength, self.n_epochs = strength, n_epochs
        self.value = 0.0 if n_epochs else strength

    def advance(self, epochs: float) -> None:
        """Take note of how many epochs have passed before the next step."""
        self.value = self.strength * min(1.0, epochs / self.n_epochs) if self.n_epochs else self.strength


class CodePenalty(NamedTuple):
    """A penalty on the code whose gradient is written out.

    ``layer`` is the code layer of the explicit step, with its ``weight`` and ``gradient`` (bias in the last row);
    ``buffers`` is its memory, of which ``a`` is the code and ``dz`` the derivative with respect to it.

    Attributes
    ----------
    on_code : callable (layer, buffers, row_weight) -> 0-d tensor
        Adds the derivative with respect to the code to ``buffers.dz`` and returns the penalty, a mean over rows.
        ``row_weight`` is (n, 1) or None.
    on_weight : callable (layer, buffers, row_weight) or None
        Adds to ``layer.gradient`` where the penalty depends on the weights beside the code.
    """

    on_code: Callable[[Any, Any, Tensor | None], Tensor]
    on_weight: Callable[[Any, Any, Tensor | None], object] | None = None


class Penalty(NamedTuple):
    """A term added to the objective.

    Attributes
    ----------
    value : callable (x, code, row_weight) -> 0-d tensor
        The term, a mean over rows, differentiable by autograd. ``x`` is (n, n_features) as it enters the
        encoder and requires a gradient, ``code`` (n, n_components); ``row_weight`` is (n, 1) or None.
    closed_form : CodePenalty or None
        The same term with its gradient written out; without it, the networks train by autograd.
    warm_up : WarmUp or None
        What the term's strength follows.
    own : OwnFunction or None
        The user's function that it is.
    setting : str or None
        The parameter of the estimator that was given as its strength.
    """

    value: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    closed_form: CodePenalty | None = None
    warm_up: WarmUp | None = None
    own: OwnFunction | None = None
    setting: str | None = None


def mean_over_rows(function: Callable[[Tensor, Tensor], Tensor], unit: float = 1.0) -> Callable[..., Tensor]:
    """Return the value of a penalty, over ``unit``, from a term ``function(x, code)`` of each row, (n,).

    The function may be an estimator's `_penalty`; the value raises ValueError where it returns another shape or no
    tensor of real numbers, or changes codes in place, and warns where it has no gradient.
    """
    is_told, own = False, function if isinstance(function, OwnFunction) else None

    def value(x: Tensor, code: Tensor, row_weight: Tensor | None) -> Tensor:
        nonlocal is_told
        advice = (
            "Reduce over the units of the code only, for instance with .sum(1); a term of the whole batch is "
            "value.expand(len(code))."
        )
        given = code if own is None else own.watched(code, x)
        name = "_penalty" if own is None else own.name
        version = code._version
        each = function(x, given)
        if code._version != version:
            raise ValueError(
                f"{name} has changed the codes that it is given, but the decoder and the gradient need them as "
                "they are. Leave away what works in place, such as code.abs_() or code -= code.mean(0): write "
                "code.abs(), code = code - code.mean(0), or begin with code = code.clone()."
            )
        term = weighted_rows(each, len(code), row_weight, name, "it", advice)
        if own is not None:
            own.look(each, code, x)
        if code.requires_grad and not is_told and not _depends_on_more(term, x):
            is_told = True
            why = "depends on the rows x alone" if term.requires_grad else "has no gradient"
            warn(
                f"{name} has no effect: what it returned {why}. Compute it from code, by torch's functions, "
                "without detach(), item(), numpy() or torch.no_grad()."
            )
        mean = term.mean()
        return mean if unit == 1 else mean / unit

    return value


def _depends_on_more(term: Tensor, x: Tensor) -> bool:
    """Tell whether the gradient of ``term`` reaches anything but the rows ``x``."""
    seen, steps = set(), [term.grad_fn]
    while steps:
        step = steps.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if getattr(step, "variable", x) is not x:
            return True
        steps += [below for below, _ in step.next_functions]
    return False


def own_penalty(hook: Callable[[Tensor, Tensor], Tensor], unit: float) -> Penalty:
    """Return the penalty that is an estimator's `_penalty`, bound to it."""
    estimator = getattr(hook, "__self__", None)
    contract = ("" if estimator is None else suspects(estimator)) + (
        "A _penalty is called with the rows x, shape (n, n_features), and their codes, shape (n, n_components), "
        "as torch tensors that take gradients, and must return a tensor of shape (n,), by torch's functions: "
        "those of NumPy have no gradient."
    )
    name = getattr(hook, "__qualname__", "_penalty").rpartition("<locals>.")[2]
    own = OwnFunction(hook, name, contract, "" if estimator is None else not_finite(estimator))
    return Penalty(mean_over_rows(own, unit), own=own)


# f'(z) and f''(z) from a = f(z). Of one layer the Jacobian is diag(f'(z)) W, so that its squared norm is
# the sum over units of f'(z)^2 times the squared length of the unit's weights.
_DERIVATIVES: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "identity": lambda a: (torch.ones_like(a), torch.zeros_like(a)),
    "relu": lambda a: (torch.sign(a), torch.zeros_like(a)),
    "sigmoid": lambda a: (a * (1 - a), a * (1 - a) * (1 - 2 * a)),
    "tanh": lambda a: (1 - a * a, -2 * a * (1 - a * a)),
}


def contractive(strength: float, activation: str | None, unit: float = 1.0) -> Penalty:
    """Penalise the squared Frobenius norm of each row's code Jacobian (Rifai et al. 2011).

    Parameters
    ----------
    strength : float
    activation : str or None
        The code's, where the encoder has one layer, which has a closed form for some; None for deeper ones.
    unit : float
        What inputs are divided by before that layer: its weights are for such.
    """
    derivatives = None if activation is None else _DERIVATIVES.get(activation)
    closed_form = None if derivatives is None else _contractive_layer(strength / unit**2, derivatives)
    return Penalty(mean_over_rows(lambda x, code: strength * jacobian_norm(x, code)), closed_form)


def jacobian_norm(x: Tensor, code: Tensor) -> Tensor:
    """Return ||d code / d x||^2 of each row, (n,), exactly: one backward pass for each unit.

    Rows do not mix in an encoder, so that the gradient of a unit's sum over rows holds each row's own.
    """
    squares = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for unit in code.unbind(1):
        (gradient,) = torch.autograd.grad(unit.sum(), x, create_graph=True)
        squares = squares + gradient.flatten(1).square().sum(1)
    return squares


def _contractive_layer(strength: float, derivatives: Callable[[Tensor], tuple[Tensor, Tensor]]) -> CodePenalty:
    def per_row(p, row_weight: Tensor | None) -> float | Tensor:
        return strength / len(p.a) if row_weight is None else strength / len(p.a) * row_weight

    def on_code(layer, p, row_weight: Tensor | None) -> Tensor:
        first, second = derivatives(p.a)
        lengths = layer.weight[:-1].square().sum(0)
        scale = per_row(p, row_weight)
        # d/da of f'(z)^2 is 2 f'(z) f''(z) / f'(z): the activation's own derivative comes in afterwards.
        p.dz.add_(2 * scale * second * lengths)
        return (scale * first.square() * lengths).sum()

    def on_weight(layer, p, row_weight: Tensor | None) -> None:
        first, _ = derivatives(p.a)
        layer.gradient[:-1].add_(2 * layer.weight[:-1] * (per_row(p, row_weight) * first.square()).sum(0))

    return CodePenalty(on_code, on_weight)
