"""What the papers say of sparse codes: KL and L1 by hand, k at a time, each unit its share, few dead units."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from estimators import assert_same, rows
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import huber
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from step_parity import N_ROWS, assert_steps_agree, both_fits, modes
from torch import nn

from skae import AutoencoderTransformer, SparseAutoencoder
from skae._training.fitting import prepare
from skae._training.history import History
from skae._training.setup import Mode

KINDS = ["kl", "l1", "topk", "batch_topk", "winner_take_all"]
SELECTING = ["topk", "batch_topk"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def shallow(n_components, kind, **parameters):
    settings = {"hidden_layer_sizes": (), "sparsity": kind, "tol": None, "random_state": 0, "max_iter": 30}
    return SparseAutoencoder(n_components, **{**settings, **parameters})


READERS = {"n_active": SELECTING, "sparsity_target": ["kl", "winner_take_all"], "sparsity_warm_up": ["kl", "l1"]}


def read_by(kind, **parameters):
    """Leave out what the method does not read, which is warned of."""
    return {name: value for name, value in parameters.items() if kind in READERS[name]}


# Gradients -------------------------------------------------------------------------------------------------

GRADIENTS = {
    "kl": {"sparsity": "kl"},
    "kl_warm_up": {"sparsity": "kl", "sparsity_warm_up": 3},
    "l1": {"sparsity": "l1"},
    "l1_warm_up": {"sparsity": "l1", "sparsity_warm_up": 3},
    "l1_signed": {"sparsity": "l1", "code_activation": "tanh"},
    "topk": {"sparsity": "topk"},
    "topk_signed": {"sparsity": "topk", "code_activation": "identity"},
    "batch_topk": {"sparsity": "batch_topk"},
    "batch_topk_signed": {"sparsity": "batch_topk", "code_activation": "elu"},
    "winner_take_all": {"sparsity": "winner_take_all", "sparsity_target": 0.3},
}


def sparse_steps(weight=None, **parameters):
    settings = {"n_components": 6, "n_active": 2, "sparsity_weight": 0.4, "learning_rate": 0.3}
    return both_fits(weight, estimator_class=SparseAutoencoder, **{**settings, **parameters})


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("parameters", GRADIENTS.values(), ids=GRADIENTS)
def test_closed_form_gradients_equal_autograds(parameters, weighted, tied):
    weight = np.random.default_rng(1).integers(0, 4, N_ROWS).astype(float) if weighted else None
    pair = sparse_steps(weight, tied_weights=tied, **parameters)
    assert_steps_agree(*pair, sizes=(10, 10, 3))


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
@pytest.mark.parametrize("hidden", [(), (6,)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", SELECTING)
def test_closed_form_gradients_of_the_auxiliary_loss(kind, weighted, hidden, loss):
    weight = np.random.default_rng(1).integers(1, 4, N_ROWS).astype(float) if weighted else None
    pair = sparse_steps(weight, sparsity=kind, hidden_layer_sizes=hidden, auxiliary_weight=0.3, loss=loss)
    ours, theirs = (fit.objective.bottleneck for fit in pair)
    for bottleneck in (ours, theirs):
        bottleneck.dead_units.set_dead(torch.tensor([1.0, 0, 0, 1, 0, 1], dtype=torch.float64))
        bottleneck.dead_units._joining = 0.3
    assert ours.n_passes == 2
    assert_steps_agree(*pair, sizes=(10, 10, 3))
    assert_array_equal(ours.dead_units.dead, theirs.dead_units.dead)


def own_error(reconstruction, target):
    return (reconstruction - target).square().mean(1)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_fits_agree(kind, wine):
    """A loss of the user's own takes the autograd step; with the same formula, the fit is the same."""
    X = wine - wine.mean(0)  # a callable gets no centring
    settings = {"batch_size": 50, "max_iter": 5, **read_by(kind, sparsity_warm_up=2, n_active=2)}
    ours, theirs = (shallow(24, kind, loss=loss, **settings).fit(X) for loss in ("squared_error", own_error))
    assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-5, atol=1e-6)
    assert_allclose(ours.mean_activation_, theirs.mean_activation_, rtol=1e-5, atol=1e-6)
    assert ours._dead_unit_numbers == theirs._dead_unit_numbers


