"""A user's networks in every estimator: what is done around them, and their first weights."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from estimators import assert_same, configured, rows
from numpy.testing import assert_allclose
from sklearn.base import clone
from torch import nn

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

X = rows(61, 5)
X01 = (X - X.min(0)) / np.ptp(X, axis=0)
COUNTS = np.round(10 * X01)
HOLES = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
WIDTH = 4


def network(n_in, n_out, *last):
    torch.manual_seed(n_in + n_out)
    return nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Linear(8, n_out), *last)


def own(n_in=5, n_code=WIDTH, n_out=5, last=()):
    return {"encoder": network(n_in, n_code, *last), "decoder": network(WIDTH, n_out)}


def sparse(sparsity, *last, **parameters):
    settings = {"sparsity": sparsity, "n_components": WIDTH, **parameters}
    return configured(SparseAutoencoder, **own(last=last), **settings)


def vae(n_in=5, n_out=5, **parameters):
    return configured(VAESampler, n_components=WIDTH, **own(n_in, 2 * WIDTH, n_out), **parameters)


# Estimators, and the rows that they are fitted to.
CASES = {
    "base": (configured(BaseAutoencoder, n_components=WIDTH, **own()), X),
    "denoising": (configured(DenoisingAutoencoder, n_components=WIDTH, **own()), X),
    "kl": (sparse("kl", nn.Sigmoid(), sparsity_target=0.4), X),
    "l1": (sparse("l1", nn.ReLU()), X),
    "topk": (sparse("topk"), X),
    "batch_topk": (sparse("batch_topk"), X),
    "winner_take_all": (sparse("winner_take_all", sparsity_target=0.4), X),
    "adversarial": (configured(AdversarialAutoencoder, n_components=WIDTH, **own()), X),
    "hasher": (configured(SemanticHasher, n_bits=WIDTH, noise_warm_up=1, **own()), X),
    "vae": (vae(), X),
    "vae_conditional": (vae(n_out=10, decoder_variance="conditional"), X),
    "vae_student": (vae(likelihood="student_t"), X),
    "vae_bernoulli": (vae(likelihood="bernoulli", learning_rate=0.01), X01),
    "vae_counts": (vae(likelihood="poisson"), COUNTS),
    "denoising_missing": (
        configured(DenoisingAutoencoder, n_components=WIDTH, missing_values=np.nan, **own(10)),
        HOLES,
    ),
    "vae_missing": (vae(n_in=10, missing_values=np.nan), HOLES),
    "vae_loss": (vae(loss="binary_cross_entropy"), X01),
}
every_case = pytest.mark.parametrize(("estimator", "data"), CASES.values(), ids=CASES)


def weights(module):
    """Those of a user's module, alone or in a network of skae."""
    module = getattr(module, "own", None) or module
    return [p.detach().double().clone() for p in module.parameters()]


@every_case
def test_own_networks_are_trained_copied_and_saved(estimator, data):
    before = [weights(module) for module in (estimator.encoder, estimator.decoder)]
    model = clone(estimator).set_params(max_iter=20).fit(data)
    still = clone(estimator).set_params(learning_rate=1e-12, max_iter=1).fit(data)
    for name, given in zip(("encoder_", "decoder_"), before, strict=True):
        first, last = weights(getattr(still, name)), weights(getattr(model, name))
        for value, start, end in zip(given, first, last, strict=False):  # variances may follow
            assert_allclose(start, value, atol=1e-6)
            assert (end - start).abs().max() > 1e-4
    assert model.score(data) > still.score(data)
    codes = model.transform(data)
    assert codes.shape == (61, WIDTH)
    assert_allclose(model.inverse_transform(codes), model.reconstruct(data), atol=1e-6)
    for other in (pickle.loads(pickle.dumps(model)), clone(model).fit(data)):
        assert_same(other.transform(data), codes)
        assert_same(other.score_samples(data), model.score_samples(data))
    assert clone(model).partial_fit(data).partial_fit(data).n_iter_ == 2
    assert_same(model.set_params(warm_start=True, max_iter=1, learning_rate=1e-14).fit(data).n_iter_, 1)
    assert_allclose(model.transform(data), codes, atol=1e-6)


