"""Each activation's two passes on buffers, against its module and autograd."""

import pytest
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae._networks.activations import ACTIVATIONS, activation_module

WITH_PASSES = [name for name, activation in ACTIVATIONS.items() if activation.forward is not None]


def inputs(dtype=torch.float64):
    """Both sides of every kink, and far tails."""
    z = torch.linspace(-12, 12, 101, dtype=dtype).reshape(-1, 1).repeat(1, 3)
    return z + torch.tensor([0.0, 0.01, 0.02], dtype=dtype)


def forward(name, z):
    """Return the saved tensor and the output of a pass that may overwrite its input."""
    activation = ACTIVATIONS[name]
    z = z.clone()
    a = torch.empty_like(z) if activation.saves_input else z
    activation.forward(z, a)
    return z, a


def test_names():
    names = {"identity", "relu", "elu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "logistic"}
    assert set(ACTIVATIONS) == names
    assert ACTIVATIONS["logistic"] == ACTIVATIONS["sigmoid"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WITH_PASSES)
def test_forward_is_the_module(name, dtype):
    z = inputs(dtype)
    _, a = forward(name, z)
    expected = activation_module(name)(z)
    tolerance = 2 * torch.finfo(dtype).eps
    assert_allclose(a.double(), expected.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", WITH_PASSES)
def test_backward_is_autograd(name):
    z = inputs().requires_grad_()
    upstream = torch.linspace(-2, 2, z.numel(), dtype=z.dtype).view_as(z)
    (expected,) = torch.autograd.grad(activation_module(name)(z), z, upstream)
    saved, _ = forward(name, z.detach())
    gradient = upstream.clone()
    ACTIVATIONS[name].backward(gradient, saved)
    assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", WITH_PASSES)
def test_buffers_with_gaps_between_their_rows(name, dtype):
    """The step's buffers are wider than a layer; whatever stands beside it stays."""
    wide_z, wide_a = torch.full((101, 16), 7.0, dtype=dtype), torch.full((101, 16), 7.0, dtype=dtype)
    activation = ACTIVATIONS[name]
    z = wide_z[:, :3].copy_(inputs(dtype))
    a = wide_a[:, :3] if activation.saves_input else z
    activation.forward(z, a)
    tolerance = 4 * torch.finfo(dtype).eps
    assert_allclose(a, activation_module(name)(inputs(dtype)), rtol=tolerance, atol=tolerance)
    assert (wide_z[:, 3:] == 7).all()
    assert (wide_a[:, 3:] == 7).all()

    wide_gradient = torch.full((101, 16), 7.0, dtype=dtype)
    gradient = wide_gradient[:, :3].fill_(1)
    activation.backward(gradient, z)
    compact = torch.ones(101, 3, dtype=dtype)
    activation.backward(compact, z.contiguous())
    assert_allclose(gradient, compact, rtol=tolerance, atol=tolerance)
    assert (wide_gradient[:, 3:] == 7).all()


def test_logistic_is_sigmoid(wine):
    codes = [
        AutoencoderTransformer(2, activation=name, code_activation=name, max_iter=2, tol=None, random_state=0)
        .fit(wine)
        .transform(wine)
        for name in ("sigmoid", "logistic")
    ]
    assert_allclose(codes[0], codes[1], rtol=0)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_code_has_the_activation_asked_for(name, wine):
    model = AutoencoderTransformer(3, hidden_layer_sizes=(), code_activation=name, max_iter=2, tol=None).fit(wine)
    linear = model.encoder_[0][0]
    z = (torch.tensor(wine) - model.encoder_.offset) @ linear.weight.T + linear.bias
    expected = activation_module(name)(z.detach())
    assert_allclose(model.transform(wine), expected, rtol=1e-9, atol=1e-12)
