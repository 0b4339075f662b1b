"""The trimmed loss against the plain one on the rows that are left."""

import pytest
import torch
from torch.testing import assert_close

from skae._objectives.losses import LOSSES
from skae._objectives.trimming import trimmed


@pytest.mark.parametrize(
    ("name", "models"), [("squared_error", ()), ("absolute_error", ()), ("huber", ()), ("squared_error", (3,))]
)
def test_the_worst_rows_are_left_out(name, models):
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, *models, 10, 4, generator=generator, dtype=torch.float64)
    plain, loss = LOSSES[name], trimmed(LOSSES[name], 0.25, n_whole=1)
    gradient, expected = torch.empty_like(output), torch.empty_like(output)
    first = loss.sum_and_gradient(output, target, None, gradient)  # of the batches before trimming begins
    assert_close(first, plain.sum_and_gradient(output, target, None, expected))
    assert_close(gradient, expected)

    total = loss.sum_and_gradient(output, target, None, gradient)
    rows = plain.entrywise(output, target).sum(-1)
    for model in torch.cartesian_prod(torch.arange(models[0])) if models else [...]:
        kept = rows[model].argsort()[:8]
        inner = torch.zeros(8, 4, dtype=torch.float64)
        sum_ = plain.sum_and_gradient(output[model][kept], target[model][kept], None, inner)
        assert_close(total[model], sum_ * 10 / 8)
        whole = torch.zeros(10, 4, dtype=torch.float64)
        whole[kept] = inner * 10 / 8
        assert_close(gradient[model], whole)


def test_the_memory_of_the_output_may_take_the_gradient():
    output, target = torch.arange(20.0).view(10, 2), torch.zeros(10, 2)
    loss = trimmed(LOSSES["squared_error"], 0.1, n_whole=0)
    separate, shared = torch.empty(10, 2), output.clone()
    total = loss.sum_and_gradient(output, target, None, separate)
    assert_close(trimmed(LOSSES["squared_error"], 0.1, 0).sum_and_gradient(shared, target, None, shared), total)
    assert_close(shared, separate)


def test_weights():
    output, target = torch.arange(20.0, dtype=torch.float64).view(10, 2), torch.zeros(10, 2, dtype=torch.float64)
    weight, gradient = torch.full((10, 1), 2.0, dtype=torch.float64), torch.empty(10, 2, dtype=torch.float64)
    totals = [
        trimmed(LOSSES["squared_error"], 0.1, 0).sum_and_gradient(output, target, w, gradient.clone())
        for w in (None, weight)
    ]
    assert_close(totals[1], 2 * totals[0])
