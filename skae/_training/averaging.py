"""A running mean of the weights that training passes through, kept in the place of the last ones."""

from typing import Any

import torch
from torch import Tensor

HORIZON = 50  # steps that the mean reaches back on average; in short runs a tenth of those that there were


class Averaged:
    """A step of training whose networks are judged, shown and kept with the mean of their weights.

    Long steps learn fast but leave the weights scattered around the place that they are after. Their mean is
    nearer to it (Polyak and Juditsky 1992). Training itself goes on from the weights that it has reached.

    Parameters
    ----------
    step : ExplicitStep or AutogradStep
    trained : bool
        Whether its weights come from training. They then count as a mean that reaches back all the way, so that
        the first steps of a new solver do not take their place at once.
    """

    def __init__(self, step, trained: bool) -> None:
        self.step = step
        self.needs_two_rows, self.multiply_adds = step.needs_two_rows, step.multiply_adds
        self.by_autograd = step.by_autograd
        self.parameters: Tensor = step.parameters
        self._mean, self._reached = step.parameters.clone(), step.parameters.clone()
        self._n_steps = torch.tensor(10.0 * HORIZON if trained else 0.0)
        self._shown = True  # whether the networks have the mean, and not what has been reached

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        if self._shown:
            self.step.assign(self._reached)
            self._shown = False
        total = self.step(index)
        self._n_steps += 1
        self._mean.lerp_(self.parameters, max(1 / HORIZON, 10 / (float(self._n_steps) + 9)))
        return total

    def _show(self) -> None:
        if not self._shown:
            self._reached.copy_(self.parameters)
            self.step.assign(self._mean)
            self._shown = True

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss without penalties, summed over the rows numbered ``index``."""
        self._show()
        return self.step.evaluate(index)

    def publish(self) -> None:
        """See to it that the modules hold the mean."""
        self._show()
        self.step.publish()

    def release(self) -> None:
        """Give the modules the mean as parameters of their own."""
        self._show()
        self.step.release()

    def snapshot(self) -> Any:
        """Return a copy of the trained state."""
        self._show()
        return self.step.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Go back to a snapshot."""
        self._show()
        self.step.restore(snapshot)

    def state(self) -> dict[str, Tensor]:
        """Return what the next step depends on, once the mean is shown."""
        return {"mean": self._mean, "reached": self._reached, "n_steps": self._n_steps}

    def load(self, state: dict[str, Tensor]) -> None:
        """Carry on from a state that `state` returned, unless the weights have been changed since."""
        if torch.equal(state["mean"].to(self._mean), self._mean):
            self._reached.copy_(state["reached"])
            self._n_steps.copy_(state["n_steps"])
