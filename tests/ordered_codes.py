"""Estimators with ordered codes, and what their prefixes reconstruct, for the tests of both."""

import numpy as np

from skae import AutoencoderTransformer


def ordered(n_components, **parameters):
    settings = {"max_iter": 60, "learning_rate": 5e-3, "tol": None, "random_state": 0}
    return AutoencoderTransformer(n_components, ordered=True, **{**settings, **parameters})


def prefixes(model, X):
    """Reconstructions from the first unit, the first two, and so on to all of them."""
    codes = model.transform(X)
    units = np.arange(codes.shape[1])
    return [model.inverse_transform(codes * (units <= k)) for k in units]


def errors(model, X):
    return np.array([np.square(restored - X).mean() for restored in prefixes(model, X)])
