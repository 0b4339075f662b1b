"""What a saved model is made of: plain arrays, a format number, and a device that may be missing."""

import pickle

import numpy as np
import pytest
import torch
from estimators import assert_same, classifier, fitted, rows
from own_modules import TiedPair
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skae import AutoencoderTransformer, VAESampler
from skae._fitted.persistence import FORMAT

X = rows()


def configured(**parameters):
    return AutoencoderTransformer(2, max_iter=3, tol=None, random_state=0, **parameters)


def revived(state, estimator_class=AutoencoderTransformer):
    model = estimator_class.__new__(estimator_class)
    model.__setstate__(state)
    return model


@pytest.mark.parametrize("device", ["cuda:99", "xpu:99", "abacus"])
def test_a_model_from_a_missing_device_loads_on_the_processor(device):
    model = configured().fit(X)
    state = model.__getstate__()
    state["device_"] = device
    with pytest.warns(UserWarning, match=f"fitted on device '{device}'.*loaded on 'cpu'") as caught:
        loaded = revived(state)
    assert len(caught) == 1
    assert loaded.device_ == torch.device("cpu")
    assert_same(loaded.transform(X), model.transform(X))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_pipeline_from_a_gpu_warns_once(monkeypatch):
    pipeline = make_pipeline(StandardScaler(), configured(device="cuda:0"))
    monkeypatch.setattr(pipeline[-1], "device", "cpu")
    pipeline.fit(X)
    codes = pipeline.transform(X)
    pipeline[-1].device_ = torch.device("cuda:0")
    pickled = pickle.dumps(pipeline)
    pipeline[-1].device_ = torch.device("cpu")
    with pytest.warns(UserWarning, match="fitted on device 'cuda:0'") as caught:
        loaded = pickle.loads(pickled)
    assert len(caught) == 1
    assert_same(loaded.transform(X), codes)
    loaded.set_params(autoencodertransformer__device="cpu")
    assert_same(loaded.fit(X).transform(X), codes)


@pytest.mark.parametrize("estimator", [configured(), classifier(configured())], ids=["autoencoder", "classifier"])
def test_a_newer_format_is_refused(estimator):
    state = fitted(estimator, X).__getstate__()
    state["_networks"]["format"] = FORMAT + 1
    name = type(estimator).__name__
    with pytest.raises(ValueError, match=f"{name} was saved in format {FORMAT + 1} by a newer.*Upgrade skae"):
        revived(state, type(estimator))


def test_the_former_name_of_an_encoders_scale_is_understood():
    counts = np.random.default_rng(0).poisson(3, size=(30, 4)).astype(float)
    model = VAESampler(2, likelihood="poisson", max_iter=3, tol=None, random_state=0).fit(counts)
    state = model.__getstate__()
    saved = state["_networks"]["encoder"]
    saved["typical"] = saved.pop("log_scale")
    assert_same(revived(state, VAESampler).transform(counts), model.transform(counts))


def test_the_former_name_is_understood_beside_a_module_of_ones_own():
    model = configured(decoder=nn.Linear(2, 5)).fit(X)
    state = model.__getstate__()
    buffers = state["_networks"]["modules"][0]["module"]._buffers
    buffers["typical"] = buffers.pop("log_scale")
    assert_same(revived(state).transform(X), model.transform(X))


def test_getting_the_state_twice_gives_copies():
    model = configured().fit(X)
    first, second = model.__getstate__(), model.__getstate__()
    first["_networks"]["encoder"]["0.0.weight"][:] = 0
    assert np.abs(second["_networks"]["encoder"]["0.0.weight"]).max() > 0
    assert_same(model.transform(X), configured().fit(X).transform(X))


def test_a_saved_model_is_as_small_as_its_weights():
    """No data are kept; after partial_fit two numbers of the solver for each weight are, after fit none."""
    many = rows(5000)
    model = configured(hidden_layer_sizes=(500,), dtype="float32")
    for method, numbers in (("fit", 1), ("partial_fit", 3)):
        getattr(model, method)(many)
        assert len(pickle.dumps(model)) < 4 * numbers * model.n_parameters_ + 20_000


