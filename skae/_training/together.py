"""Fits of several estimators at once: what ensembles are trained by."""

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import torch
from sklearn.utils.validation import _check_feature_names, _check_n_features

from .._data import arrays
from .._data.training_data import TrainingData
from .._support import threads
from .._support.ranks import refuse
from .._support.warnings import one_for_each_cause
from .fit import Fit
from .fitting import assemble, keep, phases_of, restore_on_failure
from .history import History
from .hooks import definitions
from .joint import train_together
from .setup import Mode, set_up


def fit_together(estimators: Sequence[Any], X, rows: Sequence[Any] | None = None) -> None:
    """Fit several autoencoders to X: at once where they are of one shape, else one after the other.

    Each is fitted from its own parameters, which may differ in all but what shapes the networks: seeds,
    learning rates, ``alpha``, losses. On a processor it pays for small networks: ten of 64-32-8-32-64 on batches
    of 32 rows cost as much as six fits. The result is that of one fit after the other, but for rounding. X is in
    memory once, for all of them. Callbacks are not called; ``warm_start`` and ``n_init`` are not obeyed.

    Parameters
    ----------
    estimators : sequence of BaseAutoencoder
        Changed in place, all of them or, where one fails, none.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Validated by the first estimator.
    rows : sequence of array-like of int, or None
        The numbers of the rows that each is trained on; None trains all on all rows. Centring, and the scale of
        noise, are those of all rows of X.

    Raises
    ------
    ValueError
        As from `fit`; where some diverge, about the first of them.
    """
    refuse("A fit of several models at once")
    with contextlib.ExitStack() as stack:
        stack.enter_context(threads.for_work(0))
        for estimator in estimators:
            stack.enter_context(restore_on_failure(estimator))
            estimator._validate_params()
        checked = arrays.check_rows(estimators[0], X)
        for estimator in estimators[1:]:
            _check_feature_names(estimator, X, reset=True)
            _check_n_features(estimator, checked, reset=True)
        fits = _prepare(estimators, checked, rows)
        for error in filter(None, train_fits(fits)):
            raise error
        fits = [keep(fit) for fit in fits]
        with one_for_each_cause():
            for fit in fits:
                for warn in definitions(fit.setup.estimator, "_warn_after_fit"):
                    warn(fit.history)


def _prepare(estimators: Sequence[Any], X, rows: Sequence[Any] | None) -> list[Fit]:
    """Prepare fits to parts of the same data, which are held, centred and taken to the device once."""
    whole = functools.cache(functools.partial(TrainingData, X))  # by dtype and device

    def data(number: int, **where: Any) -> TrainingData:
        everything = whole(**where)
        return everything.part(everything.train_rows if rows is None else torch.as_tensor(rows[number]))

    return [
        assemble(set_up(estimator, X, Mode.FRESH, functools.partial(data, number)))
        for number, estimator in enumerate(estimators)
    ]


def train_fits(fits: Sequence[Fit]) -> list[ValueError | KeyboardInterrupt | None]:
    """Train fits that are prepared, phase by phase; return the error of each that diverges or has not begun."""
    phases = [phases_of(fit) for fit in fits]
    if len({len(of_one) for of_one in phases}) > 1:
        return [train_fits([fit])[0] for fit in fits]
    errors: list[ValueError | KeyboardInterrupt | None] = [None] * len(fits)
    for number in range(len(phases[0])):
        going_on = [model for model, error in enumerate(errors) if error is None]
        if not going_on:
            break
        steps = [phases[model][number].make_step() for model in going_on]
        runs = [fits[model].setup for model in going_on]
        limits = [phases[model][number].max_iter for model in going_on]
        triples = zip(going_on, steps, limits, strict=True)
        schedules = [fits[model].schedule(step, limit) for model, step, limit in triples]
        ends = train_together(runs, steps, schedules)
        for model, step, end in zip(going_on, steps, ends, strict=False):
            if isinstance(end, History):
                fits[model].end(phases[model][number], step, end)
            else:
                errors[model] = end
        for model in going_on[len(ends) :]:  # the keyboard has come before them
            errors[model] = KeyboardInterrupt()
        if any(isinstance(end, History) and end.interrupted for end in ends):
            break
    return errors
