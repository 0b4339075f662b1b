"""A fit: prepared, then trained, then finished; with callbacks told, and undone where it fails."""

import contextlib
import copy
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from scipy.sparse import issparse

from .._data import arrays
from .._data.remedies import named
from .._data.training_data import TrainingData
from .._networks.building import Architecture, build, changed
from .._networks.custom import Linked, check_own_networks, load_weights, redraw, with_own
from .._networks.initial_weights import initialize
from .._networks.networks import Decoder, n_parameters, preparation
from .._networks.size import check_size
from .._objectives.losses import loss_by
from .._objectives.penalties import own_penalty
from .._objectives.support import check_support
from .._support import threads
from .._support.ranks import alone, current, together
from .advice import complain
from .autograd import normalize_batches
from .fit import Fit, Phase
from .history import History
from .hooks import definitions, the_one
from .monitoring import Monitor, phase_task
from .principal_start import PrincipalStart
from .problem import Objective
from .setup import Mode, Setup, set_up
from .step import Step

__all__ = ["Fit", "Phase", "fit_networks", "fitted_attributes", "prepare", "restore_on_failure"]


def prepare(estimator, X, mode: Mode, **data) -> Fit:
    """Make everything between validated rows and the first step of training."""
    return assemble(set_up(estimator, X, mode, functools.partial(TrainingData, X, **data)))


def assemble(setup: Setup) -> Fit:
    """Make the networks with their first weights, and the objective."""
    estimator = setup.estimator
    encoder, decoder = _networks(setup)
    setup.check_batches(normalize_batches(encoder, decoder))  # before first weights are measured on rows
    bottleneck = the_one(estimator, "_bottleneck", setup)  # first, to say so where there are two
    drawn = setup.previous is not None or estimator.init not in ("auto", "pca")
    start = None if drawn else PrincipalStart.of(setup, encoder, decoder)
    _give_weights(setup, encoder, decoder)
    current().spread((encoder, decoder))
    loss = the_one(estimator, "_reconstruction_loss", setup, decoder) or loss_by(estimator.loss)
    loss = loss.in_unit(setup.data.target_unit)
    if loss.supports:
        check_support(loss.supports, setup.data)
        if setup.data.watched is not None:
            check_support(loss.supports, setup.data.watched, "X_val")
    penalties = [penalty for hook in definitions(estimator, "_penalties") for penalty in hook(setup)]
    loss_unit = setup.loss_unit(loss)
    penalties += [own_penalty(hook, loss_unit) for hook in definitions(estimator, "_penalty")]
    projections = [project for hook in definitions(estimator, "_projections") for project in hook(setup)]
    terms = setup.corruption(), bottleneck, penalties, projections, setup.dropout(), setup.hiding()
    objective = Objective(loss, *terms, loss_unit, setup.data.unit)
    return Fit(setup, encoder, decoder, setup.data.inputs(preparation(encoder)), objective, start=start)


def _networks(setup: Setup) -> tuple[Any, Any]:
    """Build, or copy, both networks and draw their weights."""
    estimator = setup.estimator
    encoder, decoder = build(setup.architecture)
    if setup.device.type == "cpu":
        check_size(estimator, (encoder, decoder), setup.dtype.itemsize)
    if setup.previous is None:
        initialize((encoder, decoder), setup.streams.weights, estimator.init)
    # Copied together, so that modules which share parameters still do.
    own = copy.deepcopy((estimator.encoder, estimator.decoder))
    if estimator.reset_parameters and setup.previous is None:
        redraw(own, setup.streams.weights)
    networks = with_own((encoder, decoder), own, setup.architecture)
    for network in networks:
        network.to(setup.device, setup.dtype)
    like = torch.empty(0, dtype=setup.dtype, device=setup.device)
    check_own_networks(*own, setup.architecture, like)
    of_rows = arrays.torch_dtype(setup.data.X)
    if of_rows != setup.dtype and any(own):  # in which `transform` calls them
        encoder_twin, decoder_twin = (module and module.to(of_rows) for module in copy.deepcopy(own))
        check_own_networks(encoder_twin, decoder_twin, setup.architecture, like.to(of_rows))
    return networks


