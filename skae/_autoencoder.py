"""The plain autoencoder."""

from numbers import Real
from typing import Any, ClassVar

from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval
from torch import nn

from ._architecture import layer_sizes
from ._base import BaseAutoencoder
from ._fitting import Fit, atomic
from ._penalties import Penalty, contractive


class AutoencoderTransformer(BaseAutoencoder):
    """TODO"""

    contractive: float = 0.0
    tied_weights: bool = False
    encoder: Any = None
    decoder: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "contractive": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
        "encoder": [nn.Module, None],
        "decoder": [nn.Module, None],
    }

    @atomic
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Train the networks on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows. Integer weights are as good as repeated rows, and zero as good
            as leaving a row out.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight=sample_weight)

    def _penalty(self, fit: Fit) -> Penalty | None:
        if not self.contractive:
            return None
        one_layer = not layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        return contractive(self.contractive, self.code_activation if one_layer else None)
