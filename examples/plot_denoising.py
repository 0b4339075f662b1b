"""
Denoising autoencoder
=====================

A denoising autoencoder learns to reconstruct clean rows from corrupted ones. Here it removes noise from digits
that it has not seen, and is compared with the best linear map: a ridge regression from noisy to clean rows,
trained on the same kind of noise.
"""

# %%
# Clean digits for training, and others for testing, with Gaussian noise of four grey levels out of sixteen.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from skae import DenoisingAutoencoder

X_train, X_test = train_test_split(
    load_digits().data.astype(np.float32), random_state=0
)
rng = np.random.default_rng(0)


def spoil(X):
    return X + rng.normal(scale=4, size=X.shape).astype(np.float32)


# %%
# The autoencoder is fitted to the clean rows and corrupts them itself, anew in each batch. Its built-in
# Gaussian noise is in units of each pixel's standard deviation; a function adds the same noise to every pixel.


def noise(X, generator):
    return X + 4 * X.new_empty(X.shape).normal_(generator=generator)


denoiser = DenoisingAutoencoder(
    32,
    hidden_layer_sizes=(256,),
    noise=noise,
    alpha=1e-3,
    learning_rate=3e-3,
    batch_size=50,
    max_iter=100,
    tol=None,
    random_state=0,
).fit(X_train)

copies = np.repeat(X_train, 10, axis=0)
linear = Ridge().fit(spoil(copies), copies)

# %%
# Mean squared error per pixel, on rows that neither has seen.

noisy = spoil(X_test)
restored = {"linear map": linear.predict(noisy), "autoencoder": denoiser.denoise(noisy)}
print(f"noisy        {np.square(noisy - X_test).mean():6.2f}")
for name, rows in restored.items():
    print(f"{name:12} {np.square(rows - X_test).mean():6.2f}")

# %%
rows = {"clean": X_test, "noisy": noisy, **restored}
figure, axes = plt.subplots(len(rows), 10, figsize=(8, 3.4), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for axis, image in zip(line, images[:10], strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axis.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
plt.show()
