"""Outlier detection on public tables: the detector beside others, at their defaults."""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from table import at_most, judged, row

from skae import AutoencoderOutlierDetector, AutoencoderTransformer

TABLES = {"breast cancer": load_breast_cancer, "wine": load_wine, "iris": load_iris, "digits": load_digits}


def _one_class_each(name, load):
    """Yield tables: one class is odd, a tenth of as many as the others, drawn once."""
    X, y = load(return_X_y=True)
    for odd in np.unique(y):
        normal, others = X[y != odd], X[y == odd]
        drawn = np.random.default_rng(0).permutation(len(others))[: len(normal) // 9]
        yield f"{name} {odd}", normal, others[drawn]


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
    """Mean areas under the ROC curve, one class of scikit-learn's tables against the rest; false alarms."""
    areas, differences, alarms = {}, {}, []
    for table, load in TABLES.items():
        for _, normal, odd in _one_class_each(table, load):
            for protocol, X_train, X_test, is_odd in _splits(normal, odd, seed=1):
                scores = _oddness(X_train, X_test, seed=1)
                found = {method: roc_auc_score(is_odd, values) for method, values in scores.items()}
                for method, area in found.items():
                    areas.setdefault((protocol, method), []).append(area)
                differences.setdefault(protocol, []).append(found["detector"] - found["isolation forest"])
    for protocol, difference in differences.items():
        means = {method: np.mean(values) for (p, method), values in areas.items() if p == protocol}
        source = ", ".join(f"{name} {100 * mean:.1f}" for name, mean in means.items() if name != "detector")
        error = np.std(difference) / np.sqrt(len(difference))
        holds = np.mean(difference) > -error
        work = f"{len(difference)} tables, {protocol}, mean area under the ROC curve (%)"
        ours = f"{100 * means['detector']:.1f}"
        yield judged(work, ours, source, "no worse than the isolation forest", holds)

    X, y = load_breast_cancer(return_X_y=True)
    for seed in range(20):
        benign = X[y == 1][np.random.default_rng(seed).permutation(np.sum(y == 1))]
        p = AutoencoderOutlierDetector(random_state=seed).fit(benign[:178]).p_values(benign[178:])
        alarms.append([np.mean(p <= 0.05), np.mean(p <= 0.1)])
    for alpha, share, limit in zip((0.05, 0.1), np.mean(alarms, 0), (0.055, 0.107), strict=True):
        yield at_most(f"breast cancer, benign rows with p <= {alpha}", share, f"{alpha} (conformal)", limit)
