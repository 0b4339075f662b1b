"""Ordered codes: PCA's components from linear networks, prefixes that are codes, widths found by share."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from estimators import assert_same, fourth_power, rows
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from test_explicit import assert_steps_agree, both_steps

from skae import AutoencoderTransformer
from skae._bottleneck.nested_dropout import Prefixes, group_ends
from skae._training.fitting import Fit
from skae._training.layers import balance


def ordered(n_components, **parameters):
    settings = {"max_iter": 60, "learning_rate": 5e-3, "tol": None, "random_state": 0}
    return AutoencoderTransformer(n_components, ordered=True, **{**settings, **parameters})


def linear(n_components, **parameters):
    settings = {"hidden_layer_sizes": (), "learning_rate": 1e-2, "max_iter": 400}
    return ordered(n_components, **{**settings, **parameters})


def prefixes(model, X):
    """Reconstructions from the first unit, the first two, and so on to all of them."""
    codes = model.transform(X)
    units = np.arange(codes.shape[1])
    return [model.inverse_transform(codes * (units <= k)) for k in units]


def errors(model, X):
    return np.array([np.square(restored - X).mean() for restored in prefixes(model, X)])


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


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("parameters", LINEAR, ids=str)
def test_turning_the_code_changes_no_reconstruction(parameters, weighted):
    X = rows(90, 7)
    weight = np.random.default_rng(0).integers(0, 3, 90) if weighted else None
    settings = {"max_iter": 10, **parameters}
    turned = linear(4, **settings).fit(X, sample_weight=weight)
    plain = linear(4, **settings).set_params(ordered=False).fit(X, sample_weight=weight)
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
    X = rows()
    plain, turned = linear(3).set_params(ordered=False), linear(3)
    for _ in range(4):
        plain.partial_fit(X)
        turned.partial_fit(X)
    assert_same(plain.loss_curve_, turned.loss_curve_)
    assert_allclose(plain.reconstruct(X), turned.reconstruct(X), atol=1e-9)
    resumed = pickle.loads(pickle.dumps(turned)).partial_fit(X)
    assert abs(resumed.loss_ / turned.loss_ - 1) < 0.05


# Prefixes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [1, 3, 9, 23])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_both_steps(n_components, tied, loss):
    weight = np.random.default_rng(1).integers(0, 4, 23).astype(float)
    for sample_weight in (None, weight):
        pair = both_steps(
            sample_weight, ordered=True, n_components=n_components, tied_weights=tied, loss=loss, learning_rate=0.1
        )
        assert_steps_agree(pair, sizes=(10, 9, 4))


def widths_drawn(bridge, width):
    code = torch.ones(2, width, dtype=torch.float64)
    z = torch.empty(bridge.repeats * 2, width, dtype=torch.float64)
    bridge.forward(code, z, None)
    assert ((z == 0) | (z == 1)).all()
    assert (z.diff(dim=1) <= 0).all()  # the units that are kept come first
    assert torch.equal(z[::2], z[1::2])  # one draw for all rows
    return z[::2].sum(1).int().tolist()


def test_groups_of_prefixes():
    assert group_ends(1) == [1]
    assert group_ends(16) == [*range(1, 17)]
    assert group_ends(37) == [*range(1, 17), 20, 24, 28, 32, 37]
    for width in range(1, 300):
        assert group_ends(width) == [*(end for end in group_ends(300) if end < width), width]
    assert len(group_ends(1024)) == 40


@pytest.mark.parametrize("width", [1, 2, 16])
def test_all_prefixes_of_narrow_codes(width):
    bridge = Prefixes(width, torch.Generator().manual_seed(0))
    assert widths_drawn(bridge, width) == list(range(1, width + 1))


@pytest.mark.parametrize("width", [17, 24, 50])
def test_a_width_is_drawn_from_each_group(width):
    bridge, ends = Prefixes(width, torch.Generator().manual_seed(0)), np.array(group_ends(width))
    drawn = np.array([widths_drawn(bridge, width) for _ in range(3000)])
    starts = np.append(1, ends[:-1] + 1)
    assert (drawn.min(0) == starts).all()
    assert (drawn.max(0) == ends).all()
    assert_allclose(drawn.mean(0), (starts + ends) / 2, rtol=0.01)


def test_held_out_rows_are_judged_by_the_same_widths():
    bridge = Prefixes(40, torch.Generator().manual_seed(0))
    with bridge.repeated():
        assert widths_drawn(bridge, 40) == widths_drawn(bridge, 40) == group_ends(40)
    assert widths_drawn(bridge, 40) != group_ends(40)


def test_groups_after_its_own_count_for_five_at_most():
    bridge = Prefixes(8, torch.Generator().manual_seed(0))
    code = torch.ones(2, 8, dtype=torch.float64, requires_grad=True)
    z, _ = bridge.through(code, None)
    z.sum().backward()
    assert_allclose(code.grad, [[6, 6, 6, 5, 4, 3, 2, 1]] * 2)
    dcode = torch.empty(2, 8, dtype=torch.float64)
    bridge.backward(code.detach(), torch.ones_like(z), dcode, None)
    assert_allclose(dcode, code.grad)


@pytest.mark.parametrize(
    ("solver", "learning_rate", "expected"),
    [("sgd", 0.1, 1.6), ("adam", 1e-3, 4e-3), ("adamw", 1e-3, 4e-3), ("adam", 5e-3, 0.01), ("adam", 0.02, 0.02)],
)
def test_rates_of_many_prefixes_at_once(solver, learning_rate, expected):
    step = Fit(ordered(16, solver=solver, learning_rate=learning_rate), rows(50, 4)).step
    assert step.step.optimizer.learning_rate == pytest.approx(expected)


def test_divergence_names_the_rate_that_was_used():
    with pytest.raises(ValueError, match=r"learning_rate=50, which is raised to 200 here\. Scale X"):
        ordered(4, solver="sgd", learning_rate=50).fit(rows(50, 4))


def test_losses_are_felt_in_relation_to_their_size():
    felt = balance(torch.tensor([4.0, 1.0, 1.0]), torch.ones(3))
    assert_allclose(felt, [0.5, 2, 2])  # times the losses: their mean
    assert_allclose(balance(torch.tensor([1.0, 1e-9]), torch.ones(2)), [0.5, 100])
    assert_allclose(balance(torch.zeros(3), torch.ones(3)), 1)
    assert_allclose(balance(torch.tensor([4.0, 1.0, 1.0]), torch.tensor([1.5, 0.5, 1.0])), [0.75, 1, 2])
    assert_allclose(balance(torch.tensor([-4.0, 1.0, 1.0]), torch.ones(3)), [0.5, 2, 2])


SHARING = [{"tied_weights": True}, {"decoder": torch.nn.Linear(5, 4)}]


@pytest.mark.parametrize("parameters", [{}, {"encoder": torch.nn.Linear(4, 5)}, *SHARING], ids=str)
def test_decoders_for_prefixes(parameters):
    """Prefixes have decoders of their own, unless the one there is can be no other."""
    X = rows(50, 4)
    model = ordered(5, max_iter=5, **parameters).fit(X)
    restored = prefixes(model, X)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.decoder_.parameters():
            if parameter.shape == (4,):  # biases of the output: of one decoder, or of each
                parameter.add_(torch.randn(4, generator=generator))
    moved = np.array(prefixes(model, X)) - restored
    assert_allclose(moved - moved[:, :1], 0, atol=1e-6)
    assert len(np.unique(moved[:, 0].round(6), axis=0)) == (1 if parameters in SHARING else 5)


def test_rows_of_all_widths_at_once():
    X = rows(300, 6)
    model = ordered(20, max_iter=3).fit(X)
    rng = np.random.default_rng(0)
    widths = rng.integers(0, 21, 300)
    codes = np.where(np.arange(20) < widths[:, None], model.transform(X), 0)
    together = model.inverse_transform(codes)
    for width in range(21):
        chosen = widths == width
        assert_allclose(together[chosen], model.inverse_transform(codes[chosen]), atol=1e-12)
    assert_allclose(together, np.vstack([model.inverse_transform(code[None]) for code in codes]), atol=1e-12)
    assert model.decoder_(torch.empty(0, 20, dtype=torch.float64)).shape == (0, 6)


def test_loss_is_the_mean_over_prefixes():
    X = rows()
    model = ordered(3, max_iter=1, learning_rate=1e-12, batch_size=len(X)).fit(X)
    assert_allclose(model.loss_, errors(model, X).mean(), rtol=1e-6)


def test_integer_weights_are_repetitions():
    X = rows(40)
    weight = np.random.default_rng(0).integers(0, 3, 40)
    settings = {"max_iter": 5, "batch_size": 200, "shuffle": False}
    one = ordered(18, **settings).fit(X, sample_weight=weight)
    two = ordered(18, **settings).fit(np.repeat(X, weight, axis=0))
    assert_allclose(one.transform(X), two.transform(X), rtol=1e-6, atol=1e-8)
    assert_allclose(one.explained_variance_, two.explained_variance_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("activation", "learning_rate"), [("relu", 1e-3), ("silu", 3e-3)])
def test_prefixes_are_what_nested_dropout_promises(activation, learning_rate):
    """Units in the order of what they add, each prefix nearly as good as a network trained for its width alone."""
    X = (load_digits().data / 16).astype(np.float32)
    train, test = train_test_split(X, random_state=0)
    settings = {"activation": activation, "learning_rate": learning_rate, "max_iter": 200}
    model = ordered(8, **settings).fit(train)
    alone = [ordered(k, **settings).set_params(ordered=False).fit(train) for k in range(1, 9)]
    prefix, best = errors(model, test), np.array([net.reconstruction_error(test).mean() for net in alone])
    assert (prefix / best).max() < 1.15
    assert (np.diff(prefix) < 0).all()
    assert (np.diff(model.explained_variance_[1:]) < 0).all()
    # Without nested training the prefixes of a code are worth little, and those of PCA's less than these.
    assert (errors(alone[-1], test)[:6] > 1.2 * prefix[:6]).all()
    pca = [PCA(k).fit(train) for k in range(2, 9)]
    assert (prefix[1:] < [np.square(p.inverse_transform(p.transform(test)) - test).mean() for p in pca]).all()


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
