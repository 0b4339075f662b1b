"""The denoising autoencoder."""

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from . import _arrays as arrays
from ._base import BaseAutoencoder
from ._fitting import Fit, atomic
from ._noise import NOISES, Corruption


class DenoisingAutoencoder(BaseAutoencoder):
    """TODO."""

    noise: str | Callable = "gaussian"
    noise_level: float = 0.3
    tied_weights: bool = False
    encoder: Any = None
    decoder: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "noise": [StrOptions(set(NOISES)), callable],
        "noise_level": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
        "encoder": [nn.Module, None],
        "decoder": [nn.Module, None],
    }

    @atomic
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_clean=None):
        """Train the networks to restore clean rows from noisy ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data: clean rows, which are corrupted anew for each batch; with ``X_clean``, noisy rows.
        y : None
            Ignored.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The clean row of each noisy row in X. No noise is added then.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, X_clean=self._check_clean(X, X_clean))

    @atomic
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, X_clean=None):
        """Take one pass over X, from the current weights and the current state of the solver.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data: clean rows or, with ``X_clean``, noisy ones.
        y : None
            Ignored.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The clean row of each noisy row in X. No noise is added then.

        Returns
        -------
        self : object
            The estimator.
        """
        return self._partial_fit(X, X_clean=self._check_clean(X, X_clean))

    def denoise(self, X):
        """Restore noisy rows: the same as `reconstruct`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Noisy data.

        Returns
        -------
        X_restored : ndarray of shape (n_samples, n_features)
            Restored rows, of X's floating dtype.
        """
        return self.reconstruct(X)

    def _corruption(self, fit: Fit) -> Corruption | None:
        if fit.data.paired:
            return None
        # Statistics stay those of the first fit, so that chunks given to partial_fit get the same noise.
        statistics = getattr(fit.start, "_column_statistics", None) or fit.data.statistics()
        fills = fit.data.fills(statistics)
        return Corruption(self.noise, self.noise_level, statistics, fills, fit.noise_generator())

    def _own_attributes(self, fit: Fit, encoder: nn.Module, decoder: nn.Module) -> dict[str, Any]:
        corruption = fit.step.corrupt
        return {} if corruption is None else {"_column_statistics": corruption.statistics}

    def _check_clean(self, X, X_clean):
        if X_clean is None:
            return None
        X_clean = arrays.check_unnamed(X_clean, "X_clean")
        if X_clean.shape != np.shape(X):
            raise ValueError(
                f"X_clean has shape {tuple(X_clean.shape)}, but X has shape {tuple(np.shape(X))}: X_clean must "
                "hold the clean row of each noisy row in X."
            )
        return X_clean
