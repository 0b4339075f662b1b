"""Selections: what is left of a competition, or of bits, in a fitted encoder."""

import pytest
import torch
from numpy.testing import assert_array_equal

from skae._networks.selection import Threshold, TopK, selection


def codes(n=12, m=7):
    return torch.randn(n, m, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [("topk", 2), ("threshold",)])
def test_what_is_left_after_training(kind):
    module = selection(kind)
    code = codes()
    if isinstance(module, Threshold):
        code[0, 0] = 0.75  # what equals the threshold is kept
        module.threshold.fill_(0.75)
    kept = module(code)
    assert torch.equal(module.keep_(code.clone()), kept)
    assert torch.equal(kept, torch.where(kept != 0, code, 0))
    if isinstance(module, TopK):
        assert_array_equal((kept != 0).sum(1), 2)
    else:
        assert torch.equal(kept != 0, code.abs() >= 0.75)
    assert_array_equal(module(code[3:4]), kept[3:4])
    assert str(kind[-1] if len(kind) > 1 else 0.75) in repr(module)


def test_bits_are_rounded_logits_with_the_slope_of_the_logistic_function():
    module, code = selection(("bits",)), codes().requires_grad_()
    bits = module(code)
    assert torch.equal(bits.detach(), (code > 0).double())
    assert torch.equal(module.keep_(code.detach().clone()), bits.detach())
    (slope,) = torch.autograd.grad(bits.sum(), code)
    logistic = torch.sigmoid(code.detach())
    torch.testing.assert_close(slope, logistic * (1 - logistic))
