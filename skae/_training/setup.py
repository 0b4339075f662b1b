"""What a fit is given: rows, device, precision, random streams, architecture; and how it takes steps on them."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from .._data import arrays
from .._data.corruption import Corruption, MarkedCorruption
from .._data.hiding import Hiding
from .._data.training_data import TrainingData
from .._networks.building import Architecture, describe
from .._networks.networks import dense_blocks
from .._objectives.losses import Loss, loss_by
from .._support import devices
from .._support.devices import Streams, random_streams
from .._support.ranks import current
from .autograd import AutogradStep
from .automatic import ValuesUsed, share_to_hold_out
from .dropout import Dropout
from .explicit import ExplicitStep
from .history import History
from .hooks import definitions
from .loop import Epochs, interruptible, walk
from .monitoring import Monitor
from .optimizers import OPTIMIZERS, Optimizer
from .problem import DivergedError, Objective, Schedule, Served
from .seen import Seen, centre
from .sparse_step import SparseStep, reads_stored_rows
from .step import Step


@dataclass
class Run(ValuesUsed):
    """What a run reads.

    Attributes
    ----------
    estimator : BaseAutoencoder or AutoencoderClassifier
        Its parameters are read, and nothing is written.
    data : TrainingData
    device : torch.device
    dtype : torch.dtype
        Of the parameters.
    streams : Streams
    """

    estimator: Any
    data: TrainingData
    device: torch.device
    dtype: torch.dtype
    streams: Streams

    @property
    def low_precision(self) -> bool:
        """Whether to compute in bfloat16 beside float32 parameters."""
        return getattr(self.estimator, "dtype", None) == "bfloat16"

    def make_step(
        self, encoder: nn.Module, decoder: nn.Module, served: Served, objective: Objective, **settings: Any
    ) -> Step:
        """Return the explicit step where everything has a closed form, that by autograd elsewhere."""
        bottleneck, make_optimizer = objective.bottleneck, self.optimizer(objective)
        averages = bottleneck is not None and bottleneck.averages_weights
        settings |= {"averages": averages, "low_precision": self.low_precision}
        settings["max_grad_norm"] = self.max_grad_norm
        blocks = dense_blocks(encoder), dense_blocks(decoder)
        closed_form = objective.loss.sum_and_gradient is not None and all(blocks)
        if closed_form and all(penalty.closed_form is not None for penalty in objective.penalties):
            if not self.low_precision and reads_stored_rows([*blocks[0], *blocks[1]], served, objective):
                goes_on = not self.has_end
                return SparseStep(*blocks, served, objective, make_optimizer, goes_on=goes_on, **settings)
            return ExplicitStep(*blocks, served, objective, make_optimizer, **settings)
        return AutogradStep(encoder, decoder, served, objective, make_optimizer, **settings)

    def optimizer(self, objective: Objective) -> Callable[[Tensor, Tensor, Tensor], Optimizer]:
        """Return what makes the solver, given parameters, their gradient, and which of them are weights."""
        e, kind = self.estimator, OPTIMIZERS[self.estimator.solver]
        alpha = e.alpha / (1 if kind.decoupled else objective.loss_unit)
        rate = self.raised_rate(objective.bottleneck)
        return functools.partial(kind, learning_rate=rate, alpha=alpha, momentum=e.momentum)

    def check_batches(self, needs_two_rows: bool) -> None:
        """Raise a ValueError of batches of one row, where networks have batch normalization."""
        if needs_two_rows and self.batch_size < 2:
            raise ValueError(
                "Batch normalization takes means over the rows of a batch and needs at least two, but n_samples="
                f"{self.data.n_train} and batch_size={self.estimator.batch_size}. Use a larger batch, or layer "
                "normalization."
            )

    def schedule(self, step: Step, max_iter: int) -> Schedule:
        """Return how to walk through the rows, and when to stop.

        Raises
        ------
        ValueError
            If batches are too small for batch normalization.
        """
        self.check_batches(step.needs_two_rows)
        e = self.estimator
        rates = e.learning_rate_schedule
        if rates == "auto":
            rates = e._automatic.rates if e.learning_rate == "auto" else "constant"
        return Schedule(
            max_iter,
            self.batch_size,
            e.shuffle,
            e.tol,
            e.n_iter_no_change,
            rates=rates if self.has_end else "constant",
            keeps_best=bool(e.early_stopping),
            merge_single=step.needs_two_rows,
            loss_unit=step.objective.loss_unit,
            first_epoch=self.first_epoch,
        )

    @property
    def first_epoch(self) -> float:
        """How many epochs have passed before, for warm-ups."""
        return 0.0

    @contextlib.contextmanager
    def training(
        self, step: Step, schedule: Schedule, monitor: Monitor | None = None
    ) -> Iterator[tuple[History, Epochs]]:
        """Set torch up for steps; yield their history, and the batches to take them on, as `walk` does.

        Divergence becomes the `ValueError` that users see.
        """
        multiply_adds = 3 * schedule.batch_size * step.multiply_adds
        history, epochs = self.epochs(step, schedule, monitor)
        try:
            with devices.cpu_settings(multiply_adds), step.modes(self.streams.noise), interruptible(epochs):
                yield history, epochs
        except DivergedError as error:
            raise self.explain(error, step) from None

    def epochs(self, step: Step, schedule: Schedule, monitor: Monitor | None = None) -> tuple[History, Epochs]:
        """Return the walk of a step through the rows to train on, and the history that it writes."""
        data, history = self.data, History(schedule.loss_unit)
        watched = {"held_out": data.validation_rows if data.watched is None else data.watched.train_rows}
        order = self.streams.order
        return history, walk(step, data.train_rows, schedule, order, history, monitor=monitor, **watched)

    def explain(self, error: DivergedError, step: Step) -> ValueError:
        """Return what users see where training diverges, because of a function of theirs or of large numbers."""
        objective, said = step.objective, f"the loss was no longer finite in epoch {error.epoch}."
        for term in (objective.corruption, objective.loss, *objective.penalties):
            blame = None if term is None or term.own is None else term.own.blame()
            if blame is not None:
                return ValueError(f"Training diverged: {said} {blame}")
        own = [name for name in ("encoder", "decoder") if getattr(self.estimator, name, None) is not None]
        look = f" If that does not help, look for divisions, roots and logarithms in {' and '.join(own)}, which "
        watched = self.data.watched
        of_watched = "" if watched is None else f", in X_val {watched.largest_magnitude():.4g}"
        scale = "Lower" if objective.loss.supports else f"Scale X, for instance with {self.data.scaler}, or lower"
        return ValueError(
            f"Training diverged: {said} The largest magnitude in X is {self.data.largest_magnitude():.4g}"
            f"{of_watched} and learning_rate={step.learning_rate:g}. {scale} learning_rate."
            + (f"{look}are not finite at zero." if own else "")
        )


MOST_PASSES = 1000  # of `partial_fit` that curves tell of: they would grow without end, in memory and in files


class Mode(Enum):
    """Where a fit starts."""

    FRESH = "from new weights"
    WARM_START = "from the weights of the last fit, with a new solver"
    INCREMENTAL = "one pass from the weights and the solver's state that the last pass left, if there was one"


@dataclass
class Setup(Run):
    """What a fit is given: complete before there are networks, and what hooks read.

    Attributes
    ----------
    mode : Mode
    previous : BaseAutoencoder or None
        The fitted estimator that the fit goes on from; None starts from new weights.
    architecture : Architecture
    generator : torch.Generator
        Of noise, on the networks' device.
    seen : Seen
        What was seen before these rows.
    """

    mode: Mode
    previous: Any
    architecture: Architecture
    generator: torch.Generator
    seen: Seen = field(init=False)

    @property
    def has_end(self) -> bool:  # type: ignore[override]
        """Whether it is known how long training will be: `partial_fit` may always be called once more."""
        return self.mode is not Mode.INCREMENTAL

    @property
    def first_epoch(self) -> float:
        # What a warm start begins at is one of its candidates, and so has to be judged by the whole objective.
        return math.inf if self.mode is Mode.WARM_START and self.previous is not None else 0.0

    @property
    def n_passes_before(self) -> int:
        """How many epochs and passes of the whole there have been before this one, of `partial_fit`."""
        return self.previous.n_iter_ if self.goes_on and self.previous.loss_curve_ else 0

    @property
    def goes_on(self) -> bool:
        """Whether this is one more pass of `partial_fit`."""
        return self.mode is Mode.INCREMENTAL and self.previous is not None

    def curve(self, name: str, epochs: list[float]) -> list[float]:
        """Return a curve of this fit, after the end of that of passes before it, if it is one more of them."""
        return [*getattr(self.previous, name), *epochs][-MOST_PASSES:] if self.goes_on else [*epochs]

    def loss_unit(self, loss: Loss) -> float:
        """Return what a loss is multiplied by to be one of the data as they were given."""
        return self.data.target_unit ** (loss.degree or 0)

    def dropout(self) -> Dropout | None:
        """Return the dropout of hidden units that the estimator's parameters ask for."""
        return Dropout(self.estimator.dropout, self.generator) if self.estimator.dropout else None

    def hiding(self) -> Hiding | None:
        """Return what hides groups of columns, where the estimator names some."""
        groups = self.estimator.hidden_groups
        return None if groups is None else Hiding(groups, self.generator)

    def corruption(self) -> Corruption | None:
        """Return the noise on the inputs that the estimator's parameters ask for."""
        noise, level = self.estimator.noise, self.estimator.noise_level
        if noise is None or self.data.paired:
            return None
        data, clean = self.data, self.estimator.clean_fraction
        kind = MarkedCorruption if data.missing else Corruption
        space = data.offset, clean, data.missing, data.unit
        return kind(noise, level, self.seen.column_statistics(data), self.generator, self.dtype, *space)


