"""Models of every kind, alone or in pipelines, and rows in every container."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import CLASSIFIERS, CONFIGURATIONS, assert_same, configured, fitted, labels, rows
from inspected import by_hand, variational
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

from skae import (
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SparseAutoencoder,
)
from skae.inspection import (
    latent_grid,
    maximize_activation,
    top_activating_samples,
)


@pytest.fixture(scope="module", name="X")
def _rows():
    return rows(60)


@pytest.fixture(scope="module")
def linear(X):
    return fitted(configured(AutoencoderTransformer, n_components=3, hidden_layer_sizes=()), X)


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


def test_estimators_that_will_not_do(X):
    with pytest.raises(NotFittedError):
        top_activating_samples(SparseAutoencoder(), X)
    with pytest.raises(TypeError, match="PCA has no encoder_"):
        top_activating_samples(PCA(2).fit(X), X)
    with pytest.raises(TypeError, match="neither a fitted autoencoder"):
        latent_grid(LogisticRegression().fit(X, labels(X)), X)
    with pytest.raises(TypeError, match="such as its autoencoder_"):
        latent_grid(fitted(CLASSIFIERS["classifier"], X), X)


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
