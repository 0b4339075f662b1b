"""
Anomaly detection
=================

An autoencoder trained on normal rows reconstructs anomalies badly: its reconstruction error is an anomaly
score, and the error of each feature shows where a row is unusual. Here one digit is the anomaly, and an
autoencoder trained on the other nine is compared with PCA of the same width and with an isolation forest.
"""

# %%
# The normal rows are split in three: for training, for the threshold, and for testing.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X = X / 16


def split(odd):
    X_train, rest = train_test_split(X[y != odd], test_size=0.5, random_state=0)
    X_threshold, X_test = train_test_split(rest, random_state=0, test_size=0.5)
    return X_train, X_threshold, X_test, X[y == odd]


def scorers(X_train):
    """Fit each method to normal rows, and return its anomaly scores: higher is more anomalous."""
    autoencoder = AutoencoderTransformer(
        8, activation="silu", learning_rate=3e-3, batch_size=50, max_iter=50, tol=None, random_state=0
    ).fit(X_train)
    pca = PCA(8).fit(X_train)
    forest = IsolationForest(random_state=0).fit(X_train)
    return {
        "autoencoder": autoencoder.reconstruction_error,
        "PCA": lambda X: np.square(pca.inverse_transform(pca.transform(X)) - X).mean(axis=1),
        "isolation forest": lambda X: -forest.score_samples(X),
    }


# %%
# Comparison of the methods
# -------------------------
# Each digit is the anomaly once. The area under the ROC curve is the probability that an anomaly scores higher
# than a normal row; it needs no threshold. (Eight components suit PCA better than more do.)

areas = {}
for odd in range(10):
    X_train, _, X_test, X_odd = split(odd)
    is_odd = np.repeat([0, 1], [len(X_test), len(X_odd)])
    for name, score in scorers(X_train).items():
        areas.setdefault(name, []).append(roc_auc_score(is_odd, score(np.vstack([X_test, X_odd]))))

print(f"{'anomaly':18}" + "".join(f"{digit:6d}" for digit in range(10)) + "  mean")
for name, row in areas.items():
    print(f"{name:18}" + "".join(f"{area:6.2f}" for area in [*row, np.mean(row)]))

figure, axis = plt.subplots(figsize=(8, 3), layout="constrained")
for place, (name, row) in enumerate(areas.items()):
    axis.bar(np.arange(10) + 0.27 * (place - 1), row, width=0.25, label=name)
axis.set(xlabel="digit that is the anomaly", ylabel="area under the ROC curve", xticks=range(10), ylim=(0.3, 1))
figure.legend(loc="outside upper right", ncols=3)

# %%
# Setting a threshold
# -------------------
# To raise alarms, decide how many false ones are tolerated: here, one normal row in twenty. The threshold is
# then the 95 % quantile of the errors of normal rows. Use held-out rows for it, since training rows are
# reconstructed better than new ones. Here zeros are the anomalies.

X_train, X_threshold, X_test, X_odd = split(0)
methods = scorers(X_train)
print("                  false alarms   anomalies found")
for name, score in methods.items():
    threshold = np.quantile(score(X_threshold), 0.95)
    print(f"{name:18}{np.mean(score(X_test) > threshold):12.1%}{np.mean(score(X_odd) > threshold):17.1%}")

error = methods["autoencoder"]
threshold = np.quantile(error(X_threshold), 0.95)
figure, axis = plt.subplots(figsize=(8, 2.8), layout="constrained")
bins = np.linspace(0, error(X_odd).max(), 60)
axis.hist(error(X_test), bins, density=True, alpha=0.7, label="normal digits")
axis.hist(error(X_odd), bins, density=True, alpha=0.7, label="zeros")
axis.axvline(threshold, color="k", linestyle="--", label="threshold")
axis.set(xlabel="reconstruction error of a row", yticks=[])
axis.legend()

# %%
# Errors of single features
# -------------------------
# The errors of single pixels. In the zeros with the largest errors, most of the error is in the empty middle,
# which the model fills: it has seen no digit with so wide a hole.

found = X_odd[np.argsort(-error(X_odd))[:8]]
model = error.__self__
rows = {
    "zero": found,
    "reconstruction": model.reconstruct(found),
    "error": model.reconstruction_error(found, per_feature=True),
}
figure, axes = plt.subplots(3, 8, figsize=(8, 3.2), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name)
    for axis, image in zip(line, images, strict=True):
        axis.imshow(image.reshape(8, 8), cmap="Reds" if name == "error" else "gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
plt.show()
