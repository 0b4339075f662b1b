"""What is warned of after a fit: units, channels, codes that copy, an early end."""

from collections import defaultdict
from inspect import signature
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._data.remedies import listed
from .._data.split import FEWEST_KINDS
from .._data.training_data import TrainingData
from .._networks.custom import without_effect
from .._support.parameters import GROUPS
from .._support.warnings import warn
from . import outweighed, principal_axes, unscaled
from .history import History
from .setup import Mode, Setup
from .worth import worth_of_codes

_POWERS = {"squared_error": 2, "absolute_error": 1, "huber": 1}  # of a column's unit that a loss grows with
_CAME_BACK = (
    "The warm start has changed nothing: the weights that it started from are the best for the rows held out. "
    "Each fit draws these anew, so that they may have been trained on before. Pass rows that no fit has trained "
    "on as X_val; or, if there are thousands of rows, set early_stopping=False."
)
_IMAGES = tuple(name for name in GROUPS["Images"] if name != "image_shape")
_MOST_NOISE = 5  # times the deviation, that somebody may mean


def complain(fit: Any) -> None:
    """Note in the history what to warn of at the end of a fit, while its rows are there."""
    fit.history.complaints = complaints_of(fit)
    squashed = outweighed.squashed(fit)
    fit.history.above_means = squashed or outweighed.above_means(fit)
    is_worthless = fit.history.above_means is not None
    fit.history.outweighed = is_worthless and (squashed is not None or outweighed.has_penalties(fit))
    fit.history.unbounded = outweighed.unbounded(fit)
    if fit.setup.estimator.loss is None and squashed is None and _has_run_its_course(fit):
        fit.history.worth_of_codes = worth_of_codes(fit)  # a likelihood starts at the means


def complaints_of(fit: Any) -> list[str]:
    """Return what to warn of a first fit, beside how it went."""
    setup = fit.setup
    if setup.previous is not None:
        drawn = setup.mode is Mode.WARM_START and setup.data.watched is None
        came_back = [_CAME_BACK] if drawn and fit.history.came_back else []
        return [*unscaled.rows_to_go_on_with(setup), *unscaled.rows_to_watch(setup), *came_back]
    return [
        *complaints_of_rows(setup),
        *_wide_code(fit),
        *_narrow_layers(setup),
        *_repeats_held_out(setup.data),
        *unscaled.rows_to_watch(setup),
        *_drowned(fit),
        *_without_effect(setup.estimator),
        *_not_read(setup.estimator),
        *_of_images(setup.estimator),
    ]


def complaints_of_rows(setup: Setup) -> list[str]:
    """Return what to warn of the rows of a first fit: columns in other units, or channels in another order."""
    estimator, data = setup.estimator, setup.data
    if estimator.image_shape is not None:
        height, width, channels = (*estimator.image_shape, 1)[:3]
        shape = (height, width, channels)
        return [_channels_first(shape, estimator.image_shape)] if data.looks_channels_first(shape) else []
    if estimator.loss is None:  # likelihoods: those without a scale have no unit, and heavy tails any width
        others = {*setup.architecture.uncentred, *setup.architecture.medians}
        columns = data.dominant_columns(2, [c for c in range(data.X.shape[1]) if c not in others])
        what = "the others from the networks, which are given all columns in one unit"
        effects = [f"hides {what}", f"hide {what}"]
    else:
        power = _POWERS.get(estimator.loss) if isinstance(estimator.loss, str) else None
        columns = data.dominant_columns(power) if power else []
        effects = ["carries nearly all of the loss", "carry nearly all of the loss"]
    return [_other_units(columns, effects[len(columns) > 1], estimator, data)] if columns else []


