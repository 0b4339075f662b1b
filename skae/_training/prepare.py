"""A fit that is prepared: networks with their first weights, the objective, and the step that trains them."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .._data.rows import Rows, index_chunks
from .._networks.building import build, initialize
from .._networks.custom import check_own_networks, load_weights
from .._networks.networks import compression
from .._objectives.losses import loss_by
from .._objectives.penalties import Penalty, mean_over_rows
from .._support.hooks import definitions, the_one
from .loop import History
from .setup import Mode, Setup, set_up
from .step import Objective, Served, Step


@dataclass
class Phase:
    """A part of the training whose epochs are counted by themselves.

    Attributes
    ----------
    max_iter : int
    make_step : callable () -> Step
        Called when the phase begins.
    name : str or None
        For callbacks; None where it is the only phase.
    is_whole : bool
        Whether both networks are trained as a whole.
    """

    max_iter: int
    make_step: Callable[[], Step]
    name: str | None = None
    is_whole: bool = True


@dataclass
class Fit:
    """A fit that is prepared: networks with their first weights, and the objective.

    Attributes
    ----------
    setup : Setup
    encoder, decoder : torch.nn.Module
    inputs : Rows
        The rows as the encoder's first block takes them.
    objective : Objective
        Of the networks as a whole.
    history : History
        Of training the networks as a whole, as far as it has come.
    layer_loss_curves : list of list of float
        Of phases before that.
    architecture : Architecture
        Of the networks as they are kept, once they are trained.
    """

    setup: Setup
    encoder: nn.Module
    decoder: nn.Module
    inputs: Rows
    objective: Objective
    history: History = field(default_factory=History)
    layer_loss_curves: list[list[float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.architecture = self.setup.architecture

    @property
    def targets(self) -> Rows:
        """What is reconstructed, as the loss takes it."""
        return self.served.targets or self.inputs

    @property
    def served(self) -> Served:
        """The rows that the step of the whole is taken on."""
        data = self.setup.data
        targets = data.targets() if self.inputs.change is None else data.inputs()
        return Served(self.inputs, targets, data.row_weight())

    @functools.cached_property
    def step(self) -> Step:
        """The step that trains both networks as a whole; it takes over the weights they have when it is made."""
        step = self.setup.make_step(
            self.encoder, self.decoder, self.served, self.objective, trains_biases=not self._biases_are_idle
        )
        if step.average is not None and self.setup.previous is not None:
            step.average.trust()
        return step

    @property
    def _biases_are_idle(self) -> bool:
        """Whether biases are best left at zero: those of linear networks on data centred by their own mean.

        Their gradients hold nothing but rounding noise, of which Adam would make steps of full length.
        """
        setup = self.setup
        architecture, whole = setup.architecture, setup.data.validation_rows is None
        linear = architecture.linear and architecture.centred and setup.estimator.loss == "squared_error"
        return linear and whole and setup.mode is Mode.FRESH and self.objective.is_plain

    def end(self, phase: Phase, step: Step, history: History) -> None:
        """Take note of a phase that is over."""
        self.history = history
        if not phase.is_whole:
            step.release()
            self.layer_loss_curves.append(history.loss_curve)
            self.history = History()
            self.history.interrupted = history.interrupted

    def forget_rows(self) -> None:
        """Let go of the rows, between passes."""
        self.setup.data = self.inputs = None  # type: ignore[assignment]
        self.step.served = Served(None)  # type: ignore[arg-type]

    def measure(self) -> float:
        """Return the loss of the training rows under the weights as they are."""
        rows, row_bytes = self.setup.data.train_rows, self.inputs.n_features * self.inputs.dtype.itemsize
        with self.step.modes(self.setup.streams.noise):
            losses = [self.step.evaluate(index) for index in index_chunks(rows, row_bytes, 1000)]
            return float(torch.stack(losses).sum()) / len(rows)

    def whole(self, name: str | None = None) -> Phase:
        """Return the phase that trains both networks as a whole."""
        return Phase(self.setup.estimator.max_iter, lambda: self.step, name)


def prepare(estimator, X, mode: Mode, **data) -> Fit:
    """Make everything between validated rows and the first step of training."""
    setup = set_up(estimator, X, mode, data)
    encoder, decoder = _networks(setup)
    bottleneck = the_one(estimator, "_bottleneck", setup)  # first, to say so where there are two
    _give_weights(setup, encoder, decoder)
    loss = the_one(estimator, "_reconstruction_loss", setup, decoder) or loss_by(estimator.loss)
    loss.check(setup.data)
    objective = Objective(
        loss,
        setup.corruption(),
        bottleneck,
        _penalties(setup),
        [project for hook in definitions(estimator, "_projections") for project in hook(setup)],
    )
    return Fit(setup, encoder, decoder, setup.data.inputs(compression(encoder)), objective)


def _networks(setup: Setup) -> tuple[Any, Any]:
    """Build, or copy, both networks and draw their weights."""
    estimator = setup.estimator
    encoder, decoder = build(setup.architecture)
    if setup.previous is None:
        initialize((encoder, decoder), setup.streams.weights)
    # Copied together, so that modules which share parameters still do.
    own = copy.deepcopy((estimator.encoder, estimator.decoder))
    encoder = encoder if own[0] is None else own[0]
    decoder = decoder if own[1] is None else own[1]
    return encoder.to(setup.device, setup.dtype), decoder.to(setup.device, setup.dtype)


def _give_weights(setup: Setup, encoder: Any, decoder: Any) -> None:
    """Give networks their first weights, which have been drawn, or those of the fit before."""
    estimator, previous, data = setup.estimator, setup.previous, setup.data
    if previous is None:
        for hook in definitions(estimator, "_initialize_weights"):
            hook(setup, encoder, decoder)
    else:
        load_weights(encoder, previous.encoder_)
        load_weights(decoder, getattr(previous.decoder_, "unlinked", previous.decoder_))
    if data.offset is not None:  # these stay in the precision of the data
        encoder.offset = data.offset.to(setup.device)
        decoder.offset = data.target_offset.to(setup.device)  # type: ignore[union-attr]
    if estimator.encoder is not None or estimator.decoder is not None:
        like = torch.empty(0, dtype=setup.dtype, device=setup.device)
        check_own_networks(encoder, decoder, setup.architecture, like)


def _penalties(setup: Setup) -> list[Penalty]:
    by_row = [Penalty(mean_over_rows(hook)) for hook in definitions(setup.estimator, "_penalty")]
    return [p for hook in definitions(setup.estimator, "_penalties") for p in hook(setup)] + by_row
