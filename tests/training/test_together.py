"""Several fits at once against the same fits one by one."""

import numpy as np
import pytest
import torch
from estimators import CONFIGURATIONS, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, VAESampler
from skae._training import joint
from skae._training.together import fit_together

SETTINGS = {"hidden_layer_sizes": (8,), "n_components": 2, "max_iter": 4, "tol": None, "batch_size": 16}

# These have no closed form; "ordered" has decoders of its prefixes side by side.
BY_AUTOGRAD = {name for name in CONFIGURATIONS if "own_loss" in name} | {"contractive_deep", "layer_normalization"}


def members(estimator, n=3, **parameters):
    """Copies with seeds of their own."""
    return [clone(estimator).set_params(random_state=seed, **parameters) for seed in range(n)]


def weights(model):
    parts = [*model.encoder_.state_dict().values(), *model.decoder_.state_dict().values()]
    return np.concatenate([part.cpu().numpy().ravel() for part in parts])


def assert_alike(ones, others, rtol=1e-8):
    """The same weights, the same curves, but for rounding; and what was trained does not stand still."""
    for one, other in zip(ones, others, strict=True):
        assert_allclose(weights(one), weights(other), rtol=rtol, atol=rtol)
        assert one.n_iter_ == other.n_iter_
        for name in ("loss_curve_", "validation_loss_curve_", "layer_loss_curves_", "kl_curve_"):
            assert hasattr(one, name) == hasattr(other, name)
            if hasattr(one, name):
                assert_allclose(np.hstack(getattr(one, name)), np.hstack(getattr(other, name)), rtol=rtol)


@pytest.fixture
def joined(monkeypatch):
    """The numbers of models whose steps were joined."""
    found = []

    class Counting(joint.JointStep):
        def __init__(self, steps):
            found.append(len(steps))
            super().__init__(steps)

    monkeypatch.setattr(joint, "JointStep", Counting)
    return found


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_every_estimator(name, joined):
    """In float64, where rounding does not grow to be seen; batches of 16 rows, of 12 and of 8 or 7."""
    estimator, X = CONFIGURATIONS[name], np.abs(rows()) / 10
    together = members(estimator, batch_size=16)
    fit_together(together, X)
    assert_alike(together, [model.fit(X) for model in members(estimator, batch_size=16)])
    assert (not joined) == (name in BY_AUTOGRAD | {"ordered"})


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "binary_cross_entropy"])
@pytest.mark.parametrize("tied", [False, True])
def test_losses_and_parameters_that_differ(loss, tied, joined):
    X = np.random.default_rng(0).uniform(0.01, 0.99, size=(50, 6))
    own = [{"alpha": 0.0}, {"alpha": 0.3, "learning_rate": 0.01}, {"alpha": 0.1}]

    def models():
        base = AutoencoderTransformer(**SETTINGS, loss=loss, tied_weights=tied, activation="silu")
        return [model.set_params(**change) for model, change in zip(members(base), own, strict=True)]

    together = models()
    fit_together(together, X)
    assert_alike(together, [model.fit(X) for model in models()])
    assert joined == [3]


