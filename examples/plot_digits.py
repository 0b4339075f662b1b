"""
Dimensionality reduction: autoencoder and PCA
=============================================

A grid search chooses the width of the code that suits a classifier of handwritten digits best. The chosen model is
then compared with PCA of the same width on held-out rows: the accuracy of the classifier, and the reconstruction
error.
"""

# %%
# The data: 1797 images of 8 x 8 pixels with values from 0 to 16, one image a row. A quarter is held out for the
# final comparison. Single precision is sufficient here and halves the time.

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, test_size=0.25, stratify=y, random_state=0
)

# %%
# The width of the code
# ---------------------
# Scaler, autoencoder and classifier form one model, so that each fold of the search fits all three on its own
# training rows. The autoencoder's parameters were chosen by cross-validated reconstruction error: a small L2
# penalty (``alpha``) matters most, since there are few rows; ``tol=None`` trains for all ``max_iter`` epochs.

autoencoder = AutoencoderTransformer(
    hidden_layer_sizes=(128,),
    activation="silu",
    alpha=1e-3,
    learning_rate=3e-3,
    max_iter=200,
    tol=None,
    random_state=0,
)
model = Pipeline(
    [
        ("scale", StandardScaler()),
        ("encode", autoencoder),
        ("classify", LogisticRegression(max_iter=1000)),
    ]
)
search = GridSearchCV(model, {"encode__n_components": [4, 8, 16, 32]}, cv=3)
search.fit(X_train, y_train)

print("Cross-validated accuracy")
for width, accuracy in zip(
    search.cv_results_["param_encode__n_components"],
    search.cv_results_["mean_test_score"],
    strict=True,
):
    print(f"{width:4d} components  {accuracy:.3f}")
chosen = search.best_params_["encode__n_components"]
print(f"Chosen: {chosen} components")

# %%
# Comparison with PCA
# -------------------
# Without its last step, the model is a transformer whose ``inverse_transform`` leads back to pixels. The
# reconstruction error is the mean squared error per pixel, in units of the training rows' standard deviation
# (which both methods minimise) and in units of the image. Border pixels are hardly ever inked: the few test
# images that do ink them dominate the first figure, not the second.


def reconstruct(fitted, X):
    """Reconstruct rows by the scaler and the reducer of a fitted pipeline."""
    return fitted[:-1].inverse_transform(fitted[:-1].transform(X))


models = {}
print("\nOn held-out rows                       mean squared error of a pixel")
print("components  method        accuracy    standardised    pixel units")
for width in sorted({8, 16, chosen}):
    for method, reducer in (("PCA", PCA(random_state=0)), ("autoencoder", autoencoder)):
        fitted = clone(model).set_params(
            encode=clone(reducer).set_params(n_components=width)
        )
        models[method, width] = fitted.fit(X_train, y_train)
        restored, scale = reconstruct(fitted, X_test), fitted["scale"].transform
        standardised = mean_squared_error(scale(X_test), scale(restored))
        pixels = mean_squared_error(X_test, restored)
        accuracy = fitted.score(X_test, y_test)
        print(
            f"{width:10d}  {method:<12}  {accuracy:8.3f}    {standardised:12.3f}    "
            f"{pixels:11.2f}"
        )

# %%
# Reconstructions from eight components
# -------------------------------------
# The first test image of each digit. Eight principal components blur strokes into one another; those of the
# autoencoder, which is nonlinear, keep most of the shapes.

first = [np.flatnonzero(y_test == digit)[0] for digit in range(10)]
rows = {
    "original": X_test[first],
    "PCA, 8 components": reconstruct(models["PCA", 8], X_test[first]),
    "autoencoder, 8 components": reconstruct(models["autoencoder", 8], X_test[first]),
}
figure, axes = plt.subplots(len(rows), 10, figsize=(7.2, 2.1), layout="constrained")
figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
for (label, images), line in zip(rows.items(), axes, strict=True):
    for image, ax in zip(images, line, strict=True):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(
        label.replace(", ", "\n"), rotation=0, ha="right", va="center", fontsize=10
    )

if "sphinx_gallery" not in sys.modules:  # which shows the figure on its page by itself
    figure.savefig("digits_reconstructions.png", dpi=100)
    print(
        "\nReconstructions drawn in digits_reconstructions.png, "
        "in the current directory."
    )
