"""The step of a classifier on labelled and unlabelled rows together."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .._data.chunks import fold, sum_rows
from .._data.rows import Rows
from .._objectives.losses import CROSS_ENTROPY
from .._support.devices import Streams, normal
from .autograd import AutogradStep

# Weights in the objective: of the graph's labels at the start, and of a linear model's; of the other terms.
BY_GRAPH, LINEARLY = 1.0, 5.0
CONSISTENCY, ENTROPY, BALANCE = 10.0, 0.3, 1.0
# Standard deviations of noise on labelled rows and on all, in units of the rows' own; less of rows of few columns,
# since noise in each of many hardly moves a row towards another class, and noise in one does.
NOISE_LABELLED, NOISE, NOISE_LINEAR = 0.5, 1.0, 0.5
COLUMNS_FOR_ALL_NOISE = 16
RISE, FALL = 0.3, 1 / 3  # shares of the training: of the first, terms rise; of the last, the learning rate falls


class Lesson(NamedTuple):
    """What a step learns from beside the rows; all tensors are on the rows' device.

    Attributes
    ----------
    used : int64 Tensor of shape (n_used,)
        Numbers of all rows but those of weight zero.
    labelled : int64 Tensor of shape (n_labelled,)
        Numbers of the labelled rows that are trained on.
    taught : int64 Tensor of shape (n_rows,)
        Numbers of the classes that the teacher gives.
    confidence : Tensor of shape (n_rows,)
        Between 0 and 1: how far the teacher is to be believed.
    frequencies : Tensor of shape (n_classes,)
        Of the classes among all rows.
    row_weight : Tensor of shape (n_rows,) or None
        Of rows whose labels are not looked at, with mean one.
    n_steps : int
        Of the whole training.
    rate_falls : bool
        Whether the learning rate falls to zero over the last third, instead of as the loop has it.
    by_graph : bool
        Whether rows of a class lie together, so that rows without a label have more to teach than the teacher's.
    """

    used: Tensor
    labelled: Tensor
    taught: Tensor
    confidence: Tensor
    frequencies: Tensor
    row_weight: Tensor | None
    n_steps: int
    rate_falls: bool
    by_graph: bool


class SemiSupervisedStep(AutogradStep):
    """A step on a batch of all rows, and on as many labelled ones.

    The objective is a sum of the cross-entropy of labelled rows; of all rows to the teacher's labels, which fades;
    of the squared change of a row's probabilities by noise (Laine and Aila 2017); of their entropy (Grandvalet and
    Bengio 2005); and of the divergence of their mean from the classes' frequencies. If the teacher is a linear
    model, there are the first two, and the second does not fade.

    Parameters
    ----------
    encoder, head : torch.nn.Module
    lesson : Lesson
    streams : Streams
    *arguments, **settings
        As for `Step`; row weights are those of labelled rows.
    """

    def __init__(
        self, encoder: Any, head: Any, lesson: Lesson, streams: Streams, *arguments: Any, **settings: Any
    ) -> None:
        super().__init__(encoder, head, *arguments, **settings)
        self.lesson, self._order = lesson, streams.split
        self._noise = torch.Generator(self.served.rows.device).manual_seed(streams.noise.initial_seed())
        rows = self.served.rows
        share = math.sqrt(min(1.0, rows.n_features / COLUMNS_FOR_ALL_NOISE))
        self._deviation = share * root_mean_variance(rows, lesson.used)
        self._n_taken = 0
        self._waiting = lesson.labelled[:0]

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        course = min(self._n_taken / self.lesson.n_steps, 1.0)
        if self.lesson.rate_falls:
            self.set_rate(min(1.0, (1 - course) / FALL))
        self._n_taken += 1
        self.gradient.zero_()
        with torch.enable_grad():
            objective = self._value(index, self._next_labelled(len(index)), course)
            objective.backward()
        return objective.detach() * len(index)

    def _value(self, index: Tensor, labelled: Tensor, course: float) -> Tensor:
        """Return the objective of a batch of all rows, and one of labelled rows, after a share of the training."""
        lesson, rows = self.lesson, self.served.rows
        x, level = rows.batch(index), NOISE if lesson.by_graph else NOISE_LINEAR
        noisy = self._with_noise(rows.batch(labelled), NOISE_LABELLED), self._with_noise(x, level)
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=self.low_precision):
            logits = self._decode(self._encode(torch.cat(noisy)))
        logits = logits.to(rows.dtype)
        of_labelled, of_all = logits.split([len(labelled), len(index)])
        target = self.served.targets.batch(labelled)  # type: ignore[union-attr]
        value = CROSS_ENTROPY.per_row(of_labelled, target, self._weights_of(labelled)[1]).mean()
        weight = None if lesson.row_weight is None else lesson.row_weight[index]
        log_p = torch.log_softmax(of_all, 1)
        taught = lesson.confidence[index] * F.nll_loss(log_p, lesson.taught[index], reduction="none")
        if not lesson.by_graph:
            return value + LINEARLY * _mean(taught, weight)
        rise = min(1.0, course / RISE)
        of_rows = BY_GRAPH * (1 - course) * taught + rise * self._unlabelled(x, log_p)
        return value + _mean(of_rows, weight) + rise * BALANCE * self._imbalance(log_p, weight)

    def _unlabelled(self, x: Tensor, log_p: Tensor) -> Tensor:
        """Return what asks each row's probabilities to be sure, and the same with noise and without it, (n,)."""
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=self.low_precision):
            clean = torch.softmax(self._decode(self._encode(x)), 1)
        p = log_p.exp()
        return CONSISTENCY * (p - clean).square().sum(1) - ENTROPY * (p * log_p).sum(1)

    def _imbalance(self, log_p: Tensor, weight: Tensor | None) -> Tensor:
        """Return the divergence of the rows' mean probabilities from the classes' frequencies."""
        frequencies, p = self.lesson.frequencies, log_p.exp()
        mean = p.mean(0) if weight is None else weight @ p / weight.sum()
        return torch.special.xlogy(frequencies, frequencies / mean.clamp_min(1e-12)).sum()

    def _with_noise(self, x: Tensor, level: float) -> Tensor:
        return normal(x.shape, x, self._noise).mul_(level * self._deviation).add_(x)

    def _next_labelled(self, n: int) -> Tensor:
        """Return all labelled rows, or the next ``n`` in an order that is drawn anew once all have come."""
        labelled = self.lesson.labelled
        if len(labelled) <= n:
            return labelled
        if len(self._waiting) < n:
            drawn = torch.randperm(len(labelled), generator=self._order).to(labelled.device)
            self._waiting = torch.cat([self._waiting, labelled[drawn]])
        first, self._waiting = self._waiting[:n], self._waiting[n:]
        return first


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else torch.dot(values, weight) / len(values)


def root_mean_variance(rows: Rows, numbers: Tensor) -> float:
    """Return the root of the columns' mean variance over rows of these numbers."""
    terms = ((sum_rows(x), sum_rows(x.square())) for _, x in rows.chunks(numbers))
    sums, squares = fold(terms, torch.add, torch.add)
    variance = squares / len(numbers) - (sums / len(numbers)).square()
    return float(variance.clamp_min(0).mean().sqrt())
