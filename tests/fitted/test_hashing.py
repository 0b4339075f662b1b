"""Codes on their way to bits: balanced first logits, packing."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skae._fitted.activity import balance, pack
from skae._networks.building import Architecture, build
from skae._networks.initial_weights import initialize


@pytest.mark.parametrize("n_bits", [1, 4, 9])
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_first_logits_are_balanced_and_uncorrelated(hidden, n_bits):
    X = torch.tensor(np.random.default_rng(0).exponential(size=(400, 5)))  # skewed
    encoder, decoder = build(Architecture(5, (*hidden, n_bits), (*hidden, 5)))
    initialize((encoder, decoder), torch.Generator().manual_seed(0))
    encoder = encoder.double()
    balance(encoder, X.split(150))
    with torch.no_grad():
        logits = encoder.forward_centred(X).numpy()
    assert_allclose(logits.mean(0), 0, atol=1e-6)
    covariance = np.cov(logits.T, ddof=0).reshape(n_bits, n_bits)
    variances = np.linalg.eigvalsh(covariance)
    rank = min(n_bits, *(hidden or (5,)))
    assert_allclose(variances[-rank:], 1, atol=1e-4)
    assert_allclose(variances[:-rank], 0, atol=1e-4)


def test_equal_rows_can_be_balanced():
    encoder, _ = build(Architecture(3, (2,), (3,)))
    initialize((encoder,), torch.Generator().manual_seed(0))
    balance(encoder, [torch.ones(10, 3)])
    assert all(torch.isfinite(p).all() for p in encoder.parameters())


@pytest.mark.parametrize("n_bits", [1, 7, 8, 9, 16, 37])
def test_pack_is_packbits(n_bits):
    bits = np.random.default_rng(0).integers(0, 2, size=(20, n_bits))
    for dtype in (torch.uint8, torch.float32, torch.float64):
        packed = pack(torch.tensor(bits, dtype=dtype))
        assert packed.dtype == torch.uint8
        np.testing.assert_array_equal(packed.numpy(), np.packbits(bits, axis=1))