def _wide_code(fit: Any) -> list[str]:
    """Return what to say of a code wider than the rows that was asked for, where it may copy these.

    Noise, penalties, narrow layers and the bottlenecks of other estimators keep it from that; networks of one's
    own may. The default is no choice to warn of.
    """
    estimator, a = fit.setup.estimator, fit.setup.architecture
    widths = (*a.encoder_layer_sizes[:-1], *a.decoder_layer_sizes[:-1]) if a.images is None else ()
    width, n = a.encoder_layer_sizes[-1], a.n_features
    told = estimator._code_may_be_wide or getattr(estimator, "ordered", False)  # whose idle units are known
    told = told or is_default(estimator, estimator._width_parameter)
    told = told or estimator.code_layer == "convolution"  # whose channels share their weights
    keeps = told or estimator.alpha or estimator.encoder is not None or estimator.decoder is not None
    if width <= n or min(widths, default=n) < n or keeps or not fit.objective.is_plain:
        return []
    columns = "the single column" if n == 1 else f"the {n} columns"
    return [
        f"{estimator._width_parameter}={width} is more than {columns} of X, and nothing keeps such a code from "
        "copying the rows: it reduces no dimension, and reconstructions are good whatever has been learnt. Lower "
        f"{estimator._width_parameter}, or use SparseAutoencoder or DenoisingAutoencoder, whose codes may be wide."
    ]


def _narrow_layers(setup: Setup) -> list[str]:
    """Return what to say of hidden layers narrower than the code, which PCA may beat where it is its baseline.

    PCA has no more components than rows or columns, and codes of a classifier are for labels.
    """
    estimator, a = setup.estimator, setup.architecture
    name, width, narrowest = estimator._width_parameter, a.encoder_layer_sizes[-1], principal_axes.n_carried(a)
    compared = principal_axes.obstacle(estimator, a) is None and not estimator._code_may_be_wide
    if not compared or not narrowest < width <= min(setup.data.n_train, a.n_features):
        return []
    layers = {"hidden_layer_sizes": a.encoder_layer_sizes, "decoder_hidden_layer_sizes": a.decoder_layer_sizes}
    told = " and ".join(
        f"{layer}={sizes[:-1]}"
        for layer, sizes in layers.items()
        if getattr(estimator, layer) is not None and min(sizes[:-1], default=width) < width
    )
    better = "" if a.activation == "identity" else f", better {2 * width},"
    return [
        f"{name}={width} exceeds the {narrowest} units of the narrowest hidden layer ({told}): at most "
        f"{narrowest} numbers of each row get through, and PCA with {width} components may reconstruct it better. "
        f"Make hidden layers at least {width}{better} units wide, or lower {name} to {narrowest} or less."
    ]


def _drowned(fit: Any) -> list[str]:
    """Return what to say of normal noise that leaves hardly anything of the rows."""
    estimator, corruption = fit.setup.estimator, fit.objective.corruption
    if corruption is None or estimator.noise not in ("gaussian", "isotropic"):
        return []
    if (level := estimator.noise_level) <= _MOST_NOISE:
        return []
    of = "each feature's deviation" if estimator.noise == "gaussian" else "the root of the features' mean variance"
    return [
        f"noise_level={level:g} is noise of {level:g} times {of}, in which rows drown. If it was meant in units "
        "of X, set noise='white'; noise_scale_ has what it comes to in these."
    ]


def _without_effect(estimator: Any) -> list[str]:
    told = ", ".join(
        f"{name}={getattr(estimator, name)!r}"
        for name in without_effect(estimator)
        if not is_default(estimator, name)
    )
    if not told:
        return []
    own = " and ".join(name for name in ("encoder", "decoder") if getattr(estimator, name) is not None)
    return [
        f"Without effect beside your own {own}: {told}. Only networks that skae builds read such parameters. "
        "Build what they stand for into your modules, and leave them at their defaults."
    ]


def _not_read(estimator: Any) -> list[str]:
    """Return what to say of parameters that were set, but are for other methods than the one that was chosen."""
    complaints = []
    parents = reversed(type(estimator).__mro__)  # two of them may both have choices
    choices = [pair for parent in parents for pair in vars(parent).get("_reads_by_choice", {}).items()]
    for choice, methods in dict(choices).items():
        value, readers = getattr(estimator, choice), defaultdict(list)
        chosen, said = (
            ("a callable", f"a callable {choice}") if callable(value) else (value, f"{choice}={value!r}")
        )
        for method, names in methods.items():
            for name in names:
                readers[name].append(method)
        told = [
            f"{name}={getattr(estimator, name)!r}, which is for {_enumerated(those)}"
            for name, those in readers.items()
            if chosen not in those and not is_default(estimator, name)
        ]
        if told:
            complaints.append(
                f"Without effect with {said}: {'; '.join(told)}. Choose {choice} by what you set, or "
                f"leave {'it at its default' if len(told) == 1 else 'them at their defaults'}."
            )
    return complaints