# The objective, by hand ------------------------------------------------------------------------------------

STILL = {"learning_rate": 1e-14, "max_iter": 1, "alpha": 0.0}


@pytest.mark.parametrize("target", [0.1, 0.4])
def test_the_kl_term_is_that_of_coins(target, wine):
    models = [
        shallow(7, "kl", sparsity_target=target, sparsity_weight=weight, **STILL).fit(wine) for weight in (0.7, 0)
    ]
    r = models[0].transform(wine).mean(0)
    divergence = target * np.log(target / r) + (1 - target) * np.log((1 - target) / (1 - r))
    coins = [torch.distributions.Bernoulli(torch.as_tensor(p)) for p in (np.full(7, target), r)]
    assert_allclose(divergence, torch.distributions.kl_divergence(*coins))
    assert_allclose(models[0].loss_ - models[1].loss_, 0.7 * divergence.sum(), rtol=1e-6)


def test_the_l1_term_is_a_mean_over_rows(wine):
    models = [
        shallow(7, "l1", sparsity_weight=weight, code_activation="tanh", **STILL).fit(wine) for weight in (0.7, 0)
    ]
    expected = 0.7 * np.abs(models[0].transform(wine)).sum(1).mean()
    assert_allclose(models[0].loss_ - models[1].loss_, expected, rtol=1e-6)


AUTO_WEIGHTS = {"squared_error": lambda x: x**2, "absolute_error": np.abs, "huber": lambda x: huber(1, x)}


@pytest.mark.parametrize("weight", [None, [1.0, 0.0, 3.0]])
@pytest.mark.parametrize("loss", AUTO_WEIGHTS)
@pytest.mark.parametrize(("kind", "expected"), [("kl", 0.1), ("l1", 0.01)])
def test_a_default_weight_goes_with_the_loss_of_the_means(kind, expected, loss, weight, wine):
    X, share = 7 * wine + 3, None if weight is None else np.resize(weight, len(wine))
    residual = X - np.average(X, axis=0, weights=share)
    mean_loss = np.average(AUTO_WEIGHTS[loss](residual).mean(1), weights=share)
    model = shallow(7, kind, loss=loss, max_iter=2).fit(X, sample_weight=share)
    expected = expected * mean_loss
    assert model.sparsity_weight_ == pytest.approx(expected, rel=1e-6)
    first = model.partial_fit(X).sparsity_weight_
    assert first == pickle.loads(pickle.dumps(model)).partial_fit(2 * X).sparsity_weight_, "that of the first rows"


def test_weights_that_are_given_and_those_of_rows_without_a_scale(wine):
    assert shallow(7, "l1", sparsity_weight=0.3, max_iter=2).fit(wine).sparsity_weight_ == 0.3
    with pytest.warns(UserWarning, match="units are dead"):
        assert shallow(7, "l1", max_iter=2).fit(np.ones((20, 3))).sparsity_weight_ == 0.01
    assert not hasattr(shallow(7, "topk", max_iter=2).fit(wine), "sparsity_weight_")


@pytest.mark.parametrize("hidden", [(), (64,)])
def test_the_unit_of_the_data_does_not_change_what_l1_keeps(hidden, digits):
    settings = {"hidden_layer_sizes": hidden, "max_iter": 60, "learning_rate": 1e-3}
    models = {unit: shallow(64, "l1", **settings).fit(unit * digits) for unit in (1.0, 0.03, 30.0)}
    scores = [model.score(unit * digits) for unit, model in models.items()]
    active = [(model.transform(unit * digits) > 0).mean() for unit, model in models.items()]
    assert min(scores) > max(scores) - 0.03 > 0.75
    assert max(active) - min(active) < 0.1


