"""Distributions that codes are to have: the standard normal, mixtures of normal ones, and users' own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._data.arrays import as_tensor
from .._support.callables import OwnFunction
from .._support.devices import normal

# Plain values, kept beside the networks: (means (m, k), factors (m, k, k)) of a mixture, or as it was given.
Prior = str | tuple[np.ndarray, np.ndarray] | Callable


def prior(given: Any, n_components: int) -> Prior:
    """Check a prior for codes of this width, and bring a mixture into the form in which it is drawn from.

    Raises
    ------
    ValueError
        If a mixture is no sequence of pairs whose means and covariances are of the codes' width.
    """
    if isinstance(given, str) or callable(given):
        return given
    pairs = [_pair(pair, n_components) for pair in given]
    if not pairs:
        raise ValueError(f"prior={given!r} is a mixture of nothing. Give it at least one (mean, covariance) pair.")
    return np.stack([mean for mean, _ in pairs]), np.stack([factor for _, factor in pairs])


def _pair(pair: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        mean, covariance = (np.asarray(part, dtype=np.float64) for part in pair)
        mean = np.broadcast_to(mean, (k,))
        if covariance.ndim < 2:
            covariance = np.diag(np.broadcast_to(covariance, (k,)))
        if covariance.shape != (k, k) or not np.allclose(covariance, covariance.T):
            raise ValueError("no covariance")
        values, vectors = np.linalg.eigh(covariance)
        finite = np.isfinite(mean).all() and values[0] >= -1e-9 * abs(values[-1])
    except (TypeError, ValueError, np.linalg.LinAlgError):
        finite = False
    if not finite:
        raise ValueError(
            f"prior holds {pair!r}, but each entry of a mixture must be a pair (mean, covariance) for codes of "
            f"n_components={k}: a mean of shape ({k},) or one number, and a covariance matrix of shape "
            f"({k}, {k}), variances of shape ({k},), or one variance."
        )
    return mean, vectors * np.sqrt(values.clip(0))


def draw(prior: Prior, n: int, n_components: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw codes, (n, n_components), of the dtype and on the device of ``like``; the generator's is the same.

    Raises
    ------
    ValueError
        If a user's function returns another shape.
    """
    if isinstance(prior, tuple):
        means, factors = (as_tensor(part).to(like) for part in prior)
        chosen = torch.randint(len(means), (n,), generator=generator, device=like.device)
        drawn = normal((n, n_components, 1), like, generator)
        return torch.baddbmm(means[chosen].unsqueeze(2), factors[chosen], drawn)[:, :, 0]
    if isinstance(prior, str):
        return normal((n, n_components), like, generator)
    contract = (
        "prior is called as prior(n, generator), with a number of codes and a torch.Generator, and must return "
        "them as a tensor or array of shape (n, n_components): torch.randn(n, n_components, generator=generator, "
        "device=generator.device), for instance."
    )
    own = OwnFunction(lambda: torch.as_tensor(prior(n, generator)), f"prior={prior!r}", contract)
    codes = own()
    if codes.shape != (n, n_components):
        raise ValueError(
            f"prior={prior!r} returned shape {tuple(codes.shape)} for n={n}, but a prior must return codes of "
            f"shape (n, n_components) = ({n}, {n_components})."
        )
    return codes.detach().to(like)
