"""A mixture of normal distributions of rows with missing entries, for tables whose rows come in groups.

Each component has a covariance of its own, shrunk towards that of all of them. It is fitted by EM, as a single
Gaussian is, from groups along the first principal axis, so that nothing is drawn.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from . import gaussian
from .gaussian import Gaussian, Patterns, Prediction, predict

N_COMPONENTS = 3
COMMON_ROWS = 3.0  # so many rows for each column does the common covariance count for, in that of each component
N_ITERATIONS = 40
RIDGE = 1e-3
LEAST_CHANGE = 1e-3  # of a row's log-likelihood, on average


class Mixture(NamedTuple):
    """A mixture of Gaussians: the components, and the logarithms of their weights, (n_components,), float64."""

    components: tuple[Gaussian, ...]
    log_weights: Tensor

    def fill(self, x: Tensor, observed: Tensor, patterns: Patterns) -> Tensor:
        """Return rows (n, d) with their missing entries replaced by the conditional means."""
        said = [predict(one, x, observed, patterns) for one in self.components]
        share = posterior(said, self.log_weights)[0]
        filled = sum(
            (part[:, None] * one.filled for part, one in zip(share, said, strict=True)), torch.zeros_like(x)
        )
        return torch.where(observed, x, filled)

    def draw(self, x: Tensor, observed: Tensor, uniform: Tensor, noise: Tensor) -> Tensor:
        """Return rows with their missing entries drawn: a component by ``uniform`` (n,), entries by ``noise``."""
        patterns = Patterns(observed)
        share, _ = posterior([predict(one, x, observed, patterns) for one in self.components], self.log_weights)
        chosen = (share.cumsum(0) < uniform).sum(0).clamp_max(len(self.components) - 1)
        result = x.clone()
        for number, one in enumerate(self.components):
            rows = (chosen == number).nonzero()[:, 0]
            result[rows] = gaussian.draw(one, x[rows], observed[rows], noise[rows])
        return result


def posterior(said: list[Prediction], log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability of each component given what is observed, (n_components, n), and log p(x), (n,)."""
    joint = torch.stack([one.log_likelihood for one in said]) + log_weights[:, None]
    return joint.softmax(0), joint.logsumexp(0)


def fit_mixture(x: Tensor, observed: Tensor, whole: Gaussian, shrinkage: float) -> Mixture:
    """Fit a mixture to the observed entries of standardised rows.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Float64.
    observed : bool Tensor of shape (n, d)
    whole : Gaussian
        Of the same rows, or of more.
    shrinkage : float
        Of the off-diagonal entries of the common covariance; see `fit_gaussian`.
    """
    patterns = Patterns(observed)
    known = torch.where(observed, x, 0.0)
    said = [predict(whole, known, observed, patterns, to_fit=True)] * N_COMPONENTS
    share = _groups(said[0].filled - whole.mean, whole.covariance)
    before = -torch.inf
    for _ in range(N_ITERATIONS):
        components = _maximize(said, share, shrinkage)
        log_weights = ((share.sum(1) + 1) / (len(x) + len(share))).log()
        said = [predict(one, known, observed, patterns, to_fit=True) for one in components]
        share, log_likelihood = posterior(said, log_weights)
        now = float(log_likelihood.mean())
        if now - before < LEAST_CHANGE:
            break
        before = now
    return Mixture(components, log_weights)


def _groups(deviation: Tensor, covariance: Tensor) -> Tensor:
    """Return the shares (n_components, n) that rows have in groups of equal size along the first axis."""
    axis = torch.linalg.eigh(covariance).eigenvectors[:, -1]
    rank = (deviation @ axis).argsort(stable=True).argsort()
    group = rank * N_COMPONENTS // len(rank)
    return 0.8 * torch.nn.functional.one_hot(group, N_COMPONENTS).T.double() + 0.2 / N_COMPONENTS


def _maximize(said: list[Prediction], share: Tensor, shrinkage: float) -> tuple[Gaussian, ...]:
    """Return the components that what was said of rows, with these shares, is most likely under."""
    n, d = said[0].filled.shape
    moments = [one.moments(part) for one, part in zip(said, share, strict=True)]
    common = sum((scatter for _, scatter in moments), share.new_zeros(d, d)) / n
    common = (common + shrinkage * common.diagonal().diag()) / (1 + shrinkage)
    common += RIDGE * torch.eye(d, dtype=share.dtype)
    n_common = COMMON_ROWS * d
    return tuple(
        Gaussian(mean, (scatter + n_common * common) / (part.sum() + n_common))
        for (mean, scatter), part in zip(moments, share, strict=True)
    )
