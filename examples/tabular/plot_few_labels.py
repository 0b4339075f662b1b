"""
Semi-supervised classification with few labels
==============================================

Labels are expensive, unlabelled rows are cheap. The classifier pretrains an autoencoder on all rows, and then
trains its encoder and a softmax layer with the few labels there are, and with the unlabelled rows. It is
compared with the same network fine-tuned on the labelled rows only, with label spreading, which uses the
unlabelled rows too, and with logistic regression on the labelled ones.
"""

# %%
# Digits in [0, 1], of which only some are labelled; -1 marks the others.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.semi_supervised import LabelSpreading

from skae import AutoencoderClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, stratify=y, random_state=0
)

models = {
    "AutoencoderClassifier": AutoencoderClassifier(),
    "fine-tuning alone": AutoencoderClassifier(semi_supervised=False),
    "LabelSpreading": LabelSpreading(),
    "LogisticRegression": LogisticRegression(max_iter=1000),
}

# %%
# For each number of labels, two random choices of the labelled rows.

counts = [30, 50, 100]
accuracy = {name: [] for name in models}
for count in counts:
    scores = {name: [] for name in models}
    for seed in range(2):
        few = np.random.default_rng(seed).permutation(len(y_train))[:count]
        labels = np.full_like(y_train, -1)
        labels[few] = y_train[few]
        for name, model in models.items():
            if isinstance(model, AutoencoderClassifier):
                model.set_params(random_state=seed)
            if isinstance(model, LogisticRegression):
                model.fit(X_train[few], y_train[few])
            else:
                model.fit(X_train, labels)
            scores[name].append(model.score(X_test, y_test))
    for name, values in scores.items():
        accuracy[name].append(np.mean(values))

print("labels               " + "".join(f"{count:8d}" for count in counts))
for name, curve in accuracy.items():
    print(f"{name:21}" + "".join(f"{score:8.3f}" for score in curve))

# %%
figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
for name, curve in accuracy.items():
    axis.plot(counts, curve, marker="o", label=name)
axis.set(
    xscale="log",
    xticks=counts,
    xticklabels=counts,
    xlabel="labelled rows",
    ylabel="accuracy on held-out rows",
)
axis.minorticks_off()
axis.legend()
plt.show()