def test_the_weight_rises_in_equal_steps(wine):
    """At the beginning of an epoch of four the strength is 0, 1/4, ...; here one batch is an epoch."""
    settings = {"sparsity_weight": 0.7, "sparsity_warm_up": 4, **STILL, "max_iter": 6, "batch_size": len(wine)}
    curve = np.array(shallow(7, "l1", **settings).fit(wine).loss_curve_)
    shares = (curve - curve[0]) / (curve[-1] - curve[0])
    assert_allclose(shares, [0, 0.25, 0.5, 0.75, 1, 1], atol=1e-6)
    model = shallow(7, "l1", **settings)
    for _ in range(6):
        model.partial_fit(wine)
    assert_allclose(model.loss_curve_, curve, rtol=1e-10)
    warm = shallow(7, "l1", **settings).set_params(warm_start=True).fit(wine).fit(wine)
    assert_allclose(warm.loss_curve_, curve[-1], rtol=1e-6)


# Codes -----------------------------------------------------------------------------------------------------


def test_the_kl_kind_reaches_its_target(digits):
    """Ng (2011): each unit on for a fraction of the rows; without the term, far more often."""
    settings = {"sparsity_target": 0.05, "learning_rate": 3e-3, "max_iter": 60}
    model = shallow(40, "kl", sparsity_weight=1, **settings).fit(digits)
    means = model.transform(digits).mean(0)
    assert abs(means.mean() - 0.05) < 0.01
    assert means.std() < 0.02
    assert shallow(40, "kl", sparsity_weight=0, **settings).fit(digits).transform(digits).mean() > 0.15
    assert model.score(digits) > 0.5


def test_logistic_codes_start_at_their_target(wine):
    model = shallow(9, "kl", sparsity_target=0.2, **STILL, hidden_layer_sizes=(8,)).fit(wine)
    assert abs(np.median(model.transform(wine)) - 0.2) < 0.06


def test_l1_switches_units_off_at_a_small_cost(digits):
    train, test = digits[::2], digits[1::2]
    dense, few = (shallow(64, "l1", sparsity_weight=w, max_iter=100).fit(train) for w in (0, 0.02))
    active = [(model.transform(test) > 0).mean() for model in (dense, few)]
    assert active[1] < 0.5 * active[0]
    assert few.score(test) > 0.75 * dense.score(test)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["auto", "identity", "sigmoid", "tanh"])
@pytest.mark.parametrize("hidden", [(), (128,)])
def test_topk_keeps_exactly_k(hidden, activation, dtype, digits):
    """Makhzani and Frey (2013), on rows never seen; with an identity both signs occur."""
    settings = {"n_active": 5, "code_activation": activation, "hidden_layer_sizes": hidden, "max_iter": 10}
    model = shallow(50, "topk", **settings).fit(digits[::2].astype(dtype))
    codes = model.transform(digits[1::2].astype(dtype))
    assert codes.dtype == dtype
    assert_array_equal((codes != 0).sum(1), 5)
    assert (codes < 0).any() == (activation in ("identity", "tanh"))


def test_topk_keeps_the_k_largest(digits):
    model = shallow(50, "topk", n_active=5, code_activation="identity", max_iter=5).fit(digits)
    with torch.no_grad():
        rows = torch.tensor((digits - model.offset_) / model.unit_).float()
        every = model.encoder_.forward_centred(rows).numpy()
    codes = model.transform(digits)
    kept = codes != 0
    assert_allclose(codes[kept], every[kept], rtol=1e-3, atol=1e-5)
    lowest_winner = np.where(kept, np.abs(every), np.inf).min(1)
    assert (lowest_winner >= np.where(kept, 0, np.abs(every)).max(1) - 1e-5).all()


