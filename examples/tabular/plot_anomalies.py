"""
Anomaly detection
=================

An outlier detector is fitted to normal rows and judges new ones. Here the normal rows are measurements of benign
tumours, and the outliers malignant ones, of which the detector sees none while it is fitted. The page compares
it with four other methods, on digits too, sets a threshold by the rate of false alarms, chooses rows with few
false discoveries, and asks which measurements make a row odd.
"""

# %%
# Comparison of the methods
# -------------------------
# The area under the ROC curve is the probability that an outlier scores as odder than a normal row; it needs no
# threshold. Two tables: the tumours, and handwritten digits, of which each is the outlier once. Half of the
# normal rows are for fitting, the others and all outliers for judging. All methods are used with their defaults,
# on standardised columns.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderOutlierDetector
from skae.inspection import OutlierDisplay

data = load_breast_cancer(as_frame=True)
benign, malignant = data.data[data.target == 1], data.data[data.target == 0]


def oddness(X_train, X, seed):
    """Return how odd each method finds the rows of X: higher is odder."""
    scaler = StandardScaler().fit(X_train)
    Z_train, Z = scaler.transform(X_train), scaler.transform(X)
    pca = PCA(5).fit(Z_train)
    neighbours = NearestNeighbors(n_neighbors=5).fit(Z_train)
    factor = LocalOutlierFactor(novelty=True).fit(Z_train)
    forest = IsolationForest(random_state=seed).fit(Z_train)
    detector = AutoencoderOutlierDetector(random_state=seed).fit(X_train)
    return {
        "detector": -detector.score_samples(X),
        "isolation forest": -forest.score_samples(Z),
        "local outlier factor": -factor.score_samples(Z),
        "5 nearest neighbours": neighbours.kneighbors(Z)[0].mean(axis=1),
        "PCA, 5 components": np.square(
            pca.inverse_transform(pca.transform(Z)) - Z
        ).mean(axis=1),
    }


def areas(normal, odd, seed):
    """Return the area under the ROC curve of each method."""
    X_train, X_test = train_test_split(normal, test_size=0.5, random_state=seed)
    is_odd = np.repeat([0, 1], [len(X_test), len(odd)])
    found = oddness(X_train, np.vstack([X_test, odd]), seed)
    return {name: roc_auc_score(is_odd, values) for name, values in found.items()}


X, y = load_digits(return_X_y=True)
tables = {
    "tumours": [
        areas(benign.to_numpy(), malignant.to_numpy(), seed) for seed in range(5)
    ],
    "digits": [areas(X[y != odd], X[y == odd], seed=0) for odd in range(10)],
}
print(f"{'':22}" + "".join(f"{table:>16}" for table in tables))
for name in tables["digits"][0]:
    line = f"{name:22}"
    for found in tables.values():
        values = [each[name] for each in found]
        line += (
            f"{np.mean(values):8.3f} "
            f"+-{np.std(values, ddof=1) / np.sqrt(len(values)):6.3f}"
        )
    print(line)

# %%
# No method is the best on both: on the tumours, whose malignant rows are large in most features, it is the
# isolation forest, which is among the worst on the digits; there it is the distance to the nearest neighbours, for
# which all training rows have to be kept. The detector is close to the better ones on both, and it also gives
# p-values, and reasons.

# %%
# False alarms and false discoveries
# ----------------------------------
# ``predict`` calls a row an outlier if its p-value is at most ``false_alarm_rate``, so that on average at most
# this share of normal rows are false alarms; here, one in twenty. ``select`` chooses rows so that few of the
# *chosen* ones are normal: here, at most a tenth on average.

X_train, X_test = train_test_split(benign, test_size=0.5, random_state=0)
detector = AutoencoderOutlierDetector(false_alarm_rate=0.05, random_state=0)
detector.fit(X_train)
print(f"false alarms:            {np.mean(detector.predict(X_test) == -1):.1%}")
print(f"malignant rows found:    {np.mean(detector.predict(malignant) == -1):.1%}")

new = data.data.loc[X_test.index.union(malignant.index)]
is_malignant = (data.target[new.index] == 0).to_numpy()
chosen = detector.select(new, alpha=0.1)
print(f"rows chosen:             {chosen.sum()}")
print(f"benign among the chosen: {np.mean(~is_malignant[chosen]):.1%}")

# %%
# The scores with the threshold, the p-values, which would be flat if all rows were benign, and the reasons of the
# three oddest rows, with values found, expected and usual. The display names rows by the index of the data frame.

labels = np.where(is_malignant, "malignant", "benign")
OutlierDisplay.from_estimator(detector, new, labels, n_features=6)

# %%
# Reasons
# -------
# Which features make a row odd: those without which its distance would fall most. Beside them, the value, the one
# that the other features of the row let expect, and the usual one, the median of the training rows. Take the
# first few as a hint where to look, not as a verdict: what is odd in one feature also disturbs how others are
# reconstructed.

row = malignant.iloc[[0]]
reasons = detector.score_features(row)[0]
expected = detector.expected_values(row)[0]
print(f"{'feature':24}{'contribution':>12}{'value':>9}{'expected':>9}{'usual':>9}")
for column in np.argsort(-reasons)[:5]:
    values = row.iloc[0, column], expected[column], detector.usual_values_[column]
    print(
        f"{data.feature_names[column]:24}{reasons[column]:12.0f}"
        + "".join(f"{value:9.4g}" for value in values)
    )
plt.show()
