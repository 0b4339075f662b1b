"""Reconstruction losses: entry by entry for autograd, and in closed form for the explicit step.

With o an output, t its target and w >= 0 its weight (1 where none is given), the sum of a loss l and its
derivative with respect to each output are::

    sum of w l(o, t)        w dl(o, t)/do

An entry of weight zero contributes nothing, whatever finite value its target has: a missing value has weight
zero. A row's loss is a mean over features, so that its value, ``alpha`` and the learning rate keep their meaning
whatever the width of the data; that of a likelihood is a sum, in nats.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .._support.callables import OwnFunction
from .support import Support


class Loss(NamedTuple):
    """One reconstruction loss.

    Weights are None, (n, 1) for rows or (n, d) for entries, and not negative.

    Attributes
    ----------
    entrywise : callable (output, target) -> (n, d), or None
        Differentiable by autograd. None for a loss of whole rows.
    sum_and_gradient : callable (output, target, weight, gradient) -> 0-d tensor, or None
        Returns the weighted sum over entries and writes its derivative with respect to ``output`` to
        ``gradient``, which may be the memory of ``output``; both (n, d). None where there is no closed form.
    link : str
        Name of the activation that carries the decoder's output to the data's space.
    mean_over_features : bool
        Whether a row's loss is the mean over its features (autoencoders) or their sum (likelihoods).
    heads : tuple
        Layers of the loss's own parameters, trained beside the networks'; see `Affine` for their methods.
    shift_invariant : bool
        Whether moving output and target together leaves the loss as it is, so that the networks may work on
        centred data.
    supports : sequence of Support
        Which targets the loss takes.
    rowwise : callable (output, target, weight) -> (n,), or None
        The weighted loss of each row where ``entrywise`` is None.
    takes_models : bool
        Whether ``sum_and_gradient`` also takes a leading axis of models, and returns the sum of each.
    degree : int or None
        The power of c by which the loss of c times outputs and targets is larger; None where there is none.
    rescaled : callable (unit) -> Loss, or None
        See `in_unit`; for a loss with a unit of its own.
    own : OwnFunction or None
        The user's function that it is.
    """

    entrywise: Callable[[Tensor, Tensor], Tensor] | None
    sum_and_gradient: Callable[[Tensor, Tensor, Tensor | None, Tensor], Tensor] | None
    link: str = "identity"
    mean_over_features: bool = True
    heads: tuple = ()
    shift_invariant: bool = True
    supports: Sequence[Support] = ()
    rowwise: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None
    takes_models: bool = False
    degree: int | None = None
    rescaled: Callable[[float], "Loss"] | None = None
    own: OwnFunction | None = None

    def per_row(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return each row's weighted loss, (n,), differentiable by autograd."""
        if self.entrywise is None:
            assert self.rowwise is not None
            return self.rowwise(output, target, weight)
        entries = self.entrywise(output, observed(target, weight))
        if weight is not None:
            entries = entries * weight
        return entries.mean(1) if self.mean_over_features else entries.sum(1)

    @property
    def is_squared_error(self) -> bool:
        return self.sum_and_gradient is _squared_error

    def in_unit(self, unit: float) -> "Loss":
        """Return the loss of rows from their division by ``unit``, itself divided by ``unit`` to its degree."""
        if self.rescaled is not None:
            return self.rescaled(unit)
        return self if unit == 1 or self.degree is not None else _of_divided_rows(self, unit)


# Units -----------------------------------------------------------------------------------------------------


def _of_divided_rows(loss: Loss, unit: float) -> Loss:
    """Return a loss that multiplies outputs and targets by ``unit``; what outputs go on with is left alone."""

    def multiplied(output: Tensor, target: Tensor) -> Tensor:
        k = target.shape[1]
        return torch.cat([output[:, :k] * unit, output[:, k:]], 1) if output.shape[1] > k else output * unit

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        assert loss.entrywise is not None
        return loss.entrywise(multiplied(output, target), target * unit)

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        assert loss.sum_and_gradient is not None
        total = loss.sum_and_gradient(multiplied(output, target), target * unit, weight, gradient)
        gradient[:, : target.shape[1]].mul_(unit)
        return total

    return loss._replace(entrywise=entrywise, sum_and_gradient=sum_and_gradient)


