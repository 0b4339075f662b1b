"""The code as a normal distribution: drawing from it, its divergence from the prior, and what an epoch costs.

The code layer returns the mean m and the raw log-variance r of q(z|x), side by side. With l = B tanh(r / B)
and s = exp(l / 2), a draw is z = m + s e for a standard normal e (Kingma and Welling 2014), and::

    KL = sum_j (m^2 + s^2 - 1 - l) / 2      dKL/dm = m      dKL/dl = (s^2 - 1) / 2      dl/dr = 1 - (l / B)^2
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .._data.corruption import restarted
from .._data.rows import Rows, chunk_rows
from .._networks.networks import LOG_VARIANCE_BOUND
from .._objectives.losses import Loss
from .._training.ledger import Ledger, watched

ACTIVE_VARIANCE = 0.01
ENOUGH_ROWS = 5_000


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) of each entry, in nats."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).mul(0.5)


class Posterior:
    """The bridge from the code layer to the decoder of a variational autoencoder; see `Bridge`.

    The own loss of a row is ``beta * sum_j max(free_bits, KL_j)``, where free bits are counted on the mean of
    KL_j over the batch (Kingma et al. 2016). While it warms up, the gradient has a smaller beta than the loss,
    so that the losses of all epochs can be compared.

    Parameters
    ----------
    n_rows : int
        Rows of an epoch.
    beta : float
    n_draws : int
        Draws for each row.
    free_bits : float
        Nats for each unit of the code.
    warm_up : float
        Epochs in which beta grows from nothing.
    epochs_done : int
        Epochs before the first one here.
    dtype : torch.dtype
        Of the parameters; mixed precision computes here in full.
    generator : torch.Generator

    Attributes
    ----------
    ledger : Ledger
        The unweighted KL ("kl") and the reconstruction loss ("reconstruction") of each epoch.
    """

    auxiliary: float | None = None
    importance: Tensor | None = None

    def __init__(
        self,
        n_rows: int,
        *,
        beta: float,
        n_draws: int,
        free_bits: float,
        warm_up: float,
        epochs_done: int,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        self.ledger = Ledger(n_rows)
        self.beta, self.repeats = beta, n_draws
        self.free_bits, self.warm_up, self.epochs_done = free_bits, warm_up, epochs_done
        self.dtype, self.generator = dtype, generator
        self._held_out = False
        self._weight = beta  # of the KL in the gradient at hand
        self._counted: Tensor | None = None
        # Tensors, since a Python number costs a conversion at every step.
        constants = torch.tensor([1.0, 0.5, LOG_VARIANCE_BOUND, 1 / LOG_VARIANCE_BOUND], dtype=dtype)
        self._one, self._half, self._bound, self._inverse_bound = constants.to(generator.device).unbind()

    def width(self, code_width: int) -> int:
        """Return the width of the decoder's input."""
        return code_width // 2

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> Tensor:
        """Draw z; return each row's own loss."""
        mean, log_variance = self._read(code)
        draws = z.view(self._noise.shape)
        if z.dtype == self.dtype:
            torch.addcmul(mean, self._deviation, self._noise, out=draws)
        else:
            draws.copy_(torch.addcmul(mean, self._deviation, self._noise))
        self._variance = self._deviation.square()
        kl = torch.sub(self._variance, log_variance).sub_(self._one).addcmul_(mean, mean).mul_(self._half)
        return self._own_loss(kl)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the code layer's output."""
        n, width = len(code), dz.shape[1]
        dz = dz.view(self._noise.shape).to(self.dtype)
        weight = self._weight / n
        dmean = dz[0] if self.repeats == 1 else dz.sum(0)
        noisy = (dz[0] * self._noise[0] if self.repeats == 1 else (dz * self._noise).sum(0)).mul_(self._deviation)
        half_slope = torch.addcmul(self._half, self._tanh, self._tanh, value=-0.5)
        own_mean, own_variance = code[:, :width], self._variance.sub_(self._one)
        for share in (self._counted, row_weight):
            if share is not None:
                own_mean, own_variance = own_mean * share, own_variance * share
        torch.add(dmean, own_mean, alpha=weight, out=dcode[:, :width])
        dcode[:, width:] = noisy.add_(own_variance, alpha=weight).mul_(half_slope)

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Do as `forward`, differentiable by autograd."""
        mean, log_variance = self._read(code)
        z = torch.addcmul(mean, self._deviation, self._noise)
        own = self._own_loss(divergence(mean, log_variance))
        if self.beta and not self._held_out:
            trained = own * (self._weight / self.beta)
            own = trained + (own - trained).detach()
        return z.view(-1, mean.shape[1]), own

    def _read(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Take the mean and the log-variance from the code layer, and draw the noise."""
        mean, raw = code.to(self.dtype).chunk(2, 1)
        self._tanh = torch.tanh(raw * self._inverse_bound)  # as `bounded`; the gradient needs it once more
        log_variance = self._tanh * self._bound
        self._deviation = torch.exp(log_variance * self._half)
        self._noise = mean.new_empty(self.repeats, *mean.shape).normal_(generator=self.generator)
        return mean, log_variance

    def _own_loss(self, kl: Tensor) -> Tensor:
        """Weigh the divergence of each entry; sum it over units."""
        own = rows = kl.sum(1)
        self._counted = None
        if self.free_bits:
            # Units below their free bits cost those, and get no gradient from the divergence.
            self._counted = (kl.detach().mean(0) > self.free_bits).to(kl.dtype)
            own = (kl * self._counted).sum(1) + self.free_bits * (1 - self._counted).sum()
        if not self._held_out:
            self._begin(rows.detach().sum(), len(kl))
        return own if self.beta == 1 else own * self.beta

    def _begin(self, kl: Tensor, n_rows: int) -> None:
        """Note a batch of the epoch."""
        epochs = self.ledger.begin(n_rows)
        if self.warm_up:
            self._weight = self.beta * min(1.0, (self.epochs_done + epochs) / self.warm_up)
        self.ledger.add("kl", kl)

    @contextlib.contextmanager
    def repeated(self) -> Iterator[None]:
        """Draw the same noise each time, for rows held out: nothing is noted, and beta is whole."""
        weight, self._held_out, self._weight = self._weight, True, self.beta
        try:
            with restarted(self.generator):
                yield
        finally:
            self._held_out, self._weight = False, weight

    def watch(self, loss: Loss) -> Loss:
        """Return the same loss, which leaves a note of its values on training rows."""
        return watched(loss, self._note)

    def _note(self, value: Tensor) -> None:
        if not self._held_out:
            self.ledger.add("reconstruction", value.sum() / self.repeats)


def active_units(encode: Callable[[Tensor], Tensor], rows: Rows, trained: Tensor) -> int:
    """Count the units whose posterior mean varies over training rows (Burda et al. 2016).

    Of many rows, some that are evenly spaced are enough, and spare what an epoch of encoding costs.

    Parameters
    ----------
    encode : callable (x) -> Tensor of shape (n, 2 n_components)
        From centred rows to both heads.
    rows : Rows
    trained : int64 Tensor
        Numbers of the training rows.
    """
    some = trained[:: -(-len(trained) // ENOUGH_ROWS)]
    total = squares = torch.zeros(())
    dtype = torch.float32 if rows.device.type == "mps" else torch.float64
    with torch.no_grad():
        for index in some.split(chunk_rows(rows.n_features * 8)):
            mean = encode(rows.batch(index)).chunk(2, 1)[0].to(dtype)
            total, squares = mean.sum(0) + total, mean.square().sum(0) + squares
    variance = squares / len(some) - (total / len(some)).square()
    return int((variance > ACTIVE_VARIANCE).sum())
