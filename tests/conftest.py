"""Settings of the whole suite, and the data that it runs on."""

import os
import sys

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # lets scikit-learn's checks pass torch tensors through
os.environ.setdefault("MPLBACKEND", "Agg")  # draws without a window

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

torch.set_num_threads(1)  # a second thread slows small steps down several times


@pytest.fixture(autouse=True)
def _closed_figures():
    """Close the figures of each test: matplotlib warns of too many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def digits():
    """Standardised digits, float64 (1797, 64); constant pixels stay zero."""
    return StandardScaler().fit_transform(load_digits().data)


@pytest.fixture(scope="session")
def wine():
    """Standardised wine, float64 (178, 13)."""
    return StandardScaler().fit_transform(load_wine().data)


@pytest.fixture(scope="session")
def breast_cancer():
    """Standardised breast cancer, float64 (569, 30)."""
    return StandardScaler().fit_transform(load_breast_cancer().data)
