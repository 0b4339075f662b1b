"""What is told after a fit that reconstructs no better than the column means, and of penalties that outweigh."""

from typing import Any

import torch

from .._data.chunks import spread
from .._networks.custom import forward_centred
from .._objectives.baseline import baseline
from .._objectives.penalties import Penalty
from .._support.ranks import current
from .._support.variants import own_settings
from .autograd import evaluating
from .optimizers import OPTIMIZERS

_FAR_BELOW = 1000  # times the loss of the column means: what no penalty that is in balance with the loss reaches
_STILL_FALLING = 0.1  # of what it ends at, in the last quarter of the epochs
_MARGIN = 1e-3  # of a loss that is no worse than the means' but for rounding, and for noise
_NO_BETTER = 0.01  # than the means': by no more than this share of their loss
_ABOUT = 1.2  # times the means' loss of rows held out: training that has gone further up than that has run away
_STEPS_TO_BEGIN = 100  # after which a loss has left the means', unless a penalty keeps it there
_WEAKEST = 0.01  # alpha, times the columns, over the means' loss: less than this holds no component back
_WEAKEST_DECAY = 1.0  # alpha where it is a decay beside steps of one size
_SOME_ROWS = 50
_OF_LOGITS = ("binary_cross_entropy", "bernoulli")


