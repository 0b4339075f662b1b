"""Modules and losses of the user's own: used as they are, never changed, their mistakes explained."""

import copy

import numpy as np
import pytest
import torch
from estimators import assert_same, rows
from numpy.testing import assert_allclose
from own_modules import TiedPair
from sklearn.base import clone
from torch import nn

from skae import AutoencoderTransformer

X = rows(61, 5)


def encoder(*extra):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), *extra, nn.Tanh(), nn.Linear(8, 2))


def decoder():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 5))


def configured(**parameters):
    settings = {"max_iter": 5, "tol": None, "random_state": 0, "learning_rate": 1e-2, "batch_size": 20}
    return AutoencoderTransformer(2, **{**settings, **parameters})


def snapshot(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("which", [("encoder",), ("decoder",), ("encoder", "decoder")])
def test_modules_are_copied_and_trained(which):
    modules = {name: {"encoder": encoder, "decoder": decoder}[name]() for name in which}
    before = {name: snapshot(module) for name, module in modules.items()}
    estimator = configured(**modules).fit(X)
    for name, module in modules.items():
        assert getattr(estimator, name) is module
        assert module.training
        assert all(p.grad is None and p.requires_grad and p.dtype == torch.float32 for p in module.parameters())
        fitted = getattr(estimator, f"{name}_")
        assert fitted is not module
        assert not fitted.training
        for key, value in before[name].items():
            assert torch.equal(module.state_dict()[key], value)
            assert not torch.equal(fitted.state_dict()[key].to(value.dtype), value)
    assert estimator.score(X) > configured(**modules, learning_rate=1e-12).fit(X).score(X) + 0.05


def test_the_first_weights_are_the_modules_own():
    """Where nothing moves, transform is the module."""
    given = encoder()
    model = configured(encoder=given, learning_rate=1e-14, max_iter=1).fit(X)
    with torch.no_grad():
        expected = given(torch.tensor(X, dtype=torch.float32))
    assert_allclose(model.transform(X), expected, rtol=1e-4, atol=1e-5)


def test_clone_and_refits_start_from_the_modules_own_weights():
    estimator = configured(encoder=encoder(), decoder=decoder()).fit(X)
    codes = estimator.transform(X)
    assert_same(clone(estimator).fit(X).transform(X), codes)
    assert_same(estimator.fit(X).transform(X), codes)


def test_frozen_parameters_stay():
    given = encoder()
    given[0].requires_grad_(False)
    model = configured(encoder=given).fit(X)
    assert torch.equal(model.encoder_[0].weight.float(), given[0].weight)
    assert not torch.equal(model.encoder_[2].weight.float(), given[2].weight)
    assert not model.encoder_[0].weight.requires_grad
    decoder_size = sum(p.numel() for p in model.decoder_.parameters())
    assert model.n_parameters_ == 8 * 2 + 2 + decoder_size


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_networks_that_are_frozen_as_a_whole_are_refused(method):
    frozen = [torch.nn.Linear(5, 2).requires_grad_(False), torch.nn.Linear(2, 5).requires_grad_(False)]
    model = AutoencoderTransformer(2, encoder=frozen[0], decoder=frozen[1])
    with pytest.raises(ValueError, match=r"Nothing is left to train.*requires_grad_\(True\)"):
        getattr(model, method)(rows())


def test_shared_parameters_stay_shared():
    pair = TiedPair()
    model = configured(encoder=pair.encoder, decoder=pair.decoder, max_iter=100).fit(X)
    assert model.encoder_.weight is model.decoder_.weight
    assert model.n_parameters_ == 10
    weight = model.encoder_.weight.detach()
    assert_allclose(model.reconstruct(X), torch.tensor(X) @ weight @ weight.t(), rtol=1e-4, atol=1e-5)
    assert model.score(X) > 0.9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_follow_the_input(dtype):
    model = configured(encoder=encoder(), decoder=decoder(), dtype="float32").fit(X)
    codes = model.transform(X.astype(dtype))
    assert codes.dtype == model.inverse_transform(codes).dtype == dtype
    assert {p.dtype for p in model.encoder_.parameters()} == {torch.float32}


@pytest.mark.parametrize("early_stopping", [False, True])
def test_normalisation_and_a_last_batch_of_one_row(early_stopping):
    """61 rows in batches of 20: batch normalisation cannot train on the one that is left."""
    model = configured(encoder=encoder(nn.BatchNorm1d(8)), early_stopping=early_stopping).fit(X)
    assert int(model.encoder_[1].num_batches_tracked) > 0
    one_by_one = np.vstack([model.transform(X[i : i + 1]) for i in range(len(X))])
    assert_allclose(one_by_one, model.transform(X), rtol=1e-9)


def test_dropout_is_seeded_and_leaves_the_global_generator_alone():
    estimator = configured(encoder=encoder(nn.Dropout(0.5)))
    codes = []
    for global_seed, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        codes.append(clone(estimator).set_params(random_state=seed).fit(X).partial_fit(X).transform(X))
        assert torch.equal(torch.get_rng_state(), before)
    assert_same(codes[0], codes[1])
    assert not np.allclose(codes[0], codes[2])
    model = estimator.fit(X)
    assert_same(model.transform(X), model.transform(X))


class Flat(nn.Module):
    def forward(self, x):
        return x.sum(1)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"encoder": nn.Linear(5, 3)}, ["encoder must map shape (n, 5) to shape (n, 2)", "(2, 3)"]),
        (
            {"encoder": nn.Linear(4, 2)},
            ["encoder must map shape (n, 5) to shape (n, 2)", "failed on shape (2, 5)"],
        ),
        ({"decoder": nn.Linear(2, 4)}, ["decoder must map shape (n, 2) to shape (n, 5)", "(2, 4)"]),
        (
            {"decoder": nn.Linear(3, 5)},
            ["decoder must map shape (n, 2) to shape (n, 5)", "failed on shape (2, 2)"],
        ),
        ({"encoder": Flat()}, ["encoder must map shape (n, 5) to shape (n, 2)", "returned shape (2,)"]),
        ({"encoder": Pair()}, ["encoder must map shape (n, 5) to shape (n, 2)", "returned"]),
        (
            {"encoder": nn.Conv2d(1, 2, 3)},
            ["encoder must map shape (n, 5) to shape (n, 2)", "failed on shape (2, 5)"],
        ),
    ],
)
def test_modules_of_wrong_shapes(parameters, words):
    estimator = configured(**parameters)
    with pytest.raises(ValueError, match="must map shape") as caught:
        estimator.fit(X)
    for word in words:
        assert word in str(caught.value)
    assert not hasattr(estimator, "encoder_")


