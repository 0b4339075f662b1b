"""Likelihoods of four columns, alone and mixed: decoders, targets, and their densities by SciPy."""

import numpy as np
import torch
from scipy import special, stats

from skae._networks.blocks import Block, Linear
from skae._networks.networks import Decoder
from skae._objectives.likelihoods import LIKELIHOODS, link, of_family, with_scale

MIXED = (("bernoulli", [1]), ("gaussian", [3, 0]), ("poisson", (2,)))
LAYOUTS = {name: name for name in LIKELIHOODS} | {
    "pairs": MIXED,
    "apart": [("exponential", [0, 2]), ("gaussian", [1, 3])],
    "variables": [("categorical", [0, 2]), ("categorical", [1, 3])],
    "one variable": [("categorical", [0, 3, 1]), ("exponential", 2)],
    "scales": [("student_t", [3, 0]), ("gaussian", [1]), ("poisson", [2])],
}
# How variances come about, and for which layouts each is tried.
SCALED = ("gaussian", "student_t", "pairs", "apart", "scales")
VARIANCES = {"learned": (*LAYOUTS,), "fixed": SCALED, "conditional": SCALED}
CASES = [(layout, variance) for variance, layouts in VARIANCES.items() for layout in layouts]


def decoder_of(parts, variance="learned"):
    """A decoder whose columns have different variances and degrees of freedom; its blocks are not used."""
    scaled, n_dof = with_scale(parts), len(of_family(parts, "student_t"))
    n, conditional = len(scaled), variance == "conditional"
    block = Block(Linear(1, 4 + n * conditional), "identity")
    n_features = 4 if conditional else None
    decoder = Decoder([block], link(parts), n, n > 0 and variance == "learned", n_features, n_dof).double()
    if n:
        decoder.variance_floor.copy_(torch.linspace(0.1, 0.2, n) if variance != "fixed" else torch.full((n,), 0.7))
    if decoder.log_variance is not None:
        decoder.log_variance.detach().copy_(torch.linspace(-1, 1, n))
    if n_dof:
        decoder.log_dof.detach().copy_(torch.linspace(0.2, 3, n_dof))
    return decoder


def outputs(parts, n_rows, variance="learned", seed=0):
    """What such a decoder may return, float64."""
    width = 4 + len(with_scale(parts)) * (variance == "conditional")
    return torch.randn(n_rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


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
        elif name == "student_t":
            x[:, picked] = rng.standard_t(1.5, size=x[:, picked].shape)
        elif name != "gaussian":
            x[:, picked] = rng.poisson(2, size=x[:, picked].shape)
    return torch.tensor(x)


def densities(parts, decoder, output, x):
    """log p of each row by SciPy, from a decoder's output and its variances."""
    scaled = list(with_scale(parts))
    total = np.zeros(len(x))
    for name, columns in parts:
        picked = list(columns)
        o, t = output[:, picked].numpy(), x[:, picked].numpy()
        if name in ("gaussian", "student_t"):
            variance = decoder.variances_of(output[:, 4:]).detach().expand(len(x), -1)
            scale = variance[:, [scaled.index(column) for column in picked]].sqrt().numpy()
        if name == "gaussian":
            entries = stats.norm(o, scale).logpdf(t)
        elif name == "student_t":
            entries = stats.t(decoder.degrees_of_freedom.detach().numpy(), o, scale).logpdf(t)
        elif name == "bernoulli":
            entries = t * np.log(special.expit(o)) + (1 - t) * np.log(special.expit(-o))
        elif name == "poisson":
            entries = stats.poisson(np.exp(o)).logpmf(t)
        elif name == "exponential":
            entries = stats.expon(scale=np.exp(o)).logpdf(t)
        else:
            entries = t * special.log_softmax(o, 1)
        total += entries.sum(1)
    return total
