"""Starting at PCA's solution, and ending there where training has not been worth it."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer, SparseAutoencoder, VAESampler
from skae._training import principal_axes
from skae._training.principal_axes import is_better

STILL = {"learning_rate": 1e-12, "max_iter": 1, "random_state": 0}


def pca_error(train, test, k):
    pca = PCA(k, svd_solver="full").fit(train)  # the randomized one, automatic for wide rows, is not exact
    return np.square(pca.inverse_transform(pca.transform(test)) - test).mean()


def error(model, X):
    return np.square(model.reconstruct(X) - X).mean()


@pytest.fixture(scope="module")
def correlated():
    """Rows with a mean far from zero."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(90, 12)) @ rng.normal(size=(12, 12)) / 3 + 100


@pytest.mark.parametrize("hidden", [(), (8,), (40,), (12, 9, 20)])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu", "gelu", "identity"])
def test_the_start_is_near_pca(activation, hidden, correlated):
    """Units that carry nothing add a little to it; without others, in the second and the last, it is exact."""
    model = AutoencoderTransformer(4, activation=activation, hidden_layer_sizes=hidden, init="pca", **STILL)
    ratio = error(model.fit(correlated), correlated) / pca_error(correlated, correlated, 4)
    exact = hidden in [(), (8,)] and activation != "identity"
    assert_allclose(ratio, 1, rtol=1e-6 if exact else 0.3)
    spread = np.cov(model.transform(correlated).T, bias=True)
    assert_allclose(spread, np.eye(4), atol=1e-6 if exact else 0.5)


@pytest.mark.parametrize(
    "shape", [(60, 200), (3000, 20), (900, 300), (1200, 1100)], ids=["wide", "long", "broad", "large"]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_axes_of_every_shape(shape, weighted):
    """Linear networks end at PCA, whichever method finds it; weights are repetitions."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(shape[0], 8)) @ rng.normal(size=(8, shape[1])) + 0.1 * rng.normal(size=shape)
    weight = rng.integers(0, 3, size=shape[0]) if weighted else None
    model = AutoencoderTransformer(5, hidden_layer_sizes=(), random_state=0).fit(X, sample_weight=weight)
    repeated = X if weight is None else np.repeat(X, weight, axis=0)
    assert_allclose(error(model, X), pca_error(repeated, X, 5), rtol=1e-3 if shape[1] > 1024 else 1e-6)
    assert model.max_iter_ == model.n_iter_ == 1


@pytest.mark.filterwarnings("ignore:n_components=20 is more than the 13 columns")
@pytest.mark.parametrize("k", [1, 5, 13, 20])
@pytest.mark.parametrize("parameters", [{}, {"max_iter": 3}, {"max_iter": 50, "learning_rate": 0.1}])
def test_linear_networks_end_at_pca(parameters, k, wine):
    model = AutoencoderTransformer(k, hidden_layer_sizes=(), random_state=0, **parameters).fit(wine)
    assert_allclose(error(model, wine), pca_error(wine, wine, min(k, 13)), rtol=1e-7, atol=1e-12)


def test_linear_networks_on_sparse_rows():
    X = sparse.random_array((300, 1500), density=0.02, rng=np.random.default_rng(0), format="csr")
    model = AutoencoderTransformer(5, hidden_layer_sizes=(), random_state=0).fit(X)
    assert_allclose(error(model, X.toarray()), pca_error(X.toarray(), X.toarray(), 5), rtol=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_wide_sparse_rows_have_the_axes_of_dense_ones(weighted, monkeypatch):
    """They are found without making rows dense; here rows are wide once they have eleven columns."""
    monkeypatch.setattr(principal_axes, "MOST_COLUMNS", 10)
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(90, 4)) * [8, 4, 2, 1] @ rng.normal(size=(4, 40))
    X = np.where(rng.random(plane.shape) < 0.8, 0, plane + 1)
    weight = rng.integers(0, 3, size=90) if weighted else None
    model = AutoencoderTransformer(2, hidden_layer_sizes=(), random_state=0)
    codes = clone(model).fit(sparse.csr_array(X), sample_weight=weight).transform(X)
    assert_allclose(codes, clone(model).fit(X, sample_weight=weight).transform(X), atol=1e-8)


def tables():
    """Few rows of many columns, noise alone, and noise around a plane."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(80, 20))
    plane = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 15)) + rng.normal(size=(300, 15))
    wide = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 600)) + rng.normal(size=(60, 600))
    return {"noise": noise, "plane": plane, "wide": wide}


