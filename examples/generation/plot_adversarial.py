"""
Adversarial autoencoder
=======================

A plain autoencoder does not control the distribution of its codes: there may be gaps between them, and a code
drawn from a gap need not decode to a realistic row. An adversarial autoencoder minimises the reconstruction
error as well, while a discriminator makes its codes follow a prior: here a normal distribution, and a mixture
of ten Gaussians.
"""

# %%
# The prior may be a mixture, given by means and covariances. These ten components are long and narrow, around the
# origin.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skae import AdversarialAutoencoder, AutoencoderTransformer

X, y = load_digits(return_X_y=True)
X = X / 16

angles = 2 * np.pi * np.arange(10) / 10
along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
across = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
petals = [
    (3 * a, 0.5 * np.outer(a, a) + 0.05 * np.outer(b, b))
    for a, b in zip(along, across, strict=True)
]

settings = {
    "hidden_layer_sizes": (128, 64),
    "batch_size": 50,
    "max_iter": 80,
    "tol": None,
    "random_state": 0,
}
# Less noise than the default suits two dimensions.
pull = {"adversarial_weight": 2.0, "discriminator_noise": 0.15}
models = {
    "no prior": AutoencoderTransformer(2, **settings),
    "normal": AdversarialAutoencoder(2, **pull, **settings),
    "ten petals": AdversarialAutoencoder(2, prior=petals, **pull, **settings),
}
for name, model in models.items():
    error = model.fit(X).reconstruction_error(X).mean()
    mean, deviation = model.transform(X).mean(axis=0), model.transform(X).std(axis=0)
    print(
        f"{name:10}  error {error:.4f}   means {mean.round(2)}   deviations "
        f"{deviation.round(2)}"
    )

# %%
# Codes of the digits, coloured by class, over samples of the prior in grey; below, decoded samples. The plain
# autoencoder has no prior: its samples come from a normal distribution with the mean and covariance of its codes.
# With two components, they are as close to real digits as those of the other two: what a prior adds is that the
# distribution of the codes is known, and chosen.

rng = np.random.default_rng(0)
codes = models["no prior"].transform(X)
priors = {
    "no prior": rng.multivariate_normal(codes.mean(axis=0), np.cov(codes.T), size=2000)
}
priors["normal"] = rng.standard_normal((2000, 2))
priors["ten petals"] = np.vstack(
    [rng.multivariate_normal(*petal, size=200) for petal in petals]
)
draws = {"no prior": models["no prior"].inverse_transform(priors["no prior"][:24])}
draws |= {
    name: models[name].sample(24, random_state=0) for name in ("normal", "ten petals")
}

figure, axes = plt.subplots(
    2, 3, figsize=(9, 5.6), height_ratios=(3, 2), layout="constrained"
)
for (name, model), (above, below) in zip(models.items(), axes.T, strict=True):
    codes = model.transform(X)
    above.plot(*priors[name].T, ".", color="0.8", markersize=2, zorder=0)
    above.scatter(*codes.T, c=y, cmap="tab10", s=4)
    limit = 4 * priors[name].std() if name != "ten petals" else 6
    above.set(
        title=name,
        aspect="equal",
        xticks=[],
        yticks=[],
        xlim=(-limit, limit),
        ylim=(-limit, limit),
    )
    images = np.pad(draws[name].reshape(4, 6, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    below.imshow(
        images.transpose(0, 2, 1, 3).reshape(40, 60), cmap="gray_r", vmin=0, vmax=1
    )
    below.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("codes")
axes[1, 0].set_ylabel("decoded draws")
plt.show()