@pytest.mark.parametrize(("n_components", "n_active"), [(1, 1), (2, 1), (4, 2), (10, 3), (100, 10)])
def test_a_default_number_of_active_units(n_components, n_active):
    model = shallow(n_components, "topk", max_iter=1, code_activation="identity").fit(rows())
    assert_array_equal((model.transform(rows()) != 0).sum(1), n_active)


def test_batch_topk_spends_k_on_average_where_it_is_needed(digits):
    """Bussmann et al. (2024): other numbers for other rows, and a lower error than k for each row."""
    train, test = digits[::2], digits[1::2]
    settings = {"n_active": 6, "max_iter": 150, "batch_size": 100}
    model = shallow(100, "batch_topk", **settings).fit(train)
    active = (model.transform(train) != 0).sum(1)
    assert abs(active.mean() - 6) < 0.3
    assert active.std() > 0.5
    assert model.score(test) > shallow(100, "topk", **settings).fit(train).score(test)
    assert model.encoder_.selection.threshold > 0


def test_winner_take_all_has_each_unit_live_for_its_share(digits):
    """Makhzani and Frey (2015): in training 5 % of a batch for each unit; afterwards the code is plain."""
    model = shallow(60, "winner_take_all", sparsity_target=0.05, max_iter=60, batch_size=200).fit(digits)
    codes = model.transform(digits)
    assert model.encoder_.selection is None
    assert model.dead_fraction_ == 0
    assert (codes > 0).any(0).all()
    assert (codes > 0).mean() < 0.5  # sparse though nothing selects any more
    assert model.score(digits) > 0.4


@pytest.mark.parametrize("kind", ["topk", "winner_take_all"])
def test_sparse_codes_tell_classes_apart(kind):
    """Overcomplete and sparse, the codes do better for a linear classifier than the pixels do."""
    X, y = load_digits(return_X_y=True)
    X = X / 16
    train, test = slice(0, None, 2), slice(1, None, 2)
    parameters = {**read_by(kind, n_active=25), "max_iter": 100, "learning_rate": 3e-3}
    model = make_pipeline(shallow(300, kind, **parameters), LogisticRegression(max_iter=2000))
    raw = LogisticRegression(max_iter=2000).fit(X[train], y[train]).score(X[test], y[test])
    assert model.fit(X[train], y[train]).score(X[test], y[test]) > raw


@every_kind
def test_codes_depend_on_their_own_row_alone(kind, digits):
    model = shallow(30, kind, max_iter=5).fit(digits)
    codes = model.transform(digits[:40])
    alone = np.vstack([model.transform(digits[i : i + 1]) for i in range(40)])
    assert_allclose(alone, codes, rtol=1e-9, atol=1e-12)
    assert_allclose(model.transform(np.vstack([digits[:40], 100 * digits]))[:40], codes, rtol=1e-9, atol=1e-12)


# Dead units ------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("hidden", [(), (64,)])
def test_shifted_data_keep_their_units_alive(kind, hidden, digits):
    """Ten standard deviations off."""
    model = shallow(64, kind, hidden_layer_sizes=hidden, **read_by(kind, n_active=6)).fit(digits[:1000] + 10)
    assert model.dead_fraction_ < 0.5


def test_one_warning_where_most_units_are_dead(digits):
    model = shallow(200, "l1", sparsity_weight=5.0, learning_rate=0.01)
    with pytest.warns(UserWarning, match=r"% of the 200 units are dead.*Lower sparsity_weight") as caught:
        model.fit(digits)
    assert len(caught) == 1
    assert model.dead_fraction_ > 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.partial_fit(digits)


