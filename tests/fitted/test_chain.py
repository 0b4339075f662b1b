"""The denoising autoencoder's Markov chain: it mixes, it draws what the data are like, and it is what it says."""

import numpy as np
import pytest
import torch
from estimators import assert_same, assert_same_model, configured, rows
from numpy.testing import assert_allclose
from scipy import sparse, stats
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import DenoisingAutoencoder

EDGES = np.linspace(-4, 4, 21)


def denoiser(**parameters):
    return configured(DenoisingAutoencoder, **parameters)


def ring(n_samples, seed=0):
    """Rows around a circle: its radius is normal, of mean 2 and standard deviation 0.25."""
    rng = np.random.default_rng(seed)
    radius, angle = rng.normal(2, 0.25, n_samples), rng.uniform(0, 2 * np.pi, n_samples)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def density_of_ring(x):
    radius = np.linalg.norm(x, axis=-1)
    return stats.norm(2, 0.25).pdf(radius) / (2 * np.pi * radius)


def of_ring(**parameters):
    settings = {"hidden_layer_sizes": (64,), "activation": "silu", "batch_size": 50}
    settings |= {"max_iter": 60, "learning_rate": 1e-3, "early_stopping": False, "random_state": 0}
    return DenoisingAutoencoder(16, **{**settings, **parameters}).fit(ring(2000))


@pytest.fixture(scope="module")
def model():
    return of_ring(noise_level=0.2)


def histogram(X):
    return np.histogram2d(*X.T, bins=(EDGES, EDGES))[0] / len(X)


def total_variation(X):
    """How far a histogram is from the true density: 0 is none, 1 is nothing in common."""
    middles = np.linspace(-4, 4, 401)[:-1] + 0.01
    grid = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1)
    truth = density_of_ring(grid).reshape(20, 20, 20, 20).sum((1, 3)) * 0.02**2
    return np.abs(histogram(X) - truth).sum() / 2


# What the paper says ---------------------------------------------------------------------------------------


def test_its_rows_are_distributed_as_the_data_are(model):
    """Bengio et al. (2013): the chain's stationary distribution estimates the data's."""
    sample = model.sample(5000, random_state=0)
    assert total_variation(ring(5000, seed=1)) < 0.08, "what chance alone leaves"
    normal = np.random.default_rng(0).multivariate_normal(np.zeros(2), np.cov(ring(2000).T), size=5000)
    assert total_variation(normal) > 0.55
    assert total_variation(sample) < 0.22
    assert_allclose(sample.mean(0), 0, atol=0.25)
    assert_allclose(sample.std(0), ring(2000).std(0), rtol=0.1)
    radius = np.linalg.norm(sample, axis=1)
    assert_allclose(radius.mean(), 2, atol=0.12)
    assert_allclose(radius.std(), 0.25, atol=0.15)  # the chain's noise widens the ring


def test_it_mixes(model):
    """A chain forgets where it was: rows next to each other are alike, those far apart are not."""
    chains = model.sample(20 * 300, 0, burn_in=0, X_init=ring(20, seed=2)).reshape(300, 20, 2)
    centred = chains - chains.mean((0, 1))

    def correlation(lag):
        return (centred[: len(centred) - lag] * centred[lag:]).mean() / np.square(centred).mean()

    near, far, farther = correlation(1), correlation(20), correlation(100)
    assert near > 0.9
    assert near - 0.2 > far > farther + 0.2
    assert abs(farther) < 0.2
    sparser = model.sample(20 * 15, 0, n_steps=20, burn_in=0, X_init=ring(20, seed=2)).reshape(15, 20, 2)
    sparser = sparser - sparser.mean((0, 1))
    assert_allclose((sparser[:-1] * sparser[1:]).mean() / np.square(sparser).mean(), far, atol=0.25)
    # All chains come around: each one sees opposite quadrants.
    quadrants = (chains[..., 0] > 0) * 2 + (chains[..., 1] > 0)
    assert all(len(np.unique(quadrants[:, i])) >= 3 for i in range(20))


def test_it_comes_to_the_data_from_afar(model):
    start = np.random.default_rng(0).uniform(-8, 8, size=(500, 2))
    arrived = model.sample(500, 0, X_init=start, burn_in=20)
    assert np.mean(np.abs(np.linalg.norm(start, axis=1) - 2) < 0.75) < 0.15
    assert np.mean(np.abs(np.linalg.norm(arrived, axis=1) - 2) < 0.75) > 0.9


