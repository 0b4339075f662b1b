"""The code as a normal distribution: drawing from it, and its divergence from the prior.

The code layer returns the mean m and the raw log-variance r of q(z|x), side by side. With l = B tanh(r / B)
and s = exp(l / 2), a draw is z = m + s e for a standard normal e (Kingma and Welling 2014), and::

    KL = sum_j (m^2 + s^2 - 1 - l) / 2      dKL/dm = m      dKL/dl = (s^2 - 1) / 2      dl/dr = 1 - (l / B)^2
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

from .._data.corruption import restarted
from .._networks.activations import LOG_VARIANCE_BOUND
from .._objectives.penalties import WarmUp
from .._support.devices import normal
from .._support.ranks import current
from .._training.bottleneck import Bottleneck


class GaussianBottleneck(Bottleneck):
    """Draws codes from their distribution, and adds its divergence from the prior to the loss.

    The own loss of a row is ``beta * sum_j max(free_bits, KL_j)``, where free bits are counted on the mean of
    KL_j over the batch (Kingma et al. 2016). While it warms up, the gradient has a smaller beta than the loss,
    so that the losses of all epochs can be compared. Over an epoch it adds up the unweighted divergence ("kl") and
    the reconstruction loss ("reconstruction").

    Parameters
    ----------
    beta : float
    n_draws : int
        Draws for each row.
    free_bits : float
        Nats for each unit of the code.
    warm_up : float
        Epochs in which beta grows from zero.
    dtype : torch.dtype
        Of the parameters; mixed precision computes here in full.
    generator : torch.Generator
    """

    def __init__(
        self,
        *,
        beta: float,
        n_draws: int,
        free_bits: float,
        warm_up: float,
        dtype: torch.dtype,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.n_passes, self.beta, self.free_bits = n_draws, beta, free_bits
        self.warm_up: WarmUp = WarmUp(beta, warm_up)
        self.dtype, self.generator = dtype, generator
        self._counted: Tensor | None = None
        # Tensors, since a Python number costs a conversion at every step.
        constants = torch.tensor([1.0, 0.5, LOG_VARIANCE_BOUND, 1 / LOG_VARIANCE_BOUND], dtype=dtype)
        self._one, self._half, self._bound, self._inverse_bound = constants.to(generator.device).unbind()

    def decoder_width(self, code_width: int) -> int:
        """Return the width of the decoder's input."""
        return code_width // 2

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Draw z."""
        self._read(code, row_weight)
        draws = z.view(self._noise.shape)
        if z.dtype == self.dtype:
            torch.addcmul(self._mean, self._deviation, self._noise, out=draws)
        else:
            draws.copy_(torch.addcmul(self._mean, self._deviation, self._noise))

    def forward_autograd(self, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Do as `forward`, differentiable by autograd."""
        self._read(code, row_weight)
        return torch.addcmul(self._mean, self._deviation, self._noise).view(-1, self._mean.shape[1])

    def _read(self, code: Tensor, row_weight: Tensor | None) -> None:
        """Take the mean and the log-variance from the code layer, and draw the noise."""
        self._row_weight = row_weight
        self._mean, raw = code.to(self.dtype).chunk(2, 1)
        self._tanh = torch.tanh(raw * self._inverse_bound)  # as `bounded`; the gradient needs it once more
        self._log_variance = self._tanh * self._bound
        self._deviation = torch.exp(self._log_variance * self._half)
        n, width = self._mean.shape
        self._noise = current().noise(
            lambda rows: normal((self.n_passes, rows, width), self._mean, self.generator), n, axis=1
        )

    def own_loss(self, reconstruction: Tensor) -> Tensor:
        """Return the weighted divergence of each row, and note both parts of the loss."""
        self._variance = self._deviation.square()
        kl = torch.sub(self._variance, self._log_variance).sub_(self._one)
        kl.addcmul_(self._mean, self._mean).mul_(self._half)
        own = rows = kl.sum(1)
        self._counted = None
        if self.free_bits:
            # Units below their free bits cost those, and get no gradient from the divergence.
            self._counted = (self._mean_over_rows(kl.detach()) > self.free_bits).to(kl.dtype)
            own = (kl * self._counted).sum(1) + self.free_bits * (1 - self._counted).sum()
        return self._weighted(own, rows.detach(), reconstruction)

    def _weighted(self, own: Tensor, rows: Tensor, reconstruction: Tensor) -> Tensor:
        """Weight the divergence of each row by beta, whose gradient warms up; note ``rows``, as they are."""
        self.add("kl", rows.sum() if self._row_weight is None else torch.dot(rows, self._row_weight[:, 0]))
        self.add("reconstruction", reconstruction)
        own = own if self.beta == 1 else own * self.beta
        if own.requires_grad and self.beta:
            warming = own * (self.warm_up.value / self.beta)
            return warming + (own - warming).detach()
        return own

    def _mean_over_rows(self, each: Tensor) -> Tensor:
        if self._row_weight is None:
            return current().batch_mean(each.mean(0))
        ranks = current()
        total = (each * self._row_weight).sum(0)
        return ranks.batch_mean(total / ranks.batch_weight(self._row_weight.sum()))

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the code layer's output."""
        n, width = len(code), dz.shape[1]
        dz = dz.view(self._noise.shape).to(self.dtype)
        weight = self.warm_up.value / n
        dmean = dz[0] if self.n_passes == 1 else dz.sum(0)
        noisy = (dz[0] * self._noise[0] if self.n_passes == 1 else (dz * self._noise).sum(0)).mul_(self._deviation)
        half_slope = torch.addcmul(self._half, self._tanh, self._tanh, value=-0.5)
        own_mean, own_variance = code[:, :width], self._variance.sub_(self._one)
        for share in (self._counted, row_weight):
            if share is not None:
                own_mean, own_variance = own_mean * share, own_variance * share
        torch.add(dmean, own_mean, alpha=weight, out=dcode[:, :width])
        dcode[:, width:] = noisy.add_(own_variance, alpha=weight).mul_(half_slope)

    @contextlib.contextmanager
    def held_out(self) -> Iterator[None]:
        """Draw the same noise each time, for rows held out: nothing is noted, and beta is whole."""
        with super().held_out(), restarted(self.generator):
            yield
