"""
Ordered codes: nested dropout
=============================

The units of an autoencoder's code are not ordered: for a narrower code, another network has to be trained. With
``ordered=True`` (nested dropout), the first unit is a good code of width 1, the first two are a good code of
width 2, and so on, like the components of PCA. One network then serves all widths.
"""

# %%
# One ordered network, a plain network of the same shape, and for each width a network of its own.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

X = (load_digits().data / 16).astype(np.float32)
X_train, X_test = train_test_split(X, random_state=0)

settings = {
    "activation": "silu",
    "learning_rate": 3e-3,
    "max_iter": 100,
    "tol": None,
    "random_state": 0,
}
widths = np.arange(1, 9)
ordered = AutoencoderTransformer(8, ordered=True, **settings).fit(X_train)
plain = AutoencoderTransformer(8, **settings).fit(X_train)
alone = [AutoencoderTransformer(int(k), **settings).fit(X_train) for k in widths]
pca = [PCA(int(k)).fit(X_train) for k in widths]

# %%
# Reconstructions from prefixes of a code: units beyond the first ``k`` are set to zero.


def restored(model, k, rows):
    codes = model.transform(rows)
    codes[:, k:] = 0
    return model.inverse_transform(codes)


def error(rows):
    return np.square(rows - X_test).mean()


errors = {
    "prefixes, plain": [error(restored(plain, k, X_test)) for k in widths],
    "PCA": [error(model.inverse_transform(model.transform(X_test))) for model in pca],
    "prefixes, ordered": [error(restored(ordered, k, X_test)) for k in widths],
    "a network for each width": [error(model.reconstruct(X_test)) for model in alone],
}
ratio = np.divide(errors["prefixes, ordered"], errors["a network for each width"])
print(f"error of prefixes relative to networks of their width: {ratio.round(2)}")
print(
    "share of the variance that each unit adds: "
    f"{ordered.explained_variance_ratio_.round(2)}"
)

# %%
# The width need not be known: as with PCA, ask for a share of the variance of the training rows, here 70%.
# Of held-out rows, the same units keep less.

enough = AutoencoderTransformer(0.7, ordered=True, **settings).fit(X_train)
print(
    f"{enough.n_components_} units keep {enough.score(X_test):.0%} of the variance "
    "of held-out digits"
)

# %%
# The same digits, reconstructed from longer and longer prefixes of one code.

shown, n_digits = [1, 2, 4, 8], 7
figure = plt.figure(figsize=(9, 3.8), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.2])
ax = left.subplots()
for (name, curve), style in zip(
    errors.items(), ["C7:", "C1--", "C0-", "C2o"], strict=True
):
    ax.plot(widths, curve, style, label=name)
ax.set(
    xlabel="units of the code",
    ylabel="mean squared error, held-out digits",
    ylim=(0, 0.08),
)
ax.legend(fontsize="small")
lines = {
    f"{k} unit{'s' * (k > 1)}": restored(ordered, k, X_test[:n_digits]) for k in shown
}
lines["digit"] = X_test[:n_digits]
axes = right.subplots(len(lines), n_digits)
for line, (name, rows) in zip(axes, lines.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axis, row in zip(line, rows, strict=True):
        axis.imshow(row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
plt.show()