@pytest.mark.parametrize(
    ("kind", "parameters", "advice"),
    [
        (
            "topk",
            {},
            "order: raise learning_rate to 0.01, which was 0.001, and max_iter, which was 1, both at once;",
        ),
        (
            "topk",
            {"max_iter": 100},
            "order: raise learning_rate to 0.01, which was 0.001; raise max_iter, .* 100; ",
        ),
        ("topk", {}, "; raise auxiliary_weight, .* 1; raise n_active, .* 14; lower n_components, .* is 200.$"),
        ("batch_topk", {"n_active": 3, "hidden_layer_sizes": 64}, "order: raise max_iter, .* n_active, .* 3;"),
        ("topk", {"learning_rate": 0.5}, "order: lower learning_rate, which was 0.5; raise max_iter, which"),
        ("topk", {"learning_rate": 0.01}, "order: raise max_iter, which"),
        ("topk", {"learning_rate": 0.01, "hidden_layer_sizes": 64}, "order: lower learning_rate, which was"),
        ("topk", {"learning_rate": 1e-4, "hidden_layer_sizes": 64}, "order: raise max_iter, which"),
        ("topk", {"solver": "sgd"}, "order: raise max_iter, which"),
        (
            "topk",
            {"n_active": 1},
            "order: raise auxiliary_weight, which is 1, and raise learning_rate to 0.01, which was 0.001, both at "
            "once; raise max_iter, which was 1; raise n_active, .* 1; lower n_comp",
        ),
        (
            "topk",
            {"n_active": 1, "learning_rate": 0.01, "auxiliary_weight": 5},
            "order: raise auxiliary_weight, which is 5; raise max_iter",
        ),
        (
            "topk",
            {"n_active": 1, "learning_rate": 0.5},
            "order: lower learning_rate, .* 0.5; raise auxiliary_weight",
        ),
        ("batch_topk", {"n_active": 1}, "order: raise learning_rate to 0.01, .*; raise auxiliary_weight"),
        ("topk", {"encoder": nn.Linear(64, 200)}, "order: raise max_iter, which"),
        ("kl", {}, r"Lower sparsity_weight, which was 0.07\d*, or raise sparsity_target, which is 0.1"),
        ("l1", {"sparsity_weight": 5.0}, "Lower sparsity_weight, which was 5, or raise sparsity_warm_up, .* is 0"),
        ("winner_take_all", {}, "Raise sparsity_target, which is 0.1, or lower learning_rate, which was 0.001"),
    ],
)
def test_the_advice_holds_the_values_that_were_used(kind, parameters, advice, digits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = shallow(200, kind, **{"max_iter": 1, **parameters}).fit(digits[:50])
    model.dead_fraction_ = 0.7
    with pytest.warns(UserWarning, match=rf"70% of the 200 units are dead.*{advice}"):
        SparseAutoencoder._warn_after_fit(model, History())


def test_a_single_active_unit_takes_both_remedies_at_once(digits):
    """Neither the rate nor `auxiliary_weight` alone revives as many units, as the advice says."""
    changes = {}, {"learning_rate": 0.01}, {"auxiliary_weight": 5}, {"learning_rate": 0.01, "auxiliary_weight": 5}
    settings = {"n_active": 1, "max_iter": 60}
    *others, both = (shallow(200, "topk", **settings, **change).fit(digits).dead_fraction_ for change in changes)
    assert both < 0.8 * min(others)


@pytest.mark.parametrize(
    ("kind", "activation"),
    [("l1", "relu"), ("topk", "identity"), ("batch_topk", "relu"), ("kl", "auto"), ("l1", "tanh"), ("l1", "elu")],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_activity_is_that_of_the_final_model_on_the_training_rows(kind, activation, weighted, digits):
    X = digits[:500]
    weight = np.random.default_rng(0).integers(0, 3, 500) if weighted else None
    model = shallow(150, kind, code_activation=activation, max_iter=3).fit(X, sample_weight=weight)
    codes = model.transform(X)
    assert_allclose(model.mean_activation_, np.average(codes, axis=0, weights=weight), rtol=1e-6, atol=1e-8)
    codes = codes if weight is None else codes[weight > 0]
    span = codes.max(0) - codes.min(0)
    dead = {"auto": span < 0.01, "tanh": span < 0.01, "elu": span <= 0.01 * span.max()}
    expected = dead.get(activation, (codes == 0).all(0))
    assert model.dead_fraction_ == expected.mean()
    assert_array_equal(model.dead_units_, np.flatnonzero(expected))
    assert model.dead_units_.dtype.kind == "i"


@pytest.mark.parametrize(("kind", "activation"), [("kl", "auto"), ("l1", "tanh")])
def test_bounded_units_that_hardly_vary_are_dead(kind, activation, digits):
    """They are never zero: their span over rows tells. A loss of one's own keeps the unit of X."""
    X = 1e-5 * digits[:200]
    settings = {"learning_rate": 1e-9, "max_iter": 1, "loss": own_error}
    with pytest.warns(UserWarning, match="100% of the 20 units are dead"):
        model = shallow(20, kind, code_activation=activation, **settings).fit(X)
    assert model.dead_fraction_ == 1
    assert shallow(20, kind, code_activation=activation, max_iter=1).fit(1e5 * X).dead_fraction_ == 0


@pytest.mark.parametrize("loss", ["squared_error", own_error])
@pytest.mark.parametrize("kind", SELECTING)
def test_rows_too_many_to_be_prepared_at_once(kind, loss):
    """They are measured in other chunks than they are trained in."""
    X = np.random.default_rng(0).normal(size=(5000, 256)).astype(np.float32)
    model = shallow(4, kind, max_iter=2, loss=loss, batch_size=300).fit(X)
    assert_allclose(model.mean_activation_, model.transform(X).mean(0), rtol=1e-3)


def test_rows_held_out_do_not_count(digits):
    model = shallow(20, "kl", early_stopping=True, max_iter=2).fit(digits)
    assert not np.allclose(model.mean_activation_, model.transform(digits).mean(0), rtol=1e-6)
    assert_allclose(model.mean_activation_, model.transform(digits).mean(0), rtol=0.1)


def test_the_auxiliary_loss_revives_units(digits):
    """Gao et al. (2024): fewer dead units with it, and no larger error."""
    settings = {"n_active": 3, "max_iter": 40, "learning_rate": 5e-3, "batch_size": 100}
    X = load_digits().data / 16
    without, with_it = (shallow(300, "topk", auxiliary_weight=weight, **settings).fit(X) for weight in (0, 1))
    assert with_it.dead_fraction_ < 0.5 * without.dead_fraction_
    assert with_it.score(X) > without.score(X) - 0.01


@pytest.mark.parametrize("kind", ["l1", *SELECTING])
@pytest.mark.parametrize("loss", ["squared_error", own_error])
def test_decoder_weights_of_a_unit_have_length_one(kind, loss, wine):
    for hidden in ((), (8,)):
        model = shallow(5, kind, hidden_layer_sizes=hidden, loss=loss, max_iter=3).fit(wine)
        lengths = model.decoder_[0].linear.weight.norm(dim=0).detach().numpy()
        assert_allclose(lengths, 1, rtol=1e-6)
    tied = shallow(5, kind, tied_weights=True, max_iter=3).fit(wine)
    assert not np.allclose(tied.encoder_[0].linear.weight.norm(dim=1).detach(), 1, rtol=1e-3)


def test_dead_units_are_carried_through_partial_fit(digits):
    """Passes over as many rows as a window holds are the epochs of a fit."""
    X = np.resize(digits, (2000, 64))
    settings = {"n_active": 1, "learning_rate": 0.01, "batch_size": 300}
    reference = shallow(40, "topk", max_iter=4, **settings).fit(X)
    model = shallow(40, "topk", **settings)
    for _ in range(4):
        model.partial_fit(X)
    assert model._dead_unit_numbers
    assert model._dead_unit_numbers == reference._dead_unit_numbers
    assert_same(model.transform(X), reference.transform(X))


def test_a_window_goes_on_from_portion_to_portion(digits):
    """No unit is dead for 2000 rows before there have been as many, however they are dealt out."""
    X = np.resize(digits, (2000, 64))
    for n_portions in (2, 4):
        model = shallow(50, "topk", n_active=1, learning_rate=0.05)
        known = [model.partial_fit(portion)._dead_unit_numbers for portion in np.split(X, n_portions)]
        assert known[:-1] == [()] * (n_portions - 1)
        assert known[-1]


# Sparse matrices -------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_csr_codes_equal_dense_ones(kind, dtype, digits):
    X = digits.astype(dtype)
    model = shallow(40, kind, max_iter=3).fit(X)
    dense = model.transform(X)
    codes = model.set_params(sparse_output=True).transform(X)
    assert sparse.issparse(codes)
    assert codes.format == "csr"
    assert codes.dtype == dtype
    assert_same(codes.toarray(), dense)
    assert codes.nnz == (dense != 0).sum()
    assert_same(model.inverse_transform(codes), model.inverse_transform(dense))
    assert_same(model.transform(sparse.csr_array(X)).toarray(), dense)
    assert_same(pickle.loads(pickle.dumps(model)).transform(X).toarray(), dense)


def test_csr_codes_follow_scikit_learns_settings(digits):
    model = shallow(40, "topk", max_iter=2, sparse_output=True).fit(digits)
    assert isinstance(model.transform(digits), sparse.csr_matrix)
    with config_context(sparse_interface="sparray"):
        assert isinstance(model.transform(digits), sparse.csr_array)
    with config_context(array_api_dispatch=True):
        tensor = torch.tensor(digits)
        assert isinstance(model.fit(tensor).transform(tensor), torch.Tensor)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_data_frames_come_first(container, digits):
    model = shallow(40, "topk", max_iter=2, sparse_output=True).fit(digits)
    dense = model.transform(digits).toarray()
    frame = model.set_output(transform=container).transform(digits)
    assert list(frame.columns) == [f"sparseautoencoder{i}" for i in range(40)]
    assert_array_equal(frame.to_numpy(), dense)


def test_a_classifier_takes_csr_codes(digits):
    y = np.arange(len(digits)) % 2
    model = make_pipeline(shallow(40, "topk", max_iter=2, sparse_output=True), LogisticRegression())
    assert model.fit(digits, y).predict(digits).shape == y.shape


# Mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SELECTING)
def test_more_active_units_than_there_are(kind):
    with pytest.raises(ValueError, match=r"n_active=5.*n_components=4"):
        shallow(4, kind, n_active=5).fit(rows())


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity"])
def test_kl_needs_probabilities(activation):
    with pytest.raises(ValueError, match=rf"sparsity='kl'.*code_activation='{activation}'.*'sigmoid'"):
        shallow(4, "kl", code_activation=activation).fit(rows())
    shallow(4, "kl", code_activation="logistic", max_iter=1).fit(rows())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sparsity", "l2"),
        ("sparsity_weight", -1),
        ("sparsity_target", 1.0),
        ("sparsity_warm_up", -1),
        ("n_active", 0),
        ("auxiliary_weight", -0.1),
        ("sparse_output", "yes"),
        ("code_activation", "automatic"),
    ],
)
def test_values_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter of SparseAutoencoder must be"):
        SparseAutoencoder(**{name: value}).fit(rows())


