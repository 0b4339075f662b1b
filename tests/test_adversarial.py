"""The adversarial autoencoder: codes distributed as the prior says, draws, and a discriminator that carries on."""

import pickle

import numpy as np
import pytest
import torch
from estimators import assert_same, assert_same_model, configured, rows
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AdversarialAutoencoder, AutoencoderTransformer


def adversarial(**parameters):
    return configured(AdversarialAutoencoder, **parameters)


def energy(distances, first):
    """The energy distance (Szekely and Rizzo 2004) of two samples, from all distances between their points."""
    between, inside, outside = (
        distances[first][:, ~first],
        distances[first][:, first],
        distances[~first][:, ~first],
    )
    return 2 * between.mean() - inside.mean() - outside.mean()


def two_sample_test(one, other, n_permutations=500):
    """The p-value of the permutation test of the energy distance."""
    rng = np.random.default_rng(0)
    both = np.vstack([one, other])
    distances, first = cdist(both, both), np.arange(len(both)) < len(one)
    found = energy(distances, first)
    larger = sum(energy(distances, rng.permutation(first)) >= found for _ in range(n_permutations))
    return (1 + larger) / (1 + n_permutations)


# What the paper says ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def split(digits):
    """Digits in a random order: 1347 to train on, 450 held out."""
    order = np.random.default_rng(0).permutation(len(digits))
    return digits[order[:1347]], digits[order[1347:]]


