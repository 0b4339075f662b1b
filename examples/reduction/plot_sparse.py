"""
Sparse dictionary
=================

A sparse autoencoder has many units, of which few are active for each row: a row is the sum of a few elements of
a dictionary. Here five of 64 units describe a digit, the five with the largest activations. PCA describes every
digit by the same five components.
"""

# %%
# Grey levels in [0, 1]. Without hidden layers, the dictionary element of a unit is its row of decoder weights.
# The default, ``sparsity="kl"``, has codes that are small but not zero; top-k has as many as are asked for.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skae import SparseAutoencoder
from skae.inspection import FeatureDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, stratify=y, random_state=0
)

sparse = SparseAutoencoder(
    64,
    hidden_layer_sizes=(),
    sparsity="topk",
    n_active=5,
    learning_rate=3e-3,
    batch_size=50,
    max_iter=150,
    tol=None,
    random_state=0,
).fit(X_train)
pca = PCA(5).fit(X_train)

# %%
# Five numbers a digit for both methods: the reconstruction error on held-out digits, and the accuracy of a linear
# classifier.

codes = {"PCA, 5 components": pca, "sparse, 5 of 64 units": sparse}
print(f"{'':24}{'squared error':>14}{'accuracy':>10}")
for name, model in codes.items():
    Z_train, Z = model.transform(X_train), model.transform(X_test)
    error = np.square(model.inverse_transform(Z) - X_test).mean()
    accuracy = LogisticRegression(max_iter=5000).fit(Z_train, y_train).score(Z, y_test)
    print(f"{name:24}{error:14.4f}{accuracy:10.3f}")
n_active = np.count_nonzero(sparse.transform(X_test), axis=1)
print(
    f"active units of a digit: {n_active.min()} to {n_active.max()}; dead units: "
    f"{sparse.dead_fraction_:.0%}"
)

# %%
# The dictionary: what each unit adds to a digit, and takes away from it. These are the outgoing weights of the
# decoder; in units of X they are ``components_``.

FeatureDisplay.from_estimator(
    sparse, network="decoder", units=range(64), image_shape=(8, 8)
)
plt.show()

# %%
# A digit is what the decoder makes of no active unit, close to the training mean, plus the dictionary elements of
# its active units, each times its activation: red adds ink, blue takes it away.

Z = sparse.transform(X_test[:6])
nothing = sparse.inverse_transform(np.zeros((1, 64)))
patterns = sparse.components_

figure, axes = plt.subplots(6, 8, figsize=(8, 6.4), layout="constrained")
for line, digit, code in zip(axes, X_test, Z, strict=False):
    strongest = np.argsort(-code)[:5]
    parts = [code[unit] * patterns[unit] for unit in strongest]
    line[0].imshow(digit.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    line[1].imshow((nothing + sum(parts)).reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    for axis, part in zip(line[2:-1], parts, strict=True):
        axis.imshow(part.reshape(8, 8), cmap="RdBu_r", vmin=-0.7, vmax=0.7)
    line[-1].imshow(
        pca.inverse_transform(pca.transform([digit])).reshape(8, 8),
        cmap="gray_r",
        vmin=0,
        vmax=1,
    )
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
for axis, title in zip(
    axes[0], ["digit", "sum", *(f"part {i}" for i in range(1, 6)), "PCA"], strict=True
):
    axis.set_title(title)
plt.show()
