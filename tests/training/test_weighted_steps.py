"""Weights of rows, of entries and of both in the two steps: one gradient, whatever stands in between."""

import numpy as np
import pytest
import torch
from step_parity import (
    N_FEATURES,
    N_ROWS,
    assert_gradients_agree,
    assert_steps_agree,
    both_fits,
    gradients,
    modes,
    unit_rows,
)

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    VAESampler,
)
from skae._data.rows import Rows
from skae._objectives.losses import LOSSES

RTOL = {"float64": 1e-10, "float32": 1e-5}
KINDS = ["none", "rows", "entries", "both"]
MIXED = [("gaussian", [0, 3]), ("bernoulli", [1, 2]), ("exponential", [5]), ("poisson", [4, 6])]

SCALES = [("student_t", [5, 1]), ("gaussian", [0, 3, 4]), ("bernoulli", [2, 6])]
LIKELIHOODS = {"gaussian": "gaussian", "student_t": "student_t", "mixed": MIXED, "scales": SCALES}
CATEGORIES = [("categorical", [1, 0, 2]), ("gaussian", [3]), ("categorical", [4, 6]), ("categorical", [5])]


def one_hot_rows():
    """Rows with a variable of three categories, a number, and variables of two categories and of one."""
    rng = np.random.default_rng(0)
    three, two = np.eye(3)[rng.integers(3, size=N_ROWS)], np.eye(2)[rng.integers(2, size=N_ROWS)]
    number, one = rng.normal(size=(N_ROWS, 1)), np.ones((N_ROWS, 1))
    return np.hstack([three, number, two[:, :1], one, two[:, 1:]])


every_kind = pytest.mark.parametrize("kind", KINDS)
every_dtype = pytest.mark.parametrize("dtype", RTOL)
every_loss = pytest.mark.parametrize("loss", sorted(LOSSES))


def weights(n_columns):
    """Weights, a quarter of them zero."""
    drawn = np.random.default_rng(n_columns).uniform(0, 3, size=(N_ROWS, n_columns))
    return drawn * (drawn > 0.75)


def weighted(kind, prepare_dead_units=False, **settings):
    """Return both fits, whose steps count rows, entries or both by their weights."""
    fits = both_fits(weights(1)[:, 0] if kind in ("rows", "both") else None, **settings)
    for fit in fits:
        if kind in ("entries", "both"):
            entries = torch.tensor(weights(N_FEATURES))
            rows = Rows(entries, None, fit.setup.dtype, fit.setup.device)
            fit.step.served = fit.step.served._replace(entry_weight=rows)
        if prepare_dead_units:
            dead = torch.zeros(settings["n_components"], dtype=fit.setup.dtype)
            dead[[1, 4, 6]] = 1
            fit.objective.bottleneck.dead_units.set_dead(dead)
    return fits


@every_dtype
@every_kind
@pytest.mark.parametrize("tied", [False, True])
@every_loss
def test_losses(loss, tied, kind, dtype):
    assert_gradients_agree(*weighted(kind, loss=loss, tied_weights=tied, dtype=dtype), RTOL[dtype])


