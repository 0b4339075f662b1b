"""One step of training: the seam between the loop and the two ways to differentiate (explicit, autograd)."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._data.corruption import Corruption
from .._data.rows import Rows
from .._objectives.losses import Loss
from .._objectives.penalties import Penalty
from .averaging import WeightAverage
from .bottleneck import Bottleneck
from .optimizers import Optimizer


class Served(NamedTuple):
    """The rows that steps are taken on.

    Attributes
    ----------
    rows : Rows
        The inputs, centred.
    targets : Rows or None
        What to reconstruct; None reconstructs the inputs.
    row_weight : Tensor of shape (n_rows,) or None
        Weights of mean one over the rows trained on.
    entry_weight : Rows or None
        Weights of the targets' entries; an entry of weight zero is as good as missing.
    """

    rows: Rows
    targets: Rows | None = None
    row_weight: Tensor | None = None
    entry_weight: Rows | None = None

    def weights(self, index: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of the rows numbered ``index``: of rows, (n, 1), and all that the loss takes."""
        row = None if self.row_weight is None else self.row_weight[index].unsqueeze(1)
        if self.entry_weight is None:
            return row, row
        entry = self.entry_weight.batch(index)
        return row, entry if row is None else entry.mul_(row)


class Objective(NamedTuple):
    """What is minimised, and how.

    Attributes
    ----------
    loss : Loss
    corruption : Corruption or None
        Noise on the inputs, drawn anew for each batch; targets stay clean.
    bottleneck : Bottleneck or None
    penalties : sequence of Penalty
    projections : sequence of callables (weight)
        Called after each update with the decoder's weights of each unit of the code, (n_components, fan_out), to
        change them in place.
    """

    loss: Loss
    corruption: Corruption | None = None
    bottleneck: Bottleneck | None = None
    penalties: Sequence[Penalty] = ()
    projections: Sequence[Callable[[Tensor], object]] = ()

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing but the loss."""
        return self.corruption is None and self.bottleneck is None and not (self.penalties or self.projections)


class Step:
    """``step(index) -> objective``: one step on numbered rows. What the loop may ask of it is all here.

    Attributes
    ----------
    parameters, gradient : Tensor of shape (n_parameters,)
        Of all that is trained. Between `differentiate` and the update there is this one gradient.
    needs_two_rows : bool
        Whether a batch of one row is impossible (batch normalization).
    multiply_adds : int
        Of one row on its way through the networks.
    warms_up : bool
        Whether steps have to be told, by `advance`, how far training has come.
    warm_up_epochs : float
        So many epochs have another objective than the rest: none of them counts as flat, or as the best.
    """

    parameters: Tensor
    gradient: Tensor
    optimizer: Optimizer
    needs_two_rows = False
    multiply_adds: int

    def __init__(self, served: Served, objective: Objective, averages: bool, trains_biases: bool) -> None:
        self.served, self.objective = served, objective
        self._averages, self._trains_biases = averages, trains_biases
        self._moving: Tensor | None = None  # ones for parameters that are trained, where not all are
        self.average: WeightAverage | None = None
        terms: list[Any] = [*objective.penalties, *([objective.bottleneck] if objective.bottleneck else [])]
        self.warms_up = any(term.warms_up for term in terms)
        bottleneck = objective.bottleneck
        self.warm_up_epochs = bottleneck.warm_up.n_epochs if bottleneck is not None and bottleneck.warm_up else 0.0
        self._left: Tensor | None = None  # what the modules held when they were given back

    def _begin(self, make_optimizer: Callable[[Tensor, Tensor, Tensor], Optimizer], is_weight: Tensor) -> None:
        """Make the solver, once there are parameters."""
        self.optimizer = make_optimizer(self.parameters, self.gradient, is_weight)
        if not self._trains_biases:
            self._moving = is_weight
        if self._averages:
            self.average = WeightAverage(self.parameters)

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        if self.average is not None and self.average.hide():
            self._follow()
        total = self.differentiate(index)
        if self._moving is not None:
            self.gradient.mul_(self._moving)
        penalty = self.optimizer.update()
        for project in self.objective.projections:
            project(self._code_weights())
        if self.average is not None:
            self.average.add()
        self._follow()
        return total if penalty is None else total.add(penalty, alpha=len(index))

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        raise NotImplementedError

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss of held-out rows, summed, without penalties; noise is the same each time."""
        self._show()
        with contextlib.ExitStack() as stack:
            for source in (self.objective.corruption, self.objective.bottleneck):
                if source is not None:
                    stack.enter_context(source.held_out())
            return self._evaluate(index)

    def advance(self, epochs: float) -> None:
        """Take note of how many epochs have passed before the next step."""
        if self.objective.bottleneck is not None:
            self.objective.bottleneck.advance(epochs)
        for penalty in self.objective.penalties:
            penalty.advance(epochs)

    def take_sums(self) -> dict[str, Tensor]:
        """Return what the bottleneck has added up over the rows of the epoch, by name."""
        return {} if self.objective.bottleneck is None else self.objective.bottleneck.take_sums()

    def modes(self, generator: torch.Generator) -> contextlib.AbstractContextManager:
        """Return a context with torch set up for steps; ``generator``, on the CPU, seeds what it draws."""
        raise NotImplementedError

    # The networks -----------------------------------------------------------------------------------------

    def publish(self) -> None:
        """See to it that the modules hold what has been learnt, for a look at them."""
        self._show()
        self._store(self.parameters)

    def release(self) -> None:
        """Give the modules what has been learnt as parameters of their own."""
        self.publish()

    def give_back(self) -> None:
        """Give the modules what they held at the last `leave`."""
        self.release()
        if self._left is not None:
            self._store(self._left)

    def leave(self) -> None:
        """Note what the modules hold, once nothing more will change them before another pass."""
        self._left = self._gathered()

    def resume(self) -> None:
        """Go on after `leave`: from the parameters reached, or from the modules' where these were edited."""
        current = self._gathered()
        if self._left is None or not torch.equal(current, self._left):
            self.assign(current)
            self._left = current

    def snapshot(self) -> Any:
        """Return a copy of the trained state."""
        self._show()
        return self.parameters.clone()

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot."""
        self.assign(snapshot)

    def assign(self, parameters: Tensor) -> None:
        """Go on from other parameters."""
        self.parameters.copy_(parameters)
        if self.average is not None:
            self.average.reset()
        self._follow()

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on beside the modules."""
        parts: dict[str, Any] = {"solver": self.optimizer.state()}
        if self.average is not None:
            parts["average"] = self.average.state()
        if self.objective.bottleneck is not None:
            parts["bottleneck"] = self.objective.bottleneck.state()
        return parts

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        self.optimizer.load_state(state["solver"])
        if self.average is not None:
            self.average.load_state(state["average"])
        if self.objective.bottleneck is not None:
            self.objective.bottleneck.load_state(state["bottleneck"])

    def _show(self) -> None:
        """Put the mean of the weights, where one is kept, in the place of those reached."""
        if self.average is not None and self.average.show():
            self._follow()

    # What the two differ in -------------------------------------------------------------------------------

    def _evaluate(self, index: Tensor) -> Tensor:
        raise NotImplementedError

    def _follow(self) -> None:
        """Do what a change of ``parameters`` asks for."""

    def _store(self, parameters: Tensor) -> None:
        """Copy ``parameters`` into the modules."""

    def _gathered(self) -> Tensor:
        """Return a copy of what the modules hold, as one vector."""
        raise NotImplementedError

    def _code_weights(self) -> Tensor:
        """Return the decoder's weights of each unit of the code, (n_components, fan_out), a view."""
        raise NotImplementedError
