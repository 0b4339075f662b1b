"""One run of training: what it reads from an estimator's parameters, and how it fails."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._data.rows import Rows
from .._data.training_data import TrainingData
from .._support import devices, random
from .autograd import AutogradStep
from .averaging import Averaged
from .explicit import ExplicitStep
from .loop import DivergedError, History, Schedule, train
from .monitoring import Monitor
from .optimizers import OPTIMIZERS, Optimizer
from .steps import make_step, torch_modes


def atomic(method: Callable) -> Callable:
    """Make a method that fails leave the estimator as it found it."""

    @functools.wraps(method)
    def guarded(estimator, *args, **kwargs):
        before = dict(vars(estimator))
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return guarded


class Run:
    """The solver and the loop as an estimator's parameters want them.

    Parameters
    ----------
    estimator : BaseAutoencoder or AutoencoderClassifier
        Read only.
    device : torch.device
    dtype : torch.dtype
    low_precision : bool
        Compute in bfloat16 beside float32 parameters.
    """

    data: TrainingData
    y: Any  # what callbacks score against
    current: ExplicitStep | AutogradStep | Averaged  # the step that is being trained

    def __init__(self, estimator, device: torch.device, dtype: torch.dtype, low_precision: bool = False) -> None:
        self.estimator, self.device, self.dtype = estimator, device, dtype
        self.low_precision = low_precision
        self.streams = random.streams(estimator.random_state)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the solver."""
        return self.estimator.learning_rate

    def make_optimizer(self, parameters: Tensor, gradient: Tensor, is_weight: Tensor) -> Optimizer:
        """Make the estimator's solver for flat parameters."""
        e = self.estimator
        settings = {"learning_rate": self.learning_rate, "alpha": e.alpha, "momentum": e.momentum}
        return OPTIMIZERS[e.solver](parameters, gradient, is_weight, **settings)

    def make_step(self, encoder, decoder, rows: Rows, *, loss, **settings):
        """Make a step for two networks on these rows, with the estimator's solver and precision."""
        return make_step(
            encoder,
            decoder,
            loss,
            rows,
            self.make_optimizer,
            row_weight=self.data.row_weight(),
            low_precision=self.low_precision,
            **settings,
        )

    def train(
        self, step, monitor: Monitor, *, max_iter: int, tol="the estimator's", warm_up: float = 0
    ) -> History:
        """Run the training loop on a step.

        Raises
        ------
        ValueError
            If the loss, or a weight, stops being finite; or if batches are too small for batch normalization.
        """
        self.current = step
        e, n = self.estimator, len(self.data.train_rows)
        schedule = Schedule(
            max_iter=max_iter,
            batch_size=min(n, 200 if e.batch_size == "auto" else e.batch_size),
            shuffle=e.shuffle,
            tol=e.tol if tol == "the estimator's" else tol,
            n_iter_no_change=e.n_iter_no_change,
            warm_up=warm_up,
            merge_single=step.needs_two_rows,
        )
        if step.needs_two_rows and schedule.batch_size < 2:
            raise ValueError(
                "Batch normalization takes means over the rows of a batch and needs at least two, but "
                f"n_samples={n} and batch_size={e.batch_size}. Use a larger batch, or layer normalization."
            )
        multiply_adds = 3 * schedule.batch_size * step.multiply_adds
        try:
            with devices.cpu_settings(multiply_adds), torch_modes(step, self.device, self.streams.noise):
                return train(
                    step,
                    self.data.train_rows,
                    schedule,
                    self.streams.order,
                    validation=self.data.validation_rows,
                    monitor=monitor,
                )
        except DivergedError as error:
            rate = f"learning_rate={e.learning_rate:g}"
            if self.learning_rate != e.learning_rate:
                rate += f", which is raised to {self.learning_rate:g} here"
            raise ValueError(
                f"Training diverged: the loss was no longer finite in epoch {error.epoch}. The largest magnitude "
                f"in X is {self.data.largest_magnitude():.4g} and {rate}. Scale X, for instance "
                "with sklearn.preprocessing.StandardScaler, or lower learning_rate."
            ) from None
