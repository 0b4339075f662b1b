"""
Sampling from a denoising autoencoder
=====================================

Corrupting and reconstructing a row in turn, each time with a draw around the reconstruction, is a Markov chain
whose stationary distribution approximates that of the data. Here it samples points around a circle, whose
density is known, and digits.
"""

# %%
# Points around a circle, and three noise levels. Samples are compared with the data by their distance to the
# centre.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skae import DenoisingAutoencoder

rng = np.random.default_rng(0)
radius, angle = rng.normal(2, 0.25, size=2000), rng.uniform(0, 2 * np.pi, size=2000)
points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)

settings = {"hidden_layer_sizes": (64,), "activation": "silu", "batch_size": 50}
settings |= {"max_iter": 60, "tol": None, "random_state": 0}
models = {
    level: DenoisingAutoencoder(16, noise_level=level, **settings).fit(points)
    for level in (0.2, 0.3, 0.5)
}
clouds = {"data": points}
clouds |= {
    f"noise {level}": model.sample(2000, random_state=0)
    for level, model in models.items()
}
for name, cloud in clouds.items():
    radius = np.linalg.norm(cloud, axis=1)
    strays = np.mean(np.abs(radius - 2) > 0.75)
    print(
        f"{name:9}  radius {radius.mean():.2f} +- {radius.std():.2f}   beyond 3 "
        f"deviations {strays:.1%}"
    )

# %%
# How fast a chain mixes: the correlation of its rows with those some steps later. With more noise it mixes faster,
# but blurs the distribution.

lags = np.arange(0, 101, 5)
memory = {}
for level, model in models.items():
    chains = model.sample(
        50 * 200, random_state=0, burn_in=50, X_init=points[:50]
    ).reshape(200, 50, 2)
    memory[level] = [
        np.mean(chains[: 200 - lag] * chains[lag:]) / np.mean(chains**2) for lag in lags
    ]

# %%
# Digits, every third step of a chain in a row. The pixels are binary, so that the loss is binary cross-entropy and
# samples are zeros and ones; the picture shows their reconstructions.

digits = (load_digits().data > 7).astype(float)
model = DenoisingAutoencoder(
    32,
    loss="binary_cross_entropy",
    noise="salt_and_pepper",
    noise_level=0.4,
    learning_rate=3e-3,
    max_iter=40,
    tol=None,
    random_state=0,
).fit(digits)
chains = model.sample(3 * 16, random_state=0, n_steps=3, X_init=digits[:3]).reshape(
    16, 3, 64
)

figure = plt.figure(figsize=(9, 6.2), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=(3, 2))
axes = above.subplots(1, 4)
shown = ["data", "noise 0.2", "noise 0.5"]
for axis, name in zip(axes, shown, strict=False):
    axis.plot(*clouds[name].T, ".", markersize=2, alpha=0.4)
    axis.set(
        title=name, xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xticks=[], yticks=[]
    )
for level, correlation in memory.items():
    axes[3].plot(lags, correlation, label=f"noise {level}")
axes[3].axhline(0, color="0.8", zorder=0)
axes[3].set(title="autocorrelation", xlabel="steps", box_aspect=1)
axes[3].legend()
axis = below.subplots()
images = np.pad(
    model.denoise(chains.reshape(-1, 64)).reshape(16, 3, 8, 8),
    ((0, 0), (0, 0), (1, 1), (1, 1)),
)
axis.imshow(images.transpose(1, 2, 0, 3).reshape(30, 160), cmap="gray_r")
axis.set(xticks=[], yticks=[], title="three chains of digits, every third step")
plt.show()
