"""
Synthetic tabular data with categories and missing values
=========================================================

:class:`~skae.TabularVAESampler` learns a data frame and draws new rows of the same
columns. Here the table is of people with heart complaints, made up so that all is known:
age, blood pressure, smoking and diagnosis go together, and some blood pressures are
missing.
"""

# %%
# A table with categories and missing values
# ------------------------------------------
# A thousand people to learn from, a thousand others to compare with, and five synthetic ones:
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import AutoencoderImputer, AutoencoderTransformer, TabularVAESampler
from skae.inspection import LatentDisplay, TableDisplay


def make_people(n, seed):
    rng = np.random.default_rng(seed)
    age = rng.normal(55, 12, n).clip(20, 90).round()
    smokes = np.where(rng.random(n) < 0.3, "yes", "no")
    pressure = (95 + 0.6 * age + 8 * (smokes == "yes") + rng.normal(0, 8, n)).round()
    risk = 0.08 * (age - 55) + 0.1 * (pressure - 130) + 1.5 * (smokes == "yes")
    sick = rng.random(n) < 1 / (1 + np.exp(-risk))
    cigarettes = np.where(smokes == "yes", rng.poisson(12, n) + 1, 0)
    people = pd.DataFrame({"age": age.astype(int), "pressure": pressure})
    people["smokes"], people["cigarettes"] = smokes, cigarettes
    people["diagnosis"] = np.where(sick, "sick", "healthy")
    people.loc[rng.random(n) < 0.1, "pressure"] = np.nan
    return people


people, others = make_people(1000, seed=0), make_people(1000, seed=1)
sampler = TabularVAESampler(8, hidden_layer_sizes=(64, 64), random_state=0)
sampler.set_params(max_iter=300).fit(people)
sampler.sample(5, random_state=0, with_missing=True)

# %%
# Drawn rows beside real ones
# ---------------------------
# Columns one by one, and how strongly they go together: drawn rows beside real ones that
# the sampler has not seen.
TableDisplay.from_estimator(sampler, others, random_state=0)
plt.show()

# %%
# A map
# -----
# A code of two numbers is a map of the table. Beside it the classic way: columns are imputed,
# scaled and encoded, and a plain autoencoder is fitted to the resulting numbers. The diagnosis
# gives the colours and is left out of both fits, so that neither map can have it from anywhere
# but the other columns. Smokers lie apart from others in both; the sick lie at one end of either
# group.
X, diagnosis = people.drop(columns="diagnosis"), people["diagnosis"]
mapper = TabularVAESampler(2, hidden_layer_sizes=(64, 64), random_state=0).fit(X)
columns = make_column_transformer(
    (
        make_pipeline(AutoencoderImputer(random_state=0), StandardScaler()),
        ["age", "pressure", "cigarettes"],
    ),
    (OneHotEncoder(sparse_output=False), ["smokes"]),
)
classic = make_pipeline(columns, AutoencoderTransformer(2, random_state=0)).fit(X)
_, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
maps = {"TabularVAESampler": mapper, "columns encoded first": classic}
for ax, (name, model) in zip(axes, maps.items(), strict=True):
    LatentDisplay.from_estimator(model, X, diagnosis, n_points=None, ax=ax)
    ax.set_title(name)
axes[0].get_legend().remove()
plt.show()

# %%
# Conditional sampling
# --------------------
# Rows with some cells given, here smokers of 70 years: most are sick.
smokers = sampler.sample(1000, random_state=0, given={"smokes": "yes", "age": 70})
print(smokers["diagnosis"].value_counts(normalize=True).round(2))

# %%
# Imputation, and reasons
# -----------------------
# Missing blood pressures are filled by what the other cells tell.
print(f"missing cells before: {others.isna().sum().sum()}")
print(f"missing cells after:  {sampler.impute(others).isna().sum().sum()}")

# %%
# In a row that is odd, the cells that do not go with the others have the lowest scores, the
# logarithm of how probable each cell is, given the others. Here someone who is said not
# to smoke has 20 cigarettes a day:
odd = pd.DataFrame(
    {
        "age": [60],
        "pressure": [135.0],
        "smokes": ["no"],
        "cigarettes": [20],
        "diagnosis": ["sick"],
    }
)
for column, score in zip(odd, sampler.score_features(odd)[0], strict=True):
    print(f"{column:10} {score:5.1f}")