def set_up(estimator, X, mode: Mode, make_data: Callable[..., TrainingData]) -> Setup:
    """Make all that a fit to validated rows is given; ``make_data`` takes their dtype and device."""
    previous = estimator if mode is not Mode.FRESH and hasattr(estimator, "encoder_") else None
    device = devices.resolve(estimator.device)
    streams = random_streams(estimator.random_state)
    loss = None if estimator.loss is None else loss_by(estimator.loss)
    architecture = describe(estimator, X.shape[1], loss)
    for hook in definitions(estimator, "_adapt_architecture"):
        architecture = hook(architecture, mode)
    dtype = _dtype(estimator, device, X, mode is Mode.INCREMENTAL and previous is not None)
    rows = make_data(missing=estimator._takes_missing, dtype=dtype, device=device)
    if mode is not Mode.INCREMENTAL:
        hold_out(estimator, rows, streams.split)
    generator = torch.Generator(device).manual_seed(streams.noise.initial_seed())
    setup = Setup(estimator, rows, device, rows.dtype, streams, mode, previous, architecture, generator)
    centre(setup)
    return setup


def hold_out(estimator, data: TrainingData, generator: torch.Generator, groups: Tensor | None = None) -> None:
    """Hold rows out for early stopping, where it is asked for, or automatic and possible."""
    given, fraction = estimator.early_stopping, estimator.validation_fraction
    if data.watched is not None or not given:
        return
    if given == "auto":
        if estimator.max_iter != "auto" or not estimator._automatic.holds_out:
            return
        fraction = share_to_hold_out(data.total_weight, fraction)
    try:
        data.split(fraction, generator, groups, estimator._holds_out_extremes)
    except ValueError:
        if given != "auto":
            raise
        return
    if given == "auto" and data.holds_out_repeats:
        data.unsplit()


def _dtype(estimator, device: torch.device, X, goes_on: bool) -> torch.dtype:
    name = estimator.dtype
    if name == "auto" and goes_on:  # portions of other sizes are no reason to change it
        return next(estimator.encoder_.parameters()).dtype
    if name == "auto":
        exact = device.type == "cpu" and arrays.torch_dtype(X) == torch.float64
        name = "float64" if exact and current().count(X.shape[0]) * X.shape[1] <= 100_000 else "float32"
    if name == "float64" and device.type == "mps":
        raise ValueError("dtype='float64' is not supported on device 'mps'; use dtype='float32'.")
    return torch.float64 if name == "float64" else torch.float32  # bfloat16 keeps float32 parameters