def _enumerated(methods: list[str]) -> str:
    *others, last = (method if method == "a callable" else repr(method) for method in methods)
    return f"{', '.join(others)} and {last}" if others else last


def _of_images(estimator: Any) -> list[str]:
    """Return what to say of parameters of convolutional networks where dense ones are built."""
    if estimator.image_shape is not None or estimator.encoder is not None or estimator.decoder is not None:
        return []
    told = [f"{name}={getattr(estimator, name)!r}" for name in _IMAGES if not is_default(estimator, name)]
    if not told:
        return []
    return [
        f"Without effect without image_shape, which makes networks convolutional: {', '.join(told)}. Set "
        "image_shape=(height, width) if rows are images, or leave them at their defaults."
    ]


def is_default(estimator: Any, name: str) -> bool:
    """Tell whether a parameter was left alone, or could not be set: a constructor of one's own may pass it on."""
    parameters, value = signature(type(estimator)).parameters, getattr(estimator, name)
    return name not in parameters or np.array_equal(np.ravel(parameters[name].default), np.ravel(value))


def _repeats_held_out(data: TrainingData) -> list[str]:
    if not data.holds_out_repeats or data.validation_rows is None:
        return []
    return [
        f"early_stopping=True holds out {len(data.validation_rows)} rows of X, but fewer than {FEWEST_KINDS} "
        "different ones: equal rows are held out together, so that nothing like them is trained on, and the epoch "
        "that is best for them may be bad for all others. Pass other rows as X_val, or set early_stopping=False."
    ]


def _channels_first(shape: tuple[int, int, int], said: Any) -> str:
    height, width, channels = shape
    return (
        f"The rows of X seem to be images of shape ({channels}, {height}, {width}), channels first, but "
        f"image_shape={tuple(said)} takes them for (height, width, channels). Pass X.reshape(-1, {channels}, "
        f"{height}, {width}).transpose(0, 2, 3, 1).reshape(len(X), -1)."
    )


def _other_units(columns: list[int], effect: str, estimator: Any, data: TrainingData) -> str:
    names = getattr(estimator, "feature_names_in_", None)
    called = [repr(str(names[column])) if names is not None else str(column) for column in columns]
    return (
        f"{listed(called)} of {data.X.shape[1]} {effect}, since the values are so much larger than those of the "
        "others, which will hardly be reconstructed, whatever the score. Scale X, for instance with "
        f"{data.scaler}."
    )


def _has_run_its_course(fit: Any) -> bool:
    """Tell whether more epochs would not help: their number was ours to choose, or held-out rows got worse."""
    curve, enough = fit.history.validation_loss_curve, fit.setup.estimator.n_iter_no_change
    return fit.setup.estimator.max_iter == "auto" or (len(curve) >= enough and curve[-1] > fit.history.best_loss)


def warn_of_the_end(estimator, history: History) -> None:
    """Warn if training was interrupted, or if ``tol`` asked for more epochs than ``max_iter`` allows."""
    above = history.unbounded or history.above_means
    also = "" if above is None else f" {above}"  # the same cause: one warning
    if history.interrupted:
        n_epochs = len(history.loss_curve)
        when = f"after {n_epochs} epochs" if n_epochs else "before all layers were trained together"
        warn(f"Training was interrupted {when}; the networks are kept as they were then.{also}")
        return
    ended = history.converged or history.stopped or history.went_on or history.unbounded is not None
    if not estimator.tol or estimator.max_iter == "auto" or ended:
        if above is not None:
            warn(above)
        return
    if history.validation_loss_curve:
        remedy = "The loss of the held-out rows was still falling: raise max_iter or learning_rate"
    else:
        remedy = (
            "Raise max_iter or learning_rate; whether more epochs help on other rows is not known unless some are "
            "held out (early_stopping=True)"
        )
    warn(
        f"Training stopped at max_iter={estimator.max_iter} while the loss was still falling by more than "
        f"tol={estimator.tol} of its whole improvement. {remedy}. Or set tol=None to train for a fixed number of "
        f"epochs.{also}",
        ConvergenceWarning,
    )
