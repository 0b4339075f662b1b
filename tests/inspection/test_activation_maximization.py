"""The samples with the highest activation and the inputs that maximize it, against closed forms."""

import numpy as np
import pytest
import torch
from estimators import CLASSIFIERS, CONFIGURATIONS, assert_same, configured, fitted, rows
from inspected import by_hand, code, convolutional, weights
from numpy.testing import assert_allclose, assert_array_equal

from skae import AutoencoderTransformer
from skae.inspection import (
    latent_grid,
    maximize_activation,
    top_activating_samples,
)

MODELS = {**CONFIGURATIONS, **CLASSIFIERS}
every_model = pytest.mark.parametrize("estimator", [pytest.param(e, id=n) for n, e in MODELS.items()])


@pytest.fixture(scope="module", name="X")
def _rows():
    return rows(60)


@pytest.fixture(scope="module")
def linear(X):
    return fitted(configured(AutoencoderTransformer, n_components=3, hidden_layer_sizes=()), X)


@every_model
def test_top_samples_of_the_code(estimator, X):
    model = fitted(estimator, X)
    Z = code(model, X)
    index, activations = top_activating_samples(model, X, n_samples=4, return_activations=True)
    assert index.shape == activations.shape == (Z.shape[1], 4)
    assert_allclose(activations, -np.sort(-Z, axis=0)[:4].T, rtol=1e-6, atol=1e-6)
    assert_allclose(np.take_along_axis(Z, index.T, 0).T, activations, rtol=1e-6, atol=1e-6)
    assert_array_equal(top_activating_samples(model, X, n_samples=4), index)


def test_top_samples_of_a_hidden_layer(X):
    model = fitted(CONFIGURATIONS["default"], X)
    weight, bias = weights(model.encoder_[0])
    before = (X - model.offset_) / model.unit_ @ weight.T + bias
    after = np.maximum(before, 0)
    for layer in (0, -2, "0"):
        index, reached = top_activating_samples(model, X, layer=layer, n_samples=60, return_activations=True)
        assert_array_equal(index, by_hand(after, 60))  # zeros in the order of the rows
        assert_allclose(reached, -np.sort(-after, axis=0).T, rtol=1e-9, atol=1e-12)
    index = top_activating_samples(model, X, layer="0.0", units=[3, 1], n_samples=60)
    assert_array_equal(index, by_hand(before[:, [3, 1]], 60))


def test_layers_of_a_selecting_encoder_are_counted_without_the_selection(X):
    model = fitted(CONFIGURATIONS["sparse_topk"], X)
    code, last = (
        top_activating_samples(model, X, layer=layer, n_samples=60, return_activations=True)[1]
        for layer in (None, -1)
    )
    assert (code == 0).sum() > (last == 0).sum()


def test_feature_maps_are_units(digits):
    X = digits[:50]
    model = convolutional(X)
    with torch.no_grad():
        maps = model.encoder_[:3](torch.tensor(X, dtype=model.encoder_[1].weight.dtype)).double().numpy()
    index, reached = top_activating_samples(model, X, layer=2, n_samples=3, return_activations=True)
    assert_array_equal(index, by_hand(maps.mean((2, 3)), 3))
    assert_allclose(reached, -np.sort(-maps.mean((2, 3)), axis=0)[:3].T, rtol=1e-5)


def test_more_samples_than_there_are_and_many_chunks(monkeypatch, X):
    model = fitted(CONFIGURATIONS["default"], X)
    whole = top_activating_samples(model, X, n_samples=100, layer=0)
    assert whole.shape == (8, 60)
    monkeypatch.setattr("skae._data.chunks.CHUNK_BYTES", 700)
    assert_array_equal(top_activating_samples(model, X, n_samples=100, layer=0), whole)
    assert_array_equal(top_activating_samples(model, X, n_samples=7, layer=0), whole[:, :7])


def region(model, X):
    """Distances of rows from the mean, and where each unit's best row is."""
    away = np.linalg.norm(X - X.mean(0), axis=1)
    return away, away[code(model, X).argmax(0)]


@every_model
def test_preferred_inputs_beat_the_best_sample_of_the_same_norm(estimator, X):
    model = fitted(estimator, X)
    preferred, reached = maximize_activation(model, X, random_state=0, return_activations=True)
    Z, best = code(model, preferred), code(model, X).max(0)
    assert preferred.shape == (Z.shape[1], 5)
    assert_allclose(Z.diagonal(), reached, rtol=1e-5, atol=1e-6)
    # A code that is zero, or as high as it can be, for its best row cannot be raised.
    can_rise = (best != 0) & (best < 1 - 1e-6 if np.all(code(model, X) <= 1) else best > -np.inf)
    assert can_rise.any()
    assert (reached >= best - 1e-6).all()
    assert (reached > best)[can_rise].all()
    assert (np.linalg.norm(preferred - X.mean(0), axis=1) <= region(model, X)[1] * (1 + 1e-9)).all()
    assert (preferred >= X.min(0) - 1e-9).all()
    assert (preferred <= X.max(0) + 1e-9).all()


