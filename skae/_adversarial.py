"""The adversarial autoencoder."""

from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from . import _prior as priors
from ._adversary import Adversary, Discriminator
from ._architecture import layer_sizes
from ._base import BaseAutoencoder, field
from ._fitting import Fit
from ._generation import generate
from ._optimizers import Quick


class AdversarialAutoencoder(BaseAutoencoder):
    r"""Draft.
    """

    n_components: int = field(default=8, kw_only=False)
    prior: Any = "normal"
    adversarial_weight: float = 1.0
    discriminator_hidden_layer_sizes: Any = (128,)
    discriminator_learning_rate: float = 5e-3
    n_discriminator_steps: int = 2
    discriminator_noise: float = 0.5
    tied_weights: bool = False

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "prior": [StrOptions({"normal"}), "array-like", callable],
        "adversarial_weight": [Interval(Real, 0, None, closed="left")],
        "discriminator_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "discriminator_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_discriminator_steps": [Interval(Integral, 1, None, closed="left")],
        "discriminator_noise": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
    }

    def sample(self, n_samples=1, random_state=None):
        """Draw new rows: codes from the prior, decoded.

        After a scaler, ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings them back to its input's units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other rows each time.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows, of the floating dtype of the data that were given to `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If ``n_samples`` is no integer, or is below 1.
        """
        return generate(self, n_samples, random_state, self._draw_codes)

    def _draw_codes(self, n: int, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return priors.draw(self._prior, n, self._n_features_out, like, generator)

    def _bridge(self, fit: Fit) -> Adversary:
        width = fit.architecture.encoder_layer_sizes[-1]
        prior = priors.prior(self.prior, width)
        hidden = layer_sizes(self.discriminator_hidden_layer_sizes, "discriminator_hidden_layer_sizes")
        discriminator = Discriminator((width, *hidden, 1), fit.streams.weights, fit.dtype, fit.device)
        if fit.start is not None:
            discriminator.load(fit.start._discriminator)
        solver = Quick(*discriminator.flat, learning_rate=self.discriminator_learning_rate)
        return Adversary(
            discriminator,
            fit.carried_on("discriminator", solver),
            lambda n, generator: priors.draw(prior, n, width, discriminator.parameters, generator),
            weight=self.adversarial_weight,
            noise=self.discriminator_noise,
            n_steps=self.n_discriminator_steps,
            n_rows=len(fit.data.train_rows),
            n_features=fit.data.n_features,
            generator=fit.noise_generator(),
        )

    def _reconstruction_loss(self, fit: Fit):
        return fit.bridge.watch(super()._reconstruction_loss(fit))

    def _own_attributes(self, fit: Fit, encoder: nn.Module, decoder: nn.Module) -> dict[str, Any]:
        curve = fit.bridge.ledger.curve("discriminator")
        return {
            "discriminator_loss_curve_": fit.curve("discriminator_loss_curve_", curve),
            "_discriminator": fit.bridge.discriminator.plain(),
            "_prior": priors.prior(self.prior, self.n_components),
        }
