"""Functions that users bring: what their mistakes are told as."""

import warnings
from functools import partial
from numbers import Real
from typing import ClassVar

import numpy as np
import pytest
import torch
from estimators import configured, rows
from sklearn.datasets import load_digits
from torch import nn

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    BaseAutoencoder,
    DenoisingAutoencoder,
    StackedAutoencoder,
    VAESampler,
)
from skae._support.callables import OwnFunction

X = rows()


class Penalised(BaseAutoencoder):
    function = None

    def _penalty(self, x, code):
        return self.function(x, code)


def penalised(function):
    return configured(type("V", (Penalised,), {"function": staticmethod(function)}))


# Not finite ------------------------------------------------------------------------------------------------


def root(x):
    return x.sqrt()  # whose gradient at zero is infinite


BLAMED = {
    "the value of a penalty": (penalised(lambda x, code: code.sum(1) * np.nan), r"Penalised._penalty returned"),
    "its gradient": (penalised(lambda x, code: root(code - code.detach()).sum(1)), r"Penalised._penalty returned"),
    "the value of a loss": (
        configured(AutoencoderTransformer, loss=lambda o, t: ((o - o) / 0.0).mean(1)),
        r"loss=<function .* returned",
    ),
    "its gradient, ": (
        configured(AutoencoderTransformer, loss=lambda o, t: root(o - o.detach()).mean(1)),
        r"loss=<function .* returned",
    ),
    "noise": (configured(DenoisingAutoencoder, noise=lambda x, g: x / 0.0), "noise=<function .* returned"),
}


@pytest.mark.parametrize("case", BLAMED)
def test_numbers_that_are_not_finite_are_laid_to_the_function_that_made_them(case):
    model, name = BLAMED[case]
    message = f"{name} NaN or infinity, or had such a gradient, .* add a small constant inside them"
    with pytest.raises(ValueError, match=f"^Training diverged: .* in epoch [12]. {message}"):
        model.fit(X)
    assert not hasattr(model, "encoder_")
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X)


def test_divergence_is_not_laid_to_a_function():
    """What it is given is not finite, or so large that its squares are not."""
    model = penalised(lambda x, code: code.square().sum(1)).set_params(learning_rate=1e200, max_iter=20)
    with pytest.raises(ValueError, match=r"Training diverged: .* in X is .*, or lower learning_rate.$"):
        model.fit(X)


def test_own_networks_are_named_where_training_diverges():
    class Inverse(nn.Module):
        def forward(self, x):
            return x / (x - x).detach()

    model = configured(AutoencoderTransformer, encoder=nn.Sequential(nn.Linear(5, 2), Inverse()))
    with pytest.raises(ValueError, match=r"lower learning_rate. .* look for divisions, roots .* in encoder"):
        model.fit(X)


# NumPy, and other kinds of results -------------------------------------------------------------------------


def normal(x, generator):
    return x + generator.normal(size=x.shape)


