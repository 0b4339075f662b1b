"""
Stacked autoencoder: layer-wise pretraining
===========================================

Deep networks of sigmoid units learn slowly when trained jointly, since gradients vanish on their way to the outer
layers. Trained one pair of layers at a time, each on the codes of the pair before, they give the joint training a
good starting point. This is how deep networks were first made to work, and with such units it still pays off. With
ReLU or ELU units it does not: there, train all layers jointly.
"""

# %%
# Ten layers, 64-256-128-64-32-8 and back. Thirty epochs for each pair of layers cost as much as thirty joint
# epochs, so that both methods train for the same time.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer, StackedAutoencoder

X_train, X_test = train_test_split(load_digits().data / 16, random_state=0)
settings = {
    "n_components": 8,
    "hidden_layer_sizes": (256, 128, 64, 32),
    "activation": "logistic",
    "loss": "binary_cross_entropy",
    "learning_rate": 3e-3,
    "batch_size": 50,
    "tol": None,
    "random_state": 0,
}
together = AutoencoderTransformer(max_iter=90, **settings).fit(X_train)
stacked = StackedAutoencoder(pretrain_max_iter=30, max_iter=60, **settings).fit(X_train)
pca = PCA(8).fit(X_train)

# %%
# Mean squared error per held-out pixel.

rows = {
    "held-out digits": X_test,
    "PCA": pca.inverse_transform(pca.transform(X_test)),
    "trained jointly": together.reconstruct(X_test),
    "layer by layer,\nthen jointly": stacked.reconstruct(X_test),
}
for name, restored in list(rows.items())[1:]:
    print(f"{name.replace(chr(10), ' '):32}{np.square(restored - X_test).mean():.4f}")

# %%
figure = plt.figure(figsize=(8, 6), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[1.1, 1])
for line, (name, images) in zip(
    above.subplots(len(rows), 12), rows.items(), strict=True
):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axis, image in zip(line, images, strict=False):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
axis = below.subplots()
axis.plot(range(1, 91), together.loss_curve_, label="trained jointly")
axis.plot(
    range(31, 91), stacked.loss_curve_, label="after 30 epochs of each pair of layers"
)
axis.set(xlabel="epoch", ylabel="cross-entropy per pixel")
axis.legend()
plt.show()
