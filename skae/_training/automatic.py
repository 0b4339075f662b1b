"""What "auto" stands for: the rate, the batches, the epochs and the rows held out, from the size of the data."""

from typing import Any, NamedTuple

from .._networks.custom import without_effect
from .._support.parameters import layer_sizes
from .bottleneck import Bottleneck
from .hooks import definitions


class Automatic(NamedTuple):
    """How the automatic values of an estimator follow from its data.

    They were chosen on half of about forty public tables and confirmed on the other half.

    Attributes
    ----------
    learning_rate : float
        Of Adam and AdamW, over a run of known length; wide layers bear less.
    sgd : (float, float or None)
        The learning rate of SGD, and the norm that its gradients are shortened to: rows far from the rest, or
        layers one after the other, make some of them long. For rows of unit variance, under a loss that is a mean
        over features.
    own_norm : float or None
        The norm that gradients of networks and penalties of a user's are shortened to, under a loss of that kind.
    batch_sizes : (int, int)
        Bounds of the batch size, which is a sixteenth of the rows. Fewer rows than the upper bound are one batch.
    n_steps : int
        Aimed at, between so many epochs:
    epochs : (int, int)
    holds_out : bool
        Whether rows are held out, where the number of epochs is automatic too.
    rates : str
        How an automatic rate changes.
    refits : bool
        Whether rows held out of few for an automatic number of epochs are trained on in the end; see `refit.py`.
    """

    learning_rate: float = 0.01
    sgd: tuple[float, float | None] = (0.2, 0.5)
    own_norm: float | None = None
    batch_sizes: tuple[int, int] = (16, 64)
    n_steps: int = 2500
    epochs: tuple[int, int] = (20, 300)
    holds_out: bool = True
    rates: str = "linear"
    refits: bool = False

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
STEADY = Automatic(1e-3, batch_sizes=(200, 200), n_steps=0, epochs=(200, 200), holds_out=False, rates="constant")

# Adam changes all weights of a layer at once, and what its units receive changes with their number: an automatic
# rate of 0.01 is too high for hidden layers of more than 128 units, and in proportion.
RATE_TIMES_WIDTH = 0.01 * 128

# Portions of data have no end in sight: partial_fit keeps one rate, and batches as large as most portions are.
PORTIONS_LEARNING_RATE = 1e-3
PORTIONS_BATCH_SIZE = 200

# Rows held out of a table of fewer rows only tell for how many epochs to train on all: once so many have been no
# better, if PCA is beaten. Of more rows, epochs get better late, as the rate falls, and a tenth is not missed.
FEW_ROWS = 1000
PATIENCE = 30

LEAST_HELD_OUT = 40  # rows, where a quarter of all are as many


def share_to_hold_out(n_rows: float, validation_fraction: float) -> float:
    """Return the share of rows to hold out of few ones: enough to tell epochs apart by."""
    return max(validation_fraction, min(LEAST_HELD_OUT / n_rows, 0.25))


def bearable(rate: float, estimator: Any) -> float:
    """Return an automatic rate of Adam, or what the widest hidden layer bears, if that is less."""
    names = {"hidden_layer_sizes", "decoder_hidden_layer_sizes"} - {*without_effect(estimator)}
    given = {name: getattr(estimator, name, None) for name in names}  # a classifier has none
    widths = [size for name, value in given.items() if value is not None for size in layer_sizes(value, name)]
    return min(rate, RATE_TIMES_WIDTH / max(widths, default=1))


def _has_own_terms(estimator: Any) -> bool:
    """Tell whether networks or penalties are a user's: nobody knows how long their gradients are."""
    own = (getattr(estimator, name, None) for name in ("encoder", "decoder"))
    return any(module is not None for module in own) or any(definitions(estimator, "_penalty"))


class ValuesUsed:
    """What the parameters of a run come to: what was given or, for "auto", what follows from the data."""

    estimator: Any
    data: Any
    has_end = True  # whether it is known how long training will be
    n_epochs: int | None = None  # of training the networks as a whole, where rows held out have told

    @property
    def batch_size(self) -> int:
        """The number of rows of a batch."""
        n, given = self.data.n_train, self.estimator.batch_size
        if given != "auto":
            return min(n, int(given))  # torch refuses NumPy's integers
        return self.estimator._automatic.batch_size(n) if self.has_end else min(n, PORTIONS_BATCH_SIZE)

    @property
    def max_iter(self) -> int:
        """The number of epochs of training the networks as a whole."""
        given = self.estimator.max_iter if self.n_epochs is None else self.n_epochs
        n = self.data.n_train
        return self.estimator._automatic.max_iter(n, self.batch_size) if given == "auto" else int(given)

    @property
    def learning_rate(self) -> float:
        """The highest learning rate of the networks, before a bottleneck raises an automatic one."""
        given = self.estimator.learning_rate
        if given != "auto":
            return given
        automatic = self.estimator._automatic
        if self.has_end and self.estimator.solver == "sgd":
            return automatic.sgd[0]
        rate = automatic.learning_rate if self.has_end else PORTIONS_LEARNING_RATE
        return bearable(rate, self.estimator)

    @property
    def max_grad_norm(self) -> float | None:
        """The norm that gradients are shortened to, or None."""
        e = self.estimator
        if e.max_grad_norm is not None or e.learning_rate != "auto" or not self.has_end:
            return e.max_grad_norm
        if e.solver == "sgd":
            return e._automatic.sgd[1]
        return e._automatic.own_norm if _has_own_terms(e) else None

    def raised_rate(self, bottleneck: Bottleneck | None) -> float:
        """Return the highest learning rate of networks around a bottleneck, which may raise an automatic one."""
        own = self.learning_rate
        if bottleneck is None or self.estimator.learning_rate != "auto":
            return own
        return bottleneck.learning_rate(own, self.estimator.solver)

    def values_used(self, bottleneck: Bottleneck | None, max_iter: int) -> dict[str, Any]:
        """Return fitted attributes: the values that parameters have taken."""
        rate = self.raised_rate(bottleneck)
        return {"learning_rate_": rate, "batch_size_": self.batch_size, "max_iter_": max_iter}
