"""The device parameter, and the processor's state, which a fit changes and puts back."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skae import AutoencoderTransformer
from skae._support.devices import available, cpu_settings, resolve

X = np.random.default_rng(0).normal(size=(30, 4))
TINY = torch.full((1,), torch.finfo(torch.float64).tiny, dtype=torch.float64)


def flushes_denormals():
    return float(TINY.clone().mul_(0.5)) == 0


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_forked_process_is_told_the_cure(monkeypatch):
    """torch's own message speaks of multiprocessing; users of joblib need to know which backend to take."""
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    with pytest.raises(RuntimeError, match=r"device='cuda'.*forked.*loky.*n_jobs=1"):
        AutoencoderTransformer(device="cuda").fit(X)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "auto"])
def test_devices_that_are_there(device):
    model = AutoencoderTransformer(2, device=device, max_iter=1, tol=None).fit(X)
    assert isinstance(model.device_, torch.device)
    if device != "auto":
        assert model.device_ == torch.device("cpu")
    for network in (model.encoder_, model.decoder_):
        assert {p.device for p in network.parameters()} == {model.device_}
    assert model.device is device


def test_auto_takes_an_accelerator_only_where_there_is_one():
    assert available()[0] == "cpu"
    assert str(resolve("auto")) == (available()[1] if len(available()) > 1 else "cpu")


@pytest.mark.parametrize("device", ["cuda:99", torch.device("cuda:99"), "xpu:99"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_device_that_is_missing(device, method):
    estimator = AutoencoderTransformer(device=device)  # the constructor only stores
    with pytest.raises(RuntimeError, match="device=") as caught:
        getattr(estimator, method)(X)
    message = str(caught.value)
    assert repr(device) in message
    for name in available():
        assert name in message
    with pytest.raises(NotFittedError):
        estimator.transform(X)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_without_cuda():
    with pytest.raises(RuntimeError, match=r"device='cuda' is not available: this machine has cpu"):
        AutoencoderTransformer(device="cuda").fit(X)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:one", "cpu:", "meta", torch.device("meta"), "abacus"])
def test_no_device_at_all(device):
    with pytest.raises(ValueError, match="device=") as caught:
        AutoencoderTransformer(device=device).fit(X)
    for words in (repr(device), "'auto'", "'cpu'", "'cuda'", "'mps'", "torch.device"):
        assert words in str(caught.value)


@pytest.mark.parametrize("device", [None, 0, 1.5])
def test_other_types_are_refused_by_scikit_learn(device):
    with pytest.raises(ValueError, match="'device' parameter"):
        AutoencoderTransformer(device=device).fit(X)


def test_the_work_decides_how_many_threads_there_are(two_threads):
    with cpu_settings(1000):
        assert torch.get_num_threads() == 1
        assert flushes_denormals()
    assert torch.get_num_threads() == 2
    with cpu_settings(10**9):
        assert torch.get_num_threads() == min(4, joblib.cpu_count(only_physical_cores=True))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("flushed_before", [False, True])
def test_settings_come_back_also_after_an_error(flushed_before, two_threads):
    torch.set_flush_denormal(flushed_before)
    try:
        for rate, error in ((0.01, None), (1e200, ValueError)):
            estimator = AutoencoderTransformer(2, max_iter=2, learning_rate=rate)
            if error is None:
                estimator.fit(X)
            else:
                with pytest.raises(error, match="diverged"):
                    estimator.fit(X)
            assert torch.get_num_threads() == 2
            assert flushes_denormals() == flushed_before
    finally:
        torch.set_flush_denormal(False)


def test_gradients_are_on_again_after_a_fit():
    AutoencoderTransformer(2, max_iter=1, tol=None).fit(X).score(X)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


WITH_CUDA_TO_START = """
import torch

def start(*args):
    raise AssertionError("CUDA was started")

torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 1
torch.cuda.init = torch.cuda._lazy_init = start
import numpy as np
import skae

X = np.random.default_rng(0).normal(size=(30, 5))
for name in skae.__all__:
    if name == "AutoencoderOutlierDetector":
        skae.AutoencoderOutlierDetector(n_estimators=2).fit(X).p_values(X)
    elif name == "AutoencoderImputer":
        skae.AutoencoderImputer(n_estimators=2, max_iter=1).fit(X).transform(np.where(X > 1, np.nan, X))
    elif isinstance(getattr(skae, name), type) and name != "BaseAutoencoder":
        model = getattr(skae, name)(max_iter=1, tol=None).fit(X, np.arange(30) % 2)
        model.transform(X), model.score(X, np.arange(30) % 2)
"""


def test_work_on_the_processor_does_not_start_cuda():
    """Neither does the import: processes forked afterwards could not use it, and memory would be taken."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", WITH_CUDA_TO_START], check=True, timeout=120)
