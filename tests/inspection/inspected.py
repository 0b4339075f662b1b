"""Fitted models for the tests of skae.inspection."""

import numpy as np
import torch
from numpy.testing import assert_array_equal
from torch import nn

from skae import AutoencoderTransformer, SemanticHasher, VAESampler


def variational(**parameters):
    """A small variational autoencoder, not fitted."""
    settings = {"hidden_layer_sizes": (8,), "max_iter": 4, "tol": None, "random_state": 0, **parameters}
    return VAESampler(3, **settings)


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


def drawn(ax):
    """The array of the last image in an axes."""
    return np.asarray(ax.images[-1].get_array())


def by_hand(activations, k):
    """The k largest entries of each column, the first of equal ones first."""
    return np.argsort(-activations, axis=0, kind="stable")[:k].T


def code(model, X):
    """The activations of the code's units: for bits, their logits."""
    if not isinstance(model, SemanticHasher):
        return model.transform(X)
    *_, last, _ = model.encoder_.children()
    logits = []
    with torch.no_grad(), last.register_forward_hook(lambda *call: logits.append(call[-1])):
        model.encoder_(torch.tensor(X))
    assert_array_equal(logits[0].numpy() > 0, model.transform(X))
    return logits[0].numpy()