def _give_weights(setup: Setup, encoder: Any, decoder: Any) -> None:
    """Give networks their first weights, which have been drawn, or those of the fit before."""
    estimator, previous, data = setup.estimator, setup.previous, setup.data
    if previous is None:
        with current().normalizing((encoder, decoder)):
            for hook in definitions(estimator, "_initialize_weights"):
                hook(setup, encoder, decoder)
    else:
        what = changed(setup.architecture, Architecture(**previous._architecture), estimator._width_parameter)
        load_weights(encoder, previous.encoder_, what)
        load_weights(decoder, getattr(previous.decoder_, "unlinked", previous.decoder_), what)
    if data.offset is not None:  # these stay in the precision of the data
        encoder.offset = data.offset.to(setup.device)
        decoder.offset = data.target_offset.to(setup.device)  # type: ignore[union-attr]


# The stages -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def restore_on_failure(estimator) -> Iterator[None]:
    """Leave the estimator as it was where what is done inside fails, whatever torch's gradient mode is outside."""
    before = dict(vars(estimator))
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def fit_networks(estimator, X, **data):
    """Fit an estimator: prepare, train phase by phase, finish; ``data`` is what else `TrainingData` takes."""
    warm = estimator.warm_start and hasattr(estimator, "encoder_")
    with restore_on_failure(estimator), together(), threads.for_work(0):
        X = arrays.check_rows(estimator, X, reset=not warm)
        if data.get("X_val") is not None:
            with named("X_val"):
                data["X_val"] = arrays.check_rows(estimator, data["X_val"], reset=False)
        current().agree(functools.partial(_facts, estimator, X, warm, data))
        fit = prepare(estimator, X, Mode.WARM_START if warm else Mode.FRESH, **data)
        several, phases = estimator.n_init > 1 and not warm, phases_of(fit)
        n_tasks = estimator.n_init if several else n_subtasks(phases)
        context = estimator._init_callback_context(max_subtasks=n_tasks)
        watched = hasattr(estimator, "_skl_callbacks")
        if watched:
            with alone():
                context.call_on_fit_task_begin(estimator=estimator, X=X, y=X)
        if several:
            from .starts import best_start  # which is made of what is here

            fit = best_start(fit, X, context)
        else:
            train(fit, phases, X, context)
        fit.history.went_on = warm
        fit = keep(fit)
        if watched:
            with alone():
                context.call_on_fit_task_end(
                    estimator=estimator, X=X, y=X, reconstruction_attributes=lambda: fitted_attributes(fit)
                )
        for warn in definitions(estimator, "_warn_after_fit"):
            warn(fit.history)
    return estimator


