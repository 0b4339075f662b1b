"""The arrays behind the pictures: against closed forms, and against what estimators compute."""

from statistics import NormalDist

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import CLASSIFIERS, CONFIGURATIONS, assert_same, configured, fitted, labels, rows
from inspected import convolutional, variational, weights
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from torch import nn

from skae import AutoencoderTransformer, DenoisingAutoencoder, SemanticHasher, SparseAutoencoder
from skae.inspection import latent_grid, maximize_activation, top_activating_samples

MODELS = {**CONFIGURATIONS, **CLASSIFIERS}
every_model = pytest.mark.parametrize("estimator", [pytest.param(e, id=n) for n, e in MODELS.items()])


def by_hand(activations, k):
    """The k largest entries of each column, the first of equal ones first."""
    return np.argsort(-activations, axis=0, kind="stable")[:k].T


def code(model, X):
    """What units of the code compute: of bits, their logits."""
    if not isinstance(model, SemanticHasher):
        return model.transform(X)
    with torch.no_grad():
        logits = model.encoder_.core(torch.tensor(X - model.offset_).to(model.encoder_[0].linear.weight.dtype))
    assert_array_equal(logits.numpy() > 0, model.transform(X))
    return logits.numpy()


@pytest.fixture(scope="module", name="X")
def _rows():
    return rows(60)


@pytest.fixture(scope="module")
def linear(X):
    return fitted(configured(AutoencoderTransformer, n_components=3, hidden_layer_sizes=()), X)


# Samples ---------------------------------------------------------------------------------------------------


@every_model
def test_samples_that_excite_the_code_most(estimator, X):
    model = fitted(estimator, X)
    Z = code(model, X)
    index, activations = top_activating_samples(model, X, n_samples=4, return_activations=True)
    assert index.shape == activations.shape == (Z.shape[1], 4)
    assert_allclose(activations, -np.sort(-Z, axis=0)[:4].T, rtol=1e-6, atol=1e-6)
    assert_allclose(np.take_along_axis(Z, index.T, 0).T, activations, rtol=1e-6, atol=1e-6)
    assert_array_equal(top_activating_samples(model, X, n_samples=4), index)


def test_samples_that_excite_a_hidden_layer(X):
    model = fitted(CONFIGURATIONS["default"], X)
    weight, bias = weights(model.encoder_[0])
    before = (X - model.offset_) @ weight.T + bias
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
    monkeypatch.setattr("skae._data.rows.CHUNK_BYTES", 700)
    assert_array_equal(top_activating_samples(model, X, n_samples=100, layer=0), whole)
    assert_array_equal(top_activating_samples(model, X, n_samples=7, layer=0), whole[:, :7])


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.coo_array, np.asfortranarray, np.ndarray.tolist])
def test_containers(convert, linear, X):
    expected = top_activating_samples(linear, X)
    assert_array_equal(top_activating_samples(linear, convert(X)), expected)
    assert_allclose(
        maximize_activation(linear, convert(X), random_state=0, max_iter=20),
        maximize_activation(linear, X, random_state=0, max_iter=20),
        rtol=1e-7,
    )


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_data_frames_and_set_output(frame, X):
    table = frame(X, [f"f{i}" for i in range(5)]) if frame is pl.DataFrame else frame(X).add_prefix("f")
    pipe = make_pipeline(StandardScaler(), clone(CONFIGURATIONS["default"]))
    pipe.set_output(transform="pandas" if frame is pd.DataFrame else "polars").fit(table)
    plain = make_pipeline(StandardScaler(), clone(CONFIGURATIONS["default"])).fit(X)
    for call in (top_activating_samples, maximize_activation, latent_grid):
        parameters = {"random_state": 0, "max_iter": 9} if call is maximize_activation else {}
        assert_allclose(call(pipe, table, **parameters), call(plain, X, **parameters), rtol=1e-9)


def test_tensors_under_array_api_dispatch(X):
    with config_context(array_api_dispatch=True):
        T = torch.tensor(X)
        model = clone(CONFIGURATIONS["default"]).fit(T)
        assert_array_equal(top_activating_samples(model, T), by_hand(model.transform(T).numpy(), 9))
        best = maximize_activation(model, T, random_state=0, max_iter=30)
        assert isinstance(best, np.ndarray)
        reached = model.transform(torch.tensor(best)).diagonal()
        assert (reached > model.transform(T).amax(0)).all()
        grid, codes = latent_grid(model, T, n_points=3, return_codes=True)
        assert_allclose(grid[0, 0], model.inverse_transform(torch.tensor(codes[0, :1]))[0])


