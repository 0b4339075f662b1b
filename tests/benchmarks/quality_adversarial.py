"""Do codes of the adversarial autoencoder look like their prior, and rows of the denoising chain like the data?

Codes are to have the prior's mean and standard deviation, to pass a two-sample test, and to restore rows nearly as
well as a plain autoencoder's. The test is the permutation test of the energy distance (Szekely and Rizzo 2004)
between 200 codes and 200 draws; a fit's p-value is the median over ten such pairs. Of several seeds, the worst is
printed.
"""

import time
import warnings

import numpy as np
from datasets import mnist
from scipy.spatial.distance import cdist
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from table import judged, row

from skae import AdversarialAutoencoder, AutoencoderTransformer, DenoisingAutoencoder


def p_value(one, other, rng, n_permutations=200):
    both = np.vstack([one, other])
    distances, first = cdist(both, both), np.arange(len(both)) < len(one)

    def energy(first):
        between, inside = distances[first][:, ~first], distances[first][:, first]
        return 2 * between.mean() - inside.mean() - distances[~first][:, ~first].mean()

    found = energy(first)
    return (1 + sum(energy(rng.permutation(first)) >= found for _ in range(n_permutations))) / (1 + n_permutations)


def median_p_value(codes):
    rng = np.random.default_rng(0)
    parts = [codes[rng.choice(len(codes), 200, replace=False)] for _ in range(10)]
    return np.median([p_value(part, rng.normal(size=part.shape), rng) for part in parts])


def compare(name, X, n_seeds):
    warnings.simplefilter("ignore", ConvergenceWarning)  # all defaults, max_iter too
    found, start = [], time.perf_counter()
    for seed in range(n_seeds):
        plain, ours = (
            cls(8, random_state=seed).fit(X) for cls in (AutoencoderTransformer, AdversarialAutoencoder)
        )
        codes, free = ours.transform(X), StandardScaler().fit_transform(plain.transform(X))
        mean, deviation = np.abs(codes.mean(0)).max(), np.abs(codes.std(0) - 1).max()
        ratio = ours.reconstruction_error(X).mean() / plain.reconstruction_error(X).mean()
        found.append((mean, deviation, ratio, -median_p_value(codes), median_p_value(free)))
    mean, deviation, ratio, p_ours, p_plain = np.max(found, axis=0)
    work = f"{name}, {n_seeds} seeds, {time.perf_counter() - start:.0f} s"
    yield judged(f"{work}: largest |mean| of a unit", f"{mean:.3f}", "", "<= 0.15", mean <= 0.15)
    yield judged(f"{work}: largest |standard deviation - 1|", f"{deviation:.3f}", "", "<= 0.15", deviation <= 0.15)
    yield judged(f"{work}: largest error / plain autoencoder's", f"{ratio:.3f}", "", "<= 1.3", ratio <= 1.3)
    yield judged(f"{work}: least p-value, 200 codes and draws", f"{-p_ours:.3f}", "", "> 0.05", p_ours < -0.05)
    yield judged(f"{work}: largest, plain codes standardised", f"{p_plain:.3f}", "", "< 0.05", p_plain < 0.05)


@row
def adversarial_digits():
    """Standardised digits, with all defaults."""
    yield from compare("digits", StandardScaler().fit_transform(load_digits().data), 9)


@row
def adversarial_mnist():
    """MNIST in [0, 1], with all defaults; training stops by itself."""
    yield from compare("MNIST", mnist()[0], 1)


@row
def denoising_chain():
    """A chain around a circle: its histogram against the true density, and how long it remembers."""
    rng = np.random.default_rng(0)
    radius, angle = rng.normal(2, 0.25, size=2000), rng.uniform(0, 2 * np.pi, size=2000)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    edges, middles = np.linspace(-4, 4, 21), np.linspace(-4, 4, 401)[:-1] + 0.01
    grid = np.linalg.norm(np.stack(np.meshgrid(middles, middles, indexing="ij"), -1), axis=-1)
    density = norm(2, 0.25).pdf(grid) / (2 * np.pi * grid)
    truth = density.reshape(20, 20, 20, 20).sum((1, 3)) * 0.02**2
    model = DenoisingAutoencoder(
        16,
        hidden_layer_sizes=(64,),
        activation="silu",
        noise_level=0.2,
        batch_size=50,
        max_iter=60,
        tol=None,
        random_state=0,
    ).fit(X)
    sample = model.sample(5000, random_state=0)
    distance = np.abs(np.histogram2d(*sample.T, bins=(edges, edges))[0] / 5000 - truth).sum() / 2
    chains = model.sample(20 * 300, 0, burn_in=50, X_init=X[:20]).reshape(300, 20, 2)
    memory = [(chains[:-lag] * chains[lag:]).mean() / (chains**2).mean() for lag in (1, 20, 100)]
    spread = sample.std(0) / X.std(0)
    yield judged(
        "circle: total variation distance (0.06 by chance)",
        f"{distance:.3f}",
        "",
        "<= 0.25",
        distance <= 0.25,
    )
    yield judged(
        "circle: autocorrelation at lags 1, 20, 100",
        ", ".join(f"{m:.2f}" for m in memory),
        "",
        "|last| <= 0.2",
        abs(memory[-1]) <= 0.2,
    )
    yield judged(
        "circle: standard deviations / the data's",
        ", ".join(f"{s:.2f}" for s in spread),
        "",
        "within 0.1 of 1",
        np.abs(spread - 1).max() <= 0.1,
    )
