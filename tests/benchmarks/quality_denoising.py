"""Does the denoising autoencoder remove noise better than linear maps, PCA and a filter?

The best linear denoiser is a ridge regression from noisy to clean rows. One seed, unless a row says otherwise.
"""

import datasets
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupShuffleSplit
from table import Line, judged, row

from skae import DenoisingAutoencoder


def pixels(standard_deviation):
    """Gaussian noise in units of the pixels, not of each feature."""

    def noise(X, generator):
        return X + standard_deviation * torch.empty_like(X).normal_(generator=generator)

    return noise


def dropout(rate):
    """Masking that scales what it keeps, as a dropout layer does."""

    def noise(X, generator):
        return X * (torch.empty_like(X).uniform_(generator=generator) >= rate) / (1 - rate)

    return noise


@row
def denoising():
    """PSNR of restored test images against the best linear map from noisy to clean ones."""
    train, test, *_ = datasets.mnist()
    train = train[:20000]
    rng = np.random.default_rng(0)
    highest = train.max(0)

    def gaussian(X):
        return X + 0.5 * rng.standard_normal(X.shape, dtype=np.float32)

    def masking(X):
        return X * (rng.random(X.shape) >= 0.5)

    def salt_and_pepper(X):
        draw = rng.random(X.shape)
        return np.where(draw < 0.125, 0, np.where(draw < 0.25, highest, X)).astype(np.float32)

    def psnr(restored):
        return -10 * np.log10(np.square(restored - test).mean())

    for name, corrupt, noise, level in (
        ("Gaussian 0.5", gaussian, pixels(0.5), 0),
        ("masking 0.5", masking, "masking", 0.5),
        ("salt and pepper 0.25", salt_and_pepper, "salt_and_pepper", 0.25),
    ):
        noisy = corrupt(test)
        line = psnr(
            Ridge(alpha=100)
            .fit(np.vstack([corrupt(train), corrupt(train)]), np.vstack([train, train]))
            .predict(noisy)
        )
        model = DenoisingAutoencoder(
            256,
            hidden_layer_sizes=(1024,),
            code_activation="relu",
            loss="binary_cross_entropy",
            noise=noise,
            noise_level=level,
            batch_size=128,
            max_iter=20,
            tol=None,
            random_state=0,
        ).fit(train)
        ours = psnr(model.denoise(noisy))
        yield judged(
            f"denoising, {name}; linear {line:.1f} dB",
            f"{ours:.1f} dB",
            "plain code: 18.9, 19.0, 19.1 dB",
            ">= linear + 1.0 (aim 2.5)",
            ours >= line + 1,
        )


@row
def denoising_pca():
    """Noise as strong in every pixel: mean squared error beside that of PCA, whose width is the best for the test.

    Digits of four grey levels of sixteen, one split; faces of persons that were not in training, three splits.
    """
    X = load_digits().data
    noisy = X + np.random.default_rng(0).normal(scale=4, size=X.shape)
    train, pair = X[:1000], (noisy[1000:], X[1000:])
    pca = _error_of_pca(train, *pair)
    for name, settings in {"defaults": {}, "white": _white(4)}.items():
        error = _error(DenoisingAutoencoder(32, random_state=0, **settings).fit(train).denoise(pair[0]), pair[1])
        line = f"denoising, digits, {name}", f"{error:.2f}", f"PCA: {pca:.2f}, noisy: 16"
        yield judged(*line, "< PCA", error < pca) if settings else Line(*line)
    faces, persons = datasets.olivetti()
    for sigma in (0.1, 0.2, 0.4):
        errors = np.mean([_denoised_faces(faces, persons, sigma, seed) for seed in range(3)], axis=0)
        pca, smooth, dense, full = 1000 * errors
        work, source = f"denoising, faces, noise {sigma}, ", f"PCA: {pca:.2f}, Gaussian filter: {smooth:.2f}"
        yield Line(f"{work}dense, error times 1000", f"{dense:.2f}", source)
        better = full < min(pca, smooth)
        yield judged(f"{work}full resolution, error times 1000", f"{full:.2f}", source, "< both", better)


def _white(sigma):
    """Return parameters of noise of this standard deviation, in units of the data, in every column."""
    return {"noise": "white", "noise_level": sigma}


def _error(restored, clean):
    return np.square(restored - clean).mean(dtype=float)


def _error_of_pca(train, noisy, clean):
    """Return the least error of PCA's of several widths."""
    widest = min(len(train) - 1, train.shape[1])
    pca = PCA(widest, svd_solver="full").fit(train)
    scores, widths = pca.transform(noisy), (8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 160, 192, 224, 256)
    return min(
        _error(scores[:, :k] @ pca.components_[:k] + pca.mean_, clean)
        for k in (*(k for k in widths if k < widest), widest)
    )


def _denoised_faces(faces, persons, sigma, seed):
    """Return errors of PCA, of a Gaussian filter of the best width, of a dense and of a convolutional denoiser."""
    train, test = next(GroupShuffleSplit(1, test_size=0.25, random_state=seed).split(faces, groups=persons))
    train, clean = faces[train], faces[test]
    noise = sigma * np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)
    noisy, settings = clean + noise, _white(sigma) | {"random_state": seed}
    images = noisy.reshape(-1, 64, 64)
    smooth = [gaussian_filter(images, (0, width, width)).reshape(clean.shape) for width in (0.7, 1, 1.4, 2, 2.8)]
    dense = DenoisingAutoencoder(32, **settings).fit(train)
    full = DenoisingAutoencoder(
        4 * 64 * 64,
        image_shape=(64, 64),
        hidden_layer_sizes=(16,),
        downsampling_factor=1,
        code_layer="convolution",
        code_activation="relu",
        max_iter=20,
        **settings,
    ).fit(train)
    return (
        _error_of_pca(train, noisy, clean),
        min(_error(rows, clean) for rows in smooth),
        _error(dense.denoise(noisy), clean),
        _error(full.denoise(noisy), clean),
    )


@row
def denoising_book():
    """Geron's book: 784-300-150-300-784, 10 epochs of noise; mean squared error of a clean test pixel."""
    train, test, *_ = datasets.mnist()
    for name, noise, published, aim in (
        ("Gaussian, sigma 1", pixels(1.0), 0.0408, 0.030),
        ("dropout 0.3", dropout(0.3), 0.0242, 0.010),
    ):
        model = DenoisingAutoencoder(
            150,
            hidden_layer_sizes=(300,),
            activation="elu",
            code_activation="elu",
            noise=noise,
            batch_size=150,
            max_iter=10,
            tol=None,
            random_state=0,
        ).fit(train)
        error = model.reconstruction_error(test).mean()
        yield judged(
            f"denoising, the book's, {name}",
            f"{error:.4f}",
            f"Geron: {published}",
            f"<= {published} (aim {aim})",
            error <= published,
        )
