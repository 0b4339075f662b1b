"""The variational autoencoder does what its papers say: likelihoods, draws, scores, and codes in use."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import assert_same, rows
from numpy.testing import assert_allclose
from scipy import sparse, stats
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import VAESampler
from skae._fitted.sampling import standard_normal

LIKELIHOODS = ["gaussian", "bernoulli", "exponential", "poisson"]


def configured(**parameters):
    settings = {"n_components": 2, "hidden_layer_sizes": 8, "max_iter": 5, "random_state": 0}
    settings |= {"learning_rate": 1e-3, "batch_size": 200}
    return VAESampler(**{**settings, **parameters})


def supported(likelihood, n_samples=200):
    """Rows that any likelihood takes: small counts for most, their share of the maximum for the bernoulli."""
    counts = np.random.default_rng(0).poisson(np.exp(rows(n_samples) / 2)).astype(float)
    return counts / counts.max() if likelihood == "bernoulli" else counts


def linear_gaussian(n_samples=2000, n_features=6, n_components=2, noise=0.5):
    """Rows of probabilistic PCA's model (Tipping and Bishop 1999)."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(n_components, n_features))
    latent = rng.normal(size=(n_samples, n_components))
    return latent @ loadings + noise * rng.normal(size=(n_samples, n_features)) + rng.normal(size=n_features)


def linear_vae(n_components, **parameters):
    settings = {"hidden_layer_sizes": (), "tol": None, "random_state": 0, "batch_size": 100}
    return VAESampler(n_components, **{**settings, **parameters})


def fitted_slowly(vae, X):
    """Fitted with a learning rate that falls."""
    vae.set_params(warm_start=True, n_mc_samples=4)
    for learning_rate, max_iter in ((1e-2, 100), (1e-3, 60), (1e-4, 30)):
        vae.set_params(learning_rate=learning_rate, max_iter=max_iter).fit(X)
    return vae


# The exact case --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exact():
    """Rows, and a linear VAE with a free variance for each column: factor analysis by another road."""
    X = linear_gaussian()
    return X, fitted_slowly(linear_vae(2), X)


def test_linear_gaussian_reaches_the_exact_marginal_likelihood(exact):
    X, vae = exact
    exact_fit = FactorAnalysis(2, svd_method="lapack", tol=1e-8, max_iter=5000).fit(X).score(X)
    ppca = PCA(2).fit(X).score(X)  # the same but for one variance for all columns
    assert abs(exact_fit / ppca - 1) < 1e-3
    for ours in (vae.score(X), -np.mean(vae.loss_curve_[-20:])):
        assert abs(ours / exact_fit - 1) < 1e-3


def test_score_samples_is_the_density_of_the_fitted_linear_model(exact):
    X, vae = exact
    with torch.no_grad():
        W = vae.unit_ * vae.decoder_[0].linear.weight.double().numpy()
        mean = vae.inverse_transform(np.zeros((1, 2)))[0]
        covariance = W @ W.T + np.diag(vae.decoder_.variance.double().numpy())
    expected = stats.multivariate_normal(mean, covariance).logpdf(X)
    vae.set_params(n_importance_samples=1000)
    assert_allclose(vae.score_samples(X), expected, atol=0.02)
    assert_allclose(np.cov(vae.sample(100_000, random_state=0).T), covariance, atol=0.1)


def test_a_fixed_variance_is_probabilistic_pca():
    X = linear_gaussian()
    pca = PCA(2).fit(X)
    vae = fitted_slowly(linear_vae(2, decoder_variance=pca.noise_variance_), X)
    assert abs(vae.score(X) / pca.score(X) - 1) < 1e-3


# Scores ----------------------------------------------------------------------------------------------------