IDLE = [
    ("kl", {"n_active": 5}, "n_active=5, which is for 'topk' and 'batch_topk'"),
    ("l1", {"sparsity_target": 0.2}, "sparsity_target=0.2, which is for 'kl' and 'winner_take_all'"),
    ("topk", {"sparsity_weight": 0.3}, "sparsity_weight=0.3, which is for 'kl' and 'l1'"),
    ("batch_topk", {"sparsity_warm_up": 3}, "sparsity_warm_up=3, which is for 'kl' and 'l1'"),
    ("winner_take_all", {"auxiliary_weight": 2}, "auxiliary_weight=2, which is for 'topk' and 'batch_topk'"),
]


@pytest.mark.parametrize(("kind", "idle", "named"), IDLE)
def test_a_parameter_of_another_method_is_told_of(kind, idle, named):
    message = rf"^Without effect with sparsity='{kind}': {named}\. Choose sparsity .* leave it at its default\.$"
    model = shallow(6, kind, warm_start=True, learning_rate=0.01, **idle)
    with pytest.warns(UserWarning, match=message) as caught:
        model.fit(rows())
    assert len(caught) == 1
    plain = shallow(6, kind, learning_rate=0.01).fit(rows())
    assert_same(model.transform(rows()), plain.transform(rows()))
    model.fit(rows())  # warnings are errors: a warm start is not the first fit
    model = shallow(6, kind, **idle)
    with pytest.warns(UserWarning, match=message):
        model.partial_fit(rows())
    model.partial_fit(rows())


