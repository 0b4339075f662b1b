"""
Semi-supervised classification with few labels
==============================================

Labels are expensive, unlabelled rows are cheap. The classifier pretrains a stacked denoising autoencoder on all
rows and then fine-tunes its encoder and a softmax layer on the few labelled rows. It is compared with the same
network trained on the labelled rows only.
"""

# %%
# Digits in [0, 1], of which only some are labelled; -1 marks the others.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skae import AutoencoderClassifier, StackedAutoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)

stack = StackedAutoencoder(
    64,
    hidden_layer_sizes=(256, 256),
    activation="logistic",
    code_activation="logistic",
    loss="binary_cross_entropy",
    noise="masking",
    noise_level=0.25,
    learning_rate=3e-3,
    batch_size=50,
    pretrain_max_iter=60,
    fine_tune=False,
    tol=None,
)
classifier = AutoencoderClassifier(stack, learning_rate=3e-3, max_iter=100, tol=None)

# %%
# For each number of labels, three random choices of the labelled rows.

counts = [20, 40, 80]
accuracy = {"pretrained on all rows": [], "labelled rows only": []}
for count in counts:
    for kind, curve in accuracy.items():
        scores = []
        for seed in range(3):
            few = np.random.default_rng(seed).permutation(len(y_train))[:count]
            if kind == "labelled rows only":
                rows, labels = X_train[few], y_train[few]
            else:
                rows, labels = X_train, np.full_like(y_train, -1)
                labels[few] = y_train[few]
            model = classifier.set_params(random_state=seed).fit(rows, labels)
            scores.append(model.score(X_test, y_test))
        curve.append(np.mean(scores))

print("labels " + "".join(f"{count:8d}" for count in counts))
for kind, curve in accuracy.items():
    print(f"{kind:24}" + "".join(f"{score:8.3f}" for score in curve))

# %%
figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
for kind, curve in accuracy.items():
    axis.plot(counts, curve, marker="o", label=kind)
axis.set(
    xscale="log", xticks=counts, xticklabels=counts, xlabel="labelled rows", ylabel="accuracy on held-out rows"
)
axis.minorticks_off()
axis.legend()
plt.show()