# Preferred inputs ------------------------------------------------------------------------------------------


def region(model, X):
    """Distances of rows from the mean, and where each unit's best row is."""
    away = np.linalg.norm(X - X.mean(0), axis=1)
    return away, away[code(model, X).argmax(0)]


@every_model
def test_preferred_inputs_excite_more_than_the_best_sample_of_the_same_norm(estimator, X):
    model = fitted(estimator, X)
    preferred, reached = maximize_activation(model, X, random_state=0, return_activations=True)
    Z, best = code(model, preferred), code(model, X).max(0)
    assert preferred.shape == (Z.shape[1], 5)
    assert_allclose(Z.diagonal(), reached, rtol=1e-5, atol=1e-6)
    # A code that is silent, or as high as it can be, for some row cannot be raised.
    can_rise = (best != 0) & (best < 1 - 1e-6 if np.all(code(model, X) <= 1) else best > -np.inf)
    assert can_rise.any()
    assert (reached >= best - 1e-6).all()
    assert (reached > best)[can_rise].all()
    assert (np.linalg.norm(preferred - X.mean(0), axis=1) <= region(model, X)[1] * (1 + 1e-9)).all()
    assert (preferred >= X.min(0) - 1e-9).all()
    assert (preferred <= X.max(0) + 1e-9).all()


@pytest.mark.parametrize("norm", ["best", "mean", 2.5])
def test_linear_units_prefer_their_weights(norm, linear, X):
    weight, bias = weights(linear.encoder_[0])
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
    weight, _ = weights(linear.encoder_[0])
    settings = {"random_state": 0, "norm": None}
    penalised = maximize_activation(linear, X, bounded=False, alpha=0.2, max_iter=400, **settings)
    assert_allclose(penalised, X.mean(0) + weight / 0.2, atol=0.01)
    corner = maximize_activation(linear, X, max_iter=400, **settings)
    assert_allclose(corner, np.where(weight > 0, X.max(0), X.min(0)), atol=1e-9)


def test_saturated_units_move():
    X = 4 * rows(40)
    model = fitted(configured(AutoencoderTransformer, hidden_layer_sizes=(), code_activation="sigmoid"), X)
    best, reached = (
        top_activating_samples(model, X, n_samples=1, layer=layer, return_activations=True)[1][:, 0]
        for layer in (None, "0.0")
    )
    assert (best > 1 - 1e-4).all()
    assert (best < 1).all()
    preferred = maximize_activation(model, X, random_state=0)
    again = top_activating_samples(model, preferred, n_samples=2, layer="0.0", return_activations=True)[1]
    assert (again[:, 0] > reached + 1).all()


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
    monkeypatch.setattr("skae._data.rows.CHUNK_BYTES", 700)
    assert_allclose(maximize_activation(model, X, random_state=3, max_iter=5), first, rtol=1e-12)


def test_output_follows_the_input_dtype(linear, X):
    for dtype in (np.float32, np.float64):
        assert maximize_activation(linear, X.astype(dtype), max_iter=2).dtype == dtype
        assert latent_grid(linear, X.astype(dtype)).dtype == dtype


# Pipelines -------------------------------------------------------------------------------------------------


def test_a_pipeline_is_seen_from_its_input(X):
    X = X * [1, 10, 100, 1000, 0.1] + 5
    pipe = make_pipeline(MinMaxScaler(), clone(CONFIGURATIONS["contractive_deep"])).fit(X)
    assert_array_equal(top_activating_samples(pipe, X), by_hand(pipe.transform(X), 9))
    preferred, reached = maximize_activation(pipe, X, random_state=0, return_activations=True)
    assert_allclose(pipe.transform(preferred).diagonal(), reached, rtol=1e-9)
    assert (reached > pipe.transform(X).max(0)).all()
    grid, codes = latent_grid(pipe, X, n_points=4, return_codes=True)
    assert_allclose(grid[1, 2], pipe.inverse_transform(codes[1, 2:3])[0])


def test_the_autoencoder_may_stand_anywhere_in_a_pipeline(X):
    settings = configured(AutoencoderTransformer)
    plain = make_pipeline(StandardScaler(), clone(settings)).fit(X)
    inside = Pipeline(
        [
            ("nothing", "passthrough"),
            ("inner", make_pipeline(StandardScaler(), clone(settings))),
            ("classes", LogisticRegression()),
        ]
    ).fit(X, labels(X))
    search = GridSearchCV(make_pipeline(StandardScaler(), clone(settings)), {}, cv=2).fit(X)
    for model in (inside, search):
        assert_allclose(latent_grid(model, X), latent_grid(plain, X))
        assert_array_equal(top_activating_samples(model, X), top_activating_samples(plain, X))


