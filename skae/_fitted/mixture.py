"""A mixture of normal distributions, fitted to the codes that a model gives its training rows, as their prior.

Codes of real rows do not fill the standard normal distribution that they are pulled to: what is drawn between
them is decoded to rows that mix features of unlike ones. Drawing from where the codes are avoids that (Ghosh et
al. 2020, From variational to deterministic autoencoders, ICLR).
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from sklearn import config_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from .._data.arrays import as_tensor
from .._data.chunks import spread
from .._support import threads
from .._support.devices import normal
from .._support.ranks import current
from .._training.fitting import Fit

MOST_ROWS = 20_000  # that a mixture is fitted to
MOST_COMPONENTS = 20
ROWS_PER_COMPONENT = 50
N_ITERATIONS = 50


class Mixture(NamedTuple):
    """Weights, means and covariances of m components, as plain arrays.

    Attributes
    ----------
    weights : ndarray of shape (m,)
    means : ndarray of shape (m, n_components)
    factors : ndarray of shape (m, n_components, n_components)
        F, lower triangular, with F F' the covariance.
    """

    weights: np.ndarray
    means: np.ndarray
    factors: np.ndarray

    @classmethod
    def fit(cls, codes: np.ndarray, seed: int) -> "Mixture":
        """Fit a mixture to codes, (n, n_components), by maximum likelihood."""
        n_components = max(1, min(MOST_COMPONENTS, len(codes) // ROWS_PER_COMPONENT))
        if len(codes) < 2:  # too few for a covariance
            codes = np.vstack([codes, -codes])
        mixture = GaussianMixture(n_components, max_iter=N_ITERATIONS, tol=0, reg_covar=1e-4, random_state=seed)
        with config_context(array_api_dispatch=False), threads.one_for_all(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near a maximum is near enough
            mixture.fit(codes)
            return cls(mixture.weights_, mixture.means_, np.linalg.cholesky(mixture.covariances_))

    @classmethod
    def standard(cls, n_components: int) -> "Mixture":
        """Return the standard normal distribution."""
        return cls(np.ones(1), np.zeros((1, n_components)), np.eye(n_components)[None])

    def draw(self, n: int, like: Tensor, generator: torch.Generator) -> Tensor:
        """Draw codes, (n, n_components), of the dtype of ``like``, on the CPU."""
        weights, means, factors = (as_tensor(part) for part in self)
        chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
        drawn = torch.empty(n, means.shape[1], dtype=torch.float64, device="cpu")
        noise = normal((n, means.shape[1], 1), drawn, generator)
        for number in chosen.unique():
            here = chosen == number
            drawn[here] = (factors[number] @ noise[here])[:, :, 0] + means[number]
        return drawn.to(like)

    def log_density(self, like: Tensor) -> Callable[[Tensor], Tensor]:
        """Return a function of codes (..., n_components): log p(z), without a standard normal's constant."""
        weights, means, factors = (as_tensor(part) for part in self)
        m, k = means.shape
        identity = torch.eye(k, dtype=factors.dtype, device="cpu").expand_as(factors)
        inverse = torch.linalg.solve_triangular(factors, identity, upper=False)
        log_scale = weights.log() + inverse.diagonal(dim1=1, dim2=2).log().sum(1)
        flat = inverse.reshape(m * k, k).t().to(like)
        shift = (inverse @ means.unsqueeze(2)).reshape(m * k).to(like)
        log_scale = log_scale.to(like)

        def log_density(z: Tensor) -> Tensor:
            squares = (z @ flat).sub_(shift).square_().unflatten(-1, (m, k)).sum(-1)
            return torch.logsumexp(log_scale - 0.5 * squares, -1)

        return log_density


@torch.no_grad()
def mixture_of_means(encode: Callable[[Tensor], Tensor], fit: Fit) -> Mixture:
    """Fit a mixture to the posterior means of the rows of a fit; of many, of evenly spaced ones.

    Those held out are among them. ``encode`` maps centred rows to both heads, (n, 2 n_components).
    """
    data, ranks = fit.setup.data, current()
    order, held_out = data.train_rows, data.validation_rows
    if held_out is not None:
        order = torch.cat([order, held_out]).sort()[0]
    means = torch.empty(0, fit.architecture.encoder_layer_sizes[-1], dtype=torch.float64)
    of_chunks = (encode(x).chunk(2, 1)[0] for _, x in fit.inputs.chunks(spread(order, MOST_ROWS)))
    means = ranks.gather(torch.cat([means, *(mean.cpu().to(means, copy=True) for mean in of_chunks)]))
    mixture = Mixture.fit(means.numpy(), fit.setup.streams.split.initial_seed() % 2**31)
    # Machines may round differently: all ranks have what the first has found.
    shared = ranks.join(tuple(map(as_tensor, mixture)), [lambda first, other: first] * len(mixture))
    return Mixture(*(part.numpy() for part in shared))