def _facts(estimator, X, warm: bool, data: dict[str, Any]) -> dict[str, Any]:
    """Return what must be the same on all ranks."""
    given = {name: "given" if value is not None else None for name, value in data.items()}
    parameters = {
        name: getattr(value, "__qualname__", type(value).__qualname__)
        if callable(value) or hasattr(value, "dtype")
        else repr(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in ("random_state", "verbose", "device")
    }
    X_is = {"the number of features": X.shape[1], "the dtype of X": str(X.dtype), "X being sparse": issparse(X)}
    return {"the estimator": type(estimator).__name__, **parameters, **X_is, "having been fitted": warm, **given}


def train(fit: Fit, phases: Sequence[Phase], X, context) -> None:
    """Train a fit that is prepared, phase by phase, with callbacks told and lines printed."""
    estimator = fit.setup.estimator
    watched, nothing = hasattr(estimator, "_skl_callbacks"), contextlib.nullcontext(context)
    for number, phase in enumerate(phases):
        try:
            name = phase.name if watched else None
            with nothing if name is None else phase_task(estimator, X, X, context, name, phase.max_iter) as task:
                step = phase.make_step()
                monitor = None  # tasks cost more than a small epoch
                if watched or estimator.verbose:
                    monitor = Monitor(estimator, X, X, task, functools.partial(_glimpse, fit, step))
                schedule = fit.schedule(step, phase.max_iter)
                with fit.setup.training(step, schedule, monitor) as (history, batches):
                    for index, losses in batches:
                        losses.append(step(index))
        except KeyboardInterrupt:
            if current().is_shared or not number:
                raise  # nothing has been learnt, or other ranks are elsewhere
            fit.history.interrupted = True
            break
        fit.end(phase, step, history)
        if history.interrupted:
            break


def n_subtasks(phases: Sequence[Phase]) -> int:
    """Return how many tasks callbacks see in a fit: phases, or epochs where one phase is all there is."""
    return phases[0].max_iter if phases and phases[0].name is None else len(phases)


def phases_of(fit: Fit) -> Sequence[Phase]:
    """Return what is trained, one after the other."""
    phases = the_one(fit.setup.estimator, "_phases", fit)
    return [fit.whole()] if phases is None else phases


def keep(fit: Fit) -> Fit:
    """Give the estimator its fitted attributes, and take away those of a fit before; return what they are of."""
    from .refit import on_all_rows  # which is made of what is here

    fit.settle()
    if not fit.history.loss_curve:
        fit.history.loss, fit.history.stopped = fit.measure(), True
    complain(fit)
    fit = on_all_rows(fit)
    attributes = vars(fit.setup.estimator)
    for name in ("validation_loss_curve_", "_ongoing", "_left_by_partial_fit"):
        attributes.pop(name, None)
    attributes.update(fitted_attributes(fit))
    return fit


def _glimpse(fit: Fit, step: Step, history: History) -> dict[str, Any]:
    """Return the fitted attributes as they are in the midst of a phase, with copies of the networks."""
    step.publish()
    fit.history = history
    with torch.inference_mode(False):
        networks = copy.deepcopy((fit.encoder, fit.decoder))
    return _attributes(fit, *networks)


def fitted_attributes(fit: Fit) -> dict[str, Any]:
    """Return the fitted attributes, once training is over."""
    fit.step.release()
    fitted = _attributes(fit, fit.encoder, fit.decoder)
    if fit.setup.mode is Mode.INCREMENTAL:
        fit.step.leave()
    return fitted


def _attributes(fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
    setup, history, estimator, data = fit.setup, fit.history, fit.setup.estimator, fit.setup.data
    for network in (encoder, decoder):
        if network.training:
            network.eval()
    architecture = setup.architecture
    for hook in definitions(estimator, "_finalize_networks"):
        encoder, decoder, architecture = hook(fit, encoder, decoder, architecture)
    fit.architecture = architecture
    current().spread((encoder, decoder))
    if architecture.link != "identity" and not isinstance(decoder, Decoder):
        decoder = Linked(decoder, architecture.link)  # type: ignore[arg-type]
    X, offset, corruption = data.X, data.offset, fit.objective.corruption
    offset = torch.zeros(X.shape[1], dtype=arrays.torch_dtype(X)) if offset is None else offset
    known = getattr(setup.previous, "_column_statistics", None)
    fitted = {
        "encoder_": encoder,
        "decoder_": decoder,
        "offset_": arrays.to_namespace_of(X, offset.cpu().numpy()),
        "unit_": data.unit,
        "device_": setup.device,
        "n_parameters_": setup.previous.n_parameters_ if setup.goes_on else n_parameters((encoder, decoder)),
        "_architecture": architecture._asdict(),
        "_column_statistics": known if corruption is None else corruption.statistics,
    }
    fitted |= history.attributes(setup.curve("loss_curve_", history.loss_curve))
    fitted |= setup.values_used(fit.objective.bottleneck, fit.max_iter)
    fitted["n_iter_"] = setup.n_passes_before + len(history.loss_curve)
    of_fit = len(history.loss_curve) if setup.has_end else 0  # the others are passes of `partial_fit`
    fitted["_n_iter_of_fit"] = getattr(setup.previous, "_n_iter_of_fit", None) if setup.goes_on else of_fit
    fitted["_seen"] = setup.seen.record()
    for hook in definitions(estimator, "_fitted_attributes"):
        fitted |= hook(fit, encoder, decoder)
    fitted["_recent"] = dict(fit.portions)
    return fitted
