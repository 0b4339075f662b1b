"""
Inspecting what units have learned
==================================

An autoencoder never sees the labels of the digits. Do the units of a sparse one nevertheless respond to shapes
that are specific to a digit? The displays of :mod:`skae.inspection` show what units respond to; with the arrays
behind them it can be measured.
"""

# %%
# A sparse code of 64 units, four of which describe each image, behind a scaler.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skae import (
    AutoencoderImputer,
    AutoencoderTransformer,
    SparseAutoencoder,
    VAESampler,
)
from skae.inspection import (
    FeatureDisplay,
    ImputationDisplay,
    LatentDisplay,
    LossCurveDisplay,
    PreferredInputDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TopActivationDisplay,
    top_activating_samples,
)

X, y = load_digits(return_X_y=True)
sparse = SparseAutoencoder(
    64,
    hidden_layer_sizes=(),
    sparsity="topk",
    n_active=4,
    learning_rate=3e-3,
    max_iter=60,
    tol=None,
    random_state=0,
)
model = make_pipeline(MinMaxScaler(), sparse).fit(X)
ReconstructionDisplay.from_estimator(model, X, image_shape=(8, 8))

# %%
# Top activating images
# ---------------------
# The images that activate each of eight units most, with the activations above them.

TopActivationDisplay.from_estimator(model, X, units=range(8), image_shape=(8, 8))

# %%
# They look alike, and mostly show the same digit. To measure this: among the ten images that activate a unit
# most, what share show their most frequent digit? Components of PCA, and ten images at random, for comparison.


def purity(top):
    return np.mean([np.bincount(y[rows]).max() / len(rows) for rows in top])


pca_codes = PCA(64).fit_transform(MinMaxScaler().fit_transform(X))
at_random = np.random.default_rng(0).integers(len(X), size=(64, 10))
print("Share of the most frequent digit")
print(f"sparse units     {purity(top_activating_samples(model, X, n_samples=10)):.2f}")
print(f"PCA              {purity(np.argsort(-pca_codes, axis=0)[:10].T):.2f}")
print(f"random images    {purity(at_random):.2f}")

# %%
# Decoder weights and preferred inputs
# ------------------------------------
# The decoder's weights, ``components_``, are what each unit adds to an image when it is active. A unit's preferred
# input is found by gradient ascent: it is no farther from the mean image than the image that activates the unit
# most, and every pixel stays in its range, yet it activates the unit more. First the weights:

FeatureDisplay.from_estimator(model, units=range(16), image_shape=(8, 8))

# %%
# The preferred inputs, and above each the activation for the best image, and for this input:

preferred = PreferredInputDisplay.from_estimator(
    model, X, units=range(16), random_state=0, image_shape=(8, 8)
)
rise = preferred.activations / preferred.best_activations
print(
    f"Preferred inputs activate units {rise.min():.1f} to {rise.max():.1f} times as "
    "much as the best images."
)

# %%
# A two-dimensional latent space
# ------------------------------
# With two components, the whole latent space can be drawn: where the digits lie, and what lies between them. First
# the loss by epoch, of the training rows and of those held out for early stopping:

plane = AutoencoderTransformer(
    2,
    hidden_layer_sizes=(128, 32),
    learning_rate=3e-3,
    max_iter=60,
    early_stopping=True,
    tol=None,
    random_state=0,
)
flat = make_pipeline(MinMaxScaler(), plane).fit(X)
LossCurveDisplay.from_estimator(flat)

# %%
# The codes, coloured by digit, and a grid of codes that are decoded:

LatentDisplay.from_estimator(flat, X, y, spacing="quantile", image_shape=(8, 8))

# %%
# Samples, and imputed values
# ---------------------------
# A variational autoencoder decodes new digits from codes that are drawn from a mixture, fitted to those of real
# ones:

vae = VAESampler(
    8,
    likelihood="bernoulli",
    beta=0.3,
    prior="mixture",
    max_iter=60,
    random_state=0,
)
generator = make_pipeline(MinMaxScaler(clip=True), vae).fit(X)
SampleDisplay.from_estimator(
    generator, 20, random_state=0, n_columns=10, image_shape=(8, 8)
)

# %%
# An imputer fills missing measurements of wines. The display shows how the distributions of imputed values differ
# from those of observed ones, and how large the errors are:

wines = load_wine(as_frame=True).data
wines = wines.mask(np.random.default_rng(0).random(wines.shape) < 0.2)
imputer = AutoencoderImputer(n_estimators=2, max_iter=20, random_state=0).fit(wines)
ImputationDisplay.from_estimator(imputer, wines, features=5)
plt.show()
