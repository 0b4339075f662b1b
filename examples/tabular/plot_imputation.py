"""
Filling missing values before a classifier
==========================================

A classifier that cannot take missing values needs an imputer before it. Here a third of the entries of the wine
data are hidden, so that it is known what is missing: imputers are compared by how well they restore it, and by the
accuracy of the classifier behind them.
"""

# %%
# Entries are hidden completely at random.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderImputer
from skae.inspection import ImputationDisplay

X, y = load_wine(return_X_y=True, as_frame=True)
hidden = np.random.default_rng(0).random(X.shape) < 0.33
X_holes = X.mask(hidden)
print(
    f"{hidden.mean():.0%} of the entries are missing, "
    f"in {hidden.any(axis=1).mean():.0%} of the rows"
)

# %%
# How well are the hidden values restored?
# ----------------------------------------
# Errors are in standard deviations of the columns: filling in means has an error of about 1.
# :class:`~sklearn.impute.KNNImputer` looks for neighbours, so that columns have to be standardised first; the
# others do not need that. The autoencoder imputer is small here, to be quick.

warnings.filterwarnings("ignore", message=".*Early stopping criterion not reached")
imputers = {
    "mean": SimpleImputer(),
    "kNN": KNNImputer(),
    "IterativeImputer": IterativeImputer(random_state=0),
    "AutoencoderImputer": AutoencoderImputer(
        n_estimators=4, max_iter=100, random_state=0
    ),
}
scaler = StandardScaler().fit(X_holes)
standardised = scaler.transform(X_holes)
truth = scaler.transform(X)
errors = {}
for name, imputer in imputers.items():
    filled = imputer.fit_transform(standardised)
    errors[name] = np.sqrt(np.square(filled - truth)[hidden].mean())
    print(f"{name:20}{errors[name]:.3f}")

# %%
# And the classifier?
# -------------------
# The imputer is a step of the pipeline: in each fold it is fitted to the training rows only, and fills the others.
# Rows are incomplete in training and in testing.

accuracies = {}
for name, imputer in imputers.items():
    pipe = make_pipeline(StandardScaler(), imputer, LogisticRegression())
    accuracies[name] = scores = cross_val_score(pipe, X_holes, y, cv=5)
    print(f"{name:20}{scores.mean():.3f} +- {scores.std(ddof=1) / 5**0.5:.3f}")

figure, axes = plt.subplots(1, 2, figsize=(8, 2.4), layout="constrained", sharey=True)
axes[0].barh([*errors], [*errors.values()])
axes[0].set_xlabel("error of hidden entries")
for name, scores in accuracies.items():
    axes[1].errorbar(
        scores.mean(), name, xerr=scores.std(ddof=1) / 5**0.5, fmt="o", color="C0"
    )
axes[1].set_xlabel("accuracy of the classifier,\nwith its standard error")
axes[0].invert_yaxis()

# %%
# What was filled in
# ------------------
# Nobody knows the truth of a real table. The imputer estimates its errors by entries that it holds out:
# ``imputation_error_``. The display shows it for each column, and the distribution of imputed values beside that
# of the observed ones. Imputed values are expectations, so that they vary less.

imputer = AutoencoderImputer(n_estimators=4, max_iter=100, random_state=0).fit(X_holes)
estimate = np.sqrt(np.mean(np.square(imputer.imputation_error_ / X.std().to_numpy())))
print(
    f"error as estimated: {estimate:.3f}, in truth {errors['AutoencoderImputer']:.3f}"
)
ImputationDisplay.from_estimator(imputer, X_holes, features=5)
plt.show()
