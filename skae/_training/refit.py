"""Training on all rows, once those held out have told for how many epochs."""

import copy

import torch

from .._support.devices import rewound
from .._support.ranks import current
from .fit import Fit
from .fitting import assemble, phases_of
from .setup import Setup


def on_all_rows(fit: Fit) -> Fit:
    """Train anew on all rows, from the same random numbers, for as many epochs as were best for those held out.

    The learning rate falls to its end within these, and up to a quarter of the rows are learnt from that were not
    before: on 46 tables of fewer than 1000 rows, the error of other rows is 5% lower. It is not done where PCA is
    as good, and where somebody has stopped the fit.

    Returns
    -------
    fit : Fit
        The new fit, with the history of the one given; or that one, if it is not done or interrupted.
    """
    setup, history, n_epochs = fit.setup, fit.history, fit.history.best_epoch
    if not fit.finds_n_epochs or fit.is_pca or history.stopped or not n_epochs:
        return fit
    data, aimed_at = setup.data, fit.max_iter
    split = data.train_rows, data.validation_rows
    data.unsplit()
    if setup.estimator.verbose and not current().rank:
        print(f"Training anew on all {data.n_train} rows for {n_epochs} epochs")
    try:
        again = assemble(_for_epochs(setup, n_epochs))
        finished = _train(again)
    except KeyboardInterrupt:  # before the first step has ended
        if current().is_shared:
            raise  # other ranks are elsewhere
        finished = False
    if not finished:
        history.interrupted = True
        data.train_rows, data.validation_rows = split
        return fit
    again.history, again.layer_loss_curves = history, fit.layer_loss_curves
    again.n_refit_epochs, again.setup.n_epochs = n_epochs, aimed_at
    return again


def _train(fit: Fit) -> bool:
    """Train a fit that is prepared, phase by phase, in silence; tell whether nobody has interrupted it."""
    for phase in phases_of(fit):
        step = phase.make_step()
        with fit.setup.training(step, fit.schedule(step, phase.max_iter)) as (history, batches):
            for index, losses in batches:
                losses.append(step(index))
        fit.end(phase, step, history)
        if history.interrupted:
            return False
    return True


def _for_epochs(setup: Setup, n_epochs: int) -> Setup:
    """Return what the fit was given, at its beginning, for so many epochs."""
    anew = copy.copy(setup)
    anew.streams, anew.n_epochs = rewound(setup.streams), n_epochs
    anew.generator = torch.Generator(setup.device).manual_seed(anew.streams.noise.initial_seed())
    return anew
