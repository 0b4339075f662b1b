"""Solvers on one flat vector, against torch.optim on the same numbers."""

import pytest
import torch
from numpy.testing import assert_allclose

from skae._training.optimizers import OPTIMIZERS, Adam, AdamW

N_WEIGHTS, N_BIASES, N_STEPS = 30, 7, 25


def draws(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def optimizer(name, *, dtype=torch.float64, **settings):
    """Return an optimiser whose first entries are weights and whose last are biases."""
    parameters = draws(N_WEIGHTS + N_BIASES, 0).to(dtype)
    is_weight = torch.cat([torch.ones(N_WEIGHTS), torch.zeros(N_BIASES)]).to(dtype)
    return OPTIMIZERS[name](parameters, torch.zeros_like(parameters), is_weight, **settings)


def gradients(n_steps=N_STEPS):
    """Gradients over six orders of magnitude."""
    scale = torch.logspace(-5, 1, N_WEIGHTS + N_BIASES, dtype=torch.float64)
    return scale * draws((n_steps, N_WEIGHTS + N_BIASES), 1)


def walk(ours, steps):
    penalties = []
    for gradient in steps:
        ours.gradient.copy_(gradient)
        penalties.append(ours.update())
    return penalties


def reference(name, alpha, learning_rate, momentum, steps):
    """Walk with torch's own optimiser; weight decay on the weights alone."""
    start = draws(N_WEIGHTS + N_BIASES, 0)
    weights, biases = (torch.nn.Parameter(part.clone()) for part in start.split([N_WEIGHTS, N_BIASES]))
    groups = [{"params": [weights], "weight_decay": alpha}, {"params": [biases], "weight_decay": 0.0}]
    theirs = {
        "adam": lambda: torch.optim.Adam(groups, lr=learning_rate),
        "adamw": lambda: torch.optim.AdamW(groups, lr=learning_rate),
        "sgd": lambda: torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0),
    }[name]()
    for gradient in steps:
        weights.grad, biases.grad = (part.clone() for part in gradient.split([N_WEIGHTS, N_BIASES]))
        theirs.step()
    return torch.cat([weights.detach(), biases.detach()])


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_as_torch_optim(name, alpha, momentum):
    settings = {"alpha": alpha, "learning_rate": 0.01, "momentum": momentum}
    ours = optimizer(name, **settings)
    walk(ours, gradients())
    assert_allclose(ours.parameters, reference(name, steps=gradients(), **settings), rtol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_fused_kernel_is_the_formula(name, dtype):
    fused, formula = (optimizer(name, dtype=dtype, learning_rate=0.01, alpha=0.1) for _ in range(2))
    assert fused._kernel != fused._formula, "this version of torch lacks the fused kernel"
    formula._kernel = formula._formula
    for ours in (fused, formula):
        walk(ours, gradients().to(dtype))
    tolerance = 100 * torch.finfo(dtype).eps
    assert_allclose(fused.parameters, formula.parameters, rtol=tolerance, atol=tolerance)
    for key, value in fused.state().items():
        assert_allclose(value, formula.state()[key], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_the_penalty_returned_is_that_of_the_starting_point(name):
    ours = optimizer(name, learning_rate=0.01, alpha=0.3)
    for gradient in gradients(5):
        expected = 0.3 / 2 * float(ours.parameters[:N_WEIGHTS].square().sum())
        assert_allclose(float(walk(ours, [gradient])[0]), expected, rtol=1e-12)
    assert walk(optimizer(name, learning_rate=0.01), gradients(1)) == [None]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_loaded_state_carries_on_and_stays_apart(name):
    steps = gradients(10)
    whole, first = (optimizer(name, learning_rate=0.01) for _ in range(2))
    walk(whole, steps)
    walk(first, steps[:4])
    second = optimizer(name, learning_rate=0.01)
    second.parameters.copy_(first.parameters)
    second.load_state(first.state())
    kept = {key: value.clone() for key, value in first.state().items()}
    walk(second, steps[4:])
    assert torch.equal(second.parameters, whole.parameters)
    for key, value in first.state().items():
        assert torch.equal(value, kept[key])


def test_adamw_decays_beside_the_gradient():
    """Without a gradient Adam's decay moves by the learning rate, AdamW's by learning rate times alpha."""
    for solver, expected in ((Adam, 0.9), (AdamW, 0.95)):
        parameters = torch.ones(1, dtype=torch.float64)
        ours = solver(parameters, torch.zeros_like(parameters), torch.ones(1), learning_rate=0.1, alpha=0.5)
        ours.update()
        assert_allclose(parameters, [expected], rtol=1e-6)