@pytest.mark.parametrize("solver", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_solvers(solver, alpha):
    base = AutoencoderTransformer(**SETTINGS, solver=solver, alpha=alpha)
    together = members(base)
    fit_together(together, rows())
    assert_alike(together, [model.fit(rows()) for model in members(base)])


@pytest.mark.parametrize(
    "estimator",
    [
        AutoencoderTransformer(**SETTINGS),
        AutoencoderTransformer(**SETTINGS, early_stopping=True, validation_fraction=0.3),
        DenoisingAutoencoder(**SETTINGS, noise="masking"),
        SparseAutoencoder(**SETTINGS, sparsity="topk", n_active=1),
        VAESampler(**SETTINGS, n_mc_samples=2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_parts_of_the_rows(estimator, joined):
    """Parts of unequal size, whose epochs end at different times, against each part alone."""
    X, rng = rows(90), np.random.default_rng(0)
    parts = [rng.permutation(90)[:size] for size in (40, 55, 80)]
    together, alone = members(estimator), members(estimator)
    fit_together(together, X, parts)
    assert joined[0] == 3
    assert joined[1:] == [2]  # the last one goes on alone
    for model, part in zip(alone, parts, strict=True):
        fit_together([model], X, [part])
    assert_alike(together, alone)


def test_a_part_is_all_that_a_model_sees():
    """Rows outside of its part change a model by their mean alone, which centres it."""
    X = rows(60)
    X -= X.mean(0)
    part = np.arange(0, 60, 2)
    other = X.copy()
    other[1::2] = -X[1::2][::-1] * [1, -1, 1, -1, 1]
    other[1::2] += X[1::2].mean(0) - other[1::2].mean(0)
    models = members(AutoencoderTransformer(**SETTINGS))
    fit_together(models[:1], X, [part])
    fit_together(models[1:2], other, [part])
    models[2].set_params(random_state=0).fit(X)
    same = models[1].set_params(random_state=0)
    fit_together([same], other, [part])
    assert_allclose(weights(same), weights(models[0]), atol=1e-10)
    assert np.abs(weights(models[2]) - weights(models[0])).max() > 1e-4


def test_models_that_end_at_different_times(joined):
    """Early stopping ends each in its own epoch, with its own best weights."""
    base = AutoencoderTransformer(
        **{**SETTINGS, "max_iter": 100, "tol": 1e-3}, learning_rate=0.02, early_stopping=True, n_iter_no_change=2
    )
    together = members(base, 5)
    fit_together(together, rows())
    assert_alike(together, [model.fit(rows()) for model in members(base, 5)], rtol=1e-6)
    assert len({model.n_iter_ for model in together}) > 2
    assert joined == sorted(joined, reverse=True)
    assert joined[0] == 5


def test_sparse_rows_and_float32():
    from scipy import sparse

    X = sparse.random(80, 30, density=0.2, random_state=0, format="csr", dtype=np.float32)
    base = AutoencoderTransformer(**SETTINGS)
    together = members(base)
    fit_together(together, X)
    assert_alike(together, [model.fit(X) for model in members(base)], rtol=1e-4)


def test_wide_networks_train_one_by_one(joined):
    """Where products are all of the cost, there is nothing to gain."""
    base = AutoencoderTransformer(2, hidden_layer_sizes=3000, max_iter=1, tol=None, batch_size=60)
    fit_together(members(base, 2), rows())
    assert not joined


def test_different_shapes_train_one_by_one(joined):
    first, second = members(AutoencoderTransformer(**SETTINGS), 2)
    second.set_params(n_components=3)
    fit_together([first, second], rows())
    assert not joined
    assert second.transform(rows()).shape == (60, 3)


def test_one_that_diverges_leaves_all_as_they_were():
    models = members(AutoencoderTransformer(**SETTINGS))
    models[1].set_params(learning_rate=1e200)
    with pytest.raises(ValueError, match=r"diverged.*learning_rate=1e\+200"):
        fit_together(models, rows())
    assert not any(hasattr(model, "encoder_") or hasattr(model, "n_features_in_") for model in models)


def test_one_warning_for_one_cause():
    models = members(AutoencoderTransformer(**{**SETTINGS, "tol": 1e-12}))
    with pytest.warns(ConvergenceWarning) as caught:
        fit_together(models, rows())
    assert len(caught) == 1


def test_interrupting_keeps_what_has_been_learnt(monkeypatch):
    calls = []
    differentiate = joint.JointStep.differentiate

    def interrupted(self, batches):
        calls.append(len(batches))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return differentiate(self, batches)

    monkeypatch.setattr(joint.JointStep, "differentiate", interrupted)
    models = members(AutoencoderTransformer(**SETTINGS))
    with pytest.warns(UserWarning, match="interrupted after 2 epochs") as caught:
        fit_together(models, rows())
    assert len(caught) == 1
    assert [model.n_iter_ for model in models] == [2, 2, 2]
    assert all(np.isfinite(model.transform(rows())).all() for model in models)


def test_no_global_state_changes():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fit_together(members(DenoisingAutoencoder(**SETTINGS)), rows())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert not torch.is_inference_mode_enabled()
