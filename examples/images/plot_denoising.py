"""
Denoising autoencoder
=====================

A denoising autoencoder learns to reconstruct clean rows from corrupted ones. Here it removes noise from digits
that it has not seen, and is compared with PCA and with the best linear map: a ridge regression from noisy to clean
rows, trained on the same kind of noise.
"""

# %%
# Clean digits for training, and others for testing, with Gaussian noise of four grey levels out of sixteen,
# equally strong in every pixel.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
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
# every pixel is ``noise="isotropic"``; its level is in units of the root of the pixels' mean variance. The
# default, ``noise="gaussian"``, goes with each pixel's own deviation, so that the model sees next to no noise in
# the border pixels, and removes none there.

settings = {"hidden_layer_sizes": (256,), "random_state": 0}
default = DenoisingAutoencoder(32, **settings).fit(X_train)
level = sigma / np.sqrt(X_train.var(axis=0).mean())
denoiser = DenoisingAutoencoder(
    32, noise="isotropic", noise_level=level, **settings
).fit(X_train)

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
    "isotropic": denoiser.denoise(noisy),
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
