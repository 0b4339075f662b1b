"""The code as a normal distribution, with a mixture of normal distributions as its prior, learnt along with it.

The divergence of q(z|x) from a mixture has no closed form. With a draw z = m + s e of q(z|x), that of k units is::

    KL = E(z) - k / 2 - sum_j l_j / 2,      E(z) = -log sum_c w_c N(z; mu_c, v_c) - k / 2 log(2 pi)
    dE/dz = sum_c r_c(z) (z - mu_c) / v_c,      with r_c(z) the probability that z comes from component c

The mixture has no gradient: it follows the draws by stochastic expectation maximisation (Cappe and Moulines 2009,
On-line expectation-maximization algorithm for latent data models, Journal of the Royal Statistical Society B 71).
"""

from typing import Any

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional as F

from .gaussian import GaussianBottleneck

STEP_SIZE = 0.02  # share that a batch has in the running moments
N_RECENT = 20  # batches whose draws the mixture starts from
OVERLAP = 0.1  # share of each component, at the start, that is like the whole
VARIANCE_FLOOR = 1e-4
LEAST_WEIGHT = 1e-8


class MixtureBottleneck(GaussianBottleneck):
    """Draws codes, and adds their divergence from a mixture; in the first steps, from a standard normal prior.

    Parameters
    ----------
    n_mixture : int
        Number of components.
    start : int
        Number of steps until there is a mixture.
    **parameters
        As for `GaussianBottleneck`: of one draw for each row, and without free bits.
    """

    def __init__(self, n_mixture: int, start: int, **parameters: Any) -> None:
        super().__init__(n_draws=1, free_bits=0.0, **parameters)
        self._n_mixture, self._start, self._n_steps = n_mixture, start, 0
        self._recent: list[Tensor] = []
        self._moments: tuple[Tensor, ...] | None = None  # of each component: its weight, and that times E z, E z^2

    def own_loss(self, reconstruction: Tensor) -> Tensor:
        """Return the weighted divergence of each row, and note both parts of the loss."""
        z = torch.addcmul(self._mean, self._deviation, self._noise[0])
        if not self.is_held_out:
            self._follow(z.detach())
        if self._moments is None:
            return super().own_loss(reconstruction)
        log_parts = self._log_parts(z)
        kl = -0.5 * (1 + self._log_variance).sum(1) - log_parts.logsumexp(1)
        self._z, self._share = z.detach(), torch.softmax(log_parts.detach(), 1)
        return self._weighted(kl, kl.detach(), reconstruction)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the code layer's output."""
        if self._moments is None:
            super().backward(code, dz, dcode, row_weight)
            return
        weight, width = self.warm_up.value / len(code), dz.shape[1]
        own = self._z * (self._share @ self._precision) - self._share @ self._scaled_mean
        shrinking = torch.full_like(own, weight)
        if row_weight is not None:
            own, shrinking = own * row_weight, shrinking * row_weight
        dmean = torch.add(dz.to(self.dtype), own, alpha=weight)
        half_slope = torch.addcmul(self._half, self._tanh, self._tanh, value=-0.5)
        dcode[:, :width] = dmean
        dcode[:, width:] = dmean.mul_(self._noise[0]).mul_(self._deviation).sub_(shrinking).mul_(half_slope)

    def state(self) -> dict[str, Any]:
        """Return the mixture, or what it will start from."""
        moments = None if self._moments is None else [moment.clone() for moment in self._moments]
        return {"n_steps": self._n_steps, "recent": [*self._recent], "moments": moments}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        self._n_steps, self._recent, moments = state["n_steps"], [*state["recent"]], state["moments"]
        self._moments = None if moments is None else tuple(moment.clone() for moment in moments)
        if self._moments is not None:
            self._set_mixture(self._moments)

    # The mixture ----------------------------------------------------------------------------------------------

    def _follow(self, z: Tensor) -> None:
        """Let the mixture follow the draws of a training step."""
        self._n_steps += 1
        if self._moments is None:
            self._recent = [*self._recent[1 - N_RECENT :], z]
            if self._n_steps >= self._start:
                self._moments = self._moments_of(torch.cat(self._recent))
                self._recent = []
                self._set_mixture(self._moments)
            return
        share = torch.softmax(self._log_parts(z), 1)
        if self._row_weight is not None:
            share = share * self._row_weight
        for mean, new in zip(self._moments, _moments(share, z), strict=True):
            mean.lerp_(new, STEP_SIZE)
        self._set_mixture(self._moments)

    def _moments_of(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return moments to start from: of clusters."""
        clusters = KMeans(min(self._n_mixture, len(z)), n_init=1, random_state=0).fit(z.cpu().numpy())
        share = F.one_hot(torch.as_tensor(clusters.labels_, dtype=torch.int64, device=z.device)).to(z.dtype)
        return _moments(share.lerp(share.mean(0).expand_as(share), OVERLAP), z)

    def _set_mixture(self, moments: tuple[Tensor, ...]) -> None:
        """Set the mixture that has these moments, in the form that densities are computed from."""
        weight = moments[0].clamp_min(LEAST_WEIGHT)
        mean, square = (moment / weight.unsqueeze(1) for moment in moments[1:])
        variance = (square - mean.square()).clamp_min(VARIANCE_FLOOR)
        self._precision = variance.reciprocal()
        self._scaled_mean = mean * self._precision
        constant = (mean * self._scaled_mean + variance.log()).sum(1)
        self._log_constant = (weight / weight.sum()).log() - 0.5 * constant

    def _log_parts(self, z: Tensor) -> Tensor:
        """Return log w_c N(z; mu_c, v_c) + k / 2 log(2 pi), (n, n_mixture)."""
        products = z @ self._scaled_mean.t() - 0.5 * z.square() @ self._precision.t()
        return products + self._log_constant


def _moments(share: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """Return the mean over rows of each component's share, and of its share times z and z^2."""
    n = len(z)
    return share.mean(0), share.t() @ z / n, share.t() @ z.square() / n
