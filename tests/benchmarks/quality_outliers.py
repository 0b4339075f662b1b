"""Outlier detection on public tables: the detector beside others, at their defaults."""

import re
from typing import NamedTuple

import numpy as np
from datasets import keel, mnist
from sklearn.datasets import fetch_kddcup99, load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, StandardScaler
from table import Line, MissingDataError, at_most, judged, row

from skae import AutoencoderOutlierDetector, AutoencoderTransformer

TABLES = {"breast cancer": load_breast_cancer, "wine": load_wine, "iris": load_iris, "digits": load_digits}
MOST_ROWS = 2000


class Table(NamedTuple):
    """Normal rows, and odd ones, a tenth of all rows at most."""

    name: str
    normal: np.ndarray
    odd: np.ndarray


def _table(name, X, is_odd):
    """Return a table of at most `MOST_ROWS` rows and of odd ones drawn once."""
    normal, odd = X[~is_odd][:MOST_ROWS], X[is_odd]
    drawn = np.random.default_rng(0).permutation(len(odd))[: len(normal) // 9]
    return Table(name, normal, odd[drawn])


def _of_sklearn():
    """One class of each table against the others."""
    for name, load in TABLES.items():
        X, y = load(return_X_y=True)
        yield from (_table(f"{name} {odd}", X, y == odd) for odd in np.unique(y))


def _of_keel():
    """The first table of each family, where 10 rows or more, and at most 15 %, are of the smaller class."""
    families = set()
    for name, X, classes in keel("imbalanced"):
        family, is_odd = re.split(r"[-\d]", name)[0], classes == "positive"
        if family not in families and X.shape[1] >= 5 and is_odd.sum() >= 10 and is_odd.mean() <= 0.15:
            families.add(family)
            yield _table(name, X, is_odd)


def _of_mnist():
    """One digit against the others, of the first 3000 test images."""
    _, X, _, y = mnist()
    yield from (_table(f"MNIST {odd}", X[:3000], y[:3000] == odd) for odd in range(10))


def _of_kddcup99():
    """Connections to a web server, of KDD Cup 1999."""
    try:
        data = fetch_kddcup99(subset="http", random_state=0, n_retries=1)
    except OSError:
        raise MissingDataError("needs the connections of KDD Cup 1999, which could not be fetched") from None
    yield _table("kddcup99, http", np.asarray(data.data, dtype=float), data.target != b"normal.")


SOURCES = {
    "scikit-learn's, one class odd": _of_sklearn,
    "KEEL's, one of each family": _of_keel,
    "MNIST, one digit odd": _of_mnist,
    "kddcup99": _of_kddcup99,
}


def _splits(normal, odd, seed):
    """Yield the protocols: rows to train on, rows to judge, and which of these are odd."""
    half = len(normal) // 2
    shuffled = normal[np.random.default_rng(seed).permutation(len(normal))]
    for protocol, rows in (("file order", normal), ("shuffled", shuffled)):
        is_odd = np.repeat([0, 1], [len(rows) - half, len(odd)])
        yield protocol, rows[:half], np.vstack([rows[half:], odd]), is_odd
    everything = np.vstack([normal, odd])
    yield "everything", everything, everything, np.repeat([0, 1], [len(normal), len(odd)])


def _oddness(X_train, X_test, seed):
    """Return how odd each method finds rows; a training row is not its own neighbour."""
    scaler = StandardScaler().fit(X_train)
    Z, new = scaler.transform(X_train), scaler.transform(X_test)
    width = max(1, round(np.sqrt(Z.shape[1])))
    pca = PCA(width).fit(Z)
    neighbours = NearestNeighbors(n_neighbors=5).fit(Z)
    distance, _ = neighbours.kneighbors(None if X_test is X_train else new)
    factor = LocalOutlierFactor(novelty=True).fit(Z)
    single = AutoencoderTransformer(width, random_state=seed).fit(Z)
    return {
        "detector": -AutoencoderOutlierDetector(random_state=seed).fit(X_train).score_samples(X_test),
        "isolation forest": -IsolationForest(random_state=seed).fit(Z).score_samples(new),
        "LOF": -factor.score_samples(new),
        "kNN": distance.mean(1),
        "PCA": np.square(pca.inverse_transform(pca.transform(new)) - new).sum(1),
        "autoencoder": single.reconstruction_error(new),
    }


@row
def outliers():
    """Mean areas under the ROC curve by source of tables, of what there is of them; false alarms."""
    for source, tables in SOURCES.items():
        try:
            found = [*tables()]
        except (ImportError, MissingDataError) as error:
            yield Line(f"left out: {source}: {error}", "")
        else:
            yield from _compared(source, found)
    yield from _false_alarms()


def _compared(source, tables):
    areas = {}
    for _, normal, odd in tables:
        for protocol, X_train, X_test, is_odd in _splits(normal, odd, seed=1):
            scores = _oddness(X_train, X_test, seed=1)
            of_table = {method: roc_auc_score(is_odd, values) for method, values in scores.items()}
            areas.setdefault(protocol, []).append(of_table)
    for protocol, found in areas.items():
        means = {method: np.mean([of_table[method] for of_table in found]) for method in found[0]}
        difference = [of_table["detector"] - of_table["isolation forest"] for of_table in found]
        error = np.std(difference) / np.sqrt(len(difference))
        others = ", ".join(f"{name} {100 * mean:.1f}" for name, mean in means.items() if name != "detector")
        work = f"{source}: {len(found)} tables, {protocol}, mean area under the ROC curve (%)"
        required = f"no worse than the isolation forest, +- {100 * error:.1f}"
        yield judged(work, f"{100 * means['detector']:.1f}", others, required, np.mean(difference) > -error)


def _false_alarms():
    alarms = []
    X, y = load_breast_cancer(return_X_y=True)
    for seed in range(20):
        benign = X[y == 1][np.random.default_rng(seed).permutation(np.sum(y == 1))]
        p = AutoencoderOutlierDetector(random_state=seed).fit(benign[:178]).p_values(benign[178:])
        alarms.append([np.mean(p <= 0.05), np.mean(p <= 0.1)])
    for alpha, share, limit in zip((0.05, 0.1), np.mean(alarms, 0), (0.055, 0.107), strict=True):
        yield at_most(f"breast cancer, benign rows with p <= {alpha}", share, f"{alpha} (conformal)", limit)


def _with_a_threshold(rate):
    return {
        "detector": AutoencoderOutlierDetector(false_alarm_rate=rate, random_state=0),
        "PowerTransformer, detector": make_pipeline(
            PowerTransformer(), AutoencoderOutlierDetector(false_alarm_rate=rate, random_state=0)
        ),
        "isolation forest": IsolationForest(contamination=rate, random_state=0),
        "StandardScaler, local outlier factor": make_pipeline(
            StandardScaler(), LocalOutlierFactor(novelty=True, contamination=rate)
        ),
    }


@row
def outlier_rates():
    """What is found at a low rate of false alarms, in columns that are skewed; means of eight splits."""
    X, y = load_breast_cancer(return_X_y=True)
    for rate in (0.01, 0.05):
        found = {}
        for seed in range(8):
            train, benign = train_test_split(X[y == 1], test_size=0.3, random_state=seed)
            for name, model in _with_a_threshold(rate).items():
                outliers = [model.fit(train).predict(rows) == -1 for rows in (benign, X[y == 0])]
                new = np.vstack([benign, X[y == 0]])
                is_odd = np.repeat([0, 1], [len(benign), np.sum(y == 0)])
                area = roc_auc_score(is_odd, -model.score_samples(new))
                found.setdefault(name, []).append([*map(np.mean, outliers), area])
        for name, figures in found.items():
            alarms, right, area = np.mean(figures, axis=0)
            ours = f"{right:.1%} of malignant rows"
            yield Line(f"{name}, rate {rate}", ours, f"{alarms:.1%} of benign ones, area {100 * area:.1f}")