def by_hand(model, X, n_samples):
    """log w of each row and draw, from the public networks alone."""
    noise = standard_normal(n_samples, 2, torch.empty(0, dtype=torch.float64))
    with torch.no_grad():
        mean, log_variance = (t.double() for t in model.encoder_(torch.tensor(X)))
        deviation = (log_variance / 2).exp()
        z = mean[:, None] + deviation[:, None] * noise
        centre = model.decoder_(z.flatten(0, 1)).double().view(len(X), n_samples, -1).numpy()
        x = X[:, None]
        if model.likelihood == "gaussian":
            density = stats.norm(centre, model.decoder_.variance.double().sqrt().numpy()).logpdf(x)
        elif model.likelihood == "poisson":
            density = stats.poisson(centre).logpmf(x)
        elif model.likelihood == "exponential":
            density = stats.expon(scale=centre).logpdf(x)
        else:
            density = x * np.log(centre) + (1 - x) * np.log1p(-centre)
    prior = stats.norm.logpdf(z.numpy()) - stats.norm(mean[:, None], deviation[:, None]).logpdf(z.numpy())
    return density.sum(2), prior.sum(2)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_scores_are_what_they_say(likelihood):
    X = supported(likelihood)
    model = configured(likelihood=likelihood, n_importance_samples=16, dtype="float64").fit(X)
    density, prior = by_hand(model, X, 16)
    expected = np.logaddexp.reduce(density + prior, axis=1) - np.log(16)
    assert_allclose(model.score_samples(X), expected, rtol=1e-8)
    assert type(model.score(X)) is float
    assert_allclose(model.score(X), expected.mean(), rtol=1e-8)
    assert_allclose(model.reconstruction_probability(X, n_samples=16), density.mean(1), rtol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["score_samples", "reconstruction_probability"])
def test_scores_repeat_and_know_nothing_of_other_rows(method, dtype):
    X = rows(300).astype(dtype)
    model = configured(random_state=None).fit(X)
    scores = getattr(model, method)(X)
    assert scores.dtype == dtype
    assert_same(getattr(model, method)(X), scores)
    order = np.random.default_rng(0).permutation(300)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}
    assert_allclose(getattr(model, method)(X[order]), scores[order], **tolerance)
    assert_allclose(np.hstack([getattr(model, method)(x[None]) for x in X[:20]]), scores[:20], **tolerance)


def test_chunks_change_nothing(monkeypatch):
    X = rows(50)
    model = configured(n_importance_samples=37).fit(X)
    methods = ["score_samples", "reconstruction_probability"]
    scores = [getattr(model, method)(X) for method in methods]
    for n_bytes in (1, 8 * 5 * 16, 8 * 5 * 1000):  # one row and draw; some draws of a row; some rows
        monkeypatch.setattr("skae._data.chunks.CHUNK_BYTES", n_bytes)
        for method, expected in zip(methods, scores, strict=True):
            assert_allclose(getattr(model, method)(X), expected, rtol=1e-10)


@pytest.mark.parametrize("width", [1, 3, 21_202])
def test_draws_behind_the_scores_are_standard_normal(width):
    draws = standard_normal(500, width, torch.empty(0, dtype=torch.float32))
    assert draws.dtype == torch.float32
    assert torch.isfinite(draws).all()
    assert_allclose(draws[:, :3].mean(0), 0, atol=0.15)
    assert_allclose(draws[:, :3].std(0), 1, atol=0.1)
    assert torch.equal(standard_normal(500, width, draws), draws)


@pytest.mark.parametrize("likelihood", ["exponential", "poisson"])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_positive_values_of_any_scale(likelihood, scale):
    rng = np.random.default_rng(0)
    mean = scale * np.exp(rng.normal(size=(500, 1)) * [1.0, -1.0, 0.5])
    X = rng.poisson(mean) if likelihood == "poisson" else rng.exponential(mean)
    model = configured(likelihood=likelihood, max_iter=100, learning_rate=1e-2)
    assert np.isfinite(model.fit(X[:, X.any(0)]).score(X[:, X.any(0)]))
    if likelihood == "exponential" or scale > 1:
        found = np.corrcoef(np.log(model.reconstruct(X))[:, 0], np.log(mean)[:, 0])[0, 1]
        assert found > 0.6


def test_more_importance_samples_raise_the_bound():
    X = rows(200)
    models = [configured(max_iter=100, random_state=seed).fit(X) for seed in range(6)]
    one, some, many = (
        np.mean([model.set_params(n_importance_samples=k).score(X) for model in models]) for k in (1, 8, 64)
    )
    assert one + 0.02 < some < many - 0.02


def test_odd_rows_score_low(digits):
    model = VAESampler(8, max_iter=60, tol=None, learning_rate=3e-3, random_state=0).fit(digits[:1500])
    rng = np.random.default_rng(0)
    odd = np.column_stack([rng.permutation(column) for column in digits[1500:].T])  # each column alone is normal
    for method in (model.score_samples, model.reconstruction_probability):
        assert np.median(method(odd)) < np.quantile(method(digits[1500:]), 0.1)


