"""How the learning rate changes over a run: it warms up, and falls to zero where the run has an end."""

import math
from collections.abc import Callable

WARM_UP = 0.05  # share of the epochs over which the rate rises from zero

# The share of the rate left after a share u of the fall, and the share of the epochs before the fall begins.
SCHEDULES: dict[str, tuple[Callable[[float], float], float]] = {
    "linear": (lambda u: 1 - u, 0.5),
    "cosine": (lambda u: 0.5 * (1 + math.cos(math.pi * u)), WARM_UP),
}


class RateCourse:
    """The learning rate over a run of ``n_epochs``, as a factor of its highest value.

    Parameters
    ----------
    schedule : {'linear', 'cosine'}
    n_epochs : int
    """

    def __init__(self, schedule: str, n_epochs: int) -> None:
        self._shape, share = SCHEDULES[schedule]
        self._start, self._end, self._top = share * n_epochs, n_epochs, 1.0
        self._warm_up = WARM_UP * n_epochs

    def factor(self, before: float, after: float) -> float:
        """Return the factor of a step that begins and ends when so many epochs have passed."""
        rise = min(1.0, after / self._warm_up)
        if before <= self._start:
            return min(rise, self._top)
        fallen = min(1.0, (before - self._start) / (self._end - self._start))
        return min(rise, self._top * self._shape(fallen))

    def fall(self, epoch: int) -> int:
        """Bring the fall of the rate forward; return how many epochs the run has then.

        The fall takes as many epochs as have passed, and no more than are left.
        """
        if 2 * epoch < self._end:
            self._top = self.factor(epoch, epoch)
            self._start, self._end = float(epoch), 2 * epoch
        return self._end
