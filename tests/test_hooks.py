"""Hooks compose: a variant of any estimator, and a class with two parents, are their difference and no more."""

import inspect
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from estimators import PUBLIC_CLASSES, assert_same, assert_same_model, configured, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import skae
from skae import (
    AdversarialAutoencoder,
    AutoencoderClassifier,
    AutoencoderTransformer,
    BaseAutoencoder,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    StackedAutoencoder,
    VAESampler,
)
from skae._support.parameters import SHARED_ORDER
from skae._training.hooks import definitions, the_one

X = rows()
AUTOENCODERS = [cls for cls in PUBLIC_CLASSES if issubclass(cls, BaseAutoencoder)]
every_class = pytest.mark.parametrize("cls", AUTOENCODERS)


# One parent ------------------------------------------------------------------------------------------------


def with_penalty(cls, strength):
    class WithPenalty(cls):
        def _penalty(self, x, code):
            return strength * code.square().sum(1)

    return WithPenalty


@every_class
def test_a_penalty_of_ones_own_joins_the_objective(cls):
    """A strength of zero changes nothing, though the networks train by autograd then."""
    plain, none, some = (configured(c).fit(X) for c in (cls, with_penalty(cls, 0.0), with_penalty(cls, 3.0)))
    assert_allclose(none.loss_curve_, plain.loss_curve_, rtol=1e-6)
    first_weights = [next(model.encoder_.parameters()).detach() for model in (plain, none, some)]
    assert_allclose(first_weights[1], first_weights[0], atol=1e-6)
    assert (first_weights[2] - first_weights[0]).abs().max() > 1e-4
    assert some.loss_ > plain.loss_ + 1e-3


@every_class
def test_a_penalty_keeps_codes_small(cls):
    """What the encoder returns in training: logits, or means and log-variances, where it has these."""
    settings = {"max_iter": 30, "learning_rate": 0.01}
    sizes = []
    for strength in (0.0, 3.0):
        codes = []

        class Watching(with_penalty(cls, strength)):
            def _fitted_attributes(self, fit, encoder, decoder):
                codes.append(encoder.forward_centred(fit.inputs[:]).detach())  # noqa: B023
                return {}

        configured(Watching, **settings).fit(X)
        sizes.append(float(codes[-1].square().mean()))
    assert sizes[1] < 0.8 * sizes[0]


@pytest.mark.parametrize("hidden_layer_sizes", [(), (8,)])
def test_a_penalty_given_by_hand_is_the_built_in_one(hidden_layer_sizes):
    class Contractive(AutoencoderTransformer):
        def _penalty(self, x, code):
            squares = 0
            for unit in code.unbind(1):
                (slope,) = torch.autograd.grad(unit.sum(), x, create_graph=True)
                squares = squares + slope.square().sum(1)
            return 0.3 * squares

    settings = {"hidden_layer_sizes": hidden_layer_sizes, "activation": "tanh", "code_activation": "tanh"}
    built_in = configured(AutoencoderTransformer, contractive=0.3, **settings).fit(X)
    by_hand = configured(Contractive, **settings).fit(X)
    assert_allclose(by_hand.loss_curve_, built_in.loss_curve_, rtol=1e-9)
    assert_allclose(by_hand.transform(X), built_in.transform(X), rtol=1e-6, atol=1e-8)
    both = configured(Contractive, contractive=0.3, **settings).fit(X)
    twice = configured(AutoencoderTransformer, contractive=0.6, **settings).fit(X)
    assert_allclose(both.loss_curve_, twice.loss_curve_, rtol=1e-9)


def test_penalties_of_all_classes_add_up():
    class First(BaseAutoencoder):
        def _penalty(self, x, code):
            return 0.2 * code.square().sum(1)

    class Second(First):
        def _penalty(self, x, code):
            return 0.3 * code.square().sum(1)

    expected = configured(with_penalty(BaseAutoencoder, 0.5)).fit(X)
    assert_allclose(configured(Second).fit(X).loss_curve_, expected.loss_curve_, rtol=1e-9)