@every_case
def test_an_own_penalty_joins_own_networks(estimator, data):
    class Penalized(type(estimator)):
        strength: float = 0.0

        def _penalty(self, x, code):
            assert x.shape[1] == self.encoder[0].in_features
            return self.strength * code.square().sum(1)

    parameters = estimator.get_params(deep=False)
    none, some = (clone(Penalized(**parameters, strength=s)).fit(data) for s in (0.0, 3.0))
    plain = clone(estimator).fit(data)
    assert_allclose(none.loss_curve_, plain.loss_curve_, rtol=1e-6)
    assert some.loss_ > plain.loss_ + 1e-3
    assert (
        max((a - b).abs().max() for a, b in zip(weights(some.encoder_), weights(none.encoder_), strict=True))
        > 1e-4
    )


# Of losses that are not centred, networks built by skae and their copies train alike.
BUILT = {
    "kl": (SparseAutoencoder, {"sparsity": "kl"}, nn.Sigmoid(), False),
    "l1": (SparseAutoencoder, {"sparsity": "l1"}, nn.ReLU(), False),
    "topk": (SparseAutoencoder, {"sparsity": "topk"}, nn.ReLU(), False),
    "batch_topk": (SparseAutoencoder, {"sparsity": "batch_topk"}, nn.ReLU(), False),
    "winner_take_all": (SparseAutoencoder, {"sparsity": "winner_take_all"}, nn.ReLU(), True),
    "adversarial": (AdversarialAutoencoder, {}, nn.Identity(), True),
    "hasher": (SemanticHasher, {"n_bits": WIDTH}, nn.Identity(), True),
    "vae": (VAESampler, {"likelihood": "bernoulli", "loss": None}, nn.Identity(), True),
    "vae_loss": (VAESampler, {}, nn.Identity(), True),
}


def copied(fitted, *last):
    """A plain module that is what a fitted network of skae is."""
    linear = [block.linear for block in fitted.blocks]
    layers = [nn.Linear(layer.in_features, layer.out_features, dtype=torch.float64) for layer in linear]
    for layer, source in zip(layers, linear, strict=True):
        layer.load_state_dict(source.state_dict())
        layer.bias.data[layer.bias.abs() < 1e-12] = 0  # where they started: rectifiers bend there
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], *last)


@pytest.mark.filterwarnings("ignore:Without effect beside your own encoder and decoder. hidden_layer_sizes")
@pytest.mark.parametrize(("cls", "parameters", "last", "both"), BUILT.values(), ids=BUILT)
def test_own_networks_train_as_those_that_skae_builds(cls, parameters, last, both):
    settings = {"n_components": WIDTH, "loss": "binary_cross_entropy", "batch_size": 20, **parameters}
    if cls is SemanticHasher:
        del settings["n_components"]
    estimator = configured(cls, dtype="float64", **settings)
    start = clone(estimator).set_params(max_iter=1, learning_rate=1e-16).fit(X01)
    modules = {"encoder": copied(start.encoder_, last)}
    if both:
        modules["decoder"] = copied(start.decoder_)
    built, given = clone(estimator).fit(X01), clone(estimator).set_params(**modules).fit(X01)
    assert_allclose(given.loss_curve_, built.loss_curve_, rtol=1e-9)
    assert_allclose(given.transform(X01), built.transform(X01), atol=1e-9)
    assert_allclose(given.reconstruct(X01), built.reconstruct(X01), atol=1e-9)


