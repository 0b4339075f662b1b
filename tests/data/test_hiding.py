"""Entries hidden from batches: which, how many, and the same in both steps."""

import numpy as np
import torch
from numpy.testing import assert_allclose

from skae import VAESampler
from skae._data.hiding import Hiding

GROUPS = [0, 0, 1, 2, 2, 2, 3]


class HidingVAE(VAESampler):
    hidden_groups = (0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 8)


class ByAutograd(HidingVAE):
    def _penalty(self, x, code):
        return 0 * code.sum(1)


def batch(n):
    x = torch.cat([torch.ones(n, 7), torch.zeros(n, 7)], 1)
    return x, torch.ones(n, 7)


def test_four_fifths_of_the_rows_stay_whole_and_groups_go_together():
    hiding = Hiding(GROUPS, torch.Generator().manual_seed(0))
    x, weight = batch(20_000)
    hiding(x, weight)
    values, marks = x.chunk(2, dim=1)
    assert torch.equal(values, 1 - marks)
    assert torch.equal(values, weight)
    for first, second in ((0, 1), (3, 4), (4, 5)):
        assert torch.equal(weight[:, first], weight[:, second])
    shares = 1 - weight[:, [0, 2, 3, 6]].mean(1)
    assert_allclose(
        np.bincount((4 * shares).int(), minlength=5) / 20_000, [0.84, 0.04, 0.04, 0.04, 0.04], atol=0.01
    )
    assert abs(1 - weight[:, 0].mean() - 0.1) < 0.01


def test_nothing_is_hidden_from_rows_held_out():
    hiding = Hiding(GROUPS, torch.Generator().manual_seed(0))
    x, weight = batch(100)
    with hiding.held_out():
        hiding(x, weight)
    assert weight.all()
    hiding(x, weight)
    assert not weight.all()


def test_both_steps_agree(wine):
    settings = {"hidden_layer_sizes": (8,), "missing_values": np.nan, "max_iter": 4, "batch_size": 60}
    settings |= {"random_state": 0, "early_stopping": True, "validation_fraction": 0.2}
    explicit, autograd = (cls(2, **settings).fit(wine) for cls in (HidingVAE, ByAutograd))
    assert_allclose(explicit.loss_curve_, autograd.loss_curve_, rtol=1e-9)
    assert_allclose(explicit.validation_loss_curve_, autograd.validation_loss_curve_, rtol=1e-9)
    plain = VAESampler(2, **settings).fit(wine)
    assert not np.allclose(plain.loss_curve_, explicit.loss_curve_, rtol=1e-3)
