"""What a subclass may say of its parameters and hooks, and what it is told as it is defined."""

import dataclasses
import inspect
import pickle
import warnings
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import pytest
from estimators import PUBLIC_CLASSES, assert_same, rows
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import skae
from skae import AutoencoderClassifier, AutoencoderTransformer, BaseAutoencoder, SparseAutoencoder
from skae._support.variants import HOOKS

X = rows()
every_class = pytest.mark.parametrize("cls", PUBLIC_CLASSES)


# Constructors ----------------------------------------------------------------------------------------------


class Written(BaseAutoencoder):
    """A constructor as elsewhere in scikit-learn."""

    def __init__(self, n_components=2, *, strength=0.1, hidden_layer_sizes=(8,), max_iter=4, random_state=None):
        super().__init__(
            n_components,
            hidden_layer_sizes=hidden_layer_sizes,
            max_iter=max_iter,
            random_state=random_state,
            code_activation="relu",
        )
        self.strength = strength

    def _penalty(self, x, code):
        return self.strength * code.sum(1)


class Heir(Written):
    """The constructor of its parent."""

    def _fitted_attributes(self, fit, encoder, decoder):
        return {"n_rows_": fit.setup.data.n_train}


@parametrize_with_checks([Written(), Heir()])
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", [Written, Heir])
def test_a_constructor_of_ones_own_is_left_alone(cls):
    model = cls(3, strength=0.5, random_state=0)
    names = ["hidden_layer_sizes", "max_iter", "n_components", "random_state", "strength"]
    assert sorted(model.get_params()) == names
    assert (model.strength, model.code_activation, model.tol) == (0.5, "relu", None)
    copy = clone(model).set_params(max_iter=5)
    assert (copy.strength, copy.max_iter, copy.n_components) == (0.5, 5, 3)
    assert_same(pickle.loads(pickle.dumps(model.fit(X))).transform(X), clone(model).fit(X).transform(X))
    assert model.transform(X).min() >= 0
    model.partial_fit(X).partial_fit(X)
    with pytest.raises(ValueError, match="'n_components' parameter of"):
        cls(n_components=0).fit(X)


def test_a_classifier_takes_variants_without_a_seed():
    class Unseeded(BaseAutoencoder):
        def __init__(self, n_components=2):
            super().__init__(n_components, max_iter=2)

    classifier = AutoencoderClassifier(Unseeded(), max_iter=2, random_state=0).fit(X, np.arange(60) % 3)
    assert classifier.predict(X).shape == (60,)


def test_the_parameters_of_the_parent_are_passed_on_as_they_are():
    class Fields(BaseAutoencoder):
        strength: float = 0.1
        code_activation: str = "relu"

        _penalty = Written._penalty

    settings = {"hidden_layer_sizes": (8,), "max_iter": 4, "random_state": 0}
    assert_same(Written(2, **settings).fit_transform(X), Fields(2, **settings).fit_transform(X))


def test_a_constructor_of_ones_own_beside_fields_that_it_takes():
    class Both(BaseAutoencoder):
        strength: float = 0.3
        history: list  # what fit sets

        def __init__(self, n_components=2, strength=0.3):
            super().__init__(n_components)
            self.strength = strength

    assert Both(strength=0.4).get_params() == {"n_components": 2, "strength": 0.4}


def test_a_constructor_that_passes_all_on_is_an_error():
    with pytest.raises(TypeError, match=r"V.__init__ takes \*\*settings, but scikit-learn reads .* as fields"):

        class V(BaseAutoencoder):
            def __init__(self, strength=0.1, **settings):
                super().__init__(**settings)
                self.strength = strength


def test_a_field_that_the_constructor_does_not_take_is_an_error():
    with pytest.raises(TypeError, match=r"V declares .* 'code_activation' as a field, but V.__init__ does"):

        class V(BaseAutoencoder):
            code_activation: str = "relu"

            def __init__(self, n_components=2):
                super().__init__(n_components)

    with pytest.raises(TypeError, match=r"W declares .* 'other' as a field, but Written.__init__ does"):

        class W(Written):
            other: float = 1.0


def test_a_constructor_that_would_be_passed_over_is_an_error():
    with pytest.raises(TypeError, match=r"passes over Written.__init__. Name Written first"):
        type("V", (SparseAutoencoder, Written), {})
    assert type("V", (Written, SparseAutoencoder), {})(strength=2.0).strength == 2.0


def test_a_field_without_a_default_is_an_error():
    with pytest.raises(TypeError, match=r"V declares the parameter 'l1' without a default, .* write 'l1: <type>"):

        class V(BaseAutoencoder):
            l1: float

    class W(BaseAutoencoder):
        l1: ClassVar[float]

    assert "l1" not in W().get_params()


@pytest.mark.parametrize(
    ("default", "kind"),
    [
        ([], r"\[\], a list, which is mutable"),
        ({}, "{}, a dict, which is mutable"),
        (np.zeros(1), "a ndarray, which is mutable"),
        (dataclasses.field(default_factory=list), r"field\(...\) of dataclasses"),
        (dataclasses.field(default=1), r"field\(...\) of dataclasses"),
    ],
)
@every_class
def test_a_default_that_is_no_immutable_value_is_an_error(cls, default, kind):
    with pytest.raises(TypeError, match=rf"V declares the parameter 'w' .* {kind}.* as a tuple or None: 'w: "):
        type("V", (cls,), {"__annotations__": {"w": list}, "w": default})


# Constraints -----------------------------------------------------------------------------------------------