@every_dtype
@every_kind
@pytest.mark.parametrize("n_mc_samples", [1, 3])
@pytest.mark.parametrize("variance", ["learned", 0.5, "conditional"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_likelihoods(likelihood, variance, n_mc_samples, kind, dtype):
    settings = {"likelihood": likelihood, "decoder_variance": variance, "n_mc_samples": n_mc_samples}
    fits = weighted(kind, estimator_class=VAESampler, **settings, dtype=dtype)
    assert_gradients_agree(*fits, RTOL[dtype])


@every_dtype
@every_kind
@pytest.mark.parametrize("n_mc_samples", [1, 3])
def test_categories(n_mc_samples, kind, dtype):
    fits = weighted(
        kind,
        estimator_class=VAESampler,
        X=one_hot_rows(),
        likelihood=CATEGORIES,
        n_mc_samples=n_mc_samples,
        dtype=dtype,
    )
    assert_gradients_agree(*fits, RTOL[dtype])


BOTTLENECKS = {
    "gaussian": {"estimator_class": VAESampler, "n_mc_samples": 3, "beta": 0.7, "free_bits": 0.2},
    "topk": {"estimator_class": SparseAutoencoder, "sparsity": "topk", "n_components": 8, "n_active": 2},
    "topk_dead": {
        "estimator_class": SparseAutoencoder,
        "sparsity": "topk",
        "n_components": 8,
        "n_active": 2,
        "auxiliary_weight": 0.4,
        "prepare_dead_units": True,
    },
    "batch_topk_dead": {
        "estimator_class": SparseAutoencoder,
        "sparsity": "batch_topk",
        "n_components": 8,
        "n_active": 1,
        "auxiliary_weight": 0.4,
        "code_activation": "identity",
        "prepare_dead_units": True,
    },
    "winner_take_all": {
        "estimator_class": SparseAutoencoder,
        "sparsity": "winner_take_all",
        "sparsity_target": 0.4,
    },
    "nested": {"estimator_class": AutoencoderTransformer, "ordered": True, "n_components": 9},
    "noisy_sigmoid": {"estimator_class": SemanticHasher, "n_bits": 4, "noise_level": 2.0, "noise_warm_up": 0},
    "adversary": {"estimator_class": AdversarialAutoencoder, "discriminator_learning_rate": 1e-3},
}


@every_dtype
@every_kind
@every_loss
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_bottlenecks(name, loss, kind, dtype):
    """From the same seeds; with dead units and with prefixes, rows pass through the decoder several times."""
    fits = weighted(kind, loss=loss, dtype=dtype, **BOTTLENECKS[name])
    assert_gradients_agree(*fits, RTOL[dtype])


@every_kind
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_whole_steps_around_bottlenecks(name, kind):
    """One after the other, in batches of several sizes, so that what each keeps for the next agrees too."""
    settings = {"learning_rate": 0.01, "momentum": 0.9, "alpha": 0.01, **BOTTLENECKS[name]}
    assert_steps_agree(*weighted(kind, **settings), sizes=(9, 9, 4), rtol=1e-8)


@every_kind
@pytest.mark.parametrize(
    "penalized",
    [
        {"contractive": 0.3, "hidden_layer_sizes": (), "code_activation": "tanh"},
        {"estimator_class": SparseAutoencoder, "sparsity": "kl", "sparsity_weight": 0.1},
        {"estimator_class": SparseAutoencoder, "sparsity": "l1", "sparsity_weight": 0.1},
    ],
    ids=["contractive", "kl", "l1"],
)
def test_penalties(penalized, kind):
    assert_gradients_agree(*weighted(kind, **penalized), 1e-10)


@every_kind
def test_pairs_of_noisy_and_clean_rows(kind):
    X_clean = np.random.default_rng(1).uniform(size=(N_ROWS, N_FEATURES))
    assert_gradients_agree(*weighted(kind, estimator_class=DenoisingAutoencoder, X_clean=X_clean), 1e-10)


# What weights mean, of either step -------------------------------------------------------------------------


def written(fit, index=None):
    with modes(fit):
        total = float(fit.step.differentiate(torch.arange(N_ROWS) if index is None else index))
        return total, gradients(fit)


def assert_same_objective(first, second, rtol=1e-10):
    np.testing.assert_allclose(first[0], second[0], rtol=rtol)
    for name, gradient in first[1].items():
        np.testing.assert_allclose(gradient, second[1][name], rtol=rtol, atol=1e-12, err_msg=str(name))


def reweighted(fit, served, rows=None, entries=None):
    """Serve the same rows with other weights."""
    if entries is not None:
        entries = Rows(torch.as_tensor(entries), None, torch.float64, fit.setup.device)
    fit.step.served = served._replace(row_weight=rows, entry_weight=entries)
    return written(fit)


@every_loss
@pytest.mark.parametrize("which", [0, 1], ids=["explicit", "autograd"])
def test_weights_of_rows_and_of_entries_multiply(loss, which):
    fit = both_fits(loss=loss)[which]
    served, row, entries = fit.step.served, torch.tensor(weights(1)), torch.tensor(weights(N_FEATURES))
    by_row = reweighted(fit, served, rows=row[:, 0])
    assert_same_objective(reweighted(fit, served, entries=row.expand(-1, N_FEATURES)), by_row)
    assert_same_objective(
        reweighted(fit, served, rows=row[:, 0], entries=entries), reweighted(fit, served, entries=row * entries)
    )
    assert abs(reweighted(fit, served)[0] / by_row[0] - 1) > 1e-3


@every_loss
@pytest.mark.parametrize("which", [0, 1], ids=["explicit", "autograd"])
def test_an_entry_of_weight_zero_may_be_anything(loss, which):
    """As a target; what enters the encoder is what the caller puts in its place."""
    fit = weighted("entries", X_clean=unit_rows(), loss=loss, estimator_class=DenoisingAutoencoder)[which]
    expected, served = written(fit), fit.step.served
    targets = served.targets[:].clone()
    targets[torch.tensor(weights(N_FEATURES) == 0)] = 123.0
    fit.step.served = served._replace(targets=Rows(targets, None, torch.float64, fit.setup.device))
    assert_same_objective(written(fit), expected)
    fit.step.served = fit.step.served._replace(entry_weight=None)
    assert abs(written(fit)[0] / expected[0] - 1) > 1e-3