# Weights ---------------------------------------------------------------------------------------------------


def observed(target: Tensor, weight: Tensor | None) -> Tensor:
    """Return targets with 0, which every loss takes, where the weight is zero: 0 times inf would be nan."""
    return target if weight is None else target.masked_fill(weight == 0, 0)


def weigh(x: Tensor, weight: Tensor | None) -> Tensor:
    """Multiply by the weights in place."""
    return x if weight is None else x.mul_(weight)


def weighted_rows(rows: Tensor, n: int, weight: Tensor | None, name: str, subject: str, advice: str) -> Tensor:
    """Return what a user's function returned for n rows, weighted.

    Raises
    ------
    ValueError
        If it is no tensor, not one value per row, or not of real numbers.
    """
    must = f"but {subject} must return"
    if not isinstance(rows, Tensor):
        returned = "None, as without a return statement" if rows is None else type(rows).__name__
        raise ValueError(
            f"{name} returned {returned}, {must} a torch tensor of shape ({n},), by torch's functions."
        )
    if tuple(rows.shape) != (n,):
        raise ValueError(
            f"{name} returned shape {tuple(rows.shape)} for {n} rows, {must} one value per row, shape ({n},). "
            f"{advice}"
        )
    if not rows.is_floating_point():
        smooth = "Counts and comparisons have no gradient: use smooth functions, such as torch.sigmoid."
        remedy = "Take its abs() or its real part." if rows.is_complex() else smooth
        raise ValueError(f"{name} returned {rows.dtype}, {must} real numbers with a gradient. {remedy}")
    return rows if weight is None else rows * weight[:, 0]


def accumulator(x: Tensor) -> torch.dtype:
    """Return the dtype to sum in."""
    return torch.float32 if x.dtype == torch.bfloat16 else x.dtype