def test_a_classifiers_autoencoder_may_have_a_penalty():
    settings = {"max_iter": 2, "tol": None, "random_state": 0}
    variants = [configured(with_penalty(AutoencoderTransformer, s), random_state=None) for s in (0.0, 3.0)]
    models = [AutoencoderClassifier(variant, **settings).fit(X, np.arange(60) % 3) for variant in variants]
    assert np.abs(models[0].transform(X) - models[1].transform(X)).max() > 1e-3


@every_class
def test_fitted_attributes_of_ones_own_join_the_parents(cls):
    class Fitted(cls):
        def _fitted_attributes(self, fit, encoder, decoder):
            assert not encoder.training
            return {"n_rows_": fit.setup.data.X.shape[0], "n_features_in_the_code_": 7}

    class Again(Fitted):
        def _fitted_attributes(self, fit, encoder, decoder):
            return {"n_features_in_the_code_": 8}

    plain, own, again = (configured(c).fit(X) for c in (cls, Fitted, Again))
    assert vars(own).keys() == vars(plain).keys() | {"n_rows_", "n_features_in_the_code_"}
    assert vars(again).keys() == vars(own).keys()
    assert (own.n_rows_, own.n_features_in_the_code_, again.n_features_in_the_code_) == (60, 7, 8)
    assert_same_model(own, plain)
    assert own.partial_fit(X[:40]).n_rows_ == 40


HOOKS = {
    "_adapt_architecture": lambda self, architecture, mode: architecture,
    "_initialize_weights": lambda self, setup, encoder, decoder: None,
    "_reconstruction_loss": lambda self, setup, decoder: None,
    "_bottleneck": lambda self, setup: None,
    "_penalties": lambda self, setup: (),
    "_projections": lambda self, setup: (),
    "_phases": lambda self, fit: None,
    "_finalize_networks": lambda self, fit, encoder, decoder, architecture: (encoder, decoder, architecture),
    "_fitted_attributes": lambda self, fit, encoder, decoder: {},
    "_warn_after_fit": lambda self, history: None,
}


@every_class
def test_hooks_that_do_nothing_change_nothing(cls):
    """Nobody calls ``super()``, and each is called once for a fit."""
    calls = []

    def counted(name):
        def hook(self, *arguments):
            calls.append(name)
            return HOOKS[name](self, *arguments)

        return hook

    silent = type("Silent", (cls,), {name: counted(name) for name in HOOKS})
    plain, model = configured(cls).fit(X), configured(silent).fit(X)
    assert sorted(calls) == sorted(HOOKS)
    assert vars(model).keys() == vars(plain).keys()
    assert_same_model(model, plain)
    assert_same(model.transform(X), plain.transform(X))


def test_every_hook_of_the_base_class_is_tested_here():
    source = (Path(skae.__file__).parent / "_base.py").read_text()
    hooks = source[source.index("# Hooks") : source.index("class TakesSampleWeight")]
    assert re.findall(r" def (\w+)\(", hooks) == [*HOOKS]


# Signatures ------------------------------------------------------------------------------------------------


def removed(cls):
    """The parameters of the base class that make no sense for this one."""
    return {SemanticHasher: {"code_activation", "tied_weights"}, VAESampler: {"tied_weights"}}.get(cls, set())


def parameters(cls):
    return [*inspect.signature(cls).parameters]


@every_class
def test_signatures_go_from_the_width_over_what_is_own_to_what_is_shared(cls):
    first, *others = parameters(cls)
    assert first == ("n_bits" if cls is SemanticHasher else "n_components")
    shared = [name for name in others if name in SHARED_ORDER]
    own = others[: len(others) - len(shared)]
    assert others == [*own, *shared]
    assert shared == [name for name in SHARED_ORDER if name in shared]
    assert not {*own} & {*parameters(BaseAutoencoder)}
    assert {*parameters(BaseAutoencoder)} - {"n_components", *removed(cls)} <= {*shared}