def test_the_gaussian_code_of_an_own_encoder():
    """The log-variance is bounded, so that no module can make it infinite."""
    model = clone(CASES["vae"][0]).fit(X)
    mean, deviation = model.transform(X, return_std=True)
    with torch.no_grad():
        heads = model.encoder_.own(torch.tensor(X, dtype=next(model.encoder_.parameters()).dtype)).double()
        both = model.encoder_(torch.tensor(X))
    assert_allclose(mean, heads[:, :WIDTH], atol=1e-6)
    assert_allclose(both[1], np.log(deviation**2), atol=1e-5)
    assert model.sample(7, random_state=0).shape == (7, 5)
    assert model.n_active_units_ <= WIDTH
    filled = clone(CASES["vae_missing"][0]).fit(HOLES).impute(HOLES)
    assert_same(filled[~np.isnan(HOLES)], HOLES[~np.isnan(HOLES)])
    assert np.isfinite(filled).all()


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (
            configured(VAESampler, encoder=nn.Linear(5, 2)),
            [r"encoder must map shape \(n, 5\) to shape \(n, 4\)", "means and log-variances", r"\(2, 2\)"],
        ),
        (
            configured(VAESampler, decoder=nn.Linear(2, 5), decoder_variance="conditional"),
            [r"decoder must map shape \(n, 2\) to shape \(n, 10\)", "means and log-variances", r"\(2, 5\)"],
        ),
        (
            configured(VAESampler, encoder=nn.Linear(5, 4), missing_values=np.nan),
            [r"encoder must map shape \(n, 10\)", "ones where these are missing", r"\(2, 10\)"],
        ),
        (configured(SemanticHasher, encoder=nn.Linear(5, 2)), [r"to shape \(n, 8\)", r"\(2, 2\)"]),
        (
            configured(SparseAutoencoder, encoder=nn.Linear(5, 2)),
            ["sparsity='kl'.*between 0 and 1, but those of encoder go from -", r"Sigmoid\(\)"],
        ),
        (
            configured(StackedAutoencoder, encoder=nn.Linear(5, 2)),
            ["StackedAutoencoder trains the layers", "encoder is a module", "AutoencoderTransformer"],
        ),
        (configured(StackedAutoencoder, decoder=nn.Linear(2, 5)), ["decoder is a module"]),
        (configured(AdversarialAutoencoder, encoder=nn.Linear(5, 2), tied_weights=True), ["tied_weights=True"]),
        (
            configured(AutoencoderTransformer, n_components=0.5, ordered=True, encoder=nn.Linear(5, 2)),
            ["encoder or decoder is a custom module"],
        ),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_modules_that_do_not_fit(estimator, words, method):
    model = clone(estimator)
    with pytest.raises(ValueError, match=".*".join(words)):
        getattr(model, method)(X)
    assert not hasattr(model, "encoder_")


# First weights of a seed -------------------------------------------------------------------------------------


@every_case
def test_first_weights_are_drawn_from_the_seed(estimator, data):
    settings = {"reset_parameters": True, "learning_rate": 1e-12, "max_iter": 1}
    before, models = torch.get_rng_state(), {}
    for seed in (0, 0, 1):
        torch.manual_seed(len(models))
        state = torch.get_rng_state()
        model = clone(estimator).set_params(**settings, random_state=seed).fit(data)
        assert torch.equal(torch.get_rng_state(), state)
        models.setdefault(seed, []).append(model)
    torch.set_rng_state(before)
    one, again, other = *models[0], *models[1]
    assert_same(one.transform(data), again.transform(data))
    given = weights(estimator.encoder)[0]
    for model in (one, other):
        drawn = weights(model.encoder_)[0]
        assert (drawn - given).abs().max() > 0.05
        assert drawn.abs().max() <= estimator.encoder[0].in_features ** -0.5  # torch's own bound
    assert (weights(one.encoder_)[0] - weights(other.encoder_)[0]).abs().max() > 0.05
    assert (weights(one.decoder_)[0] - weights(estimator.decoder)[0]).abs().max() > 0.05


def test_a_warm_start_draws_nothing():
    model = configured(AutoencoderTransformer, n_components=WIDTH, reset_parameters=True, **own()).fit(X)
    codes = model.transform(X)
    model.set_params(warm_start=True, learning_rate=1e-14, random_state=5).fit(X)
    assert_allclose(model.transform(X), codes, atol=1e-6)
    model.partial_fit(X)
    assert_allclose(model.transform(X), codes, atol=1e-6)


def test_frozen_parameters_are_not_drawn():
    modules = own()
    modules["encoder"][0].requires_grad_(False)
    model = configured(AutoencoderTransformer, n_components=WIDTH, reset_parameters=True, **modules).fit(X)
    assert torch.equal(model.encoder_[0].weight.float(), modules["encoder"][0].weight)
    assert not torch.allclose(model.encoder_[2].weight.float(), modules["encoder"][2].weight, atol=0.01)


class Scaled(nn.Module):
    """Has a parameter of its own beside those of a layer."""

    def __init__(self):
        super().__init__()
        self.scale, self.linear = nn.Parameter(torch.full((5,), 7.0)), nn.Linear(5, WIDTH)

    def forward(self, x):
        return self.linear(x * self.scale)


