"""Likelihoods of four columns, alone and mixed, with decoders and targets for them."""

import numpy as np
import torch

from skae._networks.networks import Block, Decoder, Linear
from skae._objectives.likelihoods import LIKELIHOODS, link, n_gaussian

MIXED = (("bernoulli", [1]), ("gaussian", [3, 0]), ("poisson", (2,)))
LAYOUTS = {name: name for name in LIKELIHOODS} | {
    "pairs": MIXED,
    "apart": [("exponential", [0, 2]), ("gaussian", [1, 3])],
    "variables": [("categorical", [0, 2]), ("categorical", [1, 3])],
    "one variable": [("categorical", [0, 3, 1]), ("exponential", 2)],
}


def decoder_of(parts, fixed=None):
    """A decoder whose normal columns have different variances; its blocks are not used."""
    n = n_gaussian(parts)
    decoder = Decoder([Block(Linear(1, 4), "identity")], link(parts), n, n > 0 and fixed is None).double()
    if n:
        decoder.variance_floor.copy_(torch.linspace(0.1, 0.2, n) if fixed is None else torch.full((n,), fixed))
        if fixed is None:
            decoder.log_variance.detach().copy_(torch.linspace(-1, 1, n))
    return decoder


def targets(parts, shape, seed=0):
    """Values in each column's support, float64."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    for name, columns in parts:
        picked = list(columns)
        if name == "bernoulli":
            x[:, picked] = rng.uniform(size=x[:, picked].shape)
        elif name == "categorical":
            x[:, picked] = np.eye(len(picked))[rng.integers(len(picked), size=len(x))]
        elif name != "gaussian":
            x[:, picked] = rng.poisson(2, size=x[:, picked].shape)
    return torch.tensor(x)
