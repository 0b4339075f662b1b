"""Every estimator saved and loaded: alone, in a Pipeline, in a fitted GridSearchCV, bit for bit."""

import copy
import io
import pickle
import pickletools

import joblib
import numpy as np
import pytest
import torch
from estimators import (
    CONTINUING,
    DETECTORS,
    ESTIMATORS,
    EVERY_ESTIMATOR,
    IMPUTERS,
    TABULAR,
    assert_same,
    labels,
    rows,
    widths,
)
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderImputer, DenoisingAutoencoder

skops_io = pytest.importorskip("skops.io")


def through_pickle(model, folder):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def through_memory_map(model, folder):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


def through_deepcopy(model, folder):
    return copy.deepcopy(model)


def through_skops(model, folder):
    data = skops_io.dumps(model)
    return skops_io.loads(data, trusted=skops_io.get_untrusted_types(data=data))


ROUND_TRIPS = [through_pickle, through_joblib, through_memory_map, through_deepcopy, through_skops]


OTHERS = [pytest.param(estimator, id=name) for name, estimator in {**IMPUTERS, **DETECTORS, **TABULAR}.items()]


def alone(estimator):
    return clone(estimator)


def in_pipeline(estimator):
    return make_pipeline(StandardScaler(), clone(estimator))


def in_search(estimator):
    return GridSearchCV(clone(estimator), widths(estimator), cv=2)


@pytest.mark.parametrize("estimator", [*EVERY_ESTIMATOR, *OTHERS])
def test_a_model_in_memory_that_is_read_only_is_used_without_a_warning(estimator, tmp_path, monkeypatch):
    """torch warns of such memory, of its first tensor in a process unless it is told to warn always."""
    X = rows()
    model = clone(estimator).fit(X, labels(X))
    loaded = through_memory_map(model, tmp_path)
    if isinstance(estimator, AutoencoderImputer):
        X = np.where(np.quantile(X, 0.9) < X, np.nan, X)
    torch.set_warn_always(True)
    try:
        for method in ("transform", "predict", "predict_proba", "score_samples", "score_features", "p_values"):
            if hasattr(model, method):
                assert_same(getattr(loaded, method)(X), getattr(model, method)(X))
        if hasattr(model, "inverse_transform"):
            loaded.inverse_transform(model.transform(X))
        if hasattr(model, "sample"):
            start = {"X_init": X} if isinstance(model, DenoisingAutoencoder) else {}
            drawn, again = (one.sample(5, random_state=0, **start) for one in (loaded, model))
            assert_same(drawn, again)
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("wrap", [alone, in_pipeline, in_search])
@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_a_loaded_model_transforms_bit_for_bit(estimator, round_trip, wrap, tmp_path):
    X = rows()
    model = wrap(estimator).fit(X, labels(X))
    loaded = round_trip(model, tmp_path)
    for data in (X, X.astype(np.float32)):
        codes = model.transform(data)
        assert_same(loaded.transform(data), codes)
        if is_classifier(estimator):
            assert_same(loaded.predict(data), model.predict(data))
            assert_same(loaded.predict_proba(data), model.predict_proba(data))
        else:
            assert_same(loaded.inverse_transform(codes), model.inverse_transform(codes))


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_loaded_model_has_the_same_attributes(estimator, round_trip, tmp_path):
    model = clone(estimator).fit(rows())
    loaded = round_trip(model, tmp_path)
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert fitted == {name for name in vars(loaded) if name.endswith("_") and not name.startswith("_")}
    assert loaded.get_params() == model.get_params()
    assert loaded.device_ == model.device_
    assert type(loaded.device_) is torch.device
    for name in fitted - {"encoder_", "decoder_", "device_"}:
        assert_same(getattr(loaded, name), getattr(model, name))
    for network, original in ((loaded.encoder_, model.encoder_), (loaded.decoder_, model.decoder_)):
        assert str(network) == str(original)
        assert not network.training
        assert [p.requires_grad for p in network.parameters()] == [p.requires_grad for p in original.parameters()]


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("estimator", CONTINUING)
def test_a_loaded_model_trains_on_and_leaves_the_original_alone(estimator, round_trip, tmp_path):
    X = rows()
    model = clone(estimator).fit(X)
    codes = model.transform(X)
    loaded = round_trip(model, tmp_path).partial_fit(X)
    assert loaded.n_iter_ == len(loaded.loss_curve_) == model.n_iter_ + 1
    assert not np.array_equal(loaded.reconstruct(X), model.reconstruct(X))
    assert_same(model.transform(X), codes)


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_unfitted_estimator_survives(estimator, round_trip, tmp_path):
    loaded = round_trip(clone(estimator), tmp_path)
    assert loaded.get_params() == estimator.get_params()
    assert_same(loaded.fit(rows()).transform(rows()), clone(estimator).fit(rows()).transform(rows()))


def contents(value):
    """Walk through containers; yield everything that is not one."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from contents(key)
            yield from contents(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from contents(item)
    else:
        yield value


def fitted_on(estimator, method):
    return getattr(clone(estimator), method)(rows())


FITTED = [
    pytest.param(*p.values, method, id=f"{p.id}-{method}")
    for method, those in (("fit", ESTIMATORS), ("partial_fit", CONTINUING))
    for p in those
]


@pytest.mark.parametrize(("estimator", "method"), FITTED)
def test_the_state_holds_plain_values_only(estimator, method):
    state = fitted_on(estimator, method).__getstate__()
    for value in contents(state):
        plain = value is None or isinstance(value, str | bool | int | float | np.ndarray | np.generic)
        assert plain or value is estimator.loss, type(value)


@pytest.mark.parametrize(("estimator", "method"), FITTED)
def test_a_pickle_names_nothing_of_torch(estimator, method):
    pickled = pickle.dumps(fitted_on(estimator, method))
    words = [argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]
    assert "skae" in words
    assert not [word for word in words if word.split(".")[0] == "torch"]


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_files_name_classes_by_their_public_place(estimator):
    """Where a class lives inside skae may change, and files of today load all the same."""
    model, name = clone(estimator).fit(rows(), labels(rows())), type(estimator).__name__
    named = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            named.add(f"{module}.{name}")
            return super().find_class(module, name)

    Unpickler(io.BytesIO(pickle.dumps(model))).load()
    for words in (named, set(skops_io.get_untrusted_types(data=skops_io.dumps(model)))):
        assert f"skae.{name}" in words
        assert not [word for word in words if word.startswith("skae._")]


@pytest.mark.parametrize("estimator", CONTINUING)
def test_saving_leaves_the_model_alone(estimator):
    model = clone(estimator).partial_fit(rows())
    twin = clone(estimator).partial_fit(rows())
    pickle.dumps(model)
    copy.deepcopy(model)
    assert set(vars(model)) == set(vars(twin))
    assert model.encoder_.training is False
    assert_same(model.partial_fit(rows()).transform(rows()), twin.partial_fit(rows()).transform(rows()))
