"""Ordered codes: PCA's components from linear networks, what units explain, widths found by share."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from estimators import assert_same, fourth_power, rows
from numpy.testing import assert_allclose
from ordered_codes import errors, ordered, prefixes
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA


def linear(n_components, **parameters):
    settings = {"hidden_layer_sizes": (), "learning_rate": 1e-2, "batch_size": 200, "max_iter": 400}
    return ordered(n_components, **{**settings, **parameters})


# Linear networks -------------------------------------------------------------------------------------------

LINEAR = [
    {},
    {"tied_weights": True},
    {"hidden_layer_sizes": (12,), "activation": "identity"},
    {"alpha": 1e-5},
    {"contractive": 1e-4},
]


@pytest.mark.parametrize("parameters", LINEAR, ids=str)
@pytest.mark.parametrize(("data", "k"), [("wine", 5), ("breast_cancer", 5), ("digits", 8)])
def test_linear_networks_reproduce_pca(data, k, parameters, request):
    X = request.getfixturevalue(data)
    pca = PCA(k + 1).fit(X)
    model = linear(k, **parameters).fit(X)
    lengths = np.linalg.norm(model.components_, axis=1)
    cosines = (model.components_ * pca.components_[:k]).sum(1) / lengths  # positive: signs are PCA's
    apart = pca.explained_variance_[:-1] / pca.explained_variance_[1:] > 1.05
    clear = apart & np.append(True, apart[:-1])
    assert clear.sum() >= 3
    assert cosines[clear].min() >= 0.99
    assert_allclose(model.explained_variance_, pca.explained_variance_[:k], rtol=0.02)
    assert_allclose(model.explained_variance_ratio_, pca.explained_variance_ratio_[:k], rtol=0.02)
    assert_allclose(model.components_ @ model.components_.T, np.eye(k), atol=0.02 if model.tied_weights else 1e-5)
    moved = model.inverse_transform(np.eye(k)) - model.inverse_transform(np.zeros((1, k)))
    assert_allclose(moved, model.components_, atol=1e-5)


def in_own_unit(X, weight=None):
    """Rows divided by their unit, by which all fits divide them but those whose code is turned."""
    mean = np.average(X, axis=0, weights=weight)
    return X / np.sqrt(np.average(np.square(X - mean), axis=0, weights=weight).mean())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("parameters", LINEAR, ids=str)
def test_turning_the_code_changes_no_reconstruction(parameters, weighted):
    weight = np.random.default_rng(0).integers(0, 3, 90) if weighted else None
    X = in_own_unit(rows(90, 7), weight)
    settings = {"max_iter": 10, **parameters}
    turned = linear(4, **settings).fit(X, sample_weight=weight)
    plain = linear(4, **settings).set_params(ordered=False).fit(X, sample_weight=weight)
    assert (turned.unit_, plain.unit_) == (1, 1)
    new = rows(30, 7, seed=1)
    assert_allclose(turned.reconstruct(new), plain.reconstruct(new), atol=1e-6)
    assert_allclose(turned.loss_curve_, plain.loss_curve_)
    mean = np.average(turned.transform(X), axis=0, weights=weight)
    assert_allclose(mean, 0, atol=1e-6)  # so that the zeros in a prefix's place are means


def test_prefixes_are_the_best_that_a_linear_network_has():
    """No orthonormal axes in the range of a network, however little trained, explain more by their first k."""
    X = rows(200, 6)
    model = linear(3, max_iter=3).fit(X)
    V, M = model.components_, np.linalg.lstsq(X - X.mean(0), model.reconstruct(X) - X.mean(0), rcond=None)[0]
    rng, centred = np.random.default_rng(0), X - X.mean(0)

    def left(axes):
        return np.array([np.square(centred - centred @ M @ axes[:k].T @ axes[:k]).mean() for k in (1, 2, 3)])

    assert_allclose(left(V), errors(model, X), rtol=1e-4)
    for _ in range(50):
        assert (left(V) <= left(np.linalg.qr(rng.normal(size=(3, 3)))[0] @ V) + 1e-9).all()


def test_codes_wider_than_the_data_leave_units_unused():
    X = rows(100, 4)
    model = linear(6).fit(X)
    assert_allclose(model.components_[4:], 0, atol=1e-12)
    assert_allclose(model.explained_variance_[4:], 0, atol=1e-9)
    assert model.score(X) > 0.99


def test_components_are_only_those_of_linear_networks():
    X = rows()
    for parameters in ({"hidden_layer_sizes": (8,)}, {"code_activation": "tanh"}, {"loss": "huber"}):
        assert not hasattr(linear(2, max_iter=2, **parameters).fit(X), "components_")


def test_partial_fit_goes_on_from_the_code_before_it_was_turned():
    X = in_own_unit(rows())
    plain, turned = linear(3).set_params(ordered=False), linear(3)
    for _ in range(4):
        plain.partial_fit(X)
        turned.partial_fit(X)
    assert_same(plain.loss_curve_, turned.loss_curve_)
    assert_allclose(plain.reconstruct(X), turned.reconstruct(X), atol=1e-9)
    resumed = pickle.loads(pickle.dumps(turned)).partial_fit(X)
    assert abs(resumed.loss_ / turned.loss_ - 1) < 0.05


# What units explain ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy", fourth_power])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_explained_variance_is_what_it_says(loss, early_stopping):
    X = np.random.default_rng(0).uniform(size=(150, 6))
    model = ordered(4, loss=loss, early_stopping=early_stopping, max_iter=20).fit(X)
    if early_stopping:
        assert abs(model.explained_variance_ratio_.sum() - model.score(X)) > 1e-6  # of other rows
        assert model.best_loss_ == pytest.approx(min(model.validation_loss_curve_))
        return
    total = X.var(0, ddof=1).sum()
    left = np.array([total, *(errors(model, X) * X.size / (len(X) - 1))])
    assert_allclose(model.explained_variance_, -np.diff(left), rtol=1e-6, atol=1e-9)
    assert_allclose(model.explained_variance_ratio_, model.explained_variance_ / total)
    assert_allclose(model.explained_variance_ratio_.sum(), model.score(X), rtol=1e-6)


def test_early_stopping_measures_on_the_rows_held_out():
    X = rows(200, 6)
    model = ordered(3, early_stopping=True, validation_fraction=0.3).fit(X)
    halves = [model.score(part) for part in (X[:100], X[100:])]
    assert min(halves) - 0.1 < model.explained_variance_ratio_.sum() < max(halves) + 0.1


def test_rows_without_variance():
    model = ordered(2, max_iter=100).fit(np.ones((20, 3)))
    assert_allclose(model.explained_variance_, 0, atol=0.02)  # each decoder still has to learn its biases away
    assert_allclose(model.explained_variance_ratio_, 0)
    assert_allclose(linear(2, max_iter=2).fit(np.ones((20, 3))).explained_variance_, 0, atol=1e-12)


# Widths by share -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"hidden_layer_sizes": ()},
        {"tied_weights": True},
        {"normalization": "batch"},
        {"image_shape": (5, 6), "hidden_layer_sizes": (8,), "max_iter": 30},
    ],
    ids=str,
)
def test_a_share_finds_the_smallest_width_that_keeps_it(share, parameters, breast_cancer):
    X = breast_cancer
    found = ordered(share, **parameters).fit(X)
    whole = ordered(30, **parameters).fit(X)
    k = found.n_components_
    kept = whole.explained_variance_ratio_.cumsum()
    assert k == 1 + np.argmax(kept >= share) < 30
    assert_allclose(found.explained_variance_ratio_, whole.explained_variance_ratio_[:k])
    assert_allclose(found.transform(X), whole.transform(X)[:, :k], atol=1e-6)
    assert_allclose(found.reconstruct(X), prefixes(whole, X)[k - 1], atol=1e-4)
    assert_allclose(found.score(X), found.explained_variance_ratio_.sum(), rtol=1e-4)
    assert found.get_feature_names_out().shape == (k,)
    assert found.n_parameters_ == len(torch.nn.utils.parameters_to_vector(networks(found)))
    if parameters.get("hidden_layer_sizes") == ():
        assert found.components_.shape == (k, 30)


def networks(model):
    unique = {id(p): p for network in (model.encoder_, model.decoder_) for p in network.parameters()}
    return unique.values()


def test_a_model_that_was_cut_lives_on(breast_cancer):
    X = breast_cancer
    model = ordered(0.7).fit(X)
    for same in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_same(same.transform(X), model.transform(X))
        assert_same(same.reconstruct(sparse.csr_array(X)), model.reconstruct(X))
    k, n = model.n_components_, model.n_iter_
    score = model.score(X)
    assert model.partial_fit(X).n_components_ == k
    assert model.n_iter_ == n + 1
    assert model.set_params(warm_start=True).fit(X).n_components_ == k
    assert model.transform(X).shape == (len(X), k)
    assert model.score(X) > score
    assert clone(model).fit(X[:, :10]).n_features_in_ == 10


def test_the_width_of_layers_bounds_the_code(breast_cancer):
    model = ordered(0.3, hidden_layer_sizes=(20, 6), decoder_hidden_layer_sizes=(4,)).fit(breast_cancer)
    assert model.n_components_ <= 4


def test_a_share_that_is_not_reached(breast_cancer):
    with pytest.warns(UserWarning, match=r"All 30 units keep .* less than n_components=0.99.*max_iter"):
        model = ordered(0.99, max_iter=1).fit(breast_cancer)
    assert model.n_components_ == 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(model).set_params(n_components=30).fit(breast_cancer)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"ordered": False}, "n_components=0.5 .*ordered=True"),
        ({"encoder": torch.nn.Linear(5, 2)}, "n_components=0.5 .*encoder or decoder"),
        ({"image_shape": (5, 1), "code_layer": "convolution"}, "n_components=0.5 .*code_layer='dense'"),
        ({"n_components": 1.0}, "n_components"),
        ({"n_components": 2.5}, "n_components"),
    ],
    ids=str,
)
def test_errors(parameters, words):
    with pytest.raises(ValueError, match=words):
        ordered(0.5).set_params(**parameters).fit(rows())


def test_partial_fit_cannot_find_a_width():
    with pytest.raises(ValueError, match=r"n_components=0.5 .*partial_fit.*Call fit first"):
        ordered(0.5).partial_fit(rows())