@every_class
def test_a_constraint_of_what_is_no_parameter_is_an_error(cls):
    body = {"__annotations__": {"strength": float}, "strength": 0.1}
    with pytest.raises(TypeError, match=r"V._parameter_constraints has 'strengh_', which .* mean 'strength'\?"):
        type("V", (cls,), {**body, "_parameter_constraints": {"strengh_": [Real]}})
    with pytest.raises(TypeError, match=r"has 'qqqq', .* of the class. A parameter is .* 'qqqq: float = 0.1'"):
        type("V", (cls,), {**body, "_parameter_constraints": {"qqqq": [Real]}})
    made = type("V", (cls,), {**body, "_parameter_constraints": {"strength": [Real], "random_state": [Integral]}})
    again = type("W", (made,), {"_parameter_constraints": {**made._parameter_constraints}})
    assert again._parameter_constraints == made._parameter_constraints


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ({"strength": Real}, r"'strength' is Real. Write {'strength': \[Real\]}"),
        ({"strength": "high"}, r"'strength' is 'high'. Write {'strength': \['high'\]}"),
        ({"strength": None}, r"'strength' is None. Write {'strength': \[None\]}"),
        ([Real], r"such as {'strength': \[Real\]}, but is \["),
    ],
)
def test_constraints_that_are_no_lists_are_an_error(constraints, said):
    with pytest.raises(TypeError, match=f"V._parameter_constraints must be a dict of lists, .* {said}"):

        class V(BaseAutoencoder):
            strength: float = 0.1
            _parameter_constraints = constraints


def test_constraints_as_in_scikit_learn():
    class V(BaseAutoencoder):
        strength: float = 0.1
        kind: str = "l1"
        _parameter_constraints: dict = {"strength": [Real], "kind": "no_validation"}

    assert "_parameter_constraints" not in V().get_params()
    V(kind=3, max_iter=1).fit(X)
    with pytest.raises(ValueError, match="'strength' parameter of V must be"):
        V(strength="high").fit(X)


# Keywords --------------------------------------------------------------------------------------------------


@every_class
def test_an_unknown_keyword_is_explained(cls):
    first = next(iter(inspect.signature(cls).parameters))
    with pytest.raises(TypeError, match=f"^{cls.__name__} has no parameter '{first}_'. Did you mean '{first}'"):
        cls(**{first + "_": 3})
    with pytest.raises(TypeError, match=f"^{cls.__name__} has no parameter 'qqqq'. Its parameters are .*n_"):
        cls(qqqq=1)
    with pytest.raises(TypeError, match=f"^{cls.__name__} takes all .* by keyword, .* but got 3 by position"):
        cls(1, 2, 3)


def test_a_keyword_of_other_estimators_names_them():
    others = "AutoencoderImputer, DenoisingAutoencoder and VAESampler have one of that name"
    with pytest.raises(TypeError, match=f"AutoencoderTransformer has no parameter 'missing_values'; {others}"):
        AutoencoderTransformer(missing_values=np.nan)
    with pytest.raises(TypeError, match="'contractive'; AutoencoderTransformer has one of that name"):
        SparseAutoencoder(contractive=1.0)
    with pytest.raises(TypeError, match="got multiple values for argument 'n_components'"):
        AutoencoderTransformer(2, n_components=3)


# Hooks -----------------------------------------------------------------------------------------------------


def test_the_hooks_are_those_of_the_base_class():
    for hook, arguments in HOOKS.items():
        if hook != "_penalty":
            assert [*inspect.signature(getattr(BaseAutoencoder, hook)).parameters][1:] == [*arguments]


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("penalty", "_penalty"),
        ("_Penalty", "_penalty"),
        ("_penality", "_penalty"),
        ("_fitted_attribute", "_fitted_attributes"),
        ("warn_after_fit", "_warn_after_fit"),
    ],
)
def test_a_method_that_is_called_like_a_hook_is_told(name, hook):
    with pytest.warns(UserWarning, match=f"V.{name} is never called by skae. .* hook {hook}") as caught:
        type("V", (SparseAutoencoder,), {name: lambda self, *arguments: None})
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_other_methods_are_not():
    def method(self, *arguments):
        return None

    names = ["penalty_weight", "penalize", "_penalty_of", "_fit", "_projection", "reconstruction_loss"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("V", (BaseAutoencoder,), dict.fromkeys(names, method))
        helper = type("V", (BaseAutoencoder,), {"_penalty": method, "penalty": method})
        type("W", (helper,), {"penalties": method, "penalty": 0.3})


@pytest.mark.parametrize(
    ("hook", "method", "message"),
    [
        ("_penalty", lambda self, code: code, r"V._penalty is called as .*, but takes \(code\)"),
        ("_penalties", lambda self, x, code: code, "but takes .* after self. A term for each row is _penalty"),
        ("_penalty", 0.3, "but is 0.3, which is no method"),
        ("_penalty", lambda self, code, x: code, r"V._penalty is called as .*, but takes code, x: .* order"),
        ("_fitted_attributes", lambda self, encoder, fit, decoder: {}, "but takes encoder, fit, decoder: "),
    ],
)
def test_a_hook_that_cannot_be_called_is_an_error(hook, method, message):
    with pytest.raises(TypeError, match=message):
        type("V", (BaseAutoencoder,), {hook: method})


def test_a_hook_of_what_is_no_autoencoder_is_told():
    with pytest.warns(UserWarning, match="V._penalty is ignored: hooks are called of autoencoders"):
        type("V", (AutoencoderClassifier,), {"_penalty": Written._penalty})


def test_skae_is_told_nothing_of_itself():
    assert all(cls.__module__ == "skae" for cls in map(vars(skae).get, skae.__all__) if inspect.isclass(cls))
