"""The same fit prepared twice, for the explicit step and for the autograd step, and how the two are compared."""

import numpy as np
import torch
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer
from skae._training.autograd import AutogradStep
from skae._training.explicit import ExplicitStep
from skae._training.prepare import prepare
from skae._training.setup import Mode

N_ROWS, N_FEATURES = 23, 7


def unit_rows():
    """Rows in (0, 1), which every loss accepts."""
    return np.random.default_rng(0).uniform(0.01, 0.99, size=(N_ROWS, N_FEATURES))


def by_autograd(fit):
    """Take the closed form from the loss of a fit whose step is not made yet: that will be the one by autograd."""
    fit.objective = fit.objective._replace(loss=fit.objective.loss._replace(sum_and_gradient=None))
    return fit


def both_fits(sample_weight=None, *, estimator_class=AutoencoderTransformer, X=None, X_clean=None, **parameters):
    """Return a fit with the explicit step and one with the autograd step, of the same random weights and biases.

    A step of plain gradient descent with rate one moves by the gradient.
    """
    settings = {
        "hidden_layer_sizes": (6, 5),
        "solver": "sgd",
        "momentum": 0.0,
        "learning_rate": 1.0,
        "random_state": 0,
        **parameters,
    }
    if "n_bits" not in settings:
        settings = {"n_components": 3, **settings}
    data = {"sample_weight": sample_weight} | ({} if X_clean is None else {"X_clean": X_clean})
    X = unit_rows() if X is None else X
    ours, theirs = (prepare(estimator_class(**settings), X, Mode.FRESH, **data) for _ in range(2))
    assert isinstance(ours.step, ExplicitStep)
    ours.step.assign(0.5 * torch.randn(len(ours.step.parameters), generator=torch.Generator().manual_seed(1)))
    ours.step.publish()
    theirs.encoder.load_state_dict(ours.encoder.state_dict())
    theirs.decoder.load_state_dict(ours.decoder.state_dict())
    assert isinstance(by_autograd(theirs).step, AutogradStep)
    return ours, theirs


def modes(fit):
    """Return torch's modes for steps of a fit, seeded."""
    return fit.step.modes(torch.Generator().manual_seed(0))


def named_parameters(fit):
    """All trained parameters, by network and name; a tied weight is its encoder's alone."""
    networks = enumerate((fit.encoder, fit.decoder))
    return {(i, name): p for i, network in networks for name, p in network.named_parameters()}


def values(fit):
    """What the networks hold, as arrays."""
    fit.step.publish()
    return {name: p.detach().clone().numpy() for name, p in named_parameters(fit).items()}


def gradients(fit):
    """The gradient that the step has written, for each of the networks' parameters."""
    if isinstance(fit.step, AutogradStep):
        return {name: p.grad.clone().numpy() for name, p in named_parameters(fit).items()}
    fit.step._store(fit.step.gradient)
    written = {name: p.detach().clone().numpy() for name, p in named_parameters(fit).items()}
    fit.step.publish()
    return written


def assert_close(ours, theirs, rtol):
    """Compare arrays by name, each to its largest entry."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        atol = rtol * np.abs(expected).max() + 1e-14
        assert_allclose(ours[name], expected, rtol=rtol, atol=atol, err_msg=str(name))


def assert_gradients_agree(ours, theirs, rtol, index=None):
    """Compare held-out loss, objective and gradient of one batch."""
    index = torch.arange(N_ROWS) if index is None else index
    found = []
    for fit in (ours, theirs):
        with modes(fit):
            losses = fit.step.evaluate(index), fit.step.differentiate(index)
            found.append(([float(loss) for loss in losses], gradients(fit)))
    assert_allclose(found[0][0], found[1][0], rtol=rtol)
    assert_close(found[0][1], found[1][1], rtol)
    assert all(np.abs(gradient).max() > 0 for gradient in found[1][1].values())


def assert_steps_agree(ours, theirs, sizes=(N_ROWS,), rtol=1e-5):
    """Compare the objective and where whole steps lead, for batches of these sizes."""
    start = 0
    for size in sizes:
        index = torch.arange(start, start + size)
        losses, moved = [], []
        for fit in (ours, theirs):
            before = values(fit)
            with modes(fit):
                losses.append([float(fit.step.evaluate(index)), float(fit.step(index))])
            after = values(fit)
            moved.append({name: after[name] - before[name] for name in before})
        assert_allclose(losses[0], losses[1], rtol=1e-10)
        assert_close(*moved, rtol)
        assert max(np.abs(move).max() for move in moved[1].values()) > 1e-4
        start += size