def test_several_idle_parameters_are_one_warning():
    model = shallow(6, "topk", sparsity_weight=0.3, sparsity_target=0.2)
    message = "'topk': sparsity_weight=0.3, which .*; sparsity_target=0.2, which .* leave them at their defaults"
    with pytest.warns(UserWarning, match=message) as caught:
        model.fit(rows())
    assert len(caught) == 1


@every_kind
def test_parameters_that_a_method_reads_are_not_told_of(kind):
    """Nor those of others at their defaults."""
    settings = read_by(kind, n_active=2, sparsity_target=0.3, sparsity_warm_up=1)
    defaults = {"sparsity_weight": "auto", "sparsity_target": 0.1, "n_active": None, "auxiliary_weight": 1}
    shallow(6, kind, **{**defaults, **settings}).fit(rows())


@pytest.mark.parametrize("loss", ["squared_error", own_error])
@every_kind
def test_a_diverged_fit_says_so(kind, loss, digits):
    """Also where units compete by numbers that are none."""
    X, few = digits.astype(np.float32), read_by(kind, n_active=1)
    with pytest.raises(ValueError, match=r"Training diverged.*learning_rate"):
        shallow(150, kind, learning_rate=1e30, max_iter=20, batch_size=100, loss=loss, **few).fit(X)


