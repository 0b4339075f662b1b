"""The training loop, one for every estimator: epochs of ``step(index) -> loss``, and when to stop."""

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Step(Protocol):
    """The seam between the loop and the two ways to take a step (explicit, autograd)."""

    parameters: Tensor

    def __call__(self, index: Tensor) -> Tensor: ...
    def evaluate(self, index: Tensor) -> Tensor: ...
    def snapshot(self) -> Any: ...
    def restore(self, snapshot: Any) -> None: ...


class Monitor(Protocol):
    """Whoever watches a run."""

    def begin_epoch(self) -> None: ...
    def end_epoch(self, history: "History") -> bool: ...


class Schedule(NamedTuple):
    """When to stop, and how to walk through the rows."""

    max_iter: int
    batch_size: int
    shuffle: bool = True
    tol: float | None = 1e-4
    n_iter_no_change: int = 10
    warm_up: float = 0  # epochs in which the objective still changes: neither best nor flat
    merge_single: bool = False  # a last batch of one row joins the one before: batch normalisation needs two


class History:
    """What a training run leaves behind."""

    def __init__(self) -> None:
        self.loss_curve: list[float] = []
        self.validation_loss_curve: list[float] = []
        self.best_loss = math.inf
        self.converged = False  # stopped because the monitored loss went flat
        self.stopped = False  # stopped from outside, by a callback or the keyboard
        self.interrupted = False
        self.loss = math.nan  # of the weights as they are, where no epoch has measured it


class DivergedError(ArithmeticError):
    """The loss or a weight stopped being finite; ``epoch`` says when."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.epoch = epoch


def train(
    step: Step,
    rows: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    *,
    validation: Tensor | None = None,
    monitor: Monitor,
) -> History:
    """Train until the loss is flat, the epochs are used up, or somebody says stop.

    Parameters
    ----------
    step : Step
    rows : int64 Tensor
        Numbers of the rows to train on, on the rows' device.
    schedule : Schedule
    generator : torch.Generator
        On the CPU; draws the order, so that it is the same on every device.
    validation : int64 Tensor or None
        Numbers of rows held out. With them their loss is what is watched, and the best weights come back,
        however the run ends.
    monitor : Monitor
        Told of each epoch; may ask to stop.

    Raises
    ------
    DivergedError
        If the loss of an epoch, or a weight at the end, is not finite.
    """
    history, best, n_flat = History(), None, 0
    losses: list[Tensor] = []
    try:
        while len(history.loss_curve) < schedule.max_iter:
            losses = []
            monitor.begin_epoch()
            for index in _batches(rows, schedule, generator):
                losses.append(step(index))
            history.loss_curve.append(_mean(losses, rows))  # the one synchronisation of the epoch
            losses = []
            watched = history.loss_curve[-1]
            if validation is not None:
                watched = _mean([step.evaluate(i) for i in validation.split(schedule.batch_size)], validation)
                history.validation_loss_curve.append(watched)
            if not (math.isfinite(history.loss_curve[-1]) and math.isfinite(watched)):
                raise DivergedError(len(history.loss_curve))

            if len(history.loss_curve) <= schedule.warm_up:
                history.best_loss = math.inf
            n_flat = 0 if watched < history.best_loss - (schedule.tol or 0) else n_flat + 1
            if watched < history.best_loss:
                history.best_loss = watched
                best = step.snapshot() if validation is not None else None
            if monitor.end_epoch(history):
                history.stopped = True
                break
            if schedule.tol is not None and n_flat > schedule.n_iter_no_change:
                history.converged = True
                break
    except KeyboardInterrupt:
        if not (losses or history.loss_curve):
            raise  # nothing has been learnt
        history.interrupted = history.stopped = True
        if losses:  # an epoch cut short counts with the batches that it has seen
            seen = rows[: len(losses) * schedule.batch_size]
            history.loss_curve.append(_mean(losses, seen))
    if best is not None:
        step.restore(best)
    # The loss was finite; the update after it may not have been.
    if not torch.isfinite(torch.linalg.vector_norm(step.parameters, math.inf)):
        raise DivergedError(len(history.loss_curve))
    return history


def _batches(rows: Tensor, schedule: Schedule, generator: torch.Generator) -> tuple[Tensor, ...]:
    if schedule.shuffle:
        rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    batches = rows.split(schedule.batch_size)
    if schedule.merge_single and len(batches) > 1 and len(batches[-1]) == 1:
        batches = (*batches[:-2], torch.cat(batches[-2:]))
    return batches


def _mean(losses: list[Tensor], rows: Tensor) -> float:
    return float(torch.stack(losses).sum()) / len(rows)
