"""Maps of tables, two codes of each row: what they cost, and whether like rows lie together."""

import time

import numpy as np
import pandas as pd
from datasets import adult
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from table import Line, row

from skae import AutoencoderImputer, AutoencoderTransformer, TabularVAESampler


@row
def table_maps():
    """Maps by the sampler, and by columns that are imputed and encoded: seconds to fit, and like rows together.

    Judged by 15 nearest neighbours in the map, which predict the column that was left out; three seeds.
    """
    wine = load_wine(as_frame=True).frame
    for name, (table, target, n_train, n_test) in {
        "wine": (wine, "target", 100, 78),
        "Adult": (adult(), "income", 10_000, 8_000),
    }.items():
        X, y, found = table.drop(columns=target), table[target], {}
        for seed in range(3):
            parts = train_test_split(X, y, train_size=n_train, test_size=n_test, random_state=seed)
            for kind, model in _maps(X, seed).items():
                found.setdefault(kind, []).append(_figures(model, *parts))
        for kind, figures in found.items():
            seconds, right = np.mean(figures, axis=0)
            yield Line(f"{name}, map by {kind}", f"{seconds:.1f} s, {right:.3f} right")


@row
def maps_of_noise():
    """What maps show of a table where two columns go together with a category, and two with nothing; three seeds.

    Judged by 15 nearest neighbours in the map, which predict a column of numbers: R^2, five folds.
    """
    found = {}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        kind = rng.integers(3, size=1500)
        shared = 1.5 * (kind - 1) + 0.7 * rng.normal(size=1500)
        ties = {"up": shared, "down": -shared, "noise": 0.0, "more noise": 0.0}
        spread = {"up": 0.5, "down": 0.5, "noise": 1.0, "more noise": 1.0}
        table = pd.DataFrame({name: tie + spread[name] * rng.normal(size=1500) for name, tie in ties.items()})
        X = table.assign(kind=np.array(["a", "b", "c"])[kind])
        for name, model in _maps(X, seed).items():
            codes = model.fit(X).transform(X)
            r2 = [cross_val_score(KNeighborsRegressor(15), codes, table[column], cv=5).mean() for column in table]
            found.setdefault(name, []).append(r2)
    for name, figures in found.items():
        tied, _, noise, more = np.mean(figures, axis=0)
        yield Line(f"map by {name}", f"{tied:.2f} of a tied column", f"{(noise + more) / 2:.2f} of a noise column")


def _maps(X, seed):
    numbers, categories = X.select_dtypes("number").columns, X.select_dtypes(exclude="number").columns

    def encoded(imputer):
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        columns = make_column_transformer(
            (make_pipeline(imputer, StandardScaler()), numbers), (one_hot, categories)
        )
        return make_pipeline(columns, AutoencoderTransformer(2, random_state=seed))

    return {
        "TabularVAESampler": TabularVAESampler(2, random_state=seed),
        "AutoencoderImputer and one-hot": encoded(AutoencoderImputer(random_state=seed)),
        "SimpleImputer and one-hot": encoded(SimpleImputer()),
    }


def _figures(model, train, test, y_train, y_test):
    start = time.process_time()
    model.fit(train)
    seconds = time.process_time() - start
    neighbours = KNeighborsClassifier(15).fit(model.transform(train), y_train)
    return seconds, neighbours.score(model.transform(test), y_test)