def _sum_of_products(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == torch.bfloat16:  # its dot product accumulates in bfloat16, and slowly
        return (a * b).sum(dtype=torch.float32)
    if a.ndim == 3:
        return torch.linalg.vecdot(a.flatten(1), b.flatten(1))
    flat = a.reshape(-1)
    return torch.dot(flat, flat if b is a else b.reshape(-1))


# Closed forms ----------------------------------------------------------------------------------------------


def squared_entries(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="none")


def _squared_error(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
    """With r = o - t: l = r^2, dl/do = 2 r."""
    residual = torch.sub(output, target, out=gradient)
    weighted = residual if weight is None else residual * weight
    total = _sum_of_products(residual, weighted)
    torch.add(weighted, weighted, out=gradient)
    return total


def _absolute_error(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
    """With r = o - t: l = |r|, dl/do = sign(r)."""
    residual = weigh(torch.sub(output, target, out=gradient), weight)
    total = torch.linalg.vector_norm(residual, 1, dtype=accumulator(residual))
    weigh(torch.sign(residual, out=gradient), weight)
    return total


def _huber(unit: float) -> Loss:
    """With b the bend and r = o - t, g = clip(r, -b, b): l = g (r - g / 2), on both sides of it, and dl/do = g."""
    bend = 1 / unit

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        residual = output - target
        torch.clamp(residual, -bend, bend, out=gradient)
        residual.sub_(gradient, alpha=0.5)
        return _sum_of_products(weigh(gradient, weight), residual)

    return Loss(
        lambda o, t: F.huber_loss(o, t, reduction="none", delta=bend), sum_and_gradient, degree=2, rescaled=_huber
    )


def binary_cross_entropy(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
    """With o a logit: l = log(1 + e^o) - t o, dl/do = sigmoid(o) - t."""
    target = observed(target, weight)
    entries = F.softplus(output, threshold=40)  # above, it is the identity to more than double precision
    total = weigh(entries.addcmul_(output, target, value=-1), weight).sum(dtype=accumulator(output))
    torch.sigmoid(output, out=gradient)
    weigh(gradient.sub_(target), weight)
    return total


def _cross_entropy(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
    """With p = softmax(o) and s = w t, over a row: l = -sum_j s_j log p_j, dl/do = p sum_j s_j - s.

    Without weights, the sum of s is 1, since targets are one-hot.
    """
    share = target if weight is None else target * weight
    log_p = torch.log_softmax(output, 1)
    total = _sum_of_products(log_p, share).neg_()
    p = log_p.exp_()
    torch.sub(p if weight is None else p.mul_(share.sum(1, keepdim=True)), share, out=gradient)
    return total


# The losses ------------------------------------------------------------------------------------------------

_PROBABILITIES = Support(
    "loss='binary_cross_entropy'",
    "Scale X with sklearn.preprocessing.MinMaxScaler(clip=True) in a pipeline (sparse X that is not negative with "
    "MaxAbsScaler(clip=True)), or use loss='squared_error'.",
    0.0,
    1.0,
)
LOSSES = {
    "squared_error": Loss(squared_entries, _squared_error, takes_models=True, degree=2),
    "absolute_error": Loss(lambda o, t: F.l1_loss(o, t, reduction="none"), _absolute_error, degree=1),
    "huber": _huber(1.0),
    "binary_cross_entropy": Loss(
        lambda o, t: F.binary_cross_entropy_with_logits(o, t, reduction="none"),
        binary_cross_entropy,
        link="sigmoid",
        shift_invariant=False,
        supports=(_PROBABILITIES,),
    ),
}

# Of class scores against one-hot classes.
CROSS_ENTROPY = Loss(
    lambda output, target: -target * torch.log_softmax(output, 1),
    _cross_entropy,
    mean_over_features=False,
    shift_invariant=False,
)


def supports_of(link: str) -> Sequence[Support]:
    """Return which rows the loss takes that has this link."""
    return next((loss.supports for loss in LOSSES.values() if loss.link == link), ())


def own_loss(function: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """Return a user's function (output, target) -> (n,) as a loss, which checks what it returns."""
    name = f"loss={function!r}"
    contract = (
        "A loss is called with the reconstruction and the target, torch tensors of shape (n, n_features), and "
        "must return a tensor of shape (n,), by torch's functions: those of NumPy have no gradient."
    )
    own = OwnFunction(function, name, contract)

    def rowwise(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
        if weight is not None and weight.shape[1] != 1:
            raise ValueError(
                f"{name} returns one value per row, so that entries cannot be left out. Leave missing_values at "
                f"None and impute first (SimpleImputer), or use a built-in loss: {', '.join(map(repr, LOSSES))}."
            )
        advice = "Reduce over features only, for instance with .mean(1)."
        each = own(own.watched(output, target), target)
        rows = weighted_rows(each, len(target), weight, name, "a loss", advice)
        if output.requires_grad and not each.requires_grad:
            raise ValueError(
                f"{name} returned a tensor without a gradient, so that nothing can be learnt from it. Compute it "
                "from the reconstruction, without detach(), item(), numpy() or torch.no_grad()."
            )
        own.look(each, output, target)
        return rows

    return Loss(None, None, mean_over_features=False, shift_invariant=False, rowwise=rowwise, own=own)


def loss_by(name_or_callable: str | Callable, *, mean_over_features: bool = True) -> Loss:
    """Return the loss of a ``loss`` parameter: of this name, or a user's, which reduces over features itself."""
    if not isinstance(name_or_callable, str):
        return own_loss(name_or_callable)
    return LOSSES[name_or_callable]._replace(mean_over_features=mean_over_features)
