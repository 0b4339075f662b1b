"""
Denoising autoencoder
=====================

A denoising autoencoder learns to reconstruct clean rows from corrupted ones. Here it removes noise from digits
that it has not seen, and is compared with PCA and with the best linear map: a ridge regression from noisy to clean
rows, trained on the same kind of noise. Then it removes noise from patches of a photograph, beside PCA and a blur.
"""

# %%
# Digits
# ------
# Clean digits for training, and others for testing, with Gaussian noise of four grey levels out of sixteen,
# equally strong in every pixel.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from skae import DenoisingAutoencoder

X_train, X_test = train_test_split(
    load_digits().data.astype(np.float32), random_state=0
)
rng, sigma = np.random.default_rng(0), 4


def spoil(X):
    return X + rng.normal(scale=sigma, size=X.shape).astype(np.float32)


# %%
# The autoencoder is fitted to the clean rows and corrupts them itself, anew in each batch. Noise as strong in
# every pixel is ``noise="white"``, and its level is in units of the rows, here grey levels. The default,
# ``noise="gaussian"``, goes with each pixel's own deviation, so that the model sees next to no noise in the border
# pixels, and removes none there.

settings = {"hidden_layer_sizes": (256,), "random_state": 0}
default = DenoisingAutoencoder(32, **settings).fit(X_train)
denoiser = DenoisingAutoencoder(32, noise="white", noise_level=sigma, **settings).fit(
    X_train
)

# %%
# PCA drops the components in which there is more noise than signal: 16 are left, which is best for these rows.

pca = PCA(16).fit(X_train)
copies = np.repeat(X_train, 10, axis=0)
linear = Ridge().fit(spoil(copies), copies)

# %%
# Mean squared error per pixel, on rows that none of them has seen.

noisy = spoil(X_test)
restored = {
    "PCA": pca.inverse_transform(pca.transform(noisy)),
    "linear map": linear.predict(noisy),
    "default noise": default.denoise(noisy),
    "white noise": denoiser.denoise(noisy),
}
print(f"noisy         {np.square(noisy - X_test).mean():6.2f}")
for name, rows in restored.items():
    print(f"{name:13} {np.square(rows - X_test).mean():6.2f}")

# %%
rows = {"clean": X_test, "noisy": noisy, **restored}
figure, axes = plt.subplots(len(rows), 10, figsize=(8, 5), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for axis, image in zip(line, images[:10], strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axis.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()

# %%
# Photographs
# -----------
# Patches of 32 x 32 pixels of a photograph, those for training from the left, those for testing from the right.
# Faces behave alike; their figures are in the :doc:`guide </guide/denoising>`. A code of few numbers would drop
# the fine detail. So the code is as large as four images here, the networks are convolutional, and it is the noise
# in training that keeps them from copying.

photo = load_sample_images().images[0].mean(axis=2) / 255
side = 32


def patches(columns, step):
    corners = [(i, j) for i in range(0, 390, step) for j in columns]
    images = [photo[i : i + side, j : j + side].ravel() for i, j in corners]
    return np.stack(images).astype(np.float32)


train, clean = patches(range(0, 360, 12), 12), patches(range(400, 600, side), side)
print(f"{len(train)} patches to train on, {len(clean)} to test")


def with_best(candidates):
    """Return the candidate that is closest to the clean patches, which flatters it."""
    return min(candidates, key=lambda rows: np.square(rows - clean).mean())


def denoised(noisy, sigma, kernel_size):
    """Return what each method makes of noisy patches."""
    axes = PCA().fit(train)
    codes, images = axes.transform(noisy), noisy.reshape(-1, side, side)
    model = DenoisingAutoencoder(
        4 * side**2,
        image_shape=(side, side),
        hidden_layer_sizes=(16,),
        kernel_size=kernel_size,
        downsampling_factor=1,
        code_layer="convolution",
        code_activation="relu",
        noise="white",
        noise_level=sigma,
        max_iter=20,
        random_state=0,
    )
    return {
        "PCA": with_best(
            codes[:, :k] @ axes.components_[:k] + axes.mean_
            for k in (8, 16, 32, 64, 128, 256, 512)
        ),
        "blur": with_best(
            gaussian_filter(images, (0, width, width)).reshape(noisy.shape)
            for width in (0.5, 0.7, 1, 1.4, 2, 2.8)
        ),
        "denoiser": model.fit(train).denoise(noisy),
    }


# %%
# Weak noise, and strong noise, which takes wider kernels, as it takes a wider blur: more pixels are averaged. The
# widths of PCA and of the Gaussian filter are the best ones for these very patches. Mean squared errors, times
# 1000:

noise = np.random.default_rng(0).standard_normal(clean.shape, dtype=np.float32)
found = {}
for sigma, kernel_size in {0.1: 3, 0.3: 5}.items():
    noisy = clean + sigma * noise
    found[sigma] = {"noisy": noisy, **denoised(noisy, sigma, kernel_size)}
    errors = {
        name: 1000 * np.square(rows - clean).mean()
        for name, rows in found[sigma].items()
    }
    print(f"noise {sigma}: " + ", ".join(f"{n} {e:.1f}" for n, e in errors.items()))

# %%
# It pays where noise is weak: the denoiser keeps edges that the filter blurs. Under strong noise, little detail is
# left to be kept, and the filter, which needs no training, comes close. PCA is behind both here. Each picture
# below holds four patches.

figure, blocks = plt.subplots(
    2, 5, figsize=(8, 3.6), layout="constrained", sharex=True, sharey=True
)
shown = np.argsort(-clean.std(axis=1))[:4]
for line, (sigma, rows) in zip(blocks, found.items(), strict=True):
    for axis, (name, images) in zip(
        line, {"clean": clean, **rows}.items(), strict=True
    ):
        tiles = images[shown].reshape(2, 2, side, side).swapaxes(1, 2)
        axis.imshow(tiles.reshape(2 * side, 2 * side), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[], title=name)
    line[0].set_ylabel(f"noise {sigma}")
plt.show()