def test_with_a_plain_loss_scores_are_densities_up_to_a_factor():
    X = rows(50)
    squared = configured(loss="squared_error", dtype="float64").fit(X)
    gaussian = configured(decoder_variance=0.5, dtype="float64").fit(X)  # exp(-(x - m)^2), but for a factor
    assert_allclose(squared.transform(X), gaussian.transform(X), rtol=1e-6)
    missing = 2.5 * np.log(np.pi)
    assert_allclose(squared.score_samples(X) - missing, gaussian.score_samples(X), rtol=1e-6)
    assert_same(squared.sample(5, 0), squared.sample(5, 0, mean=True))


@pytest.mark.parametrize("n_samples", [0, -1, True, np.True_, 2.5, "3", None])
def test_numbers_of_samples_that_are_none(n_samples):
    model = configured().fit(rows())
    for method in (model.sample, lambda n: model.reconstruction_probability(rows(), n)):
        with pytest.raises((ValueError, TypeError), match=r"n_samples=.*integer of at least 1"):
            method(n_samples)


# Draws -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_sample(likelihood, mean):
    model = configured(likelihood=likelihood).fit(supported(likelihood))
    sample = model.sample(7, random_state=1, mean=mean)
    assert sample.shape == (7, 5)
    assert type(sample) is np.ndarray
    assert_same(model.sample(np.int64(7), 1, mean=mean), sample)
    assert_same(*(model.sample(7, np.random.RandomState(3), mean=mean) for _ in range(2)))
    assert not np.allclose(model.sample(7, random_state=2, mean=mean), sample)
    assert not np.allclose(model.sample(7, mean=mean), model.sample(7, mean=mean))
    assert model.sample().shape == (1, 5)


def test_sample_keeps_dtype_namespace_and_global_generators():
    X = rows()
    state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    for likelihood in LIKELIHOODS:
        configured(likelihood=likelihood).fit(supported(likelihood)).sample(3)
    assert configured().fit(X.astype(np.float32)).sample(3).dtype == np.float32
    assert configured().fit(X.astype(int)).sample(3).dtype == np.float64
    assert type(configured().fit(sparse.csr_array(X)).sample(3)) is np.ndarray
    with config_context(array_api_dispatch=True):
        sample = configured().fit(torch.tensor(X)).sample(3)
    assert type(sample) is torch.Tensor
    assert not sample.is_inference()
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_equal(np.random.get_state(), state[1])  # noqa: NPY002
    with pytest.raises(NotFittedError):
        configured().sample()


def test_draws_scatter_about_the_means_of_the_same_codes():
    model = configured().fit(rows())
    draws, means = (model.sample(20_000, random_state=0, mean=mean) for mean in (False, True))
    assert_allclose((draws - means).var(0), model.decoder_.variance.detach(), rtol=0.05)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_sample_has_the_datas_mean_and_spread(likelihood):
    rng = np.random.default_rng(0)
    mean = np.exp(0.5 + 0.5 * rng.normal(size=(2000, 1)) * [1.0, -1.0, 0.5, 0.8, 1.2])
    X = {
        "gaussian": mean + 0.5 * rng.normal(size=mean.shape),
        "bernoulli": (rng.uniform(size=mean.shape) < mean / (1 + mean)).astype(float),
        "exponential": rng.exponential(mean),
        "poisson": rng.poisson(100 * mean).astype(float),
    }[likelihood]
    model = configured(likelihood=likelihood, max_iter=150, learning_rate=5e-3, hidden_layer_sizes=32).fit(X)
    sample = model.sample(20_000, random_state=0)
    assert_allclose(sample.mean(0), X.mean(0), rtol=0.1)
    assert_allclose(sample.std(0), X.std(0), rtol=0.2)
    if likelihood in ("bernoulli", "poisson"):
        assert np.array_equal(sample, sample.round())


def test_sample_of_digits_has_their_spread_and_correlations(digits):
    model = VAESampler(8, max_iter=100, tol=None, learning_rate=3e-3, random_state=0).fit(digits)
    sample = model.sample(5000, random_state=0)
    varies = digits.std(0) > 0
    assert_allclose(sample[:, ~varies], 0, atol=0.5)
    ratio = sample.std(0)[varies] / digits.std(0)[varies]
    assert 0.8 < np.median(ratio) < 1.2
    ours, theirs = (np.corrcoef(X[:, varies].T) for X in (sample, digits))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9


