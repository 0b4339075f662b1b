"""The ledger of a run: sums over epochs that end when all rows have been seen."""

import pytest
import torch
from numpy.testing import assert_allclose

from skae._objectives.losses import loss_by
from skae._training.ledger import Ledger, watched


def test_epochs_end_with_their_rows():
    ledger = Ledger(5)
    passed = []
    for n in (3, 2, 3, 2, 3):
        passed.append(ledger.begin(n))
        ledger.add("ones", torch.tensor(float(n)))
        ledger.add("halves", torch.tensor(n / 2))
    assert_allclose(passed, [0, 0.6, 1, 1.6, 2])
    assert ledger.row_counts == [5, 5, 3]
    assert ledger.curve("ones") == [1.0, 1.0, 1.0]
    assert ledger.curve("halves") == [0.5, 0.5, 0.5]


def test_memory_that_is_used_again_spoils_nothing():
    ledger, total = Ledger(2), torch.tensor(1.0)
    ledger.begin(2)
    ledger.add("x", total)
    total.fill_(7)
    assert ledger.curve("x") == [0.5]


def test_an_epoch_cut_short_before_it_noted_anything():
    ledger = Ledger(2)
    ledger.begin(2)
    assert ledger.curve("x") == []


def own(output, target):
    return (output - target).square().mean(1)


@pytest.mark.parametrize("given", ["huber", own])
def test_a_watched_loss_is_the_same_loss(given):
    output, target = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    notes, loss = [], loss_by(given)
    seen = watched(loss, notes.append)
    assert torch.equal(seen.per_row(output, target), loss.per_row(output, target))
    if given != own:
        gradients = torch.empty(2, 4, 3)
        sums = [
            f.sum_and_gradient(output, target, None, g)
            for f, g in zip((seen, loss), gradients.unbind(), strict=True)
        ]
        assert torch.equal(*sums)
        assert torch.equal(*gradients.unbind())
    assert all(not note.requires_grad for note in notes)
    assert torch.equal(notes[0], (own if given == own else loss.entrywise)(output, target))
