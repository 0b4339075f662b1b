"""`partial_fit`: what stays between passes, what a pass that fails leaves, and what others may do in between."""

import copy
import pickle

import numpy as np
import pytest
import torch
from estimators import CONTINUING, assert_same, configured, fourth_power, of_images, rows
from holdings import n_bytes, reachable
from numpy.testing import assert_allclose
from sklearn.base import clone
from torch import nn

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    VAESampler,
)
from skae._support.sizes import MOST_SIZES

X = rows()
every_estimator = pytest.mark.parametrize("estimator", CONTINUING)


def own_encoder():
    """An encoder with state beside its weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.2), nn.Tanh(), nn.Linear(6, 2))


PATHS = {
    "explicit": configured(AutoencoderTransformer),
    "own_loss": configured(AutoencoderTransformer, loss=fourth_power),
    "images": of_images(AutoencoderTransformer, normalization="batch"),
    "own_encoder": configured(AutoencoderTransformer, encoder=own_encoder()),
    "ordered": configured(AutoencoderTransformer, n_components=4, ordered=True),
    "denoising": configured(DenoisingAutoencoder, noise="masking"),
    "topk": configured(SparseAutoencoder, n_components=6, sparsity="topk"),
    "vae": configured(VAESampler, kl_warm_up=3),
    "vae_own_loss": configured(VAESampler, loss=fourth_power),
    "adversarial": configured(AdversarialAutoencoder),
    "hasher": configured(SemanticHasher, noise_warm_up=2),
}
every_path = pytest.mark.parametrize("estimator", PATHS.values(), ids=PATHS)


def snapshot(model):
    """All that a fitted model is, as plain values of its own."""
    return copy.deepcopy(model.__getstate__())


def without_solver(state):
    return {name: value for name, value in state.items() if name != "_left_by_partial_fit"}


def assert_equal(one, other, where="model"):
    """Compare plain values, arrays bit by bit."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_equal(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f"{where}[{i}]")
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=where)
    elif isinstance(one, nn.Module):
        for ours, theirs in zip(one.modules(), other.modules(), strict=True):
            assert_equal(ours._parameters | ours._buffers, theirs._parameters | theirs._buffers, where)
    else:
        assert one == other, where


def passes(estimator, n, X=X):
    model = clone(estimator)
    for _ in range(n):
        model.partial_fit(X)
    return model


# Passes that fail ------------------------------------------------------------------------------------------


class HookError(Exception):
    """What a broken hook raises."""


def with_broken_hook(estimator, broken):
    """Return the same estimator, whose last hook raises while ``broken`` holds anything."""

    class Breaking(type(estimator)):
        def _fitted_attributes(self, fit, encoder, decoder):
            if broken:
                raise HookError(broken[0])
            return {}

    return Breaking(**estimator.get_params())


@every_estimator
@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_a_hook_that_raises_after_a_pass_undoes_it(estimator, n_before):
    broken = []
    model, twin = (passes(with_broken_hook(estimator, broken), n_before) for _ in range(2))
    before = snapshot(model)
    for _ in range(2):
        broken.append("no")
        with pytest.raises(HookError, match="no"):
            model.partial_fit(X[::2])
        assert_equal(model.__getstate__(), before)
        broken.clear()
    if n_before:
        assert_same(model.transform(X), twin.transform(X))
    for portion in (X, X[:31]):
        assert_equal(model.partial_fit(portion).__getstate__(), twin.partial_fit(portion).__getstate__())


@pytest.mark.parametrize("estimator", [p for p in CONTINUING if p.values[0].get_params().get("loss") != "huber"])
@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_a_loss_that_is_not_finite_undoes_a_pass(estimator, n_before):
    model, twin = (passes(estimator, n_before) for _ in range(2))
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"diverged|in another unit"):  # the latter of a first portion
        model.partial_fit(X * 1e200)
    assert_equal(model.__getstate__(), before)
    for portion in (X, X[:31]):
        assert_equal(model.partial_fit(portion).__getstate__(), twin.partial_fit(portion).__getstate__())


@pytest.mark.parametrize("estimator_class", [AutoencoderTransformer, VAESampler, AdversarialAutoencoder])
def test_a_loss_that_raises_within_a_pass_undoes_it(estimator_class):
    """In the third batch: what the batches before it have added up is gone too."""
    countdown = [np.inf]

    def loss(reconstruction, target):
        countdown[0] -= 1
        if countdown[0] == 0:
            raise HookError
        return fourth_power(reconstruction, target)

    estimator = configured(estimator_class, loss=loss, batch_size=16)
    model, twin = (passes(estimator, 2) for _ in range(2))
    before = snapshot(model)
    countdown[0] = 3
    with pytest.raises(HookError):
        model.partial_fit(X)
    assert_equal(model.__getstate__(), before)
    assert_equal(model.partial_fit(X).__getstate__(), twin.partial_fit(X).__getstate__())


