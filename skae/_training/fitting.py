"""A fit: prepared, then trained, then finished; with callbacks told, and undone where it fails."""

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

import torch

from .._data import arrays
from .._networks.custom import Linked
from .._networks.networks import Decoder, n_parameters
from .._support.hooks import definitions, the_one
from .loop import History
from .monitoring import Monitor, phase_task
from .prepare import Fit, prepare
from .setup import Mode
from .step import Step


@contextlib.contextmanager
def restore_on_failure(estimator) -> Iterator[None]:
    """Leave the estimator as it was where what is done inside fails."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def fit_networks(estimator, X, **data):
    """Fit an estimator: prepare, train phase by phase, finish; ``data`` is what else `TrainingData` takes."""
    warm = estimator.warm_start and hasattr(estimator, "encoder_")
    with restore_on_failure(estimator):
        X = arrays.check_rows(estimator, X, reset=not warm)
        fit = prepare(estimator, X, Mode.WARM_START if warm else Mode.FRESH, **data)
        phases = the_one(estimator, "_phases", fit)
        if phases is None:
            phases = [fit.whole()]
        n_tasks = phases[0].max_iter if phases and phases[0].name is None else len(phases)
        context = estimator._init_callback_context(max_subtasks=n_tasks)
        if hasattr(estimator, "_skl_callbacks"):
            context.call_on_fit_task_begin(estimator=estimator, X=X, y=X)
        for number, phase in enumerate(phases):
            try:
                with phase_task(estimator, X, X, context, phase.name, phase.max_iter) as task:
                    step = phase.make_step()
                    monitor = Monitor.of(estimator, X, X, task, functools.partial(_glimpse, fit, step))
                    history = fit.setup.train(step, fit.setup.schedule(step, phase.max_iter), monitor)
            except KeyboardInterrupt:
                if not number:
                    raise  # nothing has been learnt
                fit.history.interrupted = True
                break
            fit.end(phase, step, history)
            if history.interrupted:
                break
        if not fit.history.loss_curve:
            fit.history.loss, fit.history.stopped = fit.measure(), True
        for name in ("validation_loss_curve_", "_session"):
            vars(estimator).pop(name, None)
        vars(estimator).update(fitted_attributes(fit))
        if hasattr(estimator, "_skl_callbacks"):
            context.call_on_fit_task_end(
                estimator=estimator, X=X, y=X, reconstruction_attributes=lambda: fitted_attributes(fit)
            )
        for warn in definitions(estimator, "_warn_after_fit"):
            warn(fit.history)
    return estimator


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
    fit.step.leave()
    return fitted


def _attributes(fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
    setup, history = fit.setup, fit.history
    estimator, data = setup.estimator, setup.data
    encoder, decoder = (network.eval() for network in (encoder, decoder))
    architecture = setup.architecture
    for hook in definitions(estimator, "_finalize_networks"):
        encoder, decoder, architecture = hook(fit, encoder, decoder, architecture)
    fit.architecture = architecture
    if architecture.link != "identity" and not isinstance(decoder, Decoder):
        decoder = Linked(decoder, architecture.link)  # type: ignore[arg-type]
    curve = setup.curve("loss_curve_", history.loss_curve)
    X, offset, corruption = data.X, data.offset, fit.objective.corruption
    if offset is None:
        offset = torch.zeros(X.shape[1], dtype=arrays.torch_dtype(X))
    statistics = (
        getattr(setup.previous, "_column_statistics", None) if corruption is None else corruption.statistics
    )
    fitted = {
        "encoder_": encoder,
        "decoder_": decoder,
        "offset_": arrays.to_namespace_of(X, offset.cpu().numpy()),
        "device_": setup.device,
        "n_parameters_": n_parameters((encoder, decoder)),
        "loss_curve_": curve,
        "loss_": curve[-1] if curve else history.loss,
        "best_loss_": min(history.validation_loss_curve or curve, default=history.loss),
        "n_iter_": len(curve),
        "_architecture": architecture._asdict(),
        "_column_statistics": statistics,
    }
    if data.validation_rows is not None:
        fitted["validation_loss_curve_"] = history.validation_loss_curve
    for hook in definitions(estimator, "_fitted_attributes"):
        fitted |= hook(fit, encoder, decoder)
    return fitted