def test_sample_through_a_pipeline(digits):
    X = digits[:, digits.std(0) > 0] * 50 + 1000
    pipe = make_pipeline(
        StandardScaler(), MinMaxScaler(), VAESampler(4, likelihood="bernoulli", max_iter=2, tol=None)
    )
    pipe.fit(X)
    new = pipe[:-1].inverse_transform(pipe[-1].sample(100, random_state=0, mean=True))
    assert new.shape == (100, X.shape[1])
    assert_allclose(new.mean(0), X.mean(0), atol=50)


# Codes -----------------------------------------------------------------------------------------------------


def test_transform_with_standard_deviations():
    X = rows()
    model = configured().fit(X)
    mean, std = model.transform(X, return_std=True)
    assert_same(mean, model.transform(X))
    with torch.no_grad():
        expected, log_variance = model.encoder_(torch.tensor(X))
    assert_allclose(mean, expected, rtol=1e-9)
    assert_allclose(std, (log_variance / 2).exp(), rtol=1e-9)
    assert (log_variance.abs() < 10).all()


def test_standard_deviations_beside_data_frames():
    X = pd.DataFrame(rows(), columns=list("abcde"), index=range(100, 160))
    model = configured().set_output(transform="pandas").fit(X)
    codes, std = model.transform(X, return_std=True)
    assert list(codes.columns) == ["vaesampler0", "vaesampler1"]
    assert list(codes.index) == list(X.index)
    assert type(std) is np.ndarray
    pd.testing.assert_frame_equal(model.transform(X), codes)


def test_defaults_keep_the_code_in_use(digits):
    model = VAESampler(random_state=0, tol=None).fit(digits)
    assert model.n_active_units_ >= model.n_components / 2
    assert r2_score(digits, model.reconstruct(digits), multioutput="variance_weighted") > 0.5


def test_collapse_is_counted_and_said(digits):
    with pytest.warns(
        UserWarning, match=r"All 8 units .* inactive.*Lower beta, which is 1000.*free_bits"
    ) as caught:
        model = VAESampler(beta=1000, max_iter=50, tol=None, random_state=0).fit(digits)
    assert len(caught) == 1
    assert model.n_active_units_ == 0
    assert model.transform(digits).var(0).max() < 0.01


def rare_words(n_samples=300, n_features=400):
    return sparse.random(n_samples, n_features, density=0.01, random_state=0, format="csr")


@pytest.mark.parametrize("parameters", [{}, {"n_components": 2, "n_mc_samples": 2}])
@pytest.mark.parametrize("X", [rare_words(), rare_words(200, 300).toarray()], ids=["sparse", "dense"])
def test_codes_that_are_worth_nothing_are_said(X, parameters):
    with pytest.warns(UserWarning, match=r"worth nothing.*Lower learning_rate.*TruncatedSVD") as caught:
        VAESampler(random_state=0, **parameters).fit(X)
    assert len(caught) == 1


def test_codes_are_worth_nothing_only_where_training_has_run_its_course():
    X = rare_words()
    VAESampler(max_iter=1, random_state=0).fit(X)
    with pytest.warns(UserWarning, match="worth nothing, although 8 of 8 units are active"):
        VAESampler(max_iter=20, early_stopping=True, random_state=0).fit(X)


def test_a_little_more_than_they_save_may_be_chance():
    X = np.random.default_rng(0).normal(size=(300, 10))
    assert VAESampler(random_state=0).fit(X).n_active_units_  # warnings are errors


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_codes_of_real_data_are_worth_something(load):
    VAESampler(random_state=0).fit(StandardScaler().fit_transform(load().data))  # warnings are errors


@pytest.mark.parametrize("X", [0.01 * rows(), np.ones((20, 3)), rows(1)], ids=["narrow", "constant", "one_row"])
def test_inactive_units_are_said_however_short_the_fit(X):
    with pytest.warns(UserWarning, match="All 2 units .* train longer") as caught:
        assert configured(decoder_variance=1.0, max_iter=2).fit(X).n_active_units_ == 0
    assert [warning.filename for warning in caught] == [__file__]
    assert configured(decoder_variance=1.0).partial_fit(X).n_active_units_ == 0  # without a word


@pytest.mark.parametrize("early_stopping", [False, True])
def test_active_units_are_those_whose_mean_varies(early_stopping):
    X = rows(400)
    model = configured(n_components=6, max_iter=300, learning_rate=1e-2, early_stopping=early_stopping)
    variance = model.fit(X).transform(X).var(0)
    assert 0 < model.n_active_units_ == (variance > 0.01).sum() < 6


