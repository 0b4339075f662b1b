"""Is the classifier worth its unlabelled rows? Beside what scikit-learn has for few labels, at everybody's
defaults.

Accuracy on held-out rows, mean and standard error over seeds that draw the held-out rows, the labelled ones and
the weights. Settings were chosen on seeds below 100. As many rows are labelled in each class, but in one line.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import datasets
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC
from table import Line, judged, row

from skae import AutoencoderClassifier

SEEDS = range(100, 106)
SUPERVISED = {"logistic regression": LogisticRegression(max_iter=1000), "SVC": SVC()}
PEERS = {
    "label spreading": LabelSpreading(kernel="knn"),
    "self-training": SelfTrainingClassifier(SVC(probability=True)),
}
OURS = {"fine-tuned": AutoencoderClassifier(semi_supervised=False), "skae": AutoencoderClassifier()}


class Task(NamedTuple):
    """Rows to split by a seed, how many labels there are, and what is asked of us.

    ``required`` is an accuracy, or None for that of fine-tuning alone, less ``margin``.
    """

    load: Callable[[int], tuple]
    n_labels: int
    required: float | None = None
    aim: float | None = None
    margin: float = 0.0
    share_of_first: float | None = None  # of the labels, that one class has


def split(X, y, seed):
    """Hold a quarter of the rows out; standardise by the others."""
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), scaler.transform(X_test), y, y_test


def digits(seed):
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, stratify=y, random_state=seed)
    return X, X_test, y, y_test


def mnist(seed):
    train, test, y, y_test = datasets.mnist()
    kept = np.random.default_rng(seed).permutation(len(train))[:10_000]
    return train[kept], test, y[kept], y_test


def diabetes(seed):
    X, y = load_diabetes(return_X_y=True)
    return split(X, (y > np.median(y)).astype(int), seed)


def cloud(seed):
    """One normal cloud, which a plane cuts in two."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3000, 10))
    return split(X, (X @ rng.normal(size=10) > 0).astype(int), seed)


def clusters(seed):
    settings = {"n_informative": 10, "n_redundant": 4, "n_clusters_per_class": 3}
    return split(*make_classification(3000, 20, **settings, random_state=seed), seed)


TASKS = {
    "digits, 30 labels": Task(digits, 30, 0.92, 0.94),
    "digits, 50 labels": Task(digits, 50, 0.934, 0.949),
    "digits, 100 labels": Task(digits, 100, 0.95, 0.97),
    "digits, 200 labels": Task(digits, 200, 0.96, 0.98),
    "digits, 50 labels, 20 of one class": Task(digits, 50, share_of_first=0.4),
    "breast cancer, 20 labels": Task(lambda seed: split(*load_breast_cancer(return_X_y=True), seed), 20),
    "wine, 21 labels": Task(lambda seed: split(*load_wine(return_X_y=True), seed), 21),
    "three clusters a class, 50 labels": Task(clusters, 50, margin=0.02),
    "one cloud, cut by a plane, 50 labels": Task(cloud, 50, margin=0.01),
    "diabetes over its median, 40 labels": Task(diabetes, 40, margin=0.01),
    "MNIST, 10000 rows, 100 labels": Task(mnist, 100, 0.92, 0.94),
    "MNIST, 10000 rows, 600 labels": Task(mnist, 600, 0.945, 0.955),
}


def choose(y, n_labels, share_of_first, rng):
    """Number the labelled rows: as many of each class, or a share of them of one class."""
    classes = rng.permutation(np.unique(y))
    shares = np.full(len(classes), 1 / len(classes))
    if share_of_first is not None:
        shares = np.array([share_of_first, *[(1 - share_of_first) / (len(classes) - 1)] * (len(classes) - 1)])
    counts = np.round(shares * n_labels).astype(int)
    return np.concatenate(
        [rng.permutation(np.flatnonzero(y == c))[:n] for c, n in zip(classes, counts, strict=True)]
    )


def accuracies(task, peers, seeds=SEEDS):
    """Return the accuracies of each method, an array over seeds."""
    found = {name: [] for name in (*peers, *OURS)}
    for seed in seeds:
        X, X_test, y, y_test = task.load(seed)
        labelled = choose(y, task.n_labels, task.share_of_first, np.random.default_rng(seed))
        some = np.full(len(y), -1)
        some[labelled] = y[labelled]
        for name, model in {**peers, **OURS}.items():
            rows = labelled if name in SUPERVISED else slice(None)
            model = clone(model)
            if name in OURS:
                model.set_params(random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the peers
                model.fit(X[rows], some[rows])
            found[name].append(model.score(X_test, y_test))
    return {name: np.array(values) for name, values in found.items()}


def figure(values):
    return f"{values.mean():.3f} +- {values.std(ddof=1) / np.sqrt(len(values)):.3f}"


@row
def few_labels():
    """What unlabelled rows are worth, at defaults. It takes longer than the other rows."""
    balanced = None
    for name, task in TASKS.items():
        peers = SUPERVISED | PEERS
        if task.load is mnist:  # hours of an SVC's probabilities
            peers = {key: peer for key, peer in peers.items() if key != "self-training"}
        found = accuracies(task, peers)
        ours, plain = found.pop("skae"), found["fine-tuned"]
        for peer, values in found.items():
            yield Line(f"    {name}: {peer}", figure(values))
        required = plain.mean() - task.margin if task.required is None else task.required
        if task.share_of_first is not None:
            required = balanced - 0.02
        if task.n_labels == 50 and task.load is digits and task.share_of_first is None:
            balanced = ours.mean()
        aim = "" if task.aim is None else f" (aim {task.aim})"
        yield judged(name, figure(ours), "", f">= {required:.3f}{aim}", ours.mean() >= required)
