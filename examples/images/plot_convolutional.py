"""
Convolutional autoencoder
=========================

A dense layer has to learn the same stroke anew at each position. A convolution learns it once: with
``image_shape``, the networks treat rows as images and share their kernels between all positions. Here digits
are at random positions in a larger image, and codes of 16 numbers have to represent which digit it is, and
where.
"""

# %%
# Digits of 8 x 8 pixels in images of 14 x 14; each training digit at three positions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

rng = np.random.default_rng(0)


def placed(digits):
    images = np.zeros((len(digits), 14, 14), dtype=np.float32)
    for image, digit, (row, column) in zip(
        images, digits, rng.integers(7, size=(len(digits), 2)), strict=True
    ):
        image[row : row + 8, column : column + 8] = digit
    return images.reshape(len(images), -1)


train, test = train_test_split(load_digits().images / 16, random_state=0)
X_train, X_test = np.concatenate([placed(train) for _ in range(3)]), placed(test)

# %%
# Two hidden layers on each side: 256 and 128 units, or 32 and 64 channels of 3 x 3 kernels with stride 2.

settings = {
    "learning_rate": 2e-3,
    "batch_size": 64,
    "max_iter": 25,
    "tol": None,
    "random_state": 0,
}
dense = AutoencoderTransformer(16, hidden_layer_sizes=(256, 128), **settings).fit(
    X_train
)
convolutional = AutoencoderTransformer(
    16, hidden_layer_sizes=(32, 64), image_shape=(14, 14), **settings
)
convolutional.fit(X_train)
pca = PCA(16).fit(X_train)

# %%
# Mean squared error per pixel, on digits and positions that no model has seen.

rows = {
    "image": X_test,
    "PCA": pca.inverse_transform(pca.transform(X_test)),
    "dense": dense.reconstruct(X_test),
    "convolutional": convolutional.reconstruct(X_test),
}
print(f"{'':14}{'error':>8}{'weights':>9}")
for name, n_weights in {
    "PCA": pca.components_.size,
    "dense": dense.n_parameters_,
    "convolutional": convolutional.n_parameters_,
}.items():
    print(f"{name:14}{np.square(rows[name] - X_test).mean():8.4f}{n_weights:9}")

# %%
figure, axes = plt.subplots(len(rows), 10, figsize=(8, 3.4), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axis, image in zip(line, images, strict=False):
        axis.imshow(image.reshape(14, 14), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
plt.show()