def test_beta_trades_distortion_for_divergence(digits):
    settings = {"max_iter": 60, "tol": None, "learning_rate": 3e-3, "random_state": 0}
    models = [VAESampler(beta=beta, **settings).fit(digits) for beta in (0.5, 1, 2, 4, 8)]
    divergence = [model.kl_curve_[-1] for model in models]
    distortion = [model.reconstruction_curve_[-1] for model in models]
    active = [model.n_active_units_ for model in models]
    assert (np.diff(divergence) < 0).all()
    assert (np.diff(distortion) > 0).all()
    assert (np.diff(active) <= 0).all()
    assert active[-1] < active[0]


def test_free_bits_keep_units_in_use(digits):
    settings = {"beta": 8.0, "max_iter": 60, "tol": None, "learning_rate": 3e-3, "random_state": 0}
    plain, kept = (VAESampler(free_bits=bits, **settings).fit(digits) for bits in (0.0, 0.25))
    assert kept.n_active_units_ == 8 > plain.n_active_units_
    assert kept.kl_curve_[-1] > 0.9 * 8 * 0.25


# Curves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_mc_samples", [1, 3])
@pytest.mark.parametrize("loss", [None, "huber", lambda o, t: (o - t).abs().sum(1)])
def test_curves_add_up_to_the_loss(loss, n_mc_samples):
    X = rows(61)
    model = configured(loss=loss, beta=0.7, batch_size=20, n_mc_samples=n_mc_samples).fit(X)
    parts = np.array(model.reconstruction_curve_) + 0.7 * np.array(model.kl_curve_)
    assert_allclose(model.loss_curve_, parts, rtol=1e-9)
    assert all(type(value) is float for value in model.kl_curve_ + model.reconstruction_curve_)
    model.partial_fit(X)
    assert len(model.kl_curve_) == len(model.reconstruction_curve_) == len(model.loss_curve_) == 6


def test_curves_are_what_the_networks_give():
    X = rows(40)
    model = configured(max_iter=1, learning_rate=1e-12, n_mc_samples=2000, dtype="float64").fit(X)
    mean, std = model.transform(X, return_std=True)
    assert_allclose(model.kl_curve_, 0.5 * (mean**2 + std**2 - 1 - 2 * np.log(std)).sum(1).mean(), rtol=1e-9)
    expected = -model.reconstruction_probability(X, n_samples=5000).mean()
    assert_allclose(model.reconstruction_curve_, expected, rtol=0.01)


def test_warm_up_runs_over_passes_and_postpones_the_end():
    X = rows()
    whole = configured(kl_warm_up=4, max_iter=3).fit(X)
    passes = configured(kl_warm_up=4)
    for _ in range(3):
        passes.partial_fit(X)
    assert_same(passes.transform(X), whole.transform(X))
    for early_stopping in (False, True):  # which has a loss at the start, too
        settings = {"tol": 1e3, "n_iter_no_change": 25, "batch_size": 30, "max_iter": 80}
        settings["early_stopping"] = early_stopping
        assert configured(**settings).fit(X).n_iter_ == 50 - early_stopping
        assert configured(**settings, kl_warm_up=6).fit(X).n_iter_ == 55


def test_early_stopping_brings_back_the_best_weights_after_the_warm_up():
    X = rows(100)
    model = configured(early_stopping=True, kl_warm_up=3, max_iter=100, learning_rate=0.3).fit(X)
    best = int(np.argmin(model.validation_loss_curve_[3:])) + 4
    assert best < 100
    again = configured(early_stopping=True, kl_warm_up=3, max_iter=best, learning_rate=0.3).fit(X)
    assert_allclose(model.transform(X), again.transform(X), rtol=1e-6)


def test_interrupted(monkeypatch):
    from skae._training.explicit import ExplicitStep

    calls, step = [], ExplicitStep.__call__

    def press(self, index):
        calls.append(index)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return step(self, index)

    monkeypatch.setattr(ExplicitStep, "__call__", press)
    with pytest.warns(UserWarning, match="interrupted"):
        model = configured(batch_size=20).fit(rows())
    assert len(model.kl_curve_) == len(model.loss_curve_) == 2
    assert_allclose(np.array(model.reconstruction_curve_) + model.kl_curve_, model.loss_curve_)


# Inside scikit-learn ---------------------------------------------------------------------------------------


