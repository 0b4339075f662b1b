"""Strengths that rise over the first epochs."""


class WarmUp:
    """A strength that rises evenly from zero over so many epochs; told between steps how many have passed.

    Parameters
    ----------
    strength : float
        What it rises to.
    n_epochs : float
        0 is no warm-up.

    Attributes
    ----------
    value : float
        The strength in the next step.
    """

    def __init__(self, strength: float, n_epochs: float) -> None:
        self.strength, self.n_epochs = strength, n_epochs
        self.value = 0.0 if n_epochs else strength

    def advance(self, epochs: float) -> None:
        """Take note of how many epochs have passed before the next step."""
        self.value = self.strength * min(1.0, epochs / self.n_epochs) if self.n_epochs else self.strength