def above_means(fit: Any) -> str | None:
    """Return what to say of a fit that has ended worse than the column means reconstruct rows, or None.

    Beside a penalty that was asked for, no better is told as well: the codes of too strong a one carry nothing.
    Users' losses are left out, and likelihoods, which start at the means and say it if codes carry nothing.
    """
    setup, history = fit.setup, fit.history
    data, own = setup.data, _own_penalties(fit)
    if setup.estimator.loss is None or fit.objective.loss.entrywise is None:
        return None
    means = baseline(fit.objective.loss, data)
    set_to = _settings(fit, means.loss)
    curve = history.loss_curve or [history.loss]
    has_begun = len(curve) * -(-data.n_train // setup.batch_size) >= _STEPS_TO_BEGIN
    held_back = bool(own or set_to) and has_begun  # if not better: by the penalty, which is in the curve
    enough = (1 - _NO_BETTER if held_back else 1.0) * means.loss
    below = curve[-1] <= enough and not (own and has_begun)  # a penalty of the user's may be negative
    if below or means.deviation <= data.precision * data.largest_magnitude():
        return None
    loss = fit.measure()  # without penalties, of the weights that are kept
    if loss <= (1 - _NO_BETTER if held_back else 1 + _MARGIN) * means.loss:
        return _undone(fit, own, set_to) if held_back else None
    falling = len(curve) < 2 or curve[-1] <= min(curve[:-1])
    advice = f"Lower learning_rate={setup.learning_rate:.3g}"
    if falling:
        longer = "pretrain_max_iter" if fit.layer_loss_curves and not history.loss_curve else "max_iter"
        advice = f"Train longer ({longer}) or faster (learning_rate)"
    scale = "" if fit.objective.loss.supports else f", or scale X, for instance with {data.scaler}"
    if own or set_to:
        less = _less(fit, own, set_to)
        advice = f"{less[0].upper()}{less[1:]}; or, if that is not the cause, {advice[0].lower()}{advice[1:]}"
    without, above = f" without {own or 'penalties'}" if own or set_to else "", loss > (1 + _MARGIN) * means.loss
    how = "above" if above else "no better than"
    verdict = "the model is worse than none" if above else "codes carry nothing"
    return (
        f"Training ended with a loss of {loss:.4g}{without}, {how} the {means.loss:.4g} of reconstructing each "
        f"row as the column means: {verdict}. {advice}{scale}."
    )


def _undone(fit: Any, own: str, set_to: str) -> str | None:
    """Return what to say where a penalty has led to nothing, and weights from before that came back, or None."""
    history, data = fit.history, fit.setup.data
    held_out, best = history.validation_loss_curve, history.best_loss
    if not held_out or best == held_out[-1]:
        return None
    of = (data, data.validation_rows) if data.watched is None else (data.watched, None)
    means = baseline(fit.objective.loss, *of).loss
    if not (1 - _NO_BETTER) * means <= held_out[-1] <= _ABOUT * means:
        return None
    when = f"epoch {held_out.index(best) + 1}" if best in held_out else "the start"
    less = _less(fit, own, set_to)
    return (
        f"Training ended with a loss of {held_out[-1]:.4g} of the rows held out, no better than the {means:.4g} "
        f"of reconstructing each row as the column means. The weights of {when} were kept, with {best:.4g}: they "
        f"hardly know the penalty. {less[0].upper()}{less[1:]}."
    )


def squashed(fit: Any) -> str | None:
    """Return what to say of a decoder of the user's that returns probabilities in place of logits, or None."""
    estimator = fit.setup.estimator
    given = ("loss", estimator.loss) if estimator.loss is not None else ("likelihood", estimator.likelihood)
    if estimator.decoder is None or given[1] not in _OF_LOGITS:
        return None
    ranks, some = current(), spread(fit.setup.data.train_rows, _SOME_ROWS)
    n_inside = n_outside = 0
    if len(some):
        with torch.no_grad(), evaluating(fit.encoder, fit.decoder):
            code = forward_centred(fit.encoder)(fit.served.rows.batch(some))
            output = forward_centred(fit.decoder)(code[:, : fit.setup.architecture.encoder_layer_sizes[-1]])
        n_inside = int(((output >= 0) & (output <= 1)).sum())
        n_outside = output.numel() - n_inside
    if ranks.any(n_outside > 0) or ranks.count(n_inside) < _SOME_ROWS:
        return None
    return (
        f"All that your decoder returns lies between 0 and 1, but with {given[0]}={given[1]!r} it has to return "
        "logits, to which the sigmoid is applied once more: reconstructions cannot come near to 0. Leave out the "
        "Sigmoid at its end."
    )


def has_penalties(fit: Any) -> bool:
    """Tell whether penalties that were asked for may be why a loss is no better than that of the means."""
    return bool(_own_penalties(fit) or _settings(fit, baseline(fit.objective.loss, fit.setup.data).loss))


def _settings(fit: Any, means: float) -> str:
    """Return the parameters that are strengths of penalties, with their values, of those that are in force."""
    setup, estimator = fit.setup, fit.setup.estimator
    names = [penalty.setting for penalty in fit.objective.penalties if penalty.setting is not None]
    if estimator.alpha:
        decoupled = OPTIMIZERS[estimator.solver].decoupled
        weakest = _WEAKEST_DECAY if decoupled else _WEAKEST * means / setup.architecture.n_features
        names = ["alpha"] * bool(estimator.alpha >= weakest) + names
    return " and ".join(f"{name}={getattr(estimator, name):g}" for name in names)


def _less(fit: Any, own: str, set_to: str) -> str:
    """Say which penalties to make weaker, with the values that the user's class has."""
    given = own_settings(fit.setup.estimator)
    values = f" ({', '.join(f'{name}={value:g}' for name, value in given.items())})" if given else ""
    return " and ".join([f"weigh {own} less{values}"] * bool(own) + [f"lower {set_to}"] * bool(set_to))


def _own_penalties(fit: Any) -> str:
    """Name the user's penalties, but those that a parameter of zero makes nothing."""
    own = [penalty for penalty in fit.objective.penalties if penalty.own is not None]
    if 0 in own_settings(fit.setup.estimator).values():  # codes of zero make it nothing, too, by its own doing
        own = [penalty for penalty in own if current().any(_value(fit, penalty) != 0)]
    return " and ".join(penalty.own.name for penalty in own)


def _value(fit: Any, penalty: Penalty) -> float:
    """Return what a penalty comes to on some training rows of this rank."""
    rows, encode = fit.served.rows, forward_centred(fit.encoder)
    some = spread(fit.setup.data.train_rows, _SOME_ROWS)
    if not len(some):
        return 0.0
    with torch.enable_grad(), evaluating(fit.encoder):
        unit = fit.objective.input_unit  # penalties take rows as they were given
        x = rows.batch(some).mul_(unit).requires_grad_()
        return float(penalty.value(x, encode(x / unit), None).detach())


def unbounded(fit: Any) -> str | None:
    """Return what to say of a `_penalty` that falls for ever and leaves no weight to the loss, or None."""
    curve, setup = fit.history.loss_curve, fit.setup
    own = _own_penalties(fit)
    if not own or len(curve) < 2 or curve[-1] >= 0:
        return None
    fall = curve[-1 - max(1, len(curve) // 4)] - curve[-1]
    # Of likelihoods, which have no such baseline, a nat for each column is the order of magnitude.
    loss, of = setup.architecture.n_features, "a nat for each column"
    if setup.estimator.loss is not None:
        loss, of = baseline(fit.objective.loss, setup.data).loss, "reconstructing each row as the column means"
    if curve[-1] > -_FAR_BELOW * loss or fall < _STILL_FALLING * -curve[-1]:
        return None
    penalty = curve[-1] - fit.measure()  # for a loss may be negative, too
    if penalty > -_FAR_BELOW * loss:
        return None
    return (
        f"{own} came to {penalty:.4g} and was still falling, beside {loss:.4g} for {of}: it seems "
        "to have no lower bound, and the reconstruction no longer counts. Bound it, for instance by torch.clamp, "
        "or by the logarithm of what is to grow. Less weight helps only where the loss holds against it."
    )