@pytest.mark.parametrize(
    "estimator", [PATHS["vae"], configured(AutoencoderTransformer, loss="binary_cross_entropy")]
)
def test_rows_that_are_refused_leave_everything(estimator):
    estimator = clone(estimator)
    if isinstance(estimator, VAESampler):
        estimator.set_params(likelihood="bernoulli")
    inside = (X - X.min()) / np.ptp(X)
    model, twin = (passes(estimator, 2, inside) for _ in range(2))
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        model.partial_fit(2 * inside)
    assert_equal(model.__getstate__(), before)
    assert_equal(model.partial_fit(inside).__getstate__(), twin.partial_fit(inside).__getstate__())


@every_path
def test_a_pass_under_other_parameters_that_fails_leaves_everything(estimator):
    model, twin = (passes(estimator, 2) for _ in range(2))
    before = snapshot(model)
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(learning_rate=1e300, batch_size=10).partial_fit(X)
    model.set_params(learning_rate=estimator.learning_rate, batch_size=estimator.batch_size)
    assert_equal(model.__getstate__(), before)
    assert_equal(model.partial_fit(X).__getstate__(), twin.partial_fit(X).__getstate__())


# What others do in between ---------------------------------------------------------------------------------


def keeps_a_mean(estimator):
    """Whether the networks are kept with a running mean of their weights."""
    return isinstance(estimator, AdversarialAutoencoder) or getattr(estimator, "ordered", False)


def first_weight(model):
    return next(p for p in model.encoder_.parameters() if p.ndim > 1)


@every_path
@pytest.mark.parametrize("fails", [False, True])
def test_weights_that_were_edited_are_where_the_next_pass_starts(estimator, fails):
    """Also where a pass fails in between, which keeps the edit."""
    model, untouched = (passes(estimator, 2) for _ in range(2))
    with torch.no_grad():
        first_weight(model)[0].fill_(0.25)
    codes, before = model.transform(X), snapshot(model)
    if fails:
        with pytest.raises(ValueError, match="diverged"):
            model.partial_fit(X * 1e200)
        assert_equal(without_solver(model.__getstate__()), without_solver(before))
    assert_same(model.transform(X), codes)
    model.partial_fit(X)
    untouched.partial_fit(X)
    assert (first_weight(model)[0] - 0.25).abs().max() < 10 * estimator.learning_rate
    assert not np.array_equal(first_weight(model)[0].detach(), first_weight(untouched)[0].detach())
    again = passes(estimator, 2)
    with torch.no_grad():
        first_weight(again)[0].fill_(0.25)
    assert_equal(again.partial_fit(X).__getstate__(), model.__getstate__())


@every_path
def test_parameters_that_were_replaced_are_trained(estimator):
    model, edited = (passes(estimator, 2) for _ in range(2))
    state = {name: tensor.clone() for name, tensor in model.encoder_.state_dict().items()}
    weight = next(name for name, tensor in state.items() if tensor.ndim > 1)
    state[weight] = state[weight] + 0.1
    model.encoder_.load_state_dict(state, assign=True)
    edited.encoder_.load_state_dict(state)
    for _ in range(2):
        before = first_weight(model).clone()
        assert_same(model.transform(X), edited.transform(X))
        model.partial_fit(X)
        edited.partial_fit(X)
        assert not torch.equal(first_weight(model), before)


@every_path
def test_a_change_of_parameters_keeps_the_solvers_state(estimator):
    """A rate that differs in the last digit ends the session; new solvers' first steps would be long ones."""
    model, twin = (passes(estimator, 3) for _ in range(2))
    other = pickle.loads(pickle.dumps(twin))
    del other._left_by_partial_fit  # so that its solver is new
    model.set_params(learning_rate=float(np.nextafter(estimator.learning_rate, 1)))
    for one in (model, twin, other):
        one.partial_fit(X)
    assert_allclose(model.loss_curve_, twin.loss_curve_, rtol=1e-9)
    moved = [first_weight(one).detach().numpy() for one in (model, twin, other)]
    assert_allclose(moved[0], moved[1], rtol=1e-6, atol=1e-9)
    assert np.abs(moved[2] - moved[1]).max() > 1e-5


@every_path
def test_the_learning_rate_may_change_between_passes(estimator):
    """Down to next to nothing, and back."""
    model = passes(estimator, 2)
    for _ in range(40 if keeps_a_mean(estimator) else 1):  # which goes on towards the weights reached
        weight = first_weight(model).detach().clone()
        model.set_params(learning_rate=1e-14).partial_fit(X)
    assert_allclose(first_weight(model).detach(), weight, atol=1e-5 if keeps_a_mean(estimator) else 1e-12)
    model.set_params(learning_rate=estimator.learning_rate).partial_fit(X)
    assert (first_weight(model) - weight).abs().max() > 1e-4
    assert model.n_iter_ > 3