@pytest.mark.parametrize("name", ["noise", "plane", "wide"])
@pytest.mark.parametrize("hidden", [(128,), (6,), (16, 8)], ids=str)
def test_where_nothing_is_gained_the_networks_are_pca(name, hidden):
    """Of all rows, those held out included; also where layers are too narrow to start at it."""
    train, test = train_test_split(tables()[name], random_state=0)
    model = AutoencoderTransformer(5, hidden_layer_sizes=hidden, random_state=0).fit(train)
    assert_allclose(error(model, test), pca_error(train, test, 5), rtol=1e-6)
    assert model.is_pca_


@pytest.mark.filterwarnings("ignore:n_components=5 exceeds the . units of the narrowest hidden layer")
@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("hidden", [(4,), (16, 3)], ids=str)
def test_layers_narrower_than_the_code_are_pca_of_as_many_components(activation, hidden):
    train, test = train_test_split(tables()["wide"], random_state=0)
    model = AutoencoderTransformer(5, hidden_layer_sizes=hidden, activation=activation, random_state=0).fit(train)
    assert_allclose(error(model, test), pca_error(train, test, min(hidden)), rtol=1e-6)


def test_what_is_gained_is_kept(digits):
    train, test = train_test_split(digits, random_state=1)
    model = AutoencoderTransformer(16, random_state=0).fit(train)
    assert error(model, test) < 0.5 * pca_error(train, test, 16)
    assert not model.is_pca_


@pytest.mark.parametrize("weight", [None, [1, 2, 3]])
def test_a_gain_has_to_exceed_its_standard_error(weight):
    baseline = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    counts = [1, 1, 1] if weight is None else weight
    for gain in ([0.5, 0.5, 0.4], [0.5, -0.4, 0.4], [1.0, 0.0, 0.0], [-0.1, -0.1, -0.1]):
        all_gains = np.repeat(gain, counts)
        expected = all_gains.mean() > all_gains.std() / np.sqrt(len(all_gains))
        errors = baseline - torch.tensor(gain, dtype=torch.float64)
        assert is_better(errors, baseline, None if weight is None else torch.tensor(weight)) == expected


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (AutoencoderTransformer(2, init="pca", loss="huber"), "loss='huber'"),
        (AutoencoderTransformer(2, init="pca", activation="tanh"), "activation='tanh'"),
        (AutoencoderTransformer(2, init="pca", tied_weights=True), "tied_weights"),
        (AutoencoderTransformer(2, init="pca", hidden_layer_sizes=(8, 3)), "at least 4 units"),
        (AutoencoderTransformer(2, init="pca", code_activation="relu"), "not linear"),
        (AutoencoderTransformer(2, init="pca", ordered=True), "ordered"),
        (AutoencoderTransformer(2, init="pca", normalization="layer"), "normalization='layer'"),
        (SparseAutoencoder(2, init="pca"), "SparseAutoencoder"),
        (VAESampler(2, init="pca"), "VAESampler"),
    ],
)
def test_what_cannot_start_at_pca_says_why(estimator, reason, wine):
    with pytest.raises(ValueError, match=reason) as caught:
        estimator.fit(wine)
    assert "init='pca'" in str(caught.value)


def test_he_is_wider_than_glorot(wine):
    """Before rectifiers, with draws of a standard deviation of sqrt(2 / fan_in)."""
    still = {"hidden_layer_sizes": (2000,), **STILL}
    drawn = {
        init: AutoencoderTransformer(2, init=init, **still).fit(wine).encoder_[0].linear.weight.detach().numpy()
        for init in ("he", "glorot")
    }
    assert_allclose(drawn["he"].std(), np.sqrt(2 / 13), rtol=0.02)
    assert_allclose(drawn["glorot"].std(), np.sqrt(2 / 2013), rtol=0.02)


def test_text_is_not_below_truncated_svd():
    """Rows of few words: their TF-IDF is small numbers."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(300, 0.05), size=6)
    counts = np.stack([rng.multinomial(40, topics[i % 6]) for i in range(330)])
    X = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    model, svd = (
        AutoencoderTransformer(6, random_state=0).fit(X[:250]),
        TruncatedSVD(6, random_state=0).fit(X[:250]),
    )
    residual = np.square(svd.inverse_transform(svd.transform(X[250:])) - X[250:]).sum()
    explained = 1 - residual / np.square(X[250:] - X[250:].mean(0)).sum()
    assert model.score(X[250:]) > explained - 0.01
