"""Several starts of one fit, of which the best is kept."""

import copy
from collections.abc import Sequence

import torch

from .._support.devices import restarted
from .._support.ranks import current
from .fit import Fit
from .fitting import assemble, n_subtasks, phases_of, train
from .monitoring import phase_task
from .setup import Setup
from .together import train_fits

Error = ValueError | KeyboardInterrupt


def best_start(first: Fit, X, context) -> Fit:
    """Train a fit that is prepared, and others on the same rows from weights of their own; return the best.

    They are trained at once where models can be joined, nobody watches and there is one process, else one after
    the other.

    Raises
    ------
    ValueError or KeyboardInterrupt
        That of the first start, if there is none that has been trained.
    """
    estimator = first.setup.estimator
    fits = [first, *(assemble(setup) for setup in _others(first.setup, estimator.n_init))]
    watched = hasattr(estimator, "_skl_callbacks") or estimator.verbose or current().is_shared
    errors = _train_in_turn(fits, X, context) if watched else train_fits(fits)
    trained = [fit for fit, error in zip(fits, errors, strict=False) if error is None]
    if not trained:
        raise errors[0]  # type: ignore[misc]
    best = min(trained, key=_outcome)
    interrupted = any(fit.history.interrupted for fit in trained)
    best.history.interrupted = interrupted or any(isinstance(error, KeyboardInterrupt) for error in errors)
    return best


def _others(setup: Setup, n_starts: int) -> list[Setup]:
    """Return the setup of each start but the first: the same rows, held out alike, and other random numbers."""
    others = []
    for streams in restarted(setup.streams, n_starts):
        other = copy.copy(setup)
        other.streams = streams
        other.generator = torch.Generator(setup.device).manual_seed(streams.noise.initial_seed())
        others.append(other)
    return others


def _train_in_turn(fits: Sequence[Fit], X, context) -> list[Error | None]:
    """Do as `train_fits`, with a task of each for callbacks; end with the one that they or the keyboard stop."""
    errors: list[Error | None] = []
    for number, fit in enumerate(fits, start=1):
        estimator, phases, error = fit.setup.estimator, phases_of(fit), None
        if estimator.verbose:
            print(f"Start {number} of {len(fits)}")
        with phase_task(estimator, X, X, context, f"start-{number}", n_subtasks(phases)) as task:
            try:
                train(fit, phases, X, task)
            except (ValueError, KeyboardInterrupt) as raised:
                error = raised
        errors.append(error)
        if fit.history.stopped or fit.history.interrupted or isinstance(error, KeyboardInterrupt):
            break
    return errors


def _outcome(fit: Fit) -> float:
    """Return the loss of rows held out or, without any, that of training in the end."""
    history = fit.history
    if history.validation_loss_curve:
        return history.best_loss
    return history.loss_curve[-1] if history.loss_curve else fit.measure()
