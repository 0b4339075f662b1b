"""A custom autoencoder, outside of skae: an L1 penalty makes its codes sparse."""

from numbers import Real

from sklearn.utils._param_validation import Interval

from skae import BaseAutoencoder


class L1Autoencoder(BaseAutoencoder):
    """Autoencoder with an L1 penalty: ``l1`` times the mean sum of absolute codes."""

    l1: float = 0.004
    code_activation: str = "relu"  # another default: ReLU codes can be exactly zero

    _parameter_constraints = {"l1": [Interval(Real, 0, None, closed="left")]}

    def _penalty(self, x, code):
        return self.l1 * code.abs().sum(1)