def test_a_change_of_kind_goes_on_from_the_weights(wine):
    """What is selected is no weight: a warm start may change it."""
    model = shallow(6, "topk", warm_start=True, max_iter=3).fit(wine)
    for kind in ("batch_topk", "winner_take_all", "topk"):
        model.set_params(sparsity=kind).fit(wine)
    assert np.isfinite(model.transform(wine)).all()


@every_kind
def test_mixed_precision(kind, digits):
    X = digits[:600].astype(np.float32)
    settings = {"max_iter": 10, "batch_size": 50, **read_by(kind, n_active=6)}
    full, mixed = (shallow(40, kind, dtype=dtype, **settings).fit(X) for dtype in ("float32", "bfloat16"))
    assert_allclose(mixed.loss_curve_, full.loss_curve_, rtol=0.03)


def test_fewer_features_than_units_is_linear_only_in_name(wine):
    """Biases of a sparse linear network are trained, unlike those of PCA's."""
    moved = []
    plain = AutoencoderTransformer(4, hidden_layer_sizes=(), init="glorot", max_iter=1)
    for model in (shallow(4, "l1", code_activation="identity"), plain):
        fit = prepare(model, wine, Mode.FRESH)
        before = [p.detach().clone() for p in (*fit.encoder.parameters(), *fit.decoder.parameters())]
        with modes(fit):
            fit.step(torch.arange(len(wine)))
        fit.step.publish()
        after = [*fit.encoder.parameters(), *fit.decoder.parameters()]
        moved.append([bool((p != q).any()) for p, q in zip(after, before, strict=True) if p.ndim == 1])
    assert moved == [[True, True], [False, False]]
