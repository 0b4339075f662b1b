"""A fit that is prepared: networks with their first weights and the objective, to be trained phase by phase."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._data.chunks import chunk_rows
from .._data.rows import Rows
from .._support.ranks import current
from .automatic import FEW_ROWS, PATIENCE
from .history import History
from .principal_start import PrincipalStart
from .problem import Objective, Schedule, Served
from .seen import Join, Record, with_recent
from .setup import Mode, Setup
from .step import Step


class Phase(NamedTuple):
    """A part of the training whose epochs are counted by themselves.

    Attributes
    ----------
    name : str or None
        For callbacks; None where it is the only phase, whose epochs are all there is.
    max_iter : int
    make_step : callable () -> Step
        Called when the phase begins.
    is_whole : bool
        Whether both networks are trained as a whole.
    """

    name: str | None
    max_iter: int
    make_step: Callable[[], Step]
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
    start : PrincipalStart or None
        PCA's solution, where training starts at it.
    architecture : Architecture
        Of the networks as they are kept, once they are trained.
    is_pca : bool
        Whether the networks have been made PCA in the end.
    """

    setup: Setup
    encoder: Any
    decoder: Any
    inputs: Rows
    objective: Objective
    history: History = field(default_factory=History)
    layer_loss_curves: list[list[float]] = field(default_factory=list)
    start: PrincipalStart | None = None
    portions: dict[str, Record] = field(default_factory=dict)  # see `recent`
    n_refit_epochs: int = 0  # on all rows, after others had told how many

    def __post_init__(self) -> None:
        self.architecture, self.is_pca = self.setup.architecture, False

    def recent(self, name: str, totals: tuple[Tensor, ...], *joins: Join) -> tuple[Tensor, ...]:
        """Return what the rows add up to, in `partial_fit` with the last few thousand rows before them.

        The first of the totals is the number of rows; ``joins`` say what joins each to that of other rows.
        """
        known = getattr(self.setup.previous, "_recent", {}) if self.setup.goes_on else {}
        self.portions[name], whole = with_recent(known.get(name), totals, joins)
        return whole

    @property
    def targets(self) -> Rows:
        """What is reconstructed, as the loss takes it."""
        return self.served.targets or self.inputs

    @property
    def served(self) -> Served:
        """The rows that the step of the whole is taken on."""
        data = self.setup.data
        targets = data.targets(apart=self.inputs.change is not None)
        return Served(self.inputs, targets, data.row_weight(), data.entry_weight())

    @property
    def watched(self) -> Served | None:
        """The rows to watch, where they were given apart from those trained on."""
        data, change = self.setup.data.to_watch(), self.inputs.change
        if data is None:
            return None
        return Served(data.inputs(change), data.targets(apart=change is not None), None, data.entry_weight())

    @functools.cached_property
    def step(self) -> Step:
        """The step that trains both networks as a whole; it takes over the weights they have when it is made."""
        settings = {"trains_biases": not self._biases_are_idle, "watched": self.watched}
        step = self.setup.make_step(self.encoder, self.decoder, self.served, self.objective, **settings)
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

    def measure(self) -> float:
        """Return the loss of the training rows under the weights as they are."""
        rows, row_bytes = self.setup.data.train_rows, self.inputs.n_features * self.inputs.dtype.itemsize
        with self.step.modes(self.setup.streams.noise):
            ranks = current()
            batches = ranks.batches(rows, min(1000, chunk_rows(row_bytes)))
            losses = [self.step.evaluate(index) for index in batches]
            total = float(ranks.sum(torch.stack(losses).sum()))
            return self.objective.loss_unit * total / self.setup.data.n_train

    @property
    def finds_n_epochs(self) -> bool:
        """Whether rows held out are to tell for how many epochs to train on all rows; see `refit.py`."""
        e, data = self.setup.estimator, self.setup.data
        refits = e._automatic.refits and not getattr(e, "ordered", False)  # whose objective changes on the way
        automatic = refits and e.max_iter == "auto" and e.early_stopping == "auto"
        holds_out = self.setup.mode is Mode.FRESH and data.validation_rows is not None
        return automatic and holds_out and data.total_weight < FEW_ROWS

    def schedule(self, step: Step, max_iter: int) -> Schedule:
        """Return how to walk through the rows, and when to stop: not before PCA is beaten, where it is known."""
        schedule = self.setup.schedule(step, max_iter)
        if self.start is None or not self.finds_n_epochs:
            return schedule
        to_beat = self.objective.loss_unit * (self.start.held_out_loss or 0.0)
        return schedule._replace(patience=PATIENCE, to_beat=to_beat)

    def whole(self, name: str | None = None) -> Phase:
        """Return the phase that trains both networks as a whole."""
        return Phase(name, self.max_iter, lambda: self.step)

    @property
    def max_iter(self) -> int:
        """The number of epochs of the networks as a whole: one is enough where nothing is left to be learnt."""
        given = self.setup.estimator.max_iter
        return 1 if given == "auto" and self._starts_at_optimum else self.setup.max_iter

    @property
    def _starts_at_optimum(self) -> bool:
        """Whether no weights are better than those at the start: PCA's, for linear networks."""
        plain = self.objective.is_plain and not self.setup.estimator.alpha
        return self.start is not None and plain and self.setup.architecture.linear

    def settle(self) -> None:
        """Go back to PCA's solution, on all rows, where training has not been worth it."""
        if self.start is None or not self.objective.is_plain or self.setup.estimator.alpha:
            return
        self.step.publish()
        judged = bool(self.setup.estimator.early_stopping)
        if self._starts_at_optimum or (judged and self.start.is_as_good(self.encoder, self.decoder)):
            self.start.restore(self.encoder, self.decoder)
            self.is_pca = True
            if self.start.held_out_loss is not None:
                self.history.best_loss = self.objective.loss_unit * self.start.held_out_loss
            self.step.reload()
