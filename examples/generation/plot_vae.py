"""
Variational autoencoder
=======================

A variational autoencoder draws new rows: here, digits that can be read. It is a probability density as well.
Factor analysis is its linear counterpart: normally distributed codes, a linear map to the data, and noise with
a variance for each feature. Both are fitted to the digits; the held-out log-likelihood tells which density is
better, and the samples show why.
"""

# %%
# Digits that can be read
# -----------------------
# For pictures, means of the Bernoulli likelihood are clean, a ``beta`` below 1 keeps more units in use, and
# ``prior="mixture"`` draws codes where those of digits are.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import FactorAnalysis
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import VAESampler
from skae.inspection import SampleDisplay

digits = load_digits().data
grey = VAESampler(8, likelihood="bernoulli", beta=0.3, prior="mixture", random_state=0)
pictures = make_pipeline(MinMaxScaler(clip=True), grey).fit(digits)
SampleDisplay.from_estimator(
    pictures,
    30,
    random_state=0,
    image_shape=(8, 8),
    n_columns=10,
    im_kw={"vmin": 0, "vmax": 16},
)
plt.show()

# %%
# A density of digits
# -------------------
# Both models are Gaussian here. Pixels are integers, at which a density can be made arbitrarily high: uniform
# noise of width 1 makes them continuous (dequantisation). Pixels that hardly ever vary are left out. The others
# are standardised: both models have a variance for each pixel, so that none counts more than another because of
# its scale.

varies = digits.std(axis=0) > 0.3
rng = np.random.default_rng(0)
X = digits[:, varies] + rng.uniform(-0.5, 0.5, size=(len(digits), varies.sum()))
X_train, X_test = train_test_split(X, random_state=0)

vae = VAESampler(
    8,
    hidden_layer_sizes=(256,),
    activation="silu",
    learning_rate=2e-3,
    max_iter=150,
    tol=None,
    random_state=0,
)
model = make_pipeline(StandardScaler(), vae).fit(X_train)
factors = make_pipeline(StandardScaler(), FactorAnalysis(8, random_state=0)).fit(
    X_train
)

# %%
# Mean log-likelihood of a held-out digit, in nats, on standardised pixels. It is exact for factor analysis, and
# estimated by importance sampling for the variational autoencoder, which on average underestimates it.

scores = {
    "factor analysis": factors.score(X_test),
    "variational autoencoder": model.score(X_test),
}
for name, score in scores.items():
    print(f"{name:24}{score:7.1f}")
print(f"{vae.n_active_units_} of {vae.n_components} units are active")

# %%
# Samples: a code from the standard normal prior, decoded. The mean of the pixels given the code is shown, without
# noise. Many cannot be read: in much of that prior there are no codes of digits.

n = 12
codes = np.random.default_rng(0).standard_normal((n, 8))
loadings = factors[-1]
rows = {
    "held-out digits": X_test[:n],
    "factor analysis": factors[:-1].inverse_transform(
        codes @ loadings.components_ + loadings.mean_
    ),
    "variational\nautoencoder": model[:-1].inverse_transform(
        vae.sample(n, random_state=0, mean=True)
    ),
}

figure, axes = plt.subplots(
    len(rows), n, figsize=(0.7 * n, len(rows) * 0.8), layout="constrained"
)
for row_axes, (name, row) in zip(axes, rows.items(), strict=True):
    row_axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axis, pixels in zip(row_axes, row, strict=True):
        image = np.zeros(64)
        image[varies] = pixels
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axis.set(xticks=[], yticks=[])
figure.suptitle("Held-out digits, and means of samples of both models")
plt.show()

# %%
# Between two rows
# ----------------
# Codes between those of two digits decode to digits in between. The digits themselves stand at both ends, beside
# their reconstructions.

first, second = pictures.transform(digits[[13, 18]])
path = first + np.linspace(0, 1, 7)[:, None] * (second - first)
SampleDisplay.from_samples(
    np.vstack([digits[[13]], pictures.inverse_transform(path), digits[[18]]]),
    image_shape=(8, 8),
    n_columns=9,
    im_kw={"vmin": 0, "vmax": 16},
)
plt.show()