@every_estimator
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_go_the_same_way_apart(estimator, copied):
    """Bit for bit, solver and random numbers included; also a copy of a copy."""
    model, twin = (clone(estimator).partial_fit(X[:40]).partial_fit(X[20:51]) for _ in range(2))
    other = copied(copied(model))
    assert_equal(other.__getstate__(), twin.__getstate__())
    other.partial_fit(X).partial_fit(X[:31])
    assert other.n_iter_ == 4
    assert_equal(model.__getstate__(), twin.__getstate__())
    for portion in (X, X[:31]):
        assert_equal(model.partial_fit(portion).__getstate__(), twin.partial_fit(portion).__getstate__())
    assert_equal(other.__getstate__(), twin.__getstate__())


def test_a_saved_model_trains_on_as_well_as_the_one_in_memory(digits):
    """A new solver's first steps were long: its error was several times as large."""
    model = AutoencoderTransformer(16, learning_rate=3e-3, random_state=0)
    for _ in range(25):
        for portion in np.split(digits[:1600], 8):
            model.partial_fit(portion)
    saved = pickle.loads(pickle.dumps(model))
    one, other = (each.partial_fit(digits[1600:]).reconstruction_error(digits) for each in (model, saved))
    assert_same(one, other)


def test_after_fit_nothing_of_the_solver_is_saved_and_passes_begin_with_short_steps(digits):
    model = AutoencoderTransformer(16, learning_rate=5e-3, batch_size=64, max_iter=60, tol=None, random_state=0)
    trained, fitted = passes(model, 1, digits), model.fit(digits)
    n_parameters = fitted.n_parameters_ * 4
    assert len(pickle.dumps(fitted)) < 1.3 * n_parameters < 2.5 * n_parameters < len(pickle.dumps(trained))
    before = fitted.reconstruction_error(digits).mean()
    after = [fitted.partial_fit(digits[i : i + 50]).reconstruction_error(digits).mean() for i in range(0, 500, 50)]
    assert max(after) < 1.02 * before


def test_a_saved_model_does_not_grow_with_the_number_of_passes():
    sizes = []
    for estimator in (PATHS["explicit"], PATHS["vae"], PATHS["adversarial"]):
        model = passes(estimator, 1010, X[:1])
        assert len(model.loss_curve_) == 1000
        sizes.append(len(pickle.dumps(model)))
        model.partial_fit(X[:1])
        assert model.n_iter_ == 1011
        assert abs(len(pickle.dumps(model)) - sizes[-1]) < 100


@every_path
def test_a_clone_starts_anew(estimator):
    model = passes(estimator, 2)
    assert not [name for name in vars(clone(model)) if name.endswith("_") or name == "_ongoing"]
    assert_equal(clone(model).partial_fit(X).__getstate__(), passes(estimator, 1).__getstate__())


@every_path
def test_passes_count_on_from_a_fit(estimator):
    model = clone(estimator).fit(X)
    n_epochs, curve = model.n_iter_, [*model.loss_curve_]
    model.partial_fit(X).partial_fit(X)
    assert model.n_iter_ == n_epochs + 2
    assert len(model.loss_curve_) == len(curve) + 2
    assert model.loss_curve_[:-2] == curve


@every_path
def test_a_fit_in_between_forgets_the_passes(estimator):
    model = passes(estimator, 2).fit(X)
    assert_equal(model.__getstate__(), clone(estimator).fit(X).__getstate__())
    assert_equal(model.partial_fit(X).__getstate__(), clone(estimator).fit(X).partial_fit(X).__getstate__())


# Memory ----------------------------------------------------------------------------------------------------


@every_estimator
def test_portions_of_many_sizes_take_no_more_memory_than_a_few(estimator):
    """Growing ones, for which memory that is served again has to grow too."""
    X = rows(201)
    few, many = clone(estimator), clone(estimator)
    held = [most_bytes(few, X, range(201 - 2 * MOST_SIZES, 201)), most_bytes(many, X, range(141, 201))]
    assert held[1] <= 1.2 * held[0]


def most_bytes(model, X, sizes):
    """Return the most that a model holds on to after portions of these sizes."""
    return max(n_bytes(reachable(model.partial_fit(X[:n]))) for n in sizes)


@every_path
def test_portions_are_not_kept(estimator):
    """What is held after a pass is some batches' worth."""
    estimator = clone(estimator).set_params(batch_size=20)
    few, many = (passes(estimator, 2, rows(n)) for n in (60, 6000))
    assert n_bytes(reachable(many)) <= n_bytes(reachable(few)) + 8 * 5 * 60


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("sparsity", ["topk", "batch_topk", "winner_take_all"])
def test_state_in_bfloat16_is_copied(sparsity, copied):
    """NumPy has no such dtype; the largest code of each unit, which tells of dead ones, has it."""
    many = rows(700)
    settings = {"n_active": 1} if "topk" in sparsity else {"sparsity_target": 0.05}
    model = SparseAutoencoder(40, sparsity=sparsity, dtype="bfloat16", random_state=0, **settings)
    for _ in range(4):  # a window of rows after which units are found dead ends amid these
        model = copied(other := model.partial_fit(many))
    for _ in range(4):
        assert_same(model.partial_fit(many).transform(many), other.partial_fit(many).transform(many))
    assert model.loss_curve_ == other.loss_curve_
