"""The training step: one seam for two ways to differentiate (explicit, autograd)."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._support.ranks import current
from .averaging import WeightAverage
from .optimizers import Optimizer
from .problem import Objective, Served


class Step:
    """``step(index) -> objective``: one step on numbered rows. What the loop may ask of it is all here.

    ``averages`` says whether the networks are kept with a running mean of their weights, ``low_precision`` whether
    to compute in bfloat16 beside float32 parameters, and ``trains_biases`` whether biases move. Gradients longer
    than ``max_grad_norm`` are shortened. ``watched`` are rows to evaluate, where these are not among those served.
    """

    parameters: Tensor  # all that is trained, (n_parameters,)
    gradient: Tensor  # likewise: between `differentiate` and the update there is this one
    optimizer: Optimizer
    multiply_adds: int  # of one row on its way through the networks
    needs_two_rows = False  # whether a batch of one row is impossible (batch normalization)
    exchanges_gradients_alone = False  # whether ranks exchange nothing else in a step

    def __init__(
        self,
        served: Served,
        objective: Objective,
        make_optimizer: Callable[[Tensor, Tensor, Tensor], Optimizer],
        *,
        averages: bool = False,
        low_precision: bool = False,
        trains_biases: bool = True,
        max_grad_norm: float | None = None,
        watched: Served | None = None,
    ) -> None:
        self.served, self.objective, self.low_precision = served, objective, low_precision
        self.watched, self._max_grad_norm = watched, max_grad_norm
        self._make_optimizer, self._averages, self._trains_biases = make_optimizer, averages, trains_biases
        self.average: WeightAverage | None = None
        bottleneck = objective.bottleneck
        warm_ups = [term.warm_up for term in (*objective.penalties, bottleneck) if term is not None]
        self._warm_ups = [warm_up for warm_up in warm_ups if warm_up is not None and warm_up.n_epochs > 0]
        self.warm_up_epochs = bottleneck.warm_up.n_epochs if bottleneck is not None and bottleneck.warm_up else 0.0
        self._rate_factor = 1.0  # as a factor of the highest learning rate
        self._moving: Tensor | None = None  # ones for parameters that are trained, where not all are
        self._left: Tensor | None = None  # what the modules held when they were given back

    def _begin(self, is_weight: Tensor) -> None:
        """Make the solver, once there are parameters."""
        self.optimizer = self._make_optimizer(self.parameters, self.gradient, is_weight)
        self.learning_rate = self.optimizer.learning_rate  # the highest one
        self.optimizer.learning_rate *= self._rate_factor
        self._moving = None if self._trains_biases else is_weight
        if self._averages:
            self.average = WeightAverage(self.parameters)

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        self.begin()
        total, ranks = self.differentiate(index), current()
        ranks.add_up(self.gradient)
        self.limit_gradient()
        return self.end(ranks.counted(total), self.optimizer.update(), ranks.rows_here(index.size(0)))

    def begin(self) -> None:
        """Go on from what has been reached, where the mean of the weights has been shown meanwhile."""
        if self.average is not None and self.average.hide():
            self._follow()

    @property
    def limits_gradient(self) -> bool:
        """Whether `limit_gradient` changes anything."""
        return self._moving is not None or self._max_grad_norm is not None

    def limit_gradient(self) -> None:
        """Leave out biases that are not trained, and shorten a gradient that is too long."""
        if self._moving is not None:
            self.gradient.mul_(self._moving)
        if self._max_grad_norm is not None:
            norm = torch.linalg.vector_norm(self.gradient)
            self.gradient.mul_((self._max_grad_norm / norm).clamp_(max=1))

    def end(self, total: Tensor, penalty: Tensor | None, n_rows: int) -> Tensor:
        """Do what follows an update; return the objective, summed over rows, with the solver's penalty."""
        for project in self.objective.projections:
            project(self._code_weights())
        if self.average is not None:
            self.average.add()
        self._follow()
        if penalty is None:
            return total
        return total.add(penalty, alpha=n_rows / (self.objective.loss_unit if self.optimizer.decoupled else 1))

    def _weights_of(self, index: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the weights of the rows numbered ``index``: of rows, (n, 1), and all that the loss takes."""
        served = self.served
        row = None if served.row_weight is None else served.row_weight[index].unsqueeze(1)
        if served.entry_weight is None:
            return row, row
        entry = served.entry_weight.batch(index)
        return row, entry if row is None else entry.mul_(row)

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows.

        The objective is a mean over the rows of the batch. Of several ranks, each writes its rows' share.
        """
        raise NotImplementedError

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss of held-out rows, summed, without penalties; noise is the same each time."""
        self._show()
        with contextlib.ExitStack() as stack:
            objective = self.objective
            for source in (objective.corruption, objective.bottleneck, objective.dropout, objective.hiding):
                if source is not None:
                    stack.enter_context(source.held_out())
            return current().counted(self._evaluate(index))

    def evaluate_held_out(self, index: Tensor) -> Tensor:
        """Return the loss of rows to watch, as `evaluate` does, wherever they are served from."""
        if self.watched is None:
            return self.evaluate(index)
        served, self.served = self.served, self.watched
        try:
            return self.evaluate(index)
        finally:
            self.served = served

    def warm_up(self, epochs: float) -> None:
        """Take note of how many epochs have passed before the next step."""
        for warm_up in self._warm_ups:
            warm_up.advance(epochs)

    def set_rate(self, factor: float) -> None:
        """Set the learning rate to ``factor`` times its highest value."""
        self._rate_factor, self.optimizer.learning_rate = factor, self.learning_rate * factor
        if self.objective.bottleneck is not None:
            self.objective.bottleneck.set_rate(factor)

    def take_sums(self) -> dict[str, Tensor]:
        """Return what the bottleneck has added up over the epoch, by name."""
        return {} if self.objective.bottleneck is None else self.objective.bottleneck.take_sums()

    def modes(self, generator: torch.Generator) -> contextlib.AbstractContextManager:
        """Return a context with torch set up for steps; ``generator``, on the CPU, seeds what it draws."""
        raise NotImplementedError

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

    def reload(self) -> None:
        """Go on from what the modules hold, which somebody has changed."""
        self.assign(self._gathered())

    def leave(self) -> None:
        """Note what the modules hold, once nothing more will change them before another pass."""
        self._left = self._gathered()

    def resume(self) -> None:
        """Go on after `leave`: from the parameters reached, or from the modules' where these were edited."""
        current = self._gathered()
        if self._left is None or not torch.equal(current, self._left):
            self.assign(current)
            self._left = current

    def reached(self) -> dict[str, Tensor] | None:
        """Return the parameters reached and what the modules hold, where that is not the same."""
        if self._left is None or torch.equal(self._left, self.parameters):
            return None
        return {"parameters": self.parameters, "left": self._left}

    def take_over(self, reached: dict[str, Tensor] | None) -> None:
        """Go on from what `reached` returned, unless the modules were changed since."""
        current = self._gathered()
        if reached is not None and torch.equal(current, reached["left"].to(current)):
            self.parameters.copy_(reached["parameters"])
            self._left = current
            self._follow()

    def rewrite(self, change: Callable[[], object]) -> None:
        """Apply what changes the modules in place to all parameters that are kept, running means among them."""
        kept = [self.parameters, *([] if self.average is None else self.average.kept())]
        changed = []
        for parameters in [vector.clone() for vector in kept]:
            self._store(parameters)
            change()
            changed.append(self._gathered())
        for vector, parameters in zip(kept, changed, strict=True):
            vector.copy_(parameters)
        self._store(self.parameters)
        self._follow()

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

    def _stateful(self) -> dict[str, Any]:
        parts = {"solver": self.optimizer, "average": self.average, "bottleneck": self.objective.bottleneck}
        return {name: part for name, part in parts.items() if part is not None}

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on beside the modules."""
        return {name: part.state() for name, part in self._stateful().items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        for name, part in self._stateful().items():
            part.load_state(state[name])

    def _show(self) -> None:
        """Put the mean of the weights, where one is kept, in the place of those reached."""
        if self.average is not None and self.average.show():
            self._follow()

    def _follow(self) -> None:
        """Do what a change of ``parameters`` asks for; the steps differ in this and in what follows."""

    def _evaluate(self, index: Tensor) -> Tensor:
        raise NotImplementedError

    def _store(self, parameters: Tensor) -> None:
        """Copy ``parameters`` into the modules."""

    def _gathered(self) -> Tensor:
        """Return a copy of what the modules hold, as one vector."""
        raise NotImplementedError

    def _code_weights(self) -> Tensor:
        """Return the decoder's weights of each unit of the code, (n_components, fan_out), a view."""
        raise NotImplementedError