@pytest.mark.parametrize("cls", [DenoisingAutoencoder, StackedAutoencoder])
@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        (normal, TypeError, "failed with AttributeError: .*'normal'"),
        (lambda x, g: x.astype(np.float64), TypeError, "failed with AttributeError: .*'astype'"),
        (lambda x: x, TypeError, "failed with TypeError: .*positional argument"),
        (lambda x, g: x @ x, ValueError, "failed with RuntimeError: .*shapes"),
        (lambda x, g: x.numpy() + 1, TypeError, "returned a ndarray, but noise must return one tensor"),
        (lambda x, g: x > 0, ValueError, "returned torch.bool on cpu for torch.float64 on cpu"),
        (lambda x, g: x.to("meta"), ValueError, "returned torch.float64 on meta for torch.float64 on cpu"),
    ],
)
def test_noise_that_fails_is_told_what_it_is_given(cls, noise, error, message):
    contract = r"noise is called with the rows, a torch tensor of shape \(\d+, 5\), torch.float64 on cpu"
    with pytest.raises(error, match=rf"noise=<function .*{message}.* {contract}.* torch.as_tensor\(result\)"):
        configured(cls, noise=noise).fit(X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_noise_may_return_another_dtype(dtype):
    """As NumPy's functions do, whose numbers are doubles."""
    rounded = configured(DenoisingAutoencoder, noise=lambda x, g: x.round().to(dtype)).fit(X.astype(np.float32))
    expected = configured(DenoisingAutoencoder, noise=lambda x, g: x.round()).fit(X.astype(np.float32))
    assert rounded.loss_ == expected.loss_


def test_noise_made_by_numpy_as_the_message_says():
    def noise(rows, generator):
        made = np.abs(rows.cpu().numpy())
        return torch.as_tensor(made).to(rows)

    assert np.isfinite(configured(DenoisingAutoencoder, noise=noise).fit(X).loss_)


def test_other_functions_that_fail_are_told_what_they_are_given():
    with pytest.raises(ValueError, match=r"Penalised._penalty failed with RuntimeError: Can't .* shape \(n,\)"):
        penalised(lambda x, code: np.abs(code).sum(1)).fit(X)
    with pytest.raises(ValueError, match=r"failed with RuntimeError: Can't [^.]* grad. A _penalty is called with"):
        penalised(lambda x, code: np.abs(code.numpy()).sum(1)).fit(X)
    with pytest.raises(ValueError, match=r"loss=.* failed with RuntimeError: [^.]* grad. A loss is called with"):
        configured(AutoencoderTransformer, loss=lambda o, t: np.abs(o - t).mean(1)).fit(X)
    with pytest.raises(TypeError, match=r"prior=.* failed with AttributeError: .* prior is called as"):
        configured(AdversarialAutoencoder, prior=lambda n, generator: generator.normal(size=(n, 2))).fit(X)


class Strong(BaseAutoencoder):
    strength: float = 0.1
    centre: float = 0.0
    kind: str = "squares"

    def _penalty(self, x, code):
        return self.strength * (code - self.centre).square().sum(1)


@pytest.mark.parametrize("value", ["high", None, [1.0, 2.0]], ids=str)
def test_a_parameter_of_a_wrong_kind_is_named_where_a_penalty_fails(value):
    with pytest.raises(TypeError, match=r"^Strong._penalty failed with TypeError: ") as caught:
        configured(Strong, strength=value).fit(X)
    assert isinstance(caught.value.__cause__, TypeError)
    message = str(caught.value)
    assert f": {str(caught.value.__cause__).strip()}. The cause may be strength={value!r}, which Strong" in message
    assert "Strong._parameter_constraints what is allowed, such as {'strength': [Real]} for numbers" in message
    both = configured(Strong, strength=value, centre="left")
    with pytest.raises(TypeError, match=r"be strength=.* or centre='left', .* 'centre': \[Real\]}"):
        both.fit(X)


def test_the_remedy_of_parameters_is_right():
    class Checked(Strong):
        _parameter_constraints: ClassVar = {"strength": [Real]}

    with pytest.raises(ValueError, match="The 'strength' parameter of Checked must be an instance of 'float'"):
        configured(Checked, strength="high").fit(X)


def test_parameters_of_the_right_kind_are_not_named():
    class Failing(Strong):
        def _penalty(self, x, code):
            return np.abs(code).sum(1)

    with pytest.raises(
        ValueError, match=r"Failing._penalty failed with RuntimeError: Can't [^.]* grad. A _penalty"
    ):
        configured(Failing, strength=3, kind="other").fit(X)


@pytest.mark.parametrize("cls", [AutoencoderTransformer, VAESampler])
def test_a_loss_without_a_gradient_is_an_error(cls):
    with pytest.raises(ValueError, match=r"loss=.* returned a tensor without a gradient.*without detach\(\)"):
        configured(cls, loss=lambda o, t: (o.detach() - t).square().mean(1)).fit(X)
    with pytest.raises(ValueError, match=r"loss=.* returned ndarray, but a loss must return a torch tensor"):
        configured(cls, loss=lambda o, t: (o.detach() - t).square().mean(1).numpy()).fit(X)


@pytest.mark.parametrize(
    ("penalty", "told"),
    [
        (lambda x, code: None, "returned None, as without a return statement, but it must return a torch tensor"),
        (lambda x, code: [1.0] * len(code), r"returned list, but it must return a torch tensor of shape \(60,\)"),
        (lambda x, code: 0.5, r"returned float, but it must return a torch tensor of shape \(60,\)"),
        (lambda x, code: (code > 0).sum(1), r"returned torch.int64, .* no gradient: .* torch.sigmoid"),
        (lambda x, code: (code > 0).any(1), r"returned torch.bool, .* no gradient: .* torch.sigmoid"),
        (lambda x, code: torch.fft.fft(code).sum(1), r"returned torch.complex128, .* Take its abs\(\)"),
        (lambda x, code: code.mul_(2).sum(1), r"has changed the codes .* code = code.clone\(\)"),
        (lambda x, code: code.exp().sum(1) + code.zero_().sum(1), "has changed the codes that it is given"),
    ],
)
def test_penalties_that_return_something_else_are_told(penalty, told):
    model = penalised(penalty)
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match=rf"^Penalised._penalty {told}"):
            method(X)


def test_losses_that_return_something_else_are_told():
    for loss, told in {
        lambda o, t: None: "returned None, as without a return statement, but a loss must return",
        lambda o, t: (o > t).sum(1): "returned torch.int64, but a loss must return real numbers",
    }.items():
        with pytest.raises(ValueError, match=rf"^loss=.* {told}"):
            configured(AutoencoderTransformer, loss=loss).fit(X)


