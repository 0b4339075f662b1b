"""What a run leaves behind, and what is watched meanwhile: the best weights, and whether the loss is flat."""

import math
from typing import Any

import torch
from torch import Tensor

from .._support.ranks import current
from .problem import DivergedError, Schedule

AT_ONCE = 200  # rows held out that are evaluated together at least
CLEARLY_BETTER = 0.9  # times what there is to beat
LEAST_STEPS = 50  # that two means of the loss are apart: an epoch of few rows is one step


class History:
    """What a training run leaves behind; losses are multiplied by ``loss_unit``."""

    def __init__(self, loss_unit: float = 1.0) -> None:
        self._loss_unit = loss_unit
        self.loss_curve: list[float] = []
        self.validation_loss_curve: list[float] = []
        self.parts: dict[str, list[float]] = {}  # sums of the bottleneck, by name: means over the epoch's rows
        self.best_loss = math.inf
        self.converged = False  # the monitored loss went flat
        self.stopped = False  # stopped from outside, by a callback or the keyboard
        self.interrupted = False
        self.went_on = False  # from the weights of an earlier fit
        self.came_back = False  # to the weights at the start, which are the best for the rows held out
        self.loss = math.nan  # of the weights as they are, where no epoch has measured it
        self.complaints: list[str] = []  # of the rows
        self.above_means: str | None = None  # what to say of a loss no better than the column means'
        self.outweighed = False  # which a penalty, or a decoder without logits, explains: it says it all
        self.unbounded: str | None = None  # and of a penalty that falls for ever
        self.worth_of_codes: float | None = None  # by how much they lower the loss of a row, where it is measured

    def end_epoch(self, losses: list[Tensor], sums: dict[str, Tensor], n_rows: int) -> None:
        """Note the means of an epoch over its rows: the one time that the device is waited for."""
        ranks = current()
        self.loss_curve.append(self._loss_unit * float(ranks.sum(torch.stack(losses).sum())) / n_rows)
        for name, total in sums.items():
            self.parts.setdefault(name, []).append(float(ranks.sum(total)) / n_rows)

    @property
    def best_epoch(self) -> int:
        """The number of the best epoch for the rows held out, from 1; 0 for the weights at the start."""
        held_out = self.validation_loss_curve
        return 0 if self.came_back or not held_out else held_out.index(min(held_out)) + 1

    def attributes(self, curve: list[float]) -> dict[str, Any]:
        """Return the fitted attributes that tell of training; ``curve`` may begin with earlier passes."""
        held_out = {"validation_loss_curve_": self.validation_loss_curve} if self.validation_loss_curve else {}
        best = self.best_loss if held_out else min(curve, default=self.loss)
        last = curve[-1] if curve else self.loss
        return {"loss_curve_": curve, "loss_": last, "best_loss_": best, "n_iter_": len(curve), **held_out}


class Watch:
    """Keeps the best weights for rows held out, those at the start among them, and tells when the loss is flat.

    Flat is a loss that has improved over ``n_iter_no_change`` epochs by less than ``tol`` times its whole
    improvement since the start. Means of so many epochs are compared, of more where these are few steps, so that
    the noise of single epochs decides nothing.
    """

    def __init__(self, step: Any, schedule: Schedule, held_out: Tensor | None, n_rows: int) -> None:
        self.step, self.schedule, self.held_out = step, schedule, held_out
        self.best: Any = None
        self._losses: list[float] = []
        n_batches = -(-n_rows // schedule.batch_size)
        self._window = max(schedule.n_iter_no_change, -(-LEAST_STEPS // n_batches))

    def begin(self, history: History) -> None:
        """Take the weights at the start as the best so far, where rows are held out."""
        if self.held_out is None or self.step.warm_up_epochs > self.schedule.first_epoch:
            return  # without rows to judge by, or by less than what the objective will be
        self.step.warm_up(self.schedule.first_epoch)
        loss = self._loss(self.held_out)
        if math.isfinite(loss):  # or the first epoch will tell
            self._judge(loss, history)
            history.came_back = self.best is not None

    def look(self, history: History) -> bool:
        """Judge the epoch that has ended; return whether the loss has gone flat."""
        schedule, monitored = self.schedule, history.loss_curve[-1]
        if self.held_out is not None:
            monitored = self._loss(self.held_out)
            history.validation_loss_curve.append(monitored)
        if not (math.isfinite(history.loss_curve[-1]) and math.isfinite(monitored)):
            raise DivergedError(len(history.loss_curve))
        if len(history.loss_curve) <= self.step.warm_up_epochs - schedule.first_epoch:
            history.best_loss, self._losses = math.inf, []
        self._judge(monitored, history)
        return schedule.tol is not None and self._is_flat(schedule.tol)

    def is_past_the_best(self, history: History) -> bool:
        """Tell whether the rows held out have got no better for so many epochs that training is to end.

        Where they are hardly better than what there is to beat, it may take the fall of the rate to see it.
        """
        patience, n_epochs = self.schedule.patience, len(history.loss_curve)
        if patience is None or n_epochs - history.best_epoch <= patience:
            return False
        return history.best_loss <= CLEARLY_BETTER * self.schedule.to_beat

    def _loss(self, held_out: Tensor) -> float:
        n = max(self.schedule.batch_size, AT_ONCE)
        ranks = current()
        losses = [self.step.evaluate_held_out(index) for index in ranks.batches(held_out, n)]
        total = float(ranks.sum(torch.stack(losses).sum()))
        return self.schedule.loss_unit * total / ranks.count(len(held_out))

    def _judge(self, monitored: float, history: History) -> None:
        self._losses.append(monitored)
        if monitored < history.best_loss:
            history.best_loss, history.came_back = monitored, False
            if self.held_out is not None and self.schedule.keeps_best:
                self.best = self.step.snapshot()

    def _is_flat(self, tol: float) -> bool:
        n = self._window
        if len(self._losses) < 2 * n:
            return False
        before, now = sum(self._losses[-2 * n : -n]) / n, sum(self._losses[-n:]) / n
        gain = (before - now) * self.schedule.n_iter_no_change / n
        return gain <= max(tol * (self._losses[0] - now), 1e-7 * abs(now) if tol else 0.0)
