"""Training a classifier on labelled and unlabelled rows together.

A teacher (`teacher.py`) says what it believes of the labels of all rows; the networks then learn from labels, from
the teacher, and from rows alone (`lesson.py`).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._data import arrays
from .._data.rows import Rows, codings
from .._data.training_data import TrainingData
from .._networks.custom import forward_centred
from .._networks.networks import preparation
from .._objectives.losses import CROSS_ENTROPY
from .fine_tuning import Classification, weights_by_class
from .history import History
from .lesson import Lesson, SemiSupervisedStep, root_mean_variance
from .problem import Objective, Schedule, Served
from .setup import hold_out
from .step import Step
from .teacher import Labelled, teach

BATCH_SIZE = 100
LEAST_STEPS, LEAST_EPOCHS = 800, 40
MOST_COLUMNS = 1024  # that distances are taken in; wider rows are projected at random


class SemiSupervised(Classification):
    """Training on all rows, of which some have a label.

    Parameters
    ----------
    estimator : AutoencoderClassifier
        With a fitted ``autoencoder_``.
    X : validated rows
    codes : int ndarray of shape (n_samples,)
        Numbers of their classes; -1 for those without a label.
    sample_weight : ndarray of shape (n_samples,) or None

    Attributes
    ----------
    teacher : Teacher
    """

    def __init__(self, estimator, X, codes: np.ndarray, sample_weight: np.ndarray | None) -> None:
        super().__init__(estimator, X, sample_weight)
        self.used = self.data.train_rows  # the teacher looks at rows held out, too, but not at their labels
        labelled, weight = self._labelled(X, codes, sample_weight)
        rng = np.random.default_rng(self.streams.weights.initial_seed())
        used = self.used.cpu().numpy()
        self.teacher = teach(self._points(), len(codes), used, labelled, self.n_classes, rng)
        if self.teacher.by_graph and estimator.class_weight is None:
            self._restore_frequencies(labelled, weight)
        one_hot = np.zeros((len(codes), self.n_classes), dtype=np.float32)
        one_hot[codes >= 0, codes[codes >= 0]] = 1
        targets = Rows(torch.from_numpy(one_hot), None, self.dtype, self.device)
        (rows, encoder, head), objective = self.networks(), Objective(CROSS_ENTROPY)
        self.step = SemiSupervisedStep(
            encoder,
            head,
            self._lesson(labelled),
            self.streams,
            Served(rows, targets, weight),
            objective,
            self.optimizer(objective),
            averages=True,
            max_grad_norm=estimator.max_grad_norm,
            low_precision=self.low_precision,
        )

    def schedule(self, step: Step, max_iter: int) -> Schedule:
        """Return how to walk through the rows, and when to stop; the step sees to an automatic rate itself."""
        schedule = super().schedule(step, max_iter)
        return schedule._replace(rates="constant") if self._rate_falls else schedule

    @property
    def _rate_falls(self) -> bool:
        return self.estimator.learning_rate_schedule == "auto"

    @property
    def batch_size(self) -> int:
        """The number of rows of a batch."""
        given = self.estimator.batch_size
        return min(len(self.data.train_rows), BATCH_SIZE if given == "auto" else int(given))

    @property
    def max_iter(self) -> int:
        """The number of epochs."""
        if self.estimator.max_iter != "auto":
            return self.estimator.max_iter
        n_batches = math.ceil(len(self.data.train_rows) / self.batch_size)
        return max(LEAST_EPOCHS, math.ceil(LEAST_STEPS / n_batches))

    def _labelled(self, X, codes: np.ndarray, sample_weight: np.ndarray | None) -> tuple[Labelled, Tensor]:
        """Hold labelled rows out, where that is asked for.

        Returns
        -------
        labelled : Labelled
            Those to learn from.
        weight : Tensor of shape (n_samples,)
            Of rows as labelled ones, with mean one over those trained on, and over those held out.
        """
        numbers = np.flatnonzero(codes >= 0)
        own = None if sample_weight is None else sample_weight[numbers]
        weight = weights_by_class(self.estimator, codes[numbers], own)
        data = TrainingData(arrays.take(X, numbers), sample_weight=weight, dtype=self.dtype, device=self.device)
        hold_out(self.estimator, data, self.streams.split, torch.from_numpy(codes[numbers]))
        everywhere = torch.from_numpy(numbers).to(self.device)
        if data.validation_rows is not None:
            self.data.validation_rows = everywhere[data.validation_rows]
            watched = torch.isin(self.data.train_rows, self.data.validation_rows)
            self.data.train_rows = self.data.train_rows[~watched]
        all_weights = torch.zeros(len(codes), dtype=self.dtype, device=self.device)
        row_weight = data.row_weight()
        all_weights[everywhere] = 1.0 if row_weight is None else row_weight
        trained = everywhere[data.train_rows].cpu().numpy()
        return Labelled(trained, codes[trained], all_weights[trained].cpu().double().numpy()), all_weights

    def _restore_frequencies(self, labelled: Labelled, weight: Tensor) -> None:
        """Give the labelled rows weights with which classes are as frequent among them as among all rows."""
        among_labels = np.bincount(labelled.codes, labelled.weight, self.n_classes) / labelled.weight.sum()
        factor = self.teacher.frequencies / np.where(among_labels > 0, among_labels, 1)
        numbers = torch.from_numpy(labelled.numbers).to(self.device)
        weight[numbers] *= torch.from_numpy(factor[labelled.codes]).to(weight)
        weight[numbers] /= weight[numbers].mean()

    def _lesson(self, labelled: Labelled) -> Lesson:
        teacher, n_batches = self.teacher, math.ceil(len(self.data.train_rows) / self.batch_size)

        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(self.device, self.dtype)

        return Lesson(
            used=self.used,
            labelled=torch.from_numpy(labelled.numbers).to(self.device),
            taught=torch.from_numpy(teacher.distributions.argmax(1)).to(self.device),
            confidence=tensor(teacher.confidence()),
            frequencies=tensor(teacher.frequencies),
            row_weight=self.data.row_weight(),
            n_steps=self.max_iter * n_batches,
            rate_falls=self._rate_falls,
            by_graph=teacher.by_graph,
        )

    def _points(self) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return what gathers rows, and their codes, by their numbers, each of mean variance one."""
        rows = self.data.inputs(preparation(self.encoder))
        codes = codings(forward_centred(self.encoder), rows)
        width = min(rows.n_features, MOST_COLUMNS)
        projection = None
        if width < rows.n_features:
            size = rows.n_features, width
            drawn = torch.randn(size, dtype=torch.float32, generator=self.streams.weights)
            projection = (drawn / math.sqrt(width)).to(self.device, self.dtype)
        scales = [1 / max(root_mean_variance(each, self.used), 1e-12) for each in (rows, codes)]

        def points(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            index = torch.from_numpy(numbers).to(self.device)
            inputs = torch.empty(len(index), width, dtype=self.dtype, device=self.device)
            done = 0
            for part, x in rows.chunks(index):
                inputs[done : done + len(part)] = x if projection is None else x @ projection
                done += len(part)
            own_codes = codes.batch(index).mul_(scales[1])
            return inputs.mul_(scales[0]).cpu().numpy(), own_codes.cpu().numpy()

        return points

    def _attributes(self, history: History, encoder: nn.Module, head: nn.Module) -> dict[str, Any]:
        distributions = self.teacher.distributions
        return super()._attributes(history, encoder, head) | {
            "label_distributions_": arrays.array_like(self.data.X, torch.from_numpy(distributions)),
            "transduction_": arrays.take(self.estimator.classes_, distributions.argmax(1)),
        }