@pytest.mark.parametrize("norm", ["best", "mean", 2.5])
def test_preferred_inputs_of_linear_units_are_their_weights(norm, linear, X):
    weight, bias = weights(linear.encoder_[0])
    weight = weight / linear.unit_
    away, of_best = region(linear, X)
    radius = {"best": of_best, "mean": np.full(3, away.mean())}.get(norm, np.full(3, norm))
    preferred, reached = maximize_activation(
        linear, X, norm=norm, bounded=False, random_state=0, return_activations=True
    )
    length = np.linalg.norm(weight, axis=1)
    expected = X.mean(0) + weight * (radius / length)[:, None]
    assert_allclose(preferred, expected, atol=2e-3)
    assert_allclose(reached, radius * length + bias, rtol=1e-5)


def test_linear_units_under_a_penalty_and_within_bounds(linear, X):
    weight = weights(linear.encoder_[0])[0] / linear.unit_
    settings = {"random_state": 0, "norm": None}
    penalised = maximize_activation(linear, X, bounded=False, alpha=0.2, max_iter=400, **settings)
    assert_allclose(penalised, X.mean(0) + weight / 0.2, atol=0.01)
    corner = maximize_activation(linear, X, max_iter=400, **settings)
    assert_allclose(corner, np.where(weight > 0, X.max(0), X.min(0)), atol=1e-9)


def test_saturated_units_move():
    X = 4 * rows(40)
    settings = {"hidden_layer_sizes": (), "code_activation": "sigmoid", "learning_rate": 1.5}
    model = fitted(configured(AutoencoderTransformer, **settings), X)
    best, reached = (
        top_activating_samples(model, X, n_samples=1, layer=layer, return_activations=True)[1][:, 0]
        for layer in (None, "0.0")
    )
    assert (best > 1 - 1e-4).all()
    assert (best < 1).all()
    preferred = maximize_activation(model, X, random_state=0)
    again = top_activating_samples(model, preferred, n_samples=2, layer="0.0", return_activations=True)[1]
    assert (again[:, 0] > reached + 0.1).all()


def test_a_dead_unit_returns_its_best_sample():
    X = rows(30)
    model = fitted(configured(AutoencoderTransformer, hidden_layer_sizes=()), X)
    with torch.no_grad():
        model.encoder_[0][0].weight[0] = 0
    preferred = maximize_activation(model, X, units=0, random_state=0)
    assert_allclose(preferred, X[:1])


def test_inner_units_and_feature_maps_rise(digits):
    X = digits[:100]
    for model, layer in ((convolutional(X), 2), (fitted(CONFIGURATIONS["default"], X), "0.0")):
        best = top_activating_samples(model, X, layer=layer, n_samples=1, return_activations=True)[1][:, 0]
        _, reached = maximize_activation(model, X, layer=layer, random_state=0, return_activations=True)
        assert (reached > best).all()


def test_starts_are_seeded_and_chunks_do_not_matter(monkeypatch, X):
    model = fitted(configured(AutoencoderTransformer, activation="tanh"), X)
    first = maximize_activation(model, X, random_state=3, max_iter=5)
    assert_same(maximize_activation(model, X, random_state=np.random.RandomState(3), max_iter=5), first)
    settings = {"random_state": 0, "max_iter": 1, "norm": 0.5, "return_activations": True}
    few, many = (maximize_activation(model, X, n_init=n, **settings)[1] for n in (1, 30))
    assert (few <= many).all()
    assert (few < many).any()
    monkeypatch.setattr("skae._data.chunks.CHUNK_BYTES", 700)
    assert_allclose(maximize_activation(model, X, random_state=3, max_iter=5), first, rtol=1e-12)


def test_output_follows_the_input_dtype(linear, X):
    for dtype in (np.float32, np.float64):
        assert maximize_activation(linear, X.astype(dtype), max_iter=2).dtype == dtype
        assert latent_grid(linear, X.astype(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X: top_activating_samples(m, X, units=3), r"units contains 3.* 3 units, counted from 0 to 2"),
        (lambda m, X: top_activating_samples(m, X, units=[]), "units is empty"),
        (lambda m, X: top_activating_samples(m, X, units=[0.5]), "units contains 0.5"),
        (lambda m, X: top_activating_samples(m, X, layer=1), r"layer=1 .* 1 layers"),
        (lambda m, X: top_activating_samples(m, X, layer="deep"), r"'deep'.*'0', '0.0'"),
        (lambda m, X: top_activating_samples(m, X, n_samples=0), "n_samples"),
        (lambda m, X: top_activating_samples(m, X[:, :2]), "features"),
        (lambda m, X: maximize_activation(m, X, norm="huge"), "norm"),
        (lambda m, X: maximize_activation(m, X, norm=None, bounded=False), "set no limit"),
        (lambda m, X: latent_grid(m, X, components=(0, 3)), r"components=\(0, 3\).* has 3"),
        (lambda m, X: latent_grid(m, X, components=(1, 1)), "two different components"),
        (lambda m, X: latent_grid(m), "X is None"),
        (lambda m, X: latent_grid(m, X, extent=(0, 1)), "four numbers"),
        (lambda m, X: latent_grid(m, X, at=[1, 2]), r"shape \(2,\), but codes have 3"),
        (lambda m, X: latent_grid(m, X, n_points=1), "n_points"),
    ],
)
def test_mistakes_are_explained(call, message, linear, X):
    with pytest.raises(ValueError, match=message):
        call(linear, X)
