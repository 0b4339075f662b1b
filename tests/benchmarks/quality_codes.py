"""Do codes that are bits, and codes in an order, do what their papers say?

Bits are judged as retrieval: all 60000 training images are ranked by Hamming distance from each of 1000 test
images, ties in the order of the training images; those of the same label are relevant, and the average precision
counts the first 1000 of the ranking. Random hyperplanes, signs of PCA and iterative quantisation (Gong and
Lazebnik 2011) are computed here, on the same images. One seed.
"""

import time

import numpy as np
from datasets import mnist
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from table import Line, judged, row

from skae import AutoencoderTransformer, SemanticHasher

# Retrieval -------------------------------------------------------------------------------------------------


def mean_average_precision(codes, queries, y, y_queries, n_ranked=1000):
    signs, query_signs = (2 * bits.astype(np.float32) - 1 for bits in (codes, queries))
    precisions = []
    for start in range(0, len(queries), 100):
        part = slice(start, start + 100)
        order = np.argsort(-(query_signs[part] @ signs.T), axis=1, kind="stable")[:, :n_ranked]
        relevant = y[order] == y_queries[part, None]
        precision = relevant.cumsum(1) / np.arange(1, n_ranked + 1)
        precisions.append((precision * relevant).sum(1) / np.maximum(relevant.sum(1), 1))
    return float(np.concatenate(precisions).mean())


def quantising_rotation(scores, n_iter=50):
    """Iterative quantisation: the rotation that brings PCA's scores closest to their signs."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(scores.shape[1],) * 2))[0]
    for _ in range(n_iter):
        left, _, right = np.linalg.svd(np.sign(scores @ rotation).T @ scores)
        rotation = (left @ right).T
    return rotation


HASHER = {
    "hidden_layer_sizes": 256,
    "noise_level": 10.0,
    "noise_warm_up": 9,
    "batch_size": 100,
    "max_iter": 12,
    "tol": None,
    "random_state": 0,
}


@row
def hashing():
    """Salakhutdinov and Hinton (2009): bits learnt under noise find images of the same label.

    The level of the noise (5, 10 or 20), the width and the number of epochs were chosen by 1000 queries held out
    of the training images.
    """
    train, test, y, y_test = mnist()
    chosen = np.random.default_rng(0).choice(len(test), 1000, replace=False)
    test, y_test = test[chosen], y_test[chosen]
    mean = train.mean(0)

    for n_bits, known in (16, (0.378, 0.581, 0.681)), (32, (0.540, 0.616, 0.741)):
        planes = np.random.default_rng(0).normal(size=(train.shape[1], n_bits)).astype(np.float32)
        axes = PCA(n_bits, svd_solver="covariance_eigh").fit(train).components_.T
        quantised = axes @ quantising_rotation((train - mean) @ axes)
        found = []
        for name, projection, other in zip(
            ("random hyperplanes", "signs of PCA", "iterative quantisation"),
            (planes, axes, quantised),
            known,
            strict=True,
        ):
            bits = ((rows - mean) @ projection > 0 for rows in (train, test))
            found.append(mean_average_precision(*bits, y, y_test))
            yield Line(f"{n_bits} bits, {name}, mAP at 1000", f"{found[-1]:.3f}", f"{other:.3f} elsewhere")

        start = time.perf_counter()
        hasher = SemanticHasher(n_bits, **HASHER).fit(train)
        seconds = time.perf_counter() - start
        ours = mean_average_precision(hasher.transform(train), hasher.transform(test), y, y_test)
        work = f"{n_bits} bits, SemanticHasher"
        source = "Salakhutdinov and Hinton 2009"
        yield judged(
            f"{work}, mAP at 1000",
            f"{ours:.3f} ({seconds:.0f} s)",
            source,
            f"> {max(found[:2]):.3f}",
            ours > max(found[:2]),
        )
        yield judged(f"{work}, aim", f"{ours:.3f}", "iterative quantisation", f"> {found[2]:.3f}", ours > found[2])
        yield judged(
            f"{work}, saturated", f"{hasher.saturation_:.3f}", source, "> 0.95", hasher.saturation_ > 0.95
        )
        rarer = np.minimum(hasher.bit_frequencies_, 1 - hasher.bit_frequencies_)
        yield Line(f"{work}, rarer value of a bit", f"{rarer.mean():.2f}, least {rarer.min():.2f}", "0.5")


# Order -----------------------------------------------------------------------------------------------------


@row
def ordered():
    """Rippel et al. (2014): PCA's components from linear networks, and prefixes that are codes by themselves."""
    for name, load, k in (
        ("digits", load_digits, 10),
        ("wine", load_wine, 5),
        ("breast cancer", load_breast_cancer, 5),
    ):
        X = StandardScaler().fit_transform(load().data)
        settings = {"hidden_layer_sizes": (), "learning_rate": 1e-2, "max_iter": 1000, "tol": None}
        model = AutoencoderTransformer(k, ordered=True, random_state=0, **settings).fit(X)
        pca = PCA(k + 1).fit(X)
        apart = pca.explained_variance_[:-1] > 1.05 * pca.explained_variance_[1:]
        clear = apart & np.append(True, apart[:-1])
        cosine = (model.components_ * pca.components_[:k]).sum(1)[clear].min()
        work = f"{name}, linear, least cosine with PCA's {clear.sum()} clear"
        yield judged(work, f"{cosine:.5f}", "1 (closed form)", ">= 0.99", cosine >= 0.99)

    for activation, learning_rate in (("relu", 1e-3), ("relu", 3e-3), ("silu", 3e-3)):
        settings = {"activation": activation, "learning_rate": learning_rate, "max_iter": 200, "tol": None}
        yield from _prefixes(f"digits, {activation}, rate {learning_rate}", settings)
    yield from _prefixes("digits, defaults", {})


def _prefixes(work, settings):
    """Compare the error of prefixes with that of networks of their widths, on held-out digits and the others."""
    X = (load_digits().data / 16).astype(np.float32)
    alone, errors = np.empty((4, 16, 2)), {8: np.empty((4, 8, 2)), 16: np.empty((4, 16, 2))}
    for seed in range(4):
        parts = train_test_split(X, random_state=seed)[::-1]
        model = AutoencoderTransformer(random_state=seed, **settings)
        for k in range(16):
            net = clone(model).set_params(n_components=k + 1).fit(parts[1])
            alone[seed, k] = [net.reconstruction_error(rows).mean() for rows in parts]
        for width, error in errors.items():
            model.set_params(n_components=width, ordered=True).fit(parts[1])
            for part, rows in enumerate(parts):
                codes = model.transform(rows)
                for k in range(width):
                    prefix = np.where(np.arange(width) <= k, codes, 0).astype(np.float32)
                    error[seed, k, part] = np.square(model.inverse_transform(prefix) - rows).mean()
    for width, error in errors.items():
        ratios, single = error.sum(0) / alone[:, :width].sum(0), error / alone[:, :width]
        for part, rows in enumerate(("held out", "trained on")):
            worst = ratios[:, part].max()
            figures = (
                f"{ratios[:, part].mean():.2f}, at most {worst:.2f}, in one fit {single[..., part].max():.2f}"
            )
            source = "1 (a network for each width)"
            yield judged(f"{work}, prefixes of {width}, {rows}", figures, source, "<= 1.15", worst <= 1.15)