def test_digits_keep_their_pixels_means_spreads_and_correlations():
    """Long chains stay with the data where hidden units are bounded; otherwise for some dozen steps."""
    X = load_digits().data / 16
    settings = {"noise_level": 0.7, "max_iter": 60, "learning_rate": 3e-3, "tol": None, "random_state": 0}
    for activation, burn_in in (("tanh", 300), ("relu", 20)):
        model = DenoisingAutoencoder(32, activation=activation, **settings).fit(X)
        sample = model.sample(500, 0, burn_in=burn_in)
        assert_allclose(sample.mean(0), X.mean(0), atol=0.3)
        assert np.corrcoef(sample.std(0), X.std(0))[0, 1] > 0.95
        assert np.corrcoef(np.cov(sample.T).ravel(), np.cov(X.T).ravel())[0, 1] > 0.75
        assert 0.75 < sample.std(0).sum() / X.std(0).sum() < 1.1


def test_probabilities_draw_zeros_and_ones():
    X = (load_digits().data > 7).astype(float)
    model = DenoisingAutoencoder(
        32,
        loss="binary_cross_entropy",
        noise="salt_and_pepper",
        noise_level=0.4,
        learning_rate=3e-3,
        max_iter=40,
        tol=None,
        random_state=0,
    ).fit(X)
    sample = model.sample(1000, random_state=0)
    assert set(np.unique(sample)) == {0.0, 1.0}
    assert_allclose(sample.mean(0), X.mean(0), atol=0.2)
    assert np.corrcoef(np.cov(sample.T).ravel(), np.cov(X.T).ravel())[0, 1] > 0.9


# What a call means -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy"])
def test_sample(loss):
    X = rows()
    if loss == "binary_cross_entropy":
        X = (X > 0).astype(float)
    model = denoiser(loss=loss).fit(X)
    state = torch.get_rng_state()
    sample = model.sample(7, random_state=1)
    assert sample.shape == (7, 5)
    assert type(sample) is np.ndarray
    assert_same(model.sample(np.int64(7), 1), sample)
    assert_same(*(model.sample(7, np.random.RandomState(3)) for _ in range(2)))
    assert not np.allclose(model.sample(7, random_state=2), sample)
    assert not np.allclose(model.sample(7), model.sample(7))
    assert model.sample().shape == (1, 5)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same_model(model, denoiser(loss=loss).fit(X))


def test_sample_keeps_dtype_namespace_and_global_generators():
    X = rows()
    state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    for start in (None, X[:3]):
        assert denoiser().fit(X.astype(np.float32)).sample(3, X_init=start).dtype == np.float32
    assert type(denoiser().fit(sparse.csr_array(X)).sample(3)) is np.ndarray
    with config_context(array_api_dispatch=True):
        sample = denoiser().fit(torch.tensor(X)).sample(3, X_init=torch.tensor(X[:2]))
    assert type(sample) is torch.Tensor
    assert not sample.is_inference()
    assert torch.equal(torch.get_rng_state(), state[0])
    np.testing.assert_equal(np.random.get_state(), state[1])  # noqa: NPY002


def identity():
    module = torch.nn.Linear(5, 5).double()
    with torch.no_grad():
        module.weight.copy_(torch.eye(5))
        module.bias.zero_()
    return module


def still(**parameters):
    """A model whose chain shows its steps: its noise adds 1, it restores by the identity, and stays as it is."""
    settings = {"noise": lambda X, generator: X + 1, "encoder": identity(), "decoder": identity(), "max_iter": 1}
    model = denoiser(n_components=5, learning_rate=1e-300, **{**settings, **parameters}).fit(rows())
    model.residual_variance_ = np.zeros(5)
    return model


