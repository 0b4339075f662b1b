"""Each activation's two passes on buffers, against its module and autograd."""

import pytest
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae._networks.activations import ACTIVATIONS, link_activation, selector

WITH_PASSES = [name for name, activation in ACTIVATIONS.items() if activation.forward is not None]


def inputs(dtype=torch.float64):
    """Both sides of every kink, and far tails."""
    z = torch.linspace(-12, 12, 101, dtype=dtype).reshape(-1, 1).repeat(1, 3)
    return z + torch.tensor([0.0, 0.01, 0.02], dtype=dtype)


def forward(name, z, a=None):
    """Return the saved tensor and the output of a pass that may overwrite its input."""
    activation = ACTIVATIONS[name]
    if not activation.saves_input:
        activation.forward(z)
        return z, z
    a = torch.empty_like(z) if a is None else a
    activation.forward(z, out=a)
    return z, a


def backward(name, gradient, saved):
    """Turn the derivative with respect to the output into that with respect to the input, in place."""
    activation = ACTIVATIONS[name]
    activation.backward(gradient, *activation.before, saved, *activation.after, grad_input=gradient)


def test_names():
    names = {"identity", "relu", "elu", "leaky_relu", "gelu", "silu", "tanh", "sigmoid", "logistic"}
    assert set(ACTIVATIONS) == names
    assert ACTIVATIONS["logistic"] == ACTIVATIONS["sigmoid"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", WITH_PASSES)
def test_forward_is_the_module(name, dtype):
    z = inputs(dtype)
    saved, a = forward(name, z.clone())
    assert torch.equal(saved, z if ACTIVATIONS[name].saves_input else a)
    expected = ACTIVATIONS[name].module()(z)
    tolerance = 2 * torch.finfo(dtype).eps
    assert_allclose(a.double(), expected.double(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", WITH_PASSES)
def test_backward_is_autograd(name):
    z = inputs().requires_grad_()
    upstream = torch.linspace(-2, 2, z.numel(), dtype=z.dtype).view_as(z)
    (expected,) = torch.autograd.grad(ACTIVATIONS[name].module()(z), z, upstream)
    saved, _ = forward(name, z.detach().clone())
    gradient = upstream.clone()
    backward(name, gradient, saved)
    assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", WITH_PASSES)
def test_buffers_with_gaps_between_their_rows(name, dtype):
    """The step's buffers are wider than a layer; whatever stands beside it stays."""
    wide_z, wide_a = torch.full((101, 16), 7.0, dtype=dtype), torch.full((101, 16), 7.0, dtype=dtype)
    z, a = forward(name, wide_z[:, :3].copy_(inputs(dtype)), wide_a[:, :3])
    tolerance = 4 * torch.finfo(dtype).eps
    assert_allclose(a, ACTIVATIONS[name].module()(inputs(dtype)), rtol=tolerance, atol=tolerance)
    assert (wide_z[:, 3:] == 7).all()
    assert (wide_a[:, 3:] == 7).all()

    wide_gradient = torch.full((101, 16), 7.0, dtype=dtype)
    gradient = wide_gradient[:, :3].fill_(1)
    backward(name, gradient, z)
    compact = torch.ones(101, 3, dtype=dtype)
    backward(name, compact, z.contiguous())
    assert_allclose(gradient, compact, rtol=tolerance, atol=tolerance)
    assert (wide_gradient[:, 3:] == 7).all()


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_apply_writes_over_its_input(name):
    z = inputs()
    ACTIVATIONS[name].apply_(z)
    assert_allclose(z, ACTIVATIONS[name].module()(inputs()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("link", ["exp", "sigmoid", (("exp", (0, 2)), ("sigmoid", (1,))), (("exp", (1, 2)),)])
def test_links_map_each_group_of_columns(link):
    z = inputs() / 3
    functions = {"exp": torch.exp, "sigmoid": torch.sigmoid}
    groups = ((link, (0, 1, 2)),) if isinstance(link, str) else link
    expected = z.clone()
    for name, columns in groups:
        expected[:, list(columns)] = functions[name](z[:, list(columns)])
    written = z.clone()
    link_activation(link).apply_(written)
    assert_allclose(written, expected, rtol=1e-12)
    assert_allclose(link_activation(link).module()(z), expected, rtol=1e-12)


def test_columns_in_a_row_are_picked_without_a_copy():
    z = inputs()
    assert z[:, selector((1, 2))].data_ptr() == z[:, 1:].data_ptr()
    assert_allclose(z[:, selector((0, 2))], z[:, [0, 2]])


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
    z = (torch.tensor(wine) - model.encoder_.offset) / model.unit_ @ linear.weight.T + linear.bias
    expected = ACTIVATIONS[name].module()(z.detach())
    assert_allclose(model.transform(wine), expected, rtol=1e-9, atol=1e-12)
