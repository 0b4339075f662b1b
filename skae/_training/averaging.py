"""A running mean of the weights that training passes through, kept in the place of the last ones."""

import torch
from torch import Tensor

HORIZON = 50  # steps that the mean reaches back on average; in short runs a tenth of those that there were


class WeightAverage:
    """The mean of the weights that a step passes through, and the weights reached, in turns in one vector.

    Long steps learn fast but leave the weights scattered around an optimum. Their mean is nearer to it (Polyak and
    Juditsky 1992). The networks are judged, shown and kept with the mean; training goes on from what it has
    reached.

    Parameters
    ----------
    parameters : Tensor of shape (n_parameters,)
        Holds the mean while it is shown, else what has been reached.
    """

    def __init__(self, parameters: Tensor) -> None:
        self.parameters = parameters
        self._mean, self._reached = parameters.clone(), parameters.clone()
        self._n_steps = torch.zeros((), dtype=torch.float32)
        self._shown = True

    def trust(self) -> None:
        """Let weights that come from training count as a mean that reaches back all the way.

        The first steps of a new solver then do not take their place at once.
        """
        self._n_steps.fill_(10.0 * HORIZON)

    def reset(self) -> None:
        """Begin anew at ``parameters``, which somebody has changed; how far the mean reaches back stays."""
        self._mean.copy_(self.parameters)
        self._reached.copy_(self.parameters)
        self._shown = True

    def hide(self) -> bool:
        """Put what has been reached in the place of the mean; return whether that changed anything."""
        if not self._shown:
            return False
        self.parameters.copy_(self._reached)
        self._shown = False
        return True

    def add(self) -> None:
        """Take the parameters after a step into the mean."""
        self._n_steps += 1
        self._mean.lerp_(self.parameters, max(1 / HORIZON, 10 / (float(self._n_steps) + 9)))

    def show(self) -> bool:
        """Put the mean in the place of what has been reached; return whether that changed anything."""
        if self._shown:
            return False
        self._reached.copy_(self.parameters)
        self.parameters.copy_(self._mean)
        self._shown = True
        return True

    def kept(self) -> list[Tensor]:
        """Return the mean and what has been reached, once the mean is shown."""
        return [self._mean, self._reached]

    def state(self) -> dict[str, Tensor]:
        """Return what the next step depends on, once the mean is shown."""
        return {"mean": self._mean, "reached": self._reached, "n_steps": self._n_steps}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Carry on from a state that `state` returned; weights changed since are where it begins anew."""
        self._n_steps.copy_(state["n_steps"])
        if torch.equal(state["mean"].to(self._mean), self._mean):
            self._reached.copy_(state["reached"])
