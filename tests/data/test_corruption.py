"""Each noise's law, in the data's space, whatever the networks work on."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats

from skae import DenoisingAutoencoder
from skae._training.fitting import prepare
from skae._training.setup import Mode

N = 20_000
SCALES = np.array([0.0, 1.0, 10.0, 1e-3])  # the first column is constant
LEVELS = {"gaussian": 0.7, "isotropic": 0.7, "white": 0.7, "masking": 0.3, "salt_and_pepper": 0.3}
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # centring and its undoing round

# Networks work on centred rows, or, with an output activation, on rows as they are.
centred = pytest.mark.parametrize("output_activation", ["identity", "elu"], ids=["centred", "uncentred"])


def rows(n_samples=N):
    """Skewed rows far from zero, of very different scales."""
    return 5 + SCALES * np.random.default_rng(0).exponential(size=(n_samples, len(SCALES)))


def started(noise, level=None, X=None, **parameters):
    """A fit that is ready for its first batch."""
    level = LEVELS.get(noise, 0.3) if level is None else level
    parameters = {"dtype": "float64", "random_state": 0, "clean_fraction": 0.0, **parameters}
    model = DenoisingAutoencoder(noise=noise, noise_level=level, **parameters)
    return prepare(model, rows() if X is None else X, Mode.FRESH)


def corrupted(fit, X):
    """X with noise, in the data's space, as the networks of a fit would see it in one batch."""
    offset, unit = 0 if fit.setup.data.offset is None else fit.setup.data.offset, fit.setup.data.unit
    noisy = unit * fit.objective.corruption((torch.from_numpy(X) - offset) / unit) + offset
    return noisy.numpy()


# Laws ------------------------------------------------------------------------------------------------------


