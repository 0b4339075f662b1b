"""Codes drawn from a mixture that is fitted to those of the rows, after the fit of a variational autoencoder."""

import numpy as np
import pytest
import torch
from estimators import assert_same, assert_same_model, rows
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from threadpoolctl import threadpool_limits

import skae._fitted.mixture as mixture_module
from skae import VAESampler
from skae._fitted.mixture import Mixture

SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 30, "learning_rate": 5e-3, "random_state": 0}


def configured(n_components=2, **parameters):
    return VAESampler(n_components, **{**SETTINGS, "prior": "mixture", **parameters})


def two_groups(n_samples=400, n_features=5):
    """Rows around two centres, with none between."""
    rng = np.random.default_rng(0)
    side = np.where(rng.random((n_samples, 1)) < 0.3, -4.0, 4.0)
    return side + rng.normal(size=(n_samples, n_features))


def moments(X):
    return X.mean(0), np.cov(X.T)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_codes_are_drawn_where_those_of_all_rows_are(early_stopping):
    """A mixture of maximum likelihood has the moments of what it is fitted to, and a linear decoder keeps them."""
    X = two_groups()
    model = configured(
        hidden_layer_sizes=(), beta=0.1, early_stopping=early_stopping, validation_fraction=0.4
    ).fit(X)
    drawn = model.sample(100_000, random_state=0, mean=True)
    for ours, theirs in zip(moments(drawn), moments(model.reconstruct(X)), strict=True):
        assert_allclose(ours, theirs, atol=0.02 * X.var())
    prior = clone(model).set_params(prior="normal").fit(X).sample(100_000, random_state=0, mean=True)
    assert np.abs(np.cov(prior.T) - np.cov(drawn.T)).max() > 0.1 * X.var()


def test_nothing_is_drawn_between_groups():
    X = two_groups()
    models = [configured(prior=prior).fit(X) for prior in ("mixture", "normal")]
    shares = [(np.abs(model.sample(1000, 0, mean=True).mean(1)) < 2).mean() for model in models]
    assert shares[0] < 0.02 < 0.1 < shares[1]
    assert_allclose((models[0].sample(1000, 0).mean(1) < 0).mean(), (X.mean(1) < 0).mean(), atol=0.05)


def test_networks_and_scores_know_nothing_of_it():
    X = two_groups()
    plain, model = (configured(prior=prior).fit(X) for prior in ("normal", "mixture"))
    assert_same_model(plain, model)
    assert_same(plain.score_samples(X), model.score_samples(X))
    assert not np.allclose(plain.sample(5, 0), model.sample(5, 0))


def test_draws_repeat():
    model = configured().fit(rows())
    for mean in (False, True):
        assert_same(model.sample(9, random_state=1, mean=mean), model.sample(9, random_state=1, mean=mean))
        assert_same(clone(model).fit(rows()).sample(9, 1, mean=mean), model.sample(9, 1, mean=mean))
        assert not np.allclose(model.sample(9, random_state=2, mean=mean), model.sample(9, 1, mean=mean))
        assert not np.allclose(model.sample(9, mean=mean), model.sample(9, mean=mean))


def with_holes(X):
    return np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (sparse.csr_array, {}),
        (np.float32, {}),
        (with_holes, {"missing_values": np.nan}),
        (
            np.array,
            {"image_shape": (5, 1), "hidden_layer_sizes": (4,), "code_layer": "convolution", "n_components": 3},
        ),
        (np.array, {"loss": "squared_error", "alpha": 0.01}),
        (np.array, {"encoder": torch.nn.Linear(5, 4), "hidden_layer_sizes": (8,)}),
        (lambda X: X[:1], {}),
        (np.ones_like, {}),
    ],
    ids=["csr", "float32", "missing", "images", "plain_loss", "own_encoder", "one_row", "equal_rows"],
)
@pytest.mark.filterwarnings("ignore")
def test_rows_of_every_kind(kind, parameters):
    X = kind(two_groups(120))
    model = configured(max_iter=3, **parameters).fit(X)
    drawn = model.sample(200, random_state=0, mean=True)
    assert drawn.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
    assert np.isfinite(drawn).all()
    restored = model.reconstruct(X)
    assert_allclose(drawn.mean(0), restored.mean(0), atol=0.5 * restored.std() + 0.1)


@pytest.mark.parametrize("set_prior", ["normal", "mixture"])
def test_what_was_fitted_is_drawn_from_until_the_next_fit(set_prior):
    X = two_groups()
    model = configured(prior="mixture" if set_prior == "normal" else "normal", warm_start=True).fit(X)
    before = model.sample(50, random_state=0)
    assert_same(model.set_params(prior=set_prior).sample(50, random_state=0), before)
    after = model.set_params(learning_rate=1e-12, max_iter=1).fit(X).sample(50, random_state=0)
    assert np.abs(after - before).max() > 0.5


def test_a_warm_start_fits_the_mixture_anew():
    X = two_groups()
    model = configured(warm_start=True, max_iter=100).fit(X)
    alone = model.set_params(learning_rate=1e-12, max_iter=1).fit(X[X[:, 0] < 0]).sample(500, 0, mean=True)
    assert alone.mean(1).max() < 0


def test_portions_are_refused():
    X = two_groups()
    model = configured().fit(X)
    before = model.sample(5, random_state=0)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        model.partial_fit(X)
    assert "warm_start=True" in str(caught.value.__cause__)
    assert_same(model.sample(5, random_state=0), before)
    normal = model.set_params(prior="normal").partial_fit(X)
    twin = configured(prior="normal").fit(X).partial_fit(X)
    assert_same(normal.sample(5, random_state=0), twin.sample(5, random_state=0))


def test_a_subclass_may_measure_something_of_its_own():
    class Own(VAESampler):
        def _fitted_attributes(self, fit, encoder, decoder):
            return {"n_rows_": fit.setup.data.n_train}

    X = two_groups()
    own = Own(2, prior="mixture", **SETTINGS).fit(X)
    assert own.n_rows_ == len(X)
    assert_same(own.sample(5, random_state=0), configured().fit(X).sample(5, random_state=0))


def test_the_mixture_does_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr(mixture_module, "N_ITERATIONS", 2)
    codes = np.random.default_rng(0).normal(size=(20_000, 16)) ** 3
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads):
            found.append(Mixture.fit(codes, 0))
    for one, other in zip(*found, strict=True):
        assert_same(one, other)
