"""What "auto" stands for: the rate, the batches, the epochs and the rows held out, from the size of the data."""

from typing import NamedTuple


class Automatic(NamedTuple):
    """How the automatic values of an estimator follow from its data.

    They were chosen on half of about forty public tables and confirmed on the other half.

    Attributes
    ----------
    learning_rate : float
        Of Adam and AdamW, over a run of known length.
    sgd : (float, float or None)
        The learning rate of SGD, and the norm that its gradients are shortened to: rows far from the rest, or
        layers one after the other, make some of them long. For rows of unit variance, under a loss that is a mean
        over features.
    batch_sizes : (int, int)
        Bounds of the batch size, which is a sixteenth of the rows. Fewer rows than the upper bound are one batch.
    n_steps : int
        Aimed at, between so many epochs:
    epochs : (int, int)
    holds_out : bool
        Whether rows are held out, where the number of epochs is automatic too.
    rates : str
        How an automatic rate changes.
    """

    learning_rate: float = 0.01
    sgd: tuple[float, float | None] = (0.2, 0.5)
    batch_sizes: tuple[int, int] = (16, 64)
    n_steps: int = 2500
    epochs: tuple[int, int] = (20, 300)
    holds_out: bool = True
    rates: str = "linear"

    def batch_size(self, n_rows: int) -> int:
        """Return the number of rows of a batch."""
        least, most = self.batch_sizes
        return min(n_rows, most) if n_rows <= most else min(max(n_rows // 16, least), most)

    def max_iter(self, n_rows: int, batch_size: int) -> int:
        """Return the number of epochs."""
        least, most = self.epochs
        n_batches = -(-n_rows // batch_size)
        return min(max(round(self.n_steps / n_batches), least), most)


# Long runs at one rate, for those whose objective has more to balance than the reconstruction.
STEADY = Automatic(1e-3, (1e-3, None), (200, 200), n_steps=0, epochs=(200, 200), holds_out=False, rates="constant")

# Portions of data have no end in sight: partial_fit keeps one rate, and batches as large as most portions are.
PORTIONS_LEARNING_RATE = 1e-3
PORTIONS_BATCH_SIZE = 200

LEAST_HELD_OUT = 40  # rows, where a quarter of all are as many


def share_to_hold_out(n_rows: float, validation_fraction: float) -> float:
    """Return the share of rows to hold out of few ones: enough to tell epochs apart by."""
    return max(validation_fraction, min(LEAST_HELD_OUT / n_rows, 0.25))
