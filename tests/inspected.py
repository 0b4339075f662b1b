"""Fitted models for the tests of skae.inspection."""

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from torch import nn

from skae import AutoencoderTransformer


class TwoHeads(nn.Module):
    """An encoder that returns a mean and a log-variance."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        mean = self.encoder(x)
        return mean, torch.full_like(mean, -1.0)


class Variational(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The public face of a variational autoencoder, with a plain one behind it."""

    def fit(self, X, y=None):
        inner = AutoencoderTransformer(3, hidden_layer_sizes=(8,), max_iter=4, tol=None, random_state=0).fit(X)
        self.inner_ = inner
        self.encoder_, self.decoder_, self.device_ = TwoHeads(inner.encoder_), inner.decoder_, inner.device_
        self.n_features_in_, self._n_features_out = inner.n_features_in_, 3
        self.loss_curve_ = [9.0, 8.0, 7.5]
        self.reconstruction_curve_ = [8.5, 7.0, 6.0]
        self.kl_curve_ = [0.5, 1.0, 1.5]
        return self

    def transform(self, X):
        return self.inner_.transform(X)

    def inverse_transform(self, Z):
        return self.inner_.inverse_transform(Z)

    def sample(self, n_samples=1, random_state=None, *, mean=False):
        rng = check_random_state(random_state)
        rows = self.inverse_transform(rng.standard_normal((n_samples, 3)))
        return rows if mean else rows + rng.standard_normal(rows.shape)


def convolutional(X, n_channels=1, **parameters):
    """A small convolutional autoencoder of square images, with modules of the user's."""
    side = int(np.sqrt(X.shape[1] // n_channels))
    torch_state = torch.get_rng_state()
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Unflatten(1, (n_channels, side, side)),
        nn.Conv2d(n_channels, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * ((side + 1) // 2) ** 2, 4),
    )
    decoder = nn.Linear(4, X.shape[1])
    torch.set_rng_state(torch_state)
    settings = {"max_iter": 3, "tol": None, "random_state": 0, **parameters}
    return AutoencoderTransformer(4, encoder=encoder, decoder=decoder, **settings).fit(X)


def weights(layer):
    """A dense block's weight and bias as float64 arrays."""
    return tuple(t.detach().double().numpy() for t in (layer[0].weight, layer[0].bias))


def heights(ax):
    """The bars' heights in an axes."""
    return [bar.get_height() for bar in ax.patches]
