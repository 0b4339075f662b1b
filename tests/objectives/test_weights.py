"""Weights of rows and entries in every loss and likelihood: closed forms, autograd, and what weights mean."""

import math

import pytest
import torch
from likelihood_cases import CASES, LAYOUTS, decoder_of, outputs, targets
from numpy.testing import assert_allclose

from skae._networks.blocks import Block, Linear
from skae._networks.networks import Decoder
from skae._objectives.likelihoods import negative_log_likelihood, partition
from skae._objectives.losses import CROSS_ENTROPY, LOSSES, loss_by

N, D = 12, 4
NAMES = [*LOSSES, "cross_entropy", *(f"{layout}, {variance} variance" for layout, variance in CASES)]
JOINT = ("cross_entropy", "categorical", "variables", "one variable")  # an output moves other entries of its row
RTOL = {torch.float32: 1e-5, torch.float64: 1e-10}


class Case:
    """A loss with outputs and targets, and memory for what it learns itself."""

    def __init__(self, name, dtype=torch.float64):
        generator = torch.Generator().manual_seed(0)
        self.output = torch.randn(N, D, dtype=torch.float64, generator=generator).to(dtype)
        target = torch.rand(N, D, dtype=torch.float64, generator=generator)
        self.learned = []  # parameters of the likelihood's own
        if name == "cross_entropy":
            self.loss = CROSS_ENTROPY
            target = torch.nn.functional.one_hot(target.argmax(1), D)
        elif name in LOSSES:
            self.loss = loss_by(name)
            target = target if name == "binary_cross_entropy" else 3 * target
        else:
            layout, _, variance = name.partition(", ")
            parts = partition(LAYOUTS[layout], D)
            variance = variance.removesuffix(" variance")
            decoder = decoder_of(parts, variance).to(dtype)
            self.loss, target = negative_log_likelihood(parts, decoder), targets(parts, (N, D))
            self.output = outputs(parts, N, variance).to(dtype)
            self.learned = [
                p for p in (decoder.log_variance, decoder.log_dof) if isinstance(p, torch.nn.Parameter)
            ]
        self.target = target.to(dtype)
        self.head_gradients = []
        for head in self.loss.heads:
            values, gradient = torch.zeros(2, *head.shape, dtype=dtype).unbind()
            head.load(values)
            head.bind(values, gradient)
            self.head_gradients.append(gradient)

    def closed(self, weight, rows=slice(None), target=None):
        """The sum, the gradient and that of learned variances and degrees of freedom, in closed form."""
        output, target = self.output[rows], (self.target if target is None else target)[rows]
        gradient = torch.full_like(output, torch.nan)
        total = self.loss.sum_and_gradient(output, target, weight, gradient)
        return total, gradient, torch.cat([torch.zeros(0), *(head.flatten() for head in self.head_gradients)])

    def autograd(self, weight, target=None):
        """The same, by autograd through the losses of rows."""
        output = self.output.clone().requires_grad_()
        rows = self.loss.per_row(output, self.target if target is None else target, weight)
        assert rows.shape == (N,)
        total = rows.sum() * (D if self.loss.mean_over_features else 1)
        gradient, *others = torch.autograd.grad(total, [output, *self.learned])
        return total.detach(), gradient, torch.cat([torch.zeros(0), *others])


