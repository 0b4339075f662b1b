"""Files of earlier versions load: they give the results that they gave then, and training goes on from them.

The models in tests/data_saved/VERSION were saved by that version, with tests/data_saved/save.py.
"""

import pathlib
import pickle
import warnings

import numpy as np
import pytest
import torch
from estimators import assert_same
from numpy.testing import assert_allclose
from sklearn.base import clone, is_classifier

from skae import SparseAutoencoder

FOLDER = pathlib.Path(__file__).parent.parent / "data_saved"
FILES = [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in sorted(FOLDER.glob("*/*.pkl"))]
AUTOENCODERS = [parameter for parameter in FILES if parameter.values[0].stem != "classifier"]


def load(path):
    return pickle.loads(path.read_bytes())


def expected(path):
    """The rows of a model, its codes, and its reconstructions or probabilities."""
    with np.load(path.with_name("expected.npz")) as arrays:
        rows = arrays["X01" if path.stem == "own_modules" else "X"]
        return rows, arrays[path.stem], arrays[f"{path.stem}_back"]


def back(model, X):
    return model.predict_proba(X) if is_classifier(model) else model.reconstruct(X)


def parameters(model):
    return [p.detach().clone() for network in (model.encoder_, model.decoder_) for p in network.parameters()]


def test_there_are_files_of_each_kind():
    assert len(FILES) >= 13


@pytest.mark.parametrize("path", FILES)
def test_it_gives_the_results_of_then(path):
    X, codes, restored = expected(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load(path)
        now = model.transform(X), back(model, X)
    for array, then in zip(now, (codes, restored), strict=True):
        assert array.dtype == then.dtype
        assert_allclose(array, then, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Without effect beside your own")  # of the fit that one was saved after
@pytest.mark.parametrize("path", FILES)
def test_it_is_saved_anew_and_cloned(path):
    X, *_ = expected(path)
    model = load(path)
    again = pickle.loads(pickle.dumps(model))
    assert_same(again.transform(X), model.transform(X))
    assert_same(back(again, X), back(model, X))
    assert repr(again) == repr(model)
    copied = clone(model).fit(X, np.arange(len(X)) % 3)
    assert copied.n_features_in_ == model.n_features_in_
    assert set(vars(type(model)()).keys()) <= set(vars(model)), "it has all of today's parameters"


@pytest.mark.parametrize("path", AUTOENCODERS)
def test_passes_go_on_from_it(path):
    X, *_ = expected(path)
    model = load(path)
    before, n = parameters(model), model.n_iter_
    model.set_params(learning_rate=1e-12).partial_fit(X)
    assert model.n_iter_ == len(model.loss_curve_) == n + 1
    for now, then in zip(parameters(model), before, strict=True):
        assert_allclose(now, then, atol=1e-6)
    model.set_params(learning_rate=0.01).partial_fit(X)
    assert any(not torch.equal(now, then) for now, then in zip(parameters(model), before, strict=True))


@pytest.mark.parametrize("path", AUTOENCODERS)
def test_a_warm_start_goes_on_from_it(path):
    X, *_ = expected(path)
    model = load(path)
    before = parameters(model)
    model.set_params(warm_start=True, learning_rate=1e-12, max_iter=2).fit(X)
    for now, then in zip(parameters(model), before, strict=True):
        assert_allclose(now, then, atol=1e-6)


def test_dead_units_by_their_former_name():
    """A unit that was dead when the model was saved is one when training goes on."""
    X = np.random.default_rng(0).normal(size=(40, 5))
    model = SparseAutoencoder(6, sparsity="topk", n_active=1, max_iter=2, tol=None, random_state=0).fit(X)
    state = model.__getstate__()
    state["_silent_units"] = (1, 3)
    del state["_dead_unit_numbers"]
    state["sparsity_warmup"] = state.pop("sparsity_warm_up") + 7
    former, plain = (SparseAutoencoder.__new__(SparseAutoencoder) for _ in range(2))
    former.__setstate__(state)
    plain.__setstate__(model.__getstate__() | {"_dead_unit_numbers": (1, 3), "sparsity_warm_up": 7})
    assert former.get_params() == plain.get_params()
    assert former.sparsity_warm_up == 7
    nobody = pickle.loads(pickle.dumps(model)).set_params(sparsity_warm_up=7)
    nobody._dead_unit_numbers = ()
    for each in (former, plain, nobody):
        each.partial_fit(X)
    assert_same(former.transform(X), plain.transform(X))
    assert not np.array_equal(former.transform(X), nobody.transform(X))