class Resetting(Scaled):
    def reset_parameters(self):
        nn.init.constant_(self.scale, 3.0)


def test_modules_draw_what_they_know_how_to():
    settings = {"n_components": WIDTH, "reset_parameters": True, "learning_rate": 1e-12}
    with pytest.raises(ValueError, match=r"Scaled in encoder has the parameter 'scale'.*Give it one"):
        configured(AutoencoderTransformer, encoder=Scaled(), **settings).fit(X)
    given = Resetting()
    model = configured(AutoencoderTransformer, encoder=given, **settings).fit(X)
    assert_allclose(model.encoder_.scale.detach(), 3.0, atol=1e-6)
    assert (model.encoder_.linear.weight - given.linear.weight).abs().max() > 0.01


# In other models ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vae", "hasher", "topk", "batch_topk", "kl", "adversarial"])
def test_a_classifier_fine_tunes_an_own_encoder(name):
    autoencoder = clone(CASES[name][0]).set_params(random_state=None)
    y = (X[:, 0] > 0).astype(int)
    model = AutoencoderClassifier(autoencoder, max_iter=30, learning_rate=0.02, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.8
    assert_same(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


def test_own_networks_are_exported():
    """One with marks before the encoder and two heads after it: torch's exporter takes seconds."""
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from skae.onnx import to_onnx

    estimator, data = CASES["vae_missing"]
    data = data.astype(np.float32)
    model = clone(estimator).fit(data)
    graph = to_onnx(model, data, outputs=["codes", "reconstruction"])
    session = runtime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    codes, reconstruction = session.run(None, {session.get_inputs()[0].name: data})
    assert_allclose(codes, model.transform(data), atol=1e-5)
    assert_allclose(reconstruction, model.reconstruct(data), atol=1e-5)


# Parameters that such networks take no notice of ------------------------------------------------------------


def told(estimator, X=X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X)
    return [str(each.message) for each in caught if "Without effect" in str(each.message)]


IDLE = {
    "hidden_layer_sizes": (700,),
    "decoder_hidden_layer_sizes": (6,),
    "activation": "tanh",
    "code_activation": "tanh",
    "output_activation": "tanh",
    "normalization": "layer",
    "dropout": 0.3,
    "init": "he",
    "downsampling": "pool",
}


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        (("encoder", "decoder"), [*IDLE]),
        (("encoder",), ["hidden_layer_sizes", "code_activation"]),
        (("decoder",), ["decoder_hidden_layer_sizes", "output_activation"]),
    ],
    ids="-".join,
)
def test_parameters_without_effect_are_told_once(given, idle):
    model = BaseAutoencoder(WIDTH, max_iter=2, random_state=0, **{name: own()[name] for name in given})
    assert told(model) == []
    rate = model.learning_rate_
    plain = clone(model).set_params(**{name: value for name, value in IDLE.items() if name not in idle}).fit(X)
    model.set_params(**IDLE)
    [message] = told(model)
    assert message.startswith(f"Without effect beside your own {' and '.join(given)}: {idle[0]}=(")
    assert [name for name in IDLE if f" {name}=" in message] == idle
    if len(given) == 2:
        assert model.learning_rate_ == rate
        assert_same(model.transform(X), plain.transform(X))
    assert told(model.set_params(warm_start=True)) == []
    with pytest.warns(UserWarning, match="Without effect"):
        clone(model).partial_fit(X)


def test_defaults_are_no_choice_to_be_told_of():
    class Narrow(BaseAutoencoder):
        hidden_layer_sizes: int = 3
        code_activation: str = "relu"

    class Written(BaseAutoencoder):
        def __init__(self, *, encoder=None, decoder=None):
            super().__init__(WIDTH, encoder=encoder, decoder=decoder, dropout=0.1, max_iter=2)

    assert told(Narrow(WIDTH, max_iter=2, **own())) == []
    assert told(BaseAutoencoder(WIDTH, hidden_layer_sizes=[128], max_iter=2, **own())) == []
    assert told(Written(**own())) == []
    assert told(BaseAutoencoder(WIDTH, hidden_layer_sizes=7, dropout=0.1, max_iter=2)) == []


def test_a_code_activation_that_selects_units_is_not_without_effect():
    """Those of a sparse code are taken by magnitude where it may be negative."""
    assert told(sparse("topk", code_activation="identity")) == []