@pytest.mark.parametrize("tied", [False, True])
def test_the_dtype_of_the_weights_survives(tied):
    for dtype in ("float32", "float64"):
        model = configured(dtype=dtype, tied_weights=tied).fit(X)
        loaded = pickle.loads(pickle.dumps(model))
        assert {p.dtype for p in loaded.encoder_.parameters()} == {getattr(torch, dtype)}
        assert (
            loaded.n_parameters_
            == model.n_parameters_
            == sum(p.numel() for network in (loaded.encoder_, loaded.decoder_) for p in network.parameters())
        )


def test_a_tied_decoder_is_still_tied():
    loaded = pickle.loads(pickle.dumps(configured(tied_weights=True).fit(X)))
    codes = loaded.transform(X)
    before = loaded.inverse_transform(codes)
    with torch.no_grad():
        for parameter in loaded.encoder_.parameters():
            parameter.mul_(2)
    assert not np.allclose(loaded.inverse_transform(codes), before)


# Users' own modules ----------------------------------------------------------------------------------------


def own_modules():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    return {"encoder": encoder, "decoder": nn.Linear(2, 5)}


def tied_pair():
    pair = TiedPair()
    return {"encoder": pair.encoder, "decoder": pair.decoder}


def tensors_in(value, seen=None):
    """Walk through everything that a pickle would, and yield the tensors."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item, seen)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from tensors_in(item, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        yield from tensors_in(vars(value), seen)


@pytest.mark.parametrize("make", [own_modules, tied_pair])
def test_own_modules_survive_without_a_tensor_inside(make):
    modules = make()
    model = configured(**modules).fit(X)
    state = model.__getstate__()
    assert not list(tensors_in(state))
    assert list(modules["encoder"].parameters()), "the user's own modules keep theirs"
    loaded = pickle.loads(pickle.dumps(model))
    assert_same(loaded.transform(X), model.transform(X))
    assert_same(loaded.reconstruct(X), model.reconstruct(X))
    assert loaded.n_parameters_ == model.n_parameters_
    assert type(loaded.encoder_) is type(model.encoder_)
    for name in ("encoder", "decoder"):
        for key, value in getattr(model, name).state_dict().items():
            assert torch.equal(getattr(loaded, name).state_dict()[key], value)
    assert_same(loaded.fit(X).transform(X), model.transform(X))


def test_parameters_shared_by_own_modules_stay_shared():
    loaded = pickle.loads(pickle.dumps(configured(**tied_pair()).fit(X)))
    assert loaded.encoder_.weight is loaded.decoder_.weight
    assert loaded.encoder.weight is loaded.decoder.weight
    assert loaded.partial_fit(X).encoder_.weight is loaded.decoder_.weight
    cloned = clone(loaded)
    assert cloned.encoder.weight is cloned.decoder.weight
    assert cloned.encoder.weight is not loaded.encoder.weight


def test_frozen_parameters_of_own_modules_stay_frozen():
    modules = own_modules()
    modules["encoder"][0].requires_grad_(False)
    loaded = pickle.loads(pickle.dumps(configured(**modules).fit(X)))
    for module in (loaded.encoder, loaded.encoder_):
        assert [p.requires_grad for p in module.parameters()] == [False, False, True, True, True, True]


def test_an_unfitted_estimator_with_own_modules_survives():
    estimator = configured(**own_modules())
    loaded = pickle.loads(pickle.dumps(estimator))
    assert_same(loaded.fit(X).transform(X), estimator.fit(X).transform(X))


def test_modules_of_ones_own_in_bfloat16_are_copied():
    own = nn.Linear(5, 2).bfloat16()
    loaded = pickle.loads(pickle.dumps(AutoencoderTransformer(encoder=own))).encoder
    assert loaded.weight.dtype == torch.bfloat16
    assert torch.equal(loaded.weight, own.weight)
