"""The variant that the documentation shows: a whole estimator, and sparse as it says."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "extending_l1.py"


def load(path):
    """Import a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # pickle looks there
    spec.loader.exec_module(module)
    return module


L1Autoencoder = load(EXAMPLE).L1Autoencoder


def test_the_page_shows_this_file_which_is_short():
    assert "{literalinclude} ../examples/extending_l1.py" in (ROOT / "docs" / "extending.md").read_text()
    assert len(EXAMPLE.read_text().splitlines()) <= 30


@parametrize_with_checks([L1Autoencoder(2, hidden_layer_sizes=(8,), max_iter=4, tol=None)])
def test_scikit_learn(estimator, check):
    check(estimator)


def test_own_parameter_is_a_parameter():
    assert L1Autoencoder(l1=0.5).get_params()["l1"] == 0.5
    assert L1Autoencoder().code_activation == "relu"
    with pytest.raises(ValueError, match="'l1' parameter of L1Autoencoder must be"):
        L1Autoencoder(l1=-1).fit(np.eye(3))


def test_penalty_switches_codes_off_at_a_small_cost(digits):
    settings = {"alpha": 1e-3, "learning_rate": 3e-3, "batch_size": 200, "max_iter": 60, "random_state": 0}
    rows = digits.astype(np.float32)
    train, test = rows[::2], rows[1::2]
    dense, sparse = (L1Autoencoder(32, **settings, **l1).fit(train) for l1 in ({"l1": 0.0}, {}))
    active_dense, active_sparse = ((model.transform(test) > 0).mean() for model in (dense, sparse))
    assert active_sparse < 0.75 * active_dense
    assert sparse.score(test) > dense.score(test) - 0.05


def test_objective_holds_the_penalty(digits):
    model = L1Autoencoder(4, l1=0.1, max_iter=1, tol=None, batch_size=len(digits), random_state=0)
    model.set_params(learning_rate=1e-12)  # so that the weights stay as they were when the loss was taken
    model.fit(digits)
    expected = model.reconstruction_error(digits).mean() + 0.1 * np.abs(model.transform(digits)).sum(1).mean()
    assert model.loss_ == pytest.approx(expected, rel=1e-4)