@pytest.fixture(scope="module")
def models(split):
    """A plain autoencoder of the digits, and an adversarial one with all defaults but the seed."""
    steady = {"init": "glorot", "learning_rate": 1e-3, "batch_size": 200, "max_iter": 200}
    return (
        AutoencoderTransformer(8, random_state=0, **steady).fit(split[0]),
        AdversarialAutoencoder(random_state=0).fit(split[0]),
    )


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(3))
def test_codes_have_the_priors_mean_and_spread(models, digits, seed):
    for X in (digits, digits[: 3 * len(digits) // 4]):
        ours = AdversarialAutoencoder(random_state=seed).fit_transform(X)
        assert_allclose(ours.mean(0), 0, atol=0.15)
        assert_allclose(ours.std(0), 1, atol=0.15)
    assert np.abs(models[0].transform(digits).std(0) - 1).min() > 0.5


def test_codes_of_unseen_rows_pass_for_draws_of_the_prior(models, split):
    """In a two-sample test of 100 codes against 100 draws, which a plain autoencoder's codes do not pass."""
    draws, unseen = np.random.default_rng(1).normal(size=(400, 8)), split[1][:400]
    plain, ours = (model.transform(unseen) for model in models)
    standardised = StandardScaler().fit(models[0].transform(split[0])).transform(plain)
    for part in np.split(np.arange(400), 4):
        assert two_sample_test(ours[part], draws[part]) > 0.05
        assert two_sample_test(plain[part], draws[part]) < 0.01
        assert two_sample_test(standardised[part], draws[part]) < 0.01  # mean and spread of each unit do not do


def test_rows_are_still_restored(models, split):
    """With at most 1.3 times the plain one's error, on rows seen and unseen."""
    for part in split:
        plain, ours = (model.reconstruction_error(part).mean() for model in models)
        assert ours < 1.3 * plain


def test_draws_look_like_rows(models, split):
    """Decoded draws lie nearer to rows than what a plain autoencoder makes of draws around its codes."""
    train, _ = split
    plain, ours = models
    codes = plain.transform(train)
    draws = np.random.default_rng(0).normal(codes.mean(0), codes.std(0), size=(450, 8))
    nearest = [cdist(x, train).min(1).mean() for x in (ours.sample(450, 0), plain.inverse_transform(draws))]
    assert nearest[0] < 0.9 * nearest[1]
    sample = ours.sample(2000, random_state=1)
    assert_allclose(sample.mean(0), train.mean(0), atol=0.25)
    assert np.corrcoef(np.cov(sample.T).ravel(), np.cov(train.T).ravel())[0, 1] > 0.9


def test_the_discriminator_ends_up_guessing(digits):
    """With 2 codes its loss comes to that of guessing, log 2; where nothing pulls, it tells codes from draws."""
    settings = {"max_iter": 60, "tol": None, "random_state": 0}
    pulled, free = (AdversarialAutoencoder(2, adversarial_weight=w, **settings).fit(digits) for w in (1.0, 0.0))
    assert_allclose(pulled.discriminator_loss_curve_[-10:], np.log(2), atol=0.03)
    assert free.discriminator_loss_curve_[-1] < 0.3


@pytest.mark.parametrize("as_function", [False, True])
def test_codes_take_the_shape_of_a_mixture(split, as_function):
    """Codes lie where the mixture does: their likelihood under it is that of its own draws, nearly."""
    parts = [([-2, 0], 0.3), ([2, 0], 0.3), ([0, 3], [0.6, 0.1])]
    given = parts
    if as_function:

        def given(n, generator):
            which = torch.randint(3, (n,), generator=generator)
            means = torch.tensor([mean for mean, _ in parts], dtype=torch.float64)
            spreads = torch.tensor([[0.3, 0.3], [0.3, 0.3], [0.6, 0.1]], dtype=torch.float64).sqrt()
            return means[which] + spreads[which] * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    model = AdversarialAutoencoder(
        2, prior=given, discriminator_noise=0.2, batch_size=100, max_iter=80, tol=None, random_state=0
    ).fit(split[0])
    rng = np.random.default_rng(0)
    draws = np.vstack([rng.multivariate_normal(m, np.eye(2) * c, size=450) for m, c in parts])

    def likelihood(codes):
        logs = [multivariate_normal(m, np.eye(2) * c).logpdf(codes) for m, c in parts]
        return np.logaddexp.reduce(logs) - np.log(3)

    codes = model.transform(split[0])
    assert abs(np.median(likelihood(codes)) - np.median(likelihood(draws))) < 0.5
    shares = np.bincount(KNeighborsClassifier(1).fit(draws, np.repeat([0, 1, 2], 450)).predict(codes)) / len(codes)
    assert_allclose(shares, 1 / 3, atol=0.1)
    plain = AutoencoderTransformer(2, max_iter=60, tol=None, random_state=0).fit_transform(split[0])
    assert np.median(likelihood(plain)) < np.median(likelihood(codes)) - 2


# Draws -----------------------------------------------------------------------------------------------------


def test_sample():
    X = rows()
    model = adversarial().fit(X)
    sample = model.sample(7, random_state=1)
    assert sample.shape == (7, 5)
    assert_same(model.sample(np.int64(7), 1), sample)
    assert_same(*(model.sample(7, np.random.RandomState(3)) for _ in range(2)))
    assert not np.allclose(model.sample(7, random_state=2), sample)
    assert not np.allclose(model.sample(7), model.sample(7))
    assert model.sample().shape == (1, 5)
    assert adversarial().fit(X.astype(np.float32)).sample(3).dtype == np.float32
    with config_context(array_api_dispatch=True):
        assert type(adversarial().fit(torch.tensor(X)).sample(3)) is torch.Tensor


@pytest.mark.parametrize("n_samples", [0, -1, True, 2.5, "3", None])
def test_numbers_of_samples_that_are_none(n_samples):
    with pytest.raises((ValueError, TypeError), match=r"n_samples=.*integer of at least 1"):
        adversarial().fit(rows()).sample(n_samples)


def test_sample_before_fit():
    with pytest.raises(NotFittedError):
        adversarial().sample()


def test_sample_decodes_draws_of_the_prior_that_was_fitted():
    model = adversarial(prior=[(50, 1e-6)]).fit(rows())
    expected = model.inverse_transform(np.full((1, 2), 50.0))
    assert_allclose(model.sample(4), np.repeat(expected, 4, 0), rtol=1e-2)
    model.set_params(prior="normal")
    assert_allclose(model.sample(4), np.repeat(expected, 4, 0), rtol=1e-2)


def test_sample_of_a_function_obeys_the_seed():
    model = adversarial(prior=lambda n, generator: torch.rand(n, 2, generator=generator)).fit(rows())
    state = torch.get_rng_state()
    assert_same(model.sample(5, 3), model.sample(5, 3))
    assert torch.equal(torch.get_rng_state(), state)


def test_sample_through_a_pipeline():
    X = 100 + 7 * rows(300)
    pipe = make_pipeline(StandardScaler(), AdversarialAutoencoder(2, max_iter=100, tol=None, random_state=0)).fit(
        X
    )
    sample = pipe[:-1].inverse_transform(pipe[-1].sample(500, random_state=0))
    assert_allclose(sample.mean(0), X.mean(0), atol=0.2 * X.std(0).max())


# Carrying on -----------------------------------------------------------------------------------------------


def test_curves_of_every_epoch_and_pass():
    X = rows()
    model = adversarial().fit(X)
    assert len(model.discriminator_loss_curve_) == model.n_iter_ == 4
    assert all(type(loss) is float for loss in model.discriminator_loss_curve_)
    model.partial_fit(X)
    assert len(model.discriminator_loss_curve_) == model.n_iter_ == 5
    assert len(model.fit(X).discriminator_loss_curve_) == 4


def test_the_loss_is_that_of_the_reconstruction():
    X = rows()
    settings = {"max_iter": 3, "learning_rate": 1e-14, "adversarial_weight": 1000.0}
    model = adversarial(**settings, early_stopping=True).fit(X)
    assert_allclose(model.validation_loss_curve_, model.validation_loss_curve_[0])
    model = adversarial(**settings).fit(X)
    assert_allclose(model.loss_curve_, model.reconstruction_error(X).mean(), rtol=1e-6)


def test_passes_keep_the_discriminator_and_its_solver():
    X = rows()
    once = adversarial(max_iter=3).fit(X)
    passes = adversarial()
    for _ in range(3):
        passes.partial_fit(X)
    assert_same(passes._discriminator[1], once._discriminator[1])
    assert_same(passes.discriminator_loss_curve_, once.discriminator_loss_curve_)


def test_a_loaded_model_goes_on_with_the_discriminator():
    """Its weights are saved; the state of its solver is not, as that of the networks' is not."""
    X = rows()
    model = adversarial(warm_start=True, discriminator_learning_rate=1e-14).fit(X)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same(loaded._discriminator[1], model._discriminator[1])
    assert_same_model(loaded.fit(X), model.fit(X))
    assert_allclose(model._discriminator[1], loaded._discriminator[1], atol=1e-9)
    assert_allclose(loaded.partial_fit(X)._discriminator[1], model._discriminator[1], atol=1e-9)


def test_warm_start_takes_another_discriminator():
    X = rows()
    model = adversarial(warm_start=True).fit(X)
    model.set_params(discriminator_hidden_layer_sizes=(3,)).fit(X)
    assert model._discriminator[0] == (2, 3, 1)
    assert model.partial_fit(X).n_iter_ == 5


def test_weights_of_rows_are_not_taken():
    with pytest.raises(TypeError, match="sample_weight"):
        adversarial().fit(rows(), sample_weight=np.ones(60))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"prior": "uniform"}, "prior"),
        ({"prior": [([0, 0, 0], 1)]}, r"prior holds.*n_components=2"),
        ({"prior": lambda n, generator: torch.zeros(n)}, r"prior=.*returned shape"),
        ({"discriminator_hidden_layer_sizes": (0,)}, "discriminator_hidden_layer_sizes"),
        ({"discriminator_learning_rate": 0}, "discriminator_learning_rate"),
        ({"n_discriminator_steps": 0}, "n_discriminator_steps"),
        ({"discriminator_noise": -1}, "discriminator_noise"),
        ({"adversarial_weight": -1}, "adversarial_weight"),
    ],
)
def test_parameters_that_make_no_sense(parameters, words):
    model = adversarial(**parameters)
    with pytest.raises(ValueError, match=words):
        model.fit(rows())
    assert not hasattr(model, "encoder_")