@pytest.mark.parametrize("value", [lambda x: x, nn.Linear, "linear"])
def test_only_modules_are_modules(value):
    with pytest.raises(ValueError, match="'encoder' parameter"):
        configured(encoder=value).fit(X)


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (lambda o, t: (o - t).abs().mean(), r"returned shape \(\) for 20 rows"),
        (lambda o, t: (o - t).abs(), r"returned shape \(20, 5\) for 20 rows"),
        (lambda o, t: (o - t).abs().mean(0), r"returned shape \(5,\) for 20 rows"),
    ],
)
def test_losses_of_wrong_shapes(loss, got):
    with pytest.raises(ValueError, match=rf"{got}.*shape \(20,\).*mean\(1\)"):
        configured(loss=loss).fit(X)


def test_losses_that_are_no_tensors():
    with pytest.raises(
        ValueError, match=r"returned float, but a loss must return a torch tensor of shape \(20,\)"
    ):
        configured(loss=lambda o, t: 1.0).fit(X)


@pytest.mark.filterwarnings("ignore:n_components=2 is more than the single column")
def test_a_loss_sees_the_datas_own_space():
    """Nothing is centred where nobody knows whether the loss allows it."""
    skewed = 5 + np.random.default_rng(0).exponential(size=(200, 1))
    targets = []

    def loss(reconstruction, target):
        targets.append(target.detach().clone())
        return (reconstruction - target).abs().mean(1)

    configured(loss=loss, batch_size=200, max_iter=1).fit(skewed)
    assert_allclose(np.sort(torch.cat(targets)[:200], axis=0), np.sort(skewed, axis=0))


def test_a_decoder_under_binary_cross_entropy_gives_logits():
    binary = (X > 0).astype(float)
    given = decoder()
    model = configured(decoder=given, loss="binary_cross_entropy", learning_rate=1e-14, max_iter=1).fit(binary)
    codes = model.transform(binary)
    with torch.no_grad():
        expected = torch.sigmoid(copy.deepcopy(given).double()(torch.tensor(codes)))
    assert_allclose(model.inverse_transform(codes), expected, rtol=1e-5)
    assert_allclose(model.decoder_(torch.tensor(codes)).detach(), expected, rtol=1e-5)


class HoldsConstant(nn.Module):
    """Multiplies by a tensor that is neither a parameter nor a buffer."""

    def __init__(self):
        super().__init__()
        self.linear, self.constant = nn.Linear(2, 2), [torch.ones(5, 2)]

    def forward(self, x):
        return self.linear(x @ self.constant[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants_of_another_dtype_are_told_in_fit(dtype):
    """Also where training has their dtype, but X has not, in which `transform` calls the module."""
    X = rows()
    model = AutoencoderTransformer(2, encoder=HoldsConstant(), dtype=dtype, max_iter=1)
    with pytest.raises(ValueError, match=r"torch.float64: .*same dtype.*register_buffer.* \.to\(x\)"):
        model.fit(X)
    if dtype == "float32":
        model.fit(X.astype(np.float32)).transform(X.astype(np.float32))
