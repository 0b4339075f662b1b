"""The loop of steps: epochs of shuffled batches, until training is to end."""

import contextlib
import math
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from .._support.ranks import current
from .history import History, Watch
from .problem import DivergedError, Schedule
from .rates import RateCourse
from .step import Step

# Batches, each with the list that takes the loss of the step on it.
Epochs = Generator[tuple[Tensor, list[Tensor]], None, None]


def walk(
    step: Step,
    rows: Tensor,
    schedule: Schedule,
    generator: torch.Generator,
    history: History,
    *,
    held_out: Tensor | None = None,
    monitor: Any = None,
) -> Epochs:
    """Walk through the rows until the loss is flat, the epochs are used up, or somebody says stop.

    It yields the numbers of the rows of each batch, and the list that takes the loss of the step on them: the
    caller takes the steps, so that those of several models may be taken at once. It fills ``history``.

    ``rows`` and ``held_out`` are numbers of rows, on the rows' device. With rows held out their loss is what is
    watched, and the best weights come back, those at the start among them, however the run ends. Where the rate
    falls in the end, a flat loss lets it fall at once, and the run ends with it. ``generator``, on the CPU, draws
    the order, so that it is the same on every device. A `Monitor` is told of each epoch, and may ask to stop.
    `DivergedError` is raised if the loss of an epoch, or a weight at the end, is not finite.
    """
    ranks, end = current(), schedule.max_iter
    n_rows = ranks.count(len(rows))
    watch = Watch(step, schedule, held_out, n_rows)
    course = None if schedule.rates == "constant" else RateCourse(schedule.rates, end)
    losses: list[Tensor] = []
    n_seen = 0
    try:
        watch.begin(history)
        while (epoch := len(history.loss_curve)) < end:
            losses, n_seen = [], 0
            if monitor is not None:
                monitor.begin_epoch()
            for batch in _announced(step, _batches(ranks.whole(rows), schedule, generator)):
                _set_off(step, schedule, course, epoch + n_seen / n_rows, batch.size(0) / n_rows)
                yield ranks.mine(batch), losses
                n_seen += batch.size(0)
            ranks.leave()
            history.end_epoch(losses, step.take_sums(), n_seen)
            losses = []
            flat = watch.look(history)
            history.stopped = ranks.any(monitor is not None and monitor.end_epoch(history))
            if history.stopped or watch.is_past_the_best(history):
                break
            history.converged = history.converged or flat
            if flat:
                if course is None:
                    break
                end = course.fall(epoch + 1)
    except KeyboardInterrupt:
        if ranks.is_shared or not (losses or history.loss_curve):
            raise  # nothing has been learnt, or other ranks are elsewhere
        history.interrupted = history.stopped = True
        if losses:  # an epoch cut short counts with the batches that it has seen
            history.end_epoch(losses, step.take_sums(), n_seen)
    if watch.best is not None:
        step.restore(watch.best)
    # The loss was finite; the last update may not have been.
    if not torch.isfinite(torch.linalg.vector_norm(step.parameters, math.inf)):
        raise DivergedError(len(history.loss_curve))


@contextlib.contextmanager
def interruptible(epochs: Epochs) -> Iterator[None]:
    """Let an interrupt from the keyboard, in a step, end the walk as one in the walk does."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(StopIteration):
            epochs.throw(interrupt)


def _set_off(step: Step, schedule: Schedule, course: RateCourse | None, passed: float, share: float) -> None:
    """Tell what changes over a run that so many epochs have passed before a step on a share of the rows."""
    step.warm_up(schedule.first_epoch + schedule.length * passed)
    if course is not None:
        step.set_rate(course.factor(passed, passed + share))


def _announced(step: Step, batches: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the batches, whose gradients' sums over ranks are announced at once where nothing comes between."""
    if step.exchanges_gradients_alone:
        current().announce(len(batches), step.gradient)
    return batches


def _batches(rows: Tensor, schedule: Schedule, generator: torch.Generator) -> tuple[Tensor, ...]:
    if schedule.shuffle:
        rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    batches = rows.split(schedule.batch_size)
    if schedule.merge_single and len(batches) > 1 and len(batches[-1]) == 1:
        batches = (*batches[:-2], torch.cat(batches[-2:]))
    return batches