def test_a_parameter_of_a_variant_comes_before_the_shared_ones():
    class Variant(SparseAutoencoder):
        strength: float = 0.5

    names, inherited = parameters(Variant), parameters(SparseAutoencoder)
    assert [name for name in names if name != "strength"] == inherited
    assert names.index("strength") < names.index("hidden_layer_sizes")
    assert Variant(strength=2.0).get_params()["strength"] == 2.0


# Two parents -----------------------------------------------------------------------------------------------


class SparseDenoising(SparseAutoencoder, DenoisingAutoencoder):
    """Two parents, and nothing else."""


class DenoisingSparse(DenoisingAutoencoder, SparseAutoencoder):
    """The other way round."""


class SparseStack(StackedAutoencoder, SparseAutoencoder):
    """Pretrained layer by layer, then sparse."""


BOTH = [SparseDenoising, DenoisingSparse]
SPARSITIES = {
    "kl": {},
    "l1": {"sparsity_weight": 0.05},
    "topk": {"n_active": 1},
    "batch_topk": {"n_active": 1},
    "winner_take_all": {"sparsity_target": 0.2},
}
both_orders = pytest.mark.parametrize("cls", BOTH)
every_sparsity = pytest.mark.parametrize("sparsity", SPARSITIES)


def combined(cls, sparsity="topk", **settings):
    return configured(cls, n_components=4, sparsity=sparsity, **{**SPARSITIES[sparsity], **settings})


@both_orders
def test_all_parameters_of_both_are_there(cls):
    own = [{*parameters(parent)} for parent in (SparseAutoencoder, DenoisingAutoencoder)]
    names = parameters(cls)
    assert {*names} == own[0] | own[1]
    shared = [name for name in names if name in SHARED_ORDER]
    assert names[0] == "n_components"
    assert names[-len(shared) :] == [name for name in SHARED_ORDER if name in shared]
    defaults = cls().get_params()
    assert defaults["code_activation"] == "auto", "which one has set, and the other only inherits"
    for parent in (SparseAutoencoder, DenoisingAutoencoder):
        known = parent().get_params()
        set_by_itself = {name for name in known if known[name] != BaseAutoencoder().get_params().get(name)}
        alone = set_by_itself - {*parameters(BaseAutoencoder)}
        assert {name: defaults[name] for name in alone} == {name: known[name] for name in alone}


@both_orders
@pytest.mark.parametrize("wrong", [{"noise_level": -1.0}, {"sparsity": "much"}, {"auxiliary_weight": -1.0}])
def test_constraints_of_both_are_checked(cls, wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"'{name}' parameter of {cls.__name__}"):
        cls(**wrong).fit(X)


@both_orders
@every_sparsity
def test_every_method_works(cls, sparsity):
    model = combined(cls, sparsity).fit(X)
    codes = model.transform(X)
    assert codes.shape == (60, 4)
    assert_allclose(model.inverse_transform(codes), model.reconstruct(X), atol=1e-10)
    assert np.isfinite(model.score(X))
    assert model.score_samples(X).shape == (60,)
    assert model.sample(5, random_state=0).shape == (5, 5)
    attributes = {"mean_activation_", "dead_fraction_", "residual_variance_", "encoder_", "loss_curve_"}
    assert attributes <= vars(model).keys()
    assert model.partial_fit(X).n_iter_ == 5


@both_orders
@every_sparsity
def test_both_the_sparsity_and_the_noise_act(cls, sparsity):
    settings = {"noise": "masking", "noise_level": 0.4, "max_iter": 10, "learning_rate": 0.01}
    model, quiet = (combined(cls, sparsity, **{**settings, **s}).fit(X) for s in ({}, {"noise_level": 0.0}))
    sparse = combined(SparseAutoencoder, sparsity, max_iter=10, learning_rate=0.01).fit(X)
    assert_allclose(quiet.transform(X), sparse.transform(X), atol=1e-8)
    assert_allclose(quiet.loss_curve_, sparse.loss_curve_, rtol=1e-8)
    assert model.loss_ > 1.02 * quiet.loss_, "rows are harder to restore through noise"
    if "topk" in sparsity:
        assert 0.6 < (model.transform(X) == 0).mean() < 0.9
    plain = {"code_activation": "sigmoid" if sparsity == "kl" else "relu", "n_components": 4}
    dense = configured(DenoisingAutoencoder, **settings, **plain).fit(X)
    assert np.abs(dense.reconstruct(X) - model.reconstruct(X)).max() > 0.01