@pytest.mark.parametrize("value", [np.nan, np.float32(np.inf), (0.1, np.nan)], ids=str)
def test_a_parameter_that_is_not_finite_is_named(value):
    class Weighed(BaseAutoencoder):
        weight: float = 0.1
        limit: float = np.inf

        def _penalty(self, x, code):
            return code.clamp(max=self.limit).square().sum(1) * torch.tensor(self.weight).sum()

    message = r"Weighed._penalty returned NaN .* cause seems to be weight=[^=]*: give finite numbers.$"
    with pytest.raises(ValueError, match=message):
        configured(Weighed, weight=value).fit(X)
    configured(Weighed, weight=0.2).fit(X)


class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(5, 2), function

    def forward(self, x):
        return self.function(self.linear(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: (z, z), "returned tuple, which is no tensor"),
        (lambda z: z * torch.ones(2, dtype=torch.float64), "keep the dtype, but it returned torch.float64"),
        (lambda z: z.round().long(), "but it returned torch.int64 for torch.float32"),
    ],
)
def test_own_networks_that_return_something_else_are_told(function, message):
    with pytest.raises(ValueError, match=rf"encoder must map shape \(n, 5\) to shape \(n, 2\).*{message}"):
        configured(AutoencoderTransformer, encoder=Returns(function)).fit(X.astype(np.float32))


def test_functions_that_are_right_are_not_told_anything():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        penalised(lambda x, code: 0.1 * code.abs().sum(1)).fit(X)
        configured(AutoencoderTransformer, loss=lambda o, t: (o - t).square().mean(1)).fit(X)


@pytest.mark.parametrize("n_calls", [1, 63, 64, 200])
@pytest.mark.parametrize("odd", [0, -1])
def test_one_call_of_many_is_enough(n_calls, odd):
    own = OwnFunction(lambda x: x, "f", "")
    for number in range(n_calls):
        given = torch.full((3,), 2.0 + number)
        own.look(torch.full((3,), np.inf, dtype=torch.float64) if number == odd % n_calls else given, given)
        own.look(torch.full((3,), np.inf), given * np.inf)
    assert f"of magnitude {2 + odd % n_calls:.4g} at most" in own.blame()
    assert len(own._calls) < 64


def test_a_penalty_that_fails_for_its_dtype_is_told_how_to_bring_its_constants():
    class Constant(AutoencoderTransformer):
        def _penalty(self, x, code):
            return (code @ torch.ones(2, 2)).square().sum(1)

    with pytest.raises(
        ValueError, match=r"Bring tensors of your own to the dtype .* constant.to\(code\)\. A _penalty"
    ):
        Constant(2, dtype="float64", max_iter=1).fit(np.random.default_rng(0).normal(size=(30, 4)))


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize(("n_rows", "told"), [(41, "The batch had a single row.* correction=0"), (40, None)])
def test_a_penalty_that_is_nan_for_a_batch_of_one_row_is_told_why(n_rows, told):
    class Spread(AutoencoderTransformer):
        def _penalty(self, x, code):
            return (code / (code.std(0) + 1e-6)).square().sum(1) * 1e-3

    model = Spread(2, batch_size=20, max_iter=2, early_stopping=False, random_state=0)
    X = np.random.default_rng(0).normal(size=(n_rows, 4))
    if told is None:
        model.fit(X)
        return
    with pytest.raises(ValueError, match=told):
        model.fit(X)


# What is told at the end -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def grey():
    return load_digits().data[:400] / 16


class Weighed(BaseAutoencoder):
    """Codes near zero, more or less."""

    weight: float = 0.0

    def _penalty(self, x, code):
        return self.weight * code.abs().sum(1)


def decoder_of_digits(*end):
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 64), *end)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (partial(Weighed, loss="binary_cross_entropy"), "loss='binary_cross_entropy'"),
        (partial(VAESampler, likelihood="bernoulli"), "likelihood='bernoulli'"),
    ],
)
def test_a_decoder_that_returns_probabilities_in_place_of_logits_is_told(make, name, grey):
    settings = {"reset_parameters": True, "max_iter": 20, "random_state": 0}
    with pytest.warns(UserWarning, match=f"between 0 and 1, but with {name} it has to return logits") as caught:
        make(4, decoder=decoder_of_digits(nn.Sigmoid()), **settings).fit(grey)
    assert len(caught) == 1
    make(4, decoder=decoder_of_digits(), **settings).fit(grey)  # warnings are errors
    Weighed(4, decoder=decoder_of_digits(nn.Sigmoid()), **settings).fit(grey)


def test_a_penalty_is_named_with_its_weight_unless_that_is_zero(grey):
    with pytest.warns(UserWarning, match=r"codes carry nothing\. Weigh Weighed\._penalty less \(weight=50\); or"):
        Weighed(4, weight=50.0, max_iter=30, random_state=0).fit(grey)
    with pytest.warns(UserWarning, match=r"worse than none\. Lower learning_rate=10"):
        Weighed(4, weight=0.0, max_iter=30, learning_rate=10.0, random_state=0).fit(grey)