def test_search_prefers_the_better_model(digits):
    vae = VAESampler(max_iter=100, tol=None, random_state=0)
    search = GridSearchCV(vae, {"n_components": [1, 16]}, cv=2).fit(digits)
    assert search.best_params_ == {"n_components": 16}


@pytest.fixture
def mixed():
    """Rows whose columns are of four kinds, and the likelihood that says so."""
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(300, 1))
    noisy = 1e3 - latent + 0.1 * rng.normal(size=(300, 1))
    positive = rng.exponential(np.exp(latent))
    X = np.hstack([noisy, latent > 0, rng.poisson(50 * np.exp(latent)), noisy, positive])
    return X, [("gaussian", [0, 3]), ("bernoulli", [1]), ("poisson", [2]), ("exponential", 4)]


def test_a_loaded_model_with_mixed_columns_is_the_same(mixed):
    X, likelihood = mixed
    model = VAESampler(2, likelihood=likelihood, max_iter=3, tol=None, random_state=0).fit(X)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same(loaded.transform(X), model.transform(X))
    assert_same(loaded.reconstruct(X), model.reconstruct(X))
    assert_same(loaded.score_samples(X), model.score_samples(X))
    assert_same(loaded.sample(20, random_state=0), model.sample(20, random_state=0))
    with torch.no_grad():
        mean, _ = loaded.encoder_(torch.tensor(X))
        assert_allclose(mean, model.transform(X), rtol=1e-6)
        assert_allclose(loaded.decoder_(mean), model.reconstruct(X), rtol=1e-6)


def test_training_goes_on_with_mixed_columns(mixed):
    X, likelihood = mixed
    settings = {"n_components": 2, "likelihood": likelihood, "learning_rate": 1e-3, "random_state": 0}
    settings["batch_size"] = 200
    whole, passes = VAESampler(max_iter=3, **settings).fit(X), VAESampler(**settings)
    for _ in range(3):
        passes.partial_fit(X)
    assert_same(passes.transform(X), whole.transform(X))
    codes = whole.transform(X)
    whole.set_params(warm_start=True, learning_rate=1e-13, max_iter=1).fit(X[:50])
    assert_allclose(whole.transform(X), codes, rtol=1e-6, atol=1e-9)
    with pytest.raises(ValueError, match="warm_start=False"):
        whole.set_params(likelihood="gaussian").fit(X)


def test_mixed_columns_live_a_whole_life():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(300, 1))
    X = np.hstack(
        [1e3 + latent, latent > 0, rng.poisson(np.exp(latent)), -latent + 0.1 * rng.normal(size=(300, 1))]
    )
    likelihood = [("gaussian", [0, 3]), ("bernoulli", [1]), ("poisson", [2])]
    model = VAESampler(2, likelihood=likelihood, max_iter=20, tol=None, random_state=0).fit(X)
    assert clone(model).get_params()["likelihood"] == likelihood
    restored = model.reconstruct(X)
    assert ((restored[:, 1] > 0) & (restored[:, 1] < 1)).all()
    assert (restored[:, 2] > 0).all()
    sample = model.sample(100, random_state=0)
    assert set(sample[:, 1]) == {0, 1}
    assert np.array_equal(sample[:, 2], sample[:, 2].round())
    assert np.isfinite(model.score_samples(X)).all()
    assert model.n_parameters_ == sum(p.numel() for n in (model.encoder_, model.decoder_) for p in n.parameters())


@pytest.mark.parametrize("random_state", [2, 3])
def test_one_row_far_beyond_the_others_does_not_choose_the_epoch(random_state):
    """With these seeds, the only rows with ink in some corner would be held out, thousands of nats off."""
    X = load_digits().data
    train, test = train_test_split(X, test_size=500, random_state=0)
    scaler = StandardScaler().fit(train)
    model = VAESampler(8, random_state=random_state).fit(scaler.transform(train))
    assert np.argmin(model.validation_loss_curve_) > 50
    assert np.median(model.score_samples(scaler.transform(test))) > -45


@pytest.mark.parametrize("change", [{"likelihood": "student_t"}, {"decoder_variance": "conditional"}])
def test_going_on_with_another_likelihood_is_refused_by_its_name(change):
    model = VAESampler(2, hidden_layer_sizes=(8,), max_iter=4, random_state=0).fit(rows())
    with pytest.raises(ValueError, match=f"continue the fitted networks.*{next(iter(change))}.*set it back"):
        model.set_params(**change).partial_fit(rows())