def test_the_order_of_parents_makes_no_difference():
    models = [combined(cls, max_iter=10).fit(X) for cls in BOTH]
    assert_same(models[0].transform(X), models[1].transform(X))
    assert models[0].loss_curve_ == models[1].loss_curve_
    assert vars(models[0]).keys() == vars(models[1]).keys()


@both_orders
def test_two_parents_clone_and_pickle(cls):
    model = combined(cls, noise_level=0.2).fit(X)
    assert clone(model).get_params() == model.get_params() == cls(**model.get_params()).get_params()
    assert_same(clone(model).fit(X).transform(X), model.transform(X))
    loaded = pickle.loads(pickle.dumps(model))
    assert type(loaded) is cls
    assert_same(loaded.transform(X), model.transform(X))
    assert_same(loaded.sample(3, random_state=1), model.sample(3, random_state=1))


def inexact(estimator):
    """Noise is drawn for each row: one row of weight two is not two rows."""
    checks = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(checks, "noise") if isinstance(estimator, SparseDenoising) else {}


@parametrize_with_checks([combined(cls) for cls in BOTH], expected_failed_checks=inexact)
def test_scikit_learn(estimator, check):
    check(estimator)


def test_a_sparse_stack_is_pretrained_and_sparse():
    model = combined(SparseStack, hidden_layer_sizes=(8, 6), pretrain_max_iter=2).fit(X)
    assert len(model.layer_loss_curves_) == 3
    assert (model.transform(X) != 0).sum(1).max() == 1
    assert 0 <= model.dead_fraction_ <= 1


class SparseVAE(VAESampler, SparseAutoencoder):
    """Two that each want to stand between encoder and decoder."""


class HashingVAE(SemanticHasher, VAESampler):
    """Two others."""


class AdversarialVAE(AdversarialAutoencoder, VAESampler):
    """Two more."""


PAIRS = [(SparseVAE, {"sparsity": "topk"}), (HashingVAE, {}), (AdversarialVAE, {})]


@pytest.mark.parametrize(("cls", "settings"), PAIRS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_two_bottlenecks_are_an_error_that_names_both(cls, settings, method):
    one, other = cls.__bases__
    model = cls(max_iter=1, tol=None, **settings)
    message = rf"{cls.__name__} gets _bottleneck from {one.__name__} and from {other.__name__}.*one only"
    with pytest.raises(TypeError, match=message):
        getattr(model, method)(X)
    assert not hasattr(model, "encoder_")


# The two ways to collect -----------------------------------------------------------------------------------


class Base:
    def hook(self, *arguments):
        return None


class Left(Base):
    def hook(self, *arguments):
        return ("left", *arguments)


class Right(Base):
    def hook(self, *arguments):
        return ("right", *arguments)


class Silent(Base):
    def hook(self, *arguments):
        return None


def test_definitions_come_from_the_most_basic_class_on():
    class Both(Left, Right):
        def hook(self):
            return ("both",)

    assert [hook() for hook in definitions(Both(), "hook")] == [None, ("right",), ("left",), ("both",)]
    assert [*definitions(Both(), "other")] == []


def test_the_one_is_a_subclasss_before_its_parents():
    class Lefter(Left):
        def hook(self, *arguments):
            return ("lefter", *arguments)

    class Plain(Left, Silent):
        pass

    assert the_one(Lefter(), "hook", 1, 2) == ("lefter", 1, 2)
    assert the_one(Plain(), "hook") == ("left",)
    assert the_one(Base(), "hook") is None


def test_two_that_are_no_relatives_are_an_error():
    class Both(Left, Right):
        pass

    class Decided(Both):
        def hook(self):
            return ("decided",)

    with pytest.raises(TypeError, match="Both gets hook from Left and from Right"):
        the_one(Both(), "hook")
    assert the_one(Decided(), "hook") == ("decided",)
