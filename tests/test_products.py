"""Large products of float32 matrices may go to oneDNN: whichever library has them, results are right."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer, VAESampler
from skae._support import products

LAYOUTS = {
    "rows": lambda matrix: matrix.clone(),
    "columns": lambda matrix: matrix.mT.contiguous().mT,
    "rows with gaps": lambda matrix: torch.nn.functional.pad(matrix, (0, 7))[:, :-7],
    "columns with gaps": lambda matrix: torch.nn.functional.pad(matrix, (0, 0, 0, 7))[:-7].mT.contiguous().mT,
}


def with_onednn(monkeypatch):
    """Let oneDNN have the large ones, on whatever processor the tests run."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(products, "_is_faster", lambda: True)


@contextmanager
def without_onednn():
    torch.backends.mkldnn.set_flags(False)
    try:
        yield
    finally:
        torch.backends.mkldnn.set_flags(True)


@pytest.mark.parametrize("of_right", LAYOUTS)
@pytest.mark.parametrize("of_left", LAYOUTS)
def test_a_product_is_right_in_every_layout(monkeypatch, of_left, of_right):
    with_onednn(monkeypatch)
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(120, 151, generator=generator, dtype=torch.float64)
    right = torch.randn(151, 130, generator=generator, dtype=torch.float64)
    operands = LAYOUTS[of_left](left.float()), LAYOUTS[of_right](right.float())
    memory = torch.full((120, 140), torch.nan)
    call = products.product_into(*operands, memory[:, :130])
    call()
    assert_allclose(memory[:, :130], left @ right, atol=1e-4)
    assert memory[:, 130:].isnan().all()
    operands[0].neg_()  # the call reads what they hold when it is made
    call()
    assert_allclose(memory[:, :130], -left @ right, atol=1e-4)
    of_models = [torch.stack([LAYOUTS["rows"](matrix), matrix * 2]) for matrix in operands]
    products.product_into(*of_models, several := torch.empty(2, 120, 130))()
    assert_allclose(several, torch.stack([-left @ right, -4 * left @ right]), atol=4e-4)
    bias = torch.randn(130, generator=generator)
    out = torch.empty(120, 130)
    assert products.add_product(bias, *operands, out) is out
    assert_allclose(out, bias - left @ right, atol=1e-4)


def test_small_ones_and_those_that_onednn_would_crawl_through_are_left_to_torch_mm(monkeypatch):
    with_onednn(monkeypatch)
    large = torch.ones(200, 200)
    assert products.is_for_onednn(large, large)
    assert products.is_for_onednn(large, large.mT)
    with_gaps = torch.ones(200, 216)[:, :200]
    assert products.is_for_onednn(with_gaps, large)
    assert not products.is_for_onednn(large, with_gaps)
    assert not products.is_for_onednn(large, large[:, :32])
    assert not products.is_for_onednn(large[:40], large)
    assert not products.is_for_onednn(large.double(), large.double())
    with without_onednn():
        assert not products.is_for_onednn(large, large)


@pytest.mark.parametrize(("cpu", "on_windows", "is_wide"), [
    ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n", "", True),
    ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n", "", False),
    ("vendor_id\t: AuthenticAMD\n", "", False),
    ("vendor_id\t: GenuineIntel\ncpu family\t: 6\n", "", False),
    (None, "AMD64 Family 26 Model 2 Stepping 1, AuthenticAMD", True),
    (None, "AMD64 Family 25 Model 17 Stepping 1, AuthenticAMD", False),
    (None, "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel", False),
])  # fmt: skip
def test_the_kind_of_processor_is_read(monkeypatch, cpu, on_windows, is_wide):
    def read_text(path):
        if cpu is None:
            raise FileNotFoundError(path)
        return cpu

    monkeypatch.setattr(products.Path, "read_text", read_text)
    monkeypatch.setattr(products.platform, "processor", lambda: on_windows)
    assert products._is_wide_amd() is is_wide


@pytest.mark.parametrize("estimator", [
    AutoencoderTransformer(70, hidden_layer_sizes=(100,), batch_size=300),
    AutoencoderTransformer(70, hidden_layer_sizes=(100,), batch_size=300, dropout=0.1, activation="gelu"),
    VAESampler(70, hidden_layer_sizes=(100,), batch_size=300),
], ids=["plain", "dropout", "VAE"])  # fmt: skip
def test_a_fit_is_the_same_by_either_library(monkeypatch, estimator):
    with_onednn(monkeypatch)
    X = np.random.default_rng(0).normal(size=(600, 90)).astype(np.float32)
    X[:, 45:] += X[:, :45]
    estimator.set_params(max_iter=4, early_stopping=False, random_state=0)
    with without_onednn():
        by_mkl = estimator.fit(X).loss_curve_
        codes = estimator.transform(X)
    assert_allclose(estimator.transform(X), codes, atol=1e-4)
    by_onednn = estimator.fit(X).loss_curve_
    assert by_onednn != by_mkl  # another order of summing: another library
    assert_allclose(by_onednn, by_mkl, rtol=1e-4)
