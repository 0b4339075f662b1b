"""Losses: their closed forms against autograd and NumPy, their scale, and their checks."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae._objectives.losses import LOSSES, loss_by

FORMULAS = {
    "squared_error": lambda o, t: (o - t) ** 2,
    "absolute_error": lambda o, t: np.abs(o - t),
    "huber": lambda o, t: np.where(np.abs(o - t) < 1, 0.5 * (o - t) ** 2, np.abs(o - t) - 0.5),
    "binary_cross_entropy": lambda o, t: np.logaddexp(0, o) - t * o,
}


def output_and_target(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    output = 3 * torch.randn(40, 6, dtype=torch.float64, generator=generator)
    return output.to(dtype), torch.rand(40, 6, dtype=torch.float64, generator=generator).to(dtype)


def test_names():
    assert set(LOSSES) == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_entrywise_is_the_formula(name):
    output, target = output_and_target()
    expected = FORMULAS[name](output.numpy(), target.numpy())
    assert_allclose(LOSSES[name].entrywise(output, target), expected, rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_sum_and_gradient_are_autograds(name):
    output, target = output_and_target()
    output.requires_grad_()
    total = LOSSES[name].entrywise(output, target).sum()
    (expected,) = torch.autograd.grad(total, output)
    gradient = torch.full_like(target, torch.nan)
    closed = LOSSES[name].sum_and_gradient(output.detach(), target, None, gradient)
    assert_allclose(closed, total.detach(), rtol=1e-12)
    assert_allclose(gradient, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", FORMULAS)
def test_bfloat16_sums_in_float32(name):
    output, target = output_and_target(torch.bfloat16)
    gradient = torch.empty_like(target)
    total = LOSSES[name].sum_and_gradient(output, target, None, gradient)
    expected = LOSSES[name].entrywise(output.double(), target.double()).sum()
    assert total.dtype == torch.float32
    assert_allclose(float(total), float(expected), rtol=1e-2)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("n_copies", [1, 4])
def test_the_loss_is_a_mean_over_rows_and_features(name, n_copies, wine):
    """With a solver that stands still, loss_ is the formula, however wide the data and the batches."""
    X = np.tile(1 / (1 + np.exp(-wine)), n_copies)
    model = AutoencoderTransformer(3, loss=name, learning_rate=1e-14, max_iter=1, tol=None, batch_size=50)
    model.fit(X)
    restored = model.reconstruct(X)
    if name == "binary_cross_entropy":
        restored = np.log(restored) - np.log1p(-restored)
    assert_allclose(model.loss_, FORMULAS[name](restored, X).mean(), rtol=1e-6)


def test_alpha_adds_half_the_squared_weights_but_no_biases(wine):
    settings = {"learning_rate": 1e-14, "max_iter": 1, "tol": None, "random_state": 0}
    for tied in (False, True):
        plain = AutoencoderTransformer(3, tied_weights=tied, **settings).fit(wine)
        shrunk = AutoencoderTransformer(3, tied_weights=tied, alpha=0.5, **settings).fit(wine)
        weights = [p for n in (plain.encoder_, plain.decoder_) for p in n.parameters() if p.ndim == 2]
        assert len(weights) == (2 if tied else 4)
        squares = sum(float(p.detach().square().sum()) for p in weights)
        assert_allclose(shrunk.loss_ - plain.loss_, 0.5 / 2 * squares, rtol=1e-6)


def test_alpha_leaves_biases_alone():
    """A strong penalty drives weights to zero, and the biases still learn the median."""
    X = np.random.default_rng(0).exponential(size=(200, 3))
    model = AutoencoderTransformer(
        1, hidden_layer_sizes=(), loss="absolute_error", alpha=10.0, learning_rate=1e-2, early_stopping=False
    )
    model.fit(X)
    assert_allclose(model.reconstruct(X), np.tile(np.median(X, axis=0), (200, 1)), atol=0.05)


def test_binary_cross_entropy_reconstructs_probabilities(wine):
    X = (wine > 0).astype(float)
    model = AutoencoderTransformer(8, loss="binary_cross_entropy", tol=None).fit(X)
    restored = model.reconstruct(X)
    assert restored.min() >= 0
    assert restored.max() <= 1
    assert ((restored > 0.5) == X).mean() > 0.9
    assert_allclose(model.reconstruction_error(X), ((restored - X) ** 2).mean(1), rtol=1e-9)


@pytest.mark.parametrize("X", [[[0.0, 1.5]], [[-0.25, 1.0]]])
def test_binary_cross_entropy_refuses_other_ranges(X):
    X = np.repeat(X, 3, axis=0)
    with pytest.raises(ValueError, match=r"\[0, 1\]") as caught:
        AutoencoderTransformer(loss="binary_cross_entropy").fit(X)
    for words in (f"minimum is {X.min():g}", f"maximum {X.max():g}", "MinMaxScaler", "squared_error"):
        assert words in str(caught.value)


def test_binary_cross_entropy_refuses_a_second_link():
    with pytest.raises(ValueError, match=r"output_activation='tanh'.*output_activation='identity'"):
        AutoencoderTransformer(loss="binary_cross_entropy", output_activation="tanh").fit(np.eye(4))


def test_sigmoid_output_is_the_same_link(wine):
    """output_activation="sigmoid" says what the loss does anyway; it is applied once."""
    X = (wine > 0).astype(float)
    settings = {"loss": "binary_cross_entropy", "max_iter": 5, "tol": None, "random_state": 0}
    once = AutoencoderTransformer(3, **settings).fit(X)
    said = AutoencoderTransformer(3, output_activation="sigmoid", **settings).fit(X)
    assert_allclose(said.reconstruct(X), once.reconstruct(X), rtol=0)


# Losses of users -------------------------------------------------------------------------------------------


def own(output, target):
    return (output - target).abs().mean(1)


def test_a_name_or_a_function_makes_a_loss():
    output, target = output_and_target()
    for name in LOSSES:
        mean, total = loss_by(name), loss_by(name, mean_over_features=False)
        assert_allclose(total.per_row(output, target), 6 * mean.per_row(output, target), rtol=1e-12)
        assert mean.link == total.link == LOSSES[name].link
    loss = loss_by(own)
    assert_allclose(loss.per_row(output, target), own(output, target), rtol=0)
    assert (loss.entrywise, loss.sum_and_gradient, loss.link) == (None, None, "identity")
    assert not loss.shift_invariant
    assert loss.supports == ()  # takes any target


def test_weights_of_rows_in_a_loss_of_ones_own():
    output, target = output_and_target()
    weight = torch.rand(40, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = loss_by(own).per_row(output.requires_grad_(), target, weight)
    assert_allclose(rows.detach(), weight[:, 0] * own(output, target).detach(), rtol=0)
    (gradient,) = torch.autograd.grad(rows.sum(), output)
    assert_allclose(gradient, weight * torch.sign(output - target).detach() / 6, rtol=1e-12)


def test_a_loss_of_ones_own_refuses_weights_of_entries():
    output, target = output_and_target()
    with pytest.raises(ValueError, match="one value per row, so that entries cannot be left out") as caught:
        loss_by(own).per_row(output, target, torch.ones(40, 6))
    for words in (repr(own), *map(repr, LOSSES), "missing_values at None"):
        assert words in str(caught.value)


def test_a_loss_of_ones_own_returns_one_value_per_row():
    output, target = output_and_target()
    for wrong in (lambda o, t: (o - t).abs(), lambda o, t: (o - t).abs().mean()):
        with pytest.raises(ValueError, match=r"returned shape .* for 40 rows.*shape \(40,\).*mean\(1\)"):
            loss_by(wrong).per_row(output, target)