@pytest.mark.parametrize("n_bytes", [1, 100, 1 << 22])
def test_steps_burn_in_and_chains_are_counted_as_told(monkeypatch, n_bytes):
    monkeypatch.setattr("skae._data.chunks.CHUNK_BYTES", n_bytes)
    start, model = rows()[:4], still()
    sample = model.sample(10, 0, n_steps=3, burn_in=5, X_init=start)
    steps = 5 + 3 * (1 + np.arange(10) // 4)
    assert_allclose(sample, start[np.arange(10) % 4] + steps[:, None])
    assert_allclose(model.sample(2, 0, n_steps=3, burn_in=0, X_init=sparse.csr_array(start)), start[:2] + 3)
    assert model.sample(3, 0, burn_in=50).min() > 40


def test_chains_start_from_the_columns_means_deviations_and_ranges():
    X = np.random.default_rng(0).exponential(size=(400, 5)) * [1, 2, 3, 4, 5] + 7
    model = still().set_params(max_iter=1).fit(X)
    model.residual_variance_ = np.zeros(5)
    start = model.sample(4000, 0, n_steps=1, burn_in=0) - 1
    assert (start >= X.min(0) - 1e-9).all()
    assert (start <= X.max(0) + 1e-9).all()
    assert_allclose(start.mean(0), X.mean(0), rtol=0.15)
    assert_allclose(start.std(0), X.std(0), rtol=0.4)
    assert np.abs(np.corrcoef(start.T) - np.eye(5)).max() < 0.06


def test_the_noise_is_that_of_the_fit():
    model = denoiser(noise_level=0.5).fit(rows())
    sample = model.sample(5, 0)
    model.set_params(noise="masking", noise_level=0.9, loss="binary_cross_entropy")
    assert_same(model.sample(5, 0), sample)


def test_sample_through_a_pipeline():
    X = 100 + 7 * rows(300)
    pipe = make_pipeline(StandardScaler(), denoiser(max_iter=60, n_components=5)).fit(X)
    sample = pipe[:-1].inverse_transform(pipe[-1].sample(500, random_state=0))
    assert_allclose(sample.mean(0), X.mean(0), atol=0.5 * X.std(0).max())


@pytest.mark.parametrize("value", [0, -1, True, 2.5, "3", None])
@pytest.mark.parametrize("name", ["n_samples", "n_steps", "burn_in"])
def test_numbers_that_are_none(name, value):
    model = denoiser().fit(rows())
    if (name, value) == ("burn_in", 0) and value is not False:
        assert model.sample(2, burn_in=0).shape == (2, 5)
        return
    with pytest.raises((ValueError, TypeError), match=rf"{name}=.*integer of at least"):
        model.sample(**{"n_samples": 3, name: value})


@pytest.mark.parametrize("start", [np.zeros((2, 3)), np.full((2, 5), np.nan), np.zeros(5)])
def test_starts_that_are_none(start):
    with pytest.raises(ValueError, match=r"features|NaN|2D"):
        denoiser().fit(rows()).sample(2, X_init=start)


def test_pairs_have_no_noise_to_draw():
    X = rows()
    model = denoiser().fit(X, X_clean=2 * X)
    with pytest.raises(ValueError, match=r"fitted with X_clean.*Fit it to clean rows"):
        model.sample()
    assert model.fit(X).sample().shape == (1, 5)
    with pytest.raises(ValueError, match="X_clean"):
        model.fit(X, X_clean=X).sample()
    with pytest.raises(NotFittedError):
        denoiser().sample()


# What is measured for it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "binary_cross_entropy", lambda o, t: (o - t).square().mean(1)])
def test_residual_variance_is_that_of_rows_restored_from_noise(loss):
    X = np.random.default_rng(0).uniform(size=(90, 5))
    model = denoiser(noise=lambda X, generator: X + 0.25, loss=loss).fit(X)
    assert_allclose(model.residual_variance_, np.square(model.denoise(X + 0.25) - X).mean(0), rtol=1e-6)
    paired = denoiser(loss=loss).fit(X, X_clean=X[::-1])
    assert_allclose(paired.residual_variance_, np.square(paired.denoise(X) - X[::-1]).mean(0), rtol=1e-6)


def test_residual_variance_is_of_at_most_ten_thousand_rows(monkeypatch):
    monkeypatch.setattr("skae._fitted.chain.MOST_ROWS", 20)
    X = rows(70)
    model = denoiser(noise_level=0.0).fit(X)
    assert_allclose(model.residual_variance_, np.square(model.denoise(X) - X)[::4].mean(0), rtol=1e-6)


def test_measuring_disturbs_no_draws():
    """A callback that looks at the model after each epoch changes nothing."""

    class Looker:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **_):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None, **_):
            fitted_estimator.sample(2)

    X = rows()
    watched = denoiser().set_callbacks(Looker()).fit(X)
    assert_same_model(watched, denoiser().fit(X))


def test_a_refit_with_pairs_forgets_the_noises_statistics():
    X = rows()
    model = denoiser(noise="salt_and_pepper").fit(X)
    assert model._column_statistics is not None
    model.fit(X, X_clean=X)
    assert model._column_statistics is None
    model.set_params(warm_start=True).fit(2 * X)
    assert_allclose(model._column_statistics[2], 2 * X.max(0), err_msg="of the first rows that get noise")


def test_a_pass_over_pairs_leaves_them():
    X = rows()
    model = denoiser(noise="salt_and_pepper").partial_fit(X).partial_fit(X, X_clean=X)
    assert_allclose(model._column_statistics[2], X.max(0))
    assert_allclose(model.partial_fit(2 * X)._column_statistics[2], 2 * X.max(0))