def weights(kind, dtype=torch.float64):
    """Weights of rows or of entries, one in four of them zero."""
    if kind == "none":
        return None
    weight = torch.rand(
        N, 1 if kind == "rows" else D, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    return (3 * weight * (weight > 0.25)).to(dtype)


def assert_equal(results, expected, rtol=1e-10):
    for result, value in zip(results, expected, strict=True):
        assert_allclose(result.detach(), value.detach(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", RTOL, ids=str)
@pytest.mark.parametrize("kind", ["none", "rows", "entries"])
@pytest.mark.parametrize("name", NAMES)
def test_closed_form_equals_autograd(name, kind, dtype):
    case, weight = Case(name, dtype), weights(kind, dtype)
    with torch.no_grad():
        closed = case.closed(weight)
    assert_equal(closed, case.autograd(weight), RTOL[dtype])


@pytest.mark.parametrize("width", [1, D])
@pytest.mark.parametrize("name", NAMES)
def test_weights_of_one_are_no_weights(name, width):
    case, ones = Case(name), torch.ones(N, width, dtype=torch.float64)
    with torch.no_grad():
        assert_equal(case.closed(ones), case.closed(None), 1e-12)
    assert_equal(case.autograd(ones), case.autograd(None), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_integer_weights_of_rows_repeat_them(name):
    """Zero times among them, which drops the row."""
    case, times = Case(name), torch.arange(N) % 4
    with torch.no_grad():
        weighted = case.closed(times[:, None].double())
        total, gradient, of_variances = case.closed(None, torch.arange(N).repeat_interleave(times))
    by_row = torch.zeros_like(case.output).index_add_(0, torch.arange(N).repeat_interleave(times), gradient)
    assert_equal(weighted, (total, by_row, of_variances))


@pytest.mark.parametrize("name", NAMES)
def test_integer_weights_of_entries_repeat_them(name):
    """The sum, entry by entry, and its gradient as the entries' own."""
    case, times = Case(name), torch.arange(N * D).view(N, D) % 3
    output = case.output.clone().requires_grad_()
    entries = case.loss.entrywise(output, case.target)
    expected = torch.stack([entries[times == k].sum() for k in (1, 2, 2)]).sum()
    (gradient,) = torch.autograd.grad(expected, output)
    with torch.no_grad():
        total, closed, _ = case.closed(times.double())
    assert_equal((total, closed), (expected, gradient))


@pytest.mark.parametrize("value", [-7.0, 0.0, math.inf, -math.inf], ids=["-7", "0", "largest", "smallest"])
@pytest.mark.parametrize("dtype", RTOL, ids=str)
@pytest.mark.parametrize("kind", ["rows", "entries"])
@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_hides_any_finite_target(name, kind, dtype, value):
    """Also one that the likelihood calls impossible."""
    case, weight = Case(name, dtype), weights(kind, dtype)
    hidden = (weight == 0).expand(N, D)
    assert 0 < int(hidden.sum()) < N * D
    largest = torch.finfo(dtype).max
    other = case.target.masked_fill(hidden, min(max(value, -largest), largest))
    with torch.no_grad():
        results = case.closed(weight, target=other)
        assert_equal(results, case.closed(weight), rtol=0)
    assert_equal(case.autograd(weight, target=other), case.autograd(weight), rtol=0)
    if not name.startswith(JOINT):
        assert (results[1][:, :D][hidden] == 0).all()


@pytest.mark.parametrize("kind", ["none", "rows", "entries"])
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_may_replace_the_output(name, kind):
    case, weight = Case(name), weights(kind)
    with torch.no_grad():
        total, gradient, _ = case.closed(weight)
        again = case.loss.sum_and_gradient(case.output, case.target, weight, case.output)
    assert_equal((again, case.output), (total, gradient), rtol=0)


@pytest.mark.parametrize("kind", ["none", "rows", "entries"])
@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_sums_in_float32(name, kind):
    """With weights in float32, as the step of mixed precision has them."""
    case = Case(name, torch.bfloat16)
    reference = Case(name)
    reference.output, reference.target = case.output.double(), case.target.double()
    weight = weights(kind, torch.float32)
    with torch.no_grad():
        total, gradient, _ = case.closed(weight)
        expected, exact, _ = reference.closed(None if weight is None else weight.double())
    assert total.dtype == torch.float32
    assert_allclose(total, expected, rtol=1e-2)
    assert gradient.dtype == torch.bfloat16
    assert_allclose(gradient.double(), exact, rtol=3e-2, atol=3e-2)


LOG_2, LOG_3, LOG_PI = math.log(2), math.log(3), math.log(math.pi)
BY_HAND = {  # outputs, targets, the sum under weights 3 and 0.5, and the gradient
    "squared_error": ([1, 2], [0, 4], 3 * 1 + 0.5 * 4, [6, -2]),
    "absolute_error": ([1, 2], [0, 4], 3 * 1 + 0.5 * 2, [3, -0.5]),
    "huber": ([0.5, 2], [0, 4], 3 * 0.125 + 0.5 * 1.5, [1.5, -0.5]),
    "binary_cross_entropy": ([0, LOG_3], [1, 0.5], 3 * LOG_2 + 0.5 * (2 * LOG_2 - 0.5 * LOG_3), [-1.5, 0.125]),
    "bernoulli": ([0, LOG_3], [1, 0.5], 3 * LOG_2 + 0.5 * (2 * LOG_2 - 0.5 * LOG_3), [-1.5, 0.125]),
    "poisson": ([0, LOG_2], [2, 3], 3 * (1 + LOG_2) + 0.5 * (2 - 3 * LOG_2 + math.log(6)), [-3, -0.5]),
    "exponential": ([0, LOG_2], [2, 3], 3 * 2 + 0.5 * (LOG_2 + 1.5), [-3, -0.25]),
    "gaussian": ([1, 2], [0, 4], 1.5 * (0.5 + LOG_2 * 2 + LOG_PI) + 0.25 * (2 + LOG_2 * 2 + LOG_PI), [1.5, -0.5]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    """Two entries; the normal ones have variance 2."""
    output, target, expected, slopes = BY_HAND[name]
    loss = LOSSES.get(name)
    if loss is None:
        parts = partition(name, 2)
        decoder = Decoder([Block(Linear(1, 2), "identity")], "identity", 2 * (name == "gaussian")).double()
        if name == "gaussian":
            decoder.variance_floor.fill_(2)
        loss = negative_log_likelihood(parts, decoder)
    output, target, weight = torch.tensor([[output], [target], [[3, 0.5]]], dtype=torch.float64)
    gradient = torch.empty_like(output)
    assert_allclose(loss.sum_and_gradient(output, target, weight, gradient), expected, rtol=1e-12)
    assert_allclose(gradient[0], slopes, rtol=1e-12)


def test_the_gradient_of_a_variance_by_hand():
    """Residuals 1 and 2 under weights 3 and 0.5, for v = 1 + e^0 = 2: (sum of w - sum of w r^2 / v) / 2 / 2."""
    decoder = Decoder([Block(Linear(1, 1), "identity")], "identity", 1, True).double()
    loss = negative_log_likelihood(partition("gaussian", 1), decoder)
    values, gradient = torch.zeros(2, 1, 1, dtype=torch.float64)
    (head,) = loss.heads
    head.load(values)
    head.bind(values, gradient)
    residual = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    weight = torch.tensor([[3.0], [0.5]], dtype=torch.float64)
    with torch.no_grad():
        loss.sum_and_gradient(residual.clone(), torch.zeros_like(residual), weight, residual)
    assert_allclose(gradient, [[(3.5 - (3 * 1 + 0.5 * 4) / 2) / 4]], rtol=1e-12)