def test_steps_that_lead_one_way_only(X):
    columns = ColumnTransformer([("scale", StandardScaler(), [0, 1, 2])])
    pipe = Pipeline([("columns", columns), ("encode", clone(CONFIGURATIONS["default"]))]).fit(X)
    assert top_activating_samples(pipe, X).shape == (2, 9)
    for call in (maximize_activation, latent_grid):
        with pytest.raises(TypeError, match=r"'columns' .* ColumnTransformer, has no inverse_transform"):
            call(pipe, X)


def test_variational_codes_are_means(X):
    pipe = make_pipeline(FunctionTransformer(), StandardScaler(), variational()).fit(X)
    Z = pipe.transform(X)
    assert_array_equal(top_activating_samples(pipe, X), by_hand(Z, 9))
    assert (maximize_activation(pipe, X, return_activations=True)[1] > Z.max(0)).all()
    assert latent_grid(pipe, X, spacing="normal").shape == (10, 10, 5)


# Grids -----------------------------------------------------------------------------------------------------


def test_grid_of_the_plane(X):
    model = fitted(CONFIGURATIONS["default"], X)
    Z = model.transform(X)
    grid, codes = latent_grid(model, X, n_points=5, coverage=0.8, return_codes=True)
    ends = np.quantile(Z, [0.1, 0.9], axis=0)
    for i, j in np.ndindex(5, 5):  # the first axis is the second component
        expected = ends[0] + (ends[1] - ends[0]) * np.array([j, i]) / 4
        assert_allclose(codes[i, j], expected)
        assert_allclose(grid[i, j], model.inverse_transform(expected[None])[0])


def test_grid_spacings(X):
    model = fitted(configured(AutoencoderTransformer, n_components=4), X)
    Z = model.transform(X)
    _, codes = latent_grid(model, X, components=(3, 1), spacing="quantile", n_points=3, return_codes=True)
    assert_allclose(codes[0, :, 3], np.quantile(Z[:, 3], [0.025, 0.5, 0.975]))
    assert_allclose(codes[:, 0, 1], np.quantile(Z[:, 1], [0.025, 0.5, 0.975]))
    assert_allclose(codes[..., [0, 2]], np.broadcast_to(Z.mean(0)[[0, 2]], (3, 3, 2)))
    _, codes = latent_grid(model, spacing="normal", coverage=0.9, n_points=3, return_codes=True)
    assert_allclose(codes[0, :, 0], [NormalDist().inv_cdf(p) for p in (0.05, 0.5, 0.95)], atol=1e-12)
    assert_allclose(codes[..., 2:], 0)
    at = np.arange(4.0)
    _, codes = latent_grid(model, extent=(-1, 1, 5, 7), at=at, n_points=3, return_codes=True)
    assert_allclose(codes[2], [[-1, 7, 2, 3], [0, 7, 2, 3], [1, 7, 2, 3]])


def test_a_grid_of_pca(X):
    pca = PCA(2).fit(X)
    grid, codes = latent_grid(pca, X, return_codes=True)
    assert_allclose(grid, pca.mean_ + codes @ pca.components_)


# Mistakes --------------------------------------------------------------------------------------------------


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


def test_estimators_that_will_not_do(X):
    with pytest.raises(NotFittedError):
        top_activating_samples(SparseAutoencoder(), X)
    with pytest.raises(TypeError, match="PCA has no encoder_"):
        top_activating_samples(PCA(2).fit(X), X)
    with pytest.raises(TypeError, match="neither a fitted autoencoder"):
        latent_grid(LogisticRegression().fit(X, labels(X)), X)
    with pytest.raises(TypeError, match="such as its autoencoder_"):
        latent_grid(fitted(CLASSIFIERS["classifier"], X), X)


# Manners ---------------------------------------------------------------------------------------------------


def test_models_and_generators_stay_as_they_are(X):
    model = fitted(configured(DenoisingAutoencoder), X)
    names, Z = set(vars(model)), model.transform(X)
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    top_activating_samples(model, X, layer=0)
    maximize_activation(model, X, max_iter=3)
    latent_grid(model, X)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_equal(before[1], np.random.get_state())  # noqa: NPY002
    assert set(vars(model)) == names
    assert_same(model.transform(X), Z)
    assert all(p.requires_grad and p.grad is None for p in model.encoder_.parameters())
    assert not any(m._forward_hooks for m in model.encoder_.modules() if isinstance(m, nn.Module))