@centred
@pytest.mark.parametrize("level", [0.1, 1.5])
def test_gaussian_noise_is_in_units_of_each_features_deviation(level, output_activation):
    X = rows()
    noise = corrupted(started("gaussian", level, output_activation=output_activation), X) - X
    assert_allclose(noise.std(0), level * X.std(0), rtol=0.02, atol=1e-12)
    assert_allclose(noise.mean(0), 0, atol=4 * level * SCALES.max() / np.sqrt(N))
    assert_allclose(noise[:, 0], 0, atol=1e-12)
    for column in noise.T[1:]:
        assert stats.kstest(column / column.std(), "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(noise[:, 1:].T, X[:, 1:].T) - np.eye(6)).max() < 0.04, "independent of all else"


@centred
def test_isotropic_noise_is_as_strong_in_every_feature(output_activation):
    X = rows()
    noise = corrupted(started("isotropic", 0.5, output_activation=output_activation), X) - X
    assert_allclose(noise.std(0), 0.5 * np.sqrt(X.var(0).mean()), rtol=0.02)
    assert_allclose(noise.mean(0), 0, atol=0.1)


@centred
@pytest.mark.parametrize("level", [0.01, 20.0])
def test_the_level_of_white_noise_is_in_units_of_the_rows(level, output_activation):
    X = rows()
    noise = corrupted(started("white", level, output_activation=output_activation), X) - X
    assert_allclose(noise.std(0), level, rtol=0.02)
    assert_allclose(noise.mean(0), 0, atol=0.03 * level)


@centred
@pytest.mark.parametrize("level", [0.1, 0.6])
def test_masking_sets_a_fraction_to_the_datas_zero_and_leaves_the_rest(level, output_activation):
    X = rows()
    noisy = corrupted(started("masking", level, output_activation=output_activation), X)
    masked = np.abs(noisy) < 1e-9  # X itself is at least 5
    assert_allclose(masked.mean(0), level, atol=4 * np.sqrt(level * (1 - level) / N))
    assert_allclose(noisy[~masked], X[~masked], **EXACT)
    assert_allclose(noisy[masked], 0, atol=1e-12)
    assert np.abs(np.corrcoef(masked.T) - np.eye(4)).max() < 0.04, "each entry for itself"


@centred
@pytest.mark.parametrize("level", [0.2, 0.9])
def test_salt_and_pepper_are_each_features_own_extremes(level, output_activation):
    X = rows()
    noisy = corrupted(started("salt_and_pepper", level, output_activation=output_activation), X)
    changed = np.abs(noisy - X)[:, 1:] > 1e-12
    assert_allclose(changed.mean(0), level, atol=4 * np.sqrt(level * (1 - level) / N))
    for before, after, change in zip(X.T[1:], noisy.T[1:], changed.T, strict=True):
        pepper = np.isclose(after[change], before.min(), rtol=1e-12)
        salt = np.isclose(after[change], before.max(), rtol=1e-12)
        assert (pepper ^ salt).all()
        assert abs(salt.mean() - 0.5) < 4 * 0.5 / np.sqrt(change.sum())
        assert_allclose(after[~change], before[~change], **EXACT)
    assert_allclose(noisy[:, 0], X[:, 0], **EXACT)


@pytest.mark.parametrize("noise", LEVELS)
def test_level_zero_is_no_noise(noise):
    X = rows(50)
    assert_allclose(corrupted(started(noise, 0.0, X), X), X, **EXACT)


@pytest.mark.parametrize(("noise", "expected"), [("masking", {0}), ("salt_and_pepper", {-1, 2})])
def test_level_one_changes_every_entry(noise, expected):
    X = np.random.default_rng(0).uniform(-1, 2, size=(200, 3))
    X[0], X[1] = -1, 2
    assert set(corrupted(started(noise, 1.0, X), X).round(9).ravel()) == expected


@pytest.mark.parametrize("noise", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_get_the_noise_of_dense_ones(noise, dtype):
    X = np.random.default_rng(0).poisson(0.7, size=(300, 4)).astype(dtype)
    dense, csr = (started(noise, None, rows_, dtype=np.dtype(dtype).name) for rows_ in (X, sparse.csr_array(X)))
    offset = dense.setup.data.offset.to(csr.setup.dtype)
    batch = (torch.from_numpy(X) - offset) / dense.setup.data.unit
    assert_allclose(
        csr.objective.corruption(batch) + offset, dense.objective.corruption(batch) + offset, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("noise", LEVELS)
def test_a_column_far_from_zero_gets_its_noise_in_single_precision(noise):
    """1e9 + N(0, 1): minimum, maximum and deviation must come from the data's own precision."""
    X = np.random.default_rng(0).normal(size=(2000, 2)) + np.array([0, 1e9])
    fit = started(noise, 0.5, X, dtype="float32")
    unit = fit.setup.data.unit
    batch = torch.from_numpy(X - X.mean(0)).float()
    noisy = unit * fit.objective.corruption(batch / unit).double().numpy()
    if noise == "masking":
        assert set(noisy[noisy[:, 1] < -1e8, 1].round(-3)) == {-1e9}
        return
    change = noisy - batch.numpy()
    assert_allclose(change[:, 1].std(), change[:, 0].std(), rtol=0.1)
    assert np.abs(noisy).max() < 10


# When it is drawn ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", LEVELS)
def test_noise_is_drawn_anew_each_time(noise):
    X = rows(100)
    fit = started(noise, None, X)
    first, second = corrupted(fit, X), corrupted(fit, X)
    changed = np.abs(first - second)[:, 1:] > 1e-9
    assert changed.mean() > 0.3


@pytest.mark.parametrize("noise", [*LEVELS, lambda batch, generator: batch + torch.rand(1, generator=generator)])
@pytest.mark.parametrize("shape", [(100, 4), (7, 4)])
def test_noise_may_be_written_over_the_batch(noise, shape):
    X = rows(100)
    fit, other = started(noise, None, X), started(noise, None, X)
    batch = torch.from_numpy(X)[: shape[0]].clone()
    expected, kept = other.objective.corruption(batch), batch.clone()
    strided = torch.zeros(shape[0], shape[1] + 3, dtype=torch.float64)[:, :-3]
    other.objective.corruption.generator.set_state(fit.objective.corruption.generator.get_state())
    assert other.objective.corruption(batch, out=strided) is strided
    assert torch.equal(batch, kept)
    assert fit.objective.corruption(batch, out=batch) is batch
    assert torch.equal(batch, expected)
    assert torch.equal(strided, expected)


@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper"])
def test_mixed_precision_draws_fine_fractions(noise):
    """A fraction of 1/1000 is none of bfloat16's 256."""
    fit = started(noise, 0.001, np.ones((1, 500)) + rows(2)[:, :1], dtype="bfloat16")
    batch = torch.full((2000, 500), 0.5, dtype=torch.bfloat16)
    changed = (fit.objective.corruption(batch) != batch).double().mean()
    assert abs(changed - 0.001) < 0.0002


@pytest.mark.parametrize("noise", LEVELS)
def test_repeated_noise_repeats_and_leaves_the_stream_alone(noise):
    X = rows(100)
    fit, other = started(noise, None, X), started(noise, None, X)
    corrupted(fit, X)
    held_out = []
    for _ in range(2):
        with fit.objective.corruption.held_out():
            held_out.append(corrupted(fit, X))
    corrupted(other, X)
    assert_array_equal(held_out[0], held_out[1])
    assert_array_equal(corrupted(fit, X), corrupted(other, X))


@pytest.mark.parametrize("noise", LEVELS)
def test_the_seed_decides_the_noise(noise):
    X = rows(100)
    noisy = [corrupted(started(noise, None, X, random_state=seed), X) for seed in (0, 0, 1)]
    assert_array_equal(noisy[0], noisy[1])
    assert not np.allclose(noisy[0], noisy[2])


# Callables -------------------------------------------------------------------------------------------------


@centred
def test_a_callable_gets_rows_in_the_datas_space_and_a_generator(output_activation):
    X, given = rows(50), []

    def noise(batch, generator):
        given.append((batch.numpy().copy(), generator))
        return batch * 2

    fit = started(noise, None, X, output_activation=output_activation)
    assert_allclose(corrupted(fit, X), 2 * X, **EXACT)
    assert_allclose(given[0][0], X, **EXACT)
    assert type(given[0][1]) is torch.Generator
    assert given[0][1].device == fit.setup.device


def test_a_callable_draws_from_the_fits_own_generator():
    def noise(batch, generator):
        return batch + torch.empty_like(batch).normal_(generator=generator)

    X = rows(50)
    noisy = [corrupted(started(noise, None, X, random_state=seed), X) for seed in (0, 0, 1)]
    assert_array_equal(noisy[0], noisy[1])
    assert np.abs(noisy[0] - noisy[2]).mean() > 0.1


@pytest.mark.parametrize("loss", ["squared_error", lambda output, target: (output - target).square().mean(1)])
def test_a_callable_that_writes_into_its_batch_does_not_touch_the_targets(loss):
    def in_place(batch, generator):
        return batch.zero_()

    def out_of_place(batch, generator):
        return torch.zeros_like(batch)

    X = rows(50)[:, 1:]
    curves = [
        DenoisingAutoencoder(2, noise=noise, loss=loss, max_iter=3, tol=None, random_state=0).fit(X).loss_curve_
        for noise in (in_place, out_of_place)
    ]
    assert curves[0] == curves[1]
    assert curves[0][0] > 1


@pytest.mark.parametrize(
    "noise",
    [
        lambda batch, generator: batch[:-1],
        lambda batch, generator: batch.mean(1),
        lambda batch, generator: batch.sum(),
    ],
    ids=["a_row_short", "one_column", "scalar"],
)
def test_a_callable_that_changes_the_shape_is_told(noise):
    with pytest.raises(ValueError, match=r"noise=.*returned shape.*\(40, 4\).*keep the shape"):
        DenoisingAutoencoder(2, noise=noise, batch_size=40, max_iter=1, tol=None).fit(rows(40))


@pytest.mark.parametrize(("value", "kind"), [(None, "NoneType"), (np.zeros((40, 4)), "ndarray")])
def test_a_callable_that_returns_no_tensor_is_told(value, kind):
    with pytest.raises(TypeError, match=rf"noise=.*returned a {kind}.*must return one"):
        DenoisingAutoencoder(2, noise=lambda *_: value, batch_size=40, max_iter=1, tol=None).fit(rows(40))


@pytest.mark.parametrize("noise", ["speckle", None, 0.3])
def test_no_noise_by_that_name(noise):
    with pytest.raises(ValueError, match=r"'noise' parameter.*gaussian"):
        DenoisingAutoencoder(2, noise=noise).fit(rows(40))


def negated(batch, generator):
    return -batch


@pytest.mark.parametrize(
    ("noise", "auto"),
    [("gaussian", 0), ("isotropic", 0), ("white", 0), ("masking", 0.2), ("salt_and_pepper", 0.2), (negated, 0)],
)
@pytest.mark.parametrize("clean_fraction", ["auto", 0.4, 1.0])
def test_a_fraction_of_the_rows_stays_clean(noise, auto, clean_fraction):
    X = rows(5000)
    level = 0.9 if isinstance(noise, str) else 0.3
    noisy = corrupted(started(noise, level, X, clean_fraction=clean_fraction), X)
    whole = np.isclose(noisy, X, **EXACT).all(1)
    expected = auto if clean_fraction == "auto" else clean_fraction
    assert abs(whole.mean() - expected) < 0.02
    others = np.isclose(noisy, X, **EXACT)[~whole, 1:]
    assert others.size == 0 or others.mean() < 0.2, "the rest has noise"


def test_which_rows_stay_clean_is_drawn_anew():
    fit, X = started("masking", 0.9, clean_fraction=0.5), rows(200)
    one, other = ((corrupted(fit, X) == X).all(1) for _ in range(2))
    assert 20 < (one != other).sum() < 180


@pytest.mark.parametrize("clean_fraction", [-0.1, 1.1, None, "some"])
def test_clean_fractions_that_are_none(clean_fraction):
    with pytest.raises(ValueError, match="'clean_fraction' parameter"):
        DenoisingAutoencoder(2, clean_fraction=clean_fraction).fit(rows(40))


@pytest.mark.parametrize("noise_level", [-0.1, "0.3", None])
def test_levels_that_are_none(noise_level):
    with pytest.raises(ValueError, match="'noise_level' parameter"):
        DenoisingAutoencoder(2, noise_level=noise_level).fit(rows(40))


@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper"])
def test_a_fraction_above_one_is_refused(noise):
    with pytest.raises(ValueError, match=r"noise_level=1\.5.*fraction"):
        DenoisingAutoencoder(2, noise=noise, noise_level=1.5, max_iter=1, tol=None).fit(rows(40))
    DenoisingAutoencoder(2, noise="gaussian", noise_level=1.5, max_iter=1, tol=None).fit(rows(40))
