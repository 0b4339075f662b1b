"""The denoising autoencoder: noise in fit only, clean targets, real pairs, and what the papers say of it."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import assert_same, assert_same_model, configured, rows
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, DenoisingAutoencoder, StackedAutoencoder

NOISES = ["gaussian", "isotropic", "white", "masking", "salt_and_pepper"]
STILL = {"learning_rate": 1e-14, "max_iter": 4}  # the solver stands still: the curves show the noise alone


def denoiser(**parameters):
    return configured(DenoisingAutoencoder, **parameters)


def pairs(n_samples=60):
    """Noisy rows with other means and scales, and their clean versions."""
    clean = rows(n_samples)
    noise = np.random.default_rng(1).normal(size=clean.shape)
    return 3 * clean + 10 + 0.3 * noise, clean


# Noise in fit only -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", NOISES)
def test_using_a_model_adds_no_noise_and_changes_no_byte(noise):
    X = rows()
    model = denoiser(noise=noise, noise_level=0.9).fit(X)
    before, codes = pickle.dumps(model), model.transform(X)
    for method in ("transform", "reconstruct", "denoise", "reconstruction_error", "score_samples", "score"):
        assert_same(getattr(model, method)(X), getattr(model, method)(X))
    assert_same(model.inverse_transform(codes), model.inverse_transform(codes))
    assert pickle.dumps(model) == before


def test_denoise_is_reconstruct():
    X = rows()
    model = denoiser().fit(X)
    assert_same(model.denoise(X), model.reconstruct(X))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("batch_size", ["auto", 20])
def test_each_epoch_has_noise_of_its_own(noise, batch_size):
    curves = [
        denoiser(noise=noise, noise_level=level, batch_size=batch_size, **STILL).fit(rows()).loss_curve_
        for level in (0.5, 0.0)
    ]
    assert len(set(curves[0])) == 4
    assert_allclose(curves[1], curves[1][0], rtol=1e-9)


def test_each_batch_has_noise_of_its_own():
    draws = []

    def noise(batch, generator):
        draws.append(torch.empty_like(batch).normal_(generator=generator).numpy())
        return batch

    denoiser(noise=noise, batch_size=20, max_iter=3).fit(rows())
    assert len(draws) == 10, "the last is for the variance of what is restored"
    assert len({draw.tobytes() for draw in draws}) == 10


@pytest.mark.parametrize("loss", ["squared_error", lambda output, target: (output - target).square().mean(1)])
def test_the_loss_is_against_the_clean_rows(loss):
    """All that goes in is erased: what is left is the distance from one reconstruction to all rows."""
    X = rows()
    model = denoiser(noise=lambda batch, generator: 0 * batch, loss=loss, **STILL).fit(X)
    expected = np.square(model.reconstruct(np.zeros((1, 5))) - X).mean()
    assert_allclose(model.loss_, expected, rtol=1e-9)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("loss", ["squared_error", lambda output, target: (output - target).square().mean(1)])
def test_rows_held_out_get_the_same_noise_after_every_epoch(noise, loss):
    parameters = {"noise": noise, "noise_level": 0.5, "loss": loss, "early_stopping": True, **STILL}
    model = denoiser(**parameters).fit(rows(200))
    assert_allclose(model.validation_loss_curve_, model.validation_loss_curve_[0], rtol=1e-9)
    assert len(set(model.loss_curve_)) == 4
    clean = denoiser(**{**parameters, "noise_level": 0.0}).fit(rows(200))
    assert abs(model.validation_loss_curve_[0] / clean.validation_loss_curve_[0] - 1) > 1e-3, "noise there is"


@pytest.mark.parametrize("cls", [DenoisingAutoencoder, StackedAutoencoder])
@pytest.mark.parametrize("noise", ["masking", "salt_and_pepper"])
@pytest.mark.parametrize("level", [0.5, 0.75])
def test_whole_rows_are_reconstructed_as_well_as_corrupted_ones(digits, cls, noise, level):
    """Features that make up for missing ones must not do so twice: R^2 of whole rows was negative."""
    train, test = np.split(StandardScaler().fit_transform(digits), [1200])
    settings = {"noise": noise, "noise_level": level, "max_iter": 30, "tol": None, "random_state": 0}
    model = cls(32, learning_rate=3e-3, **settings)
    model.set_params(**{"pretrain_max_iter": 5} if cls is StackedAutoencoder else {}).fit(train)
    rng = np.random.default_rng(1)
    changed, extreme = (
        rng.random(test.shape) < level,
        np.where(rng.random(test.shape) < 0.5, train.min(0), train.max(0)),
    )
    corrupted = np.where(changed, 0 if noise == "masking" else extreme, test)
    of_corrupted = r2_score(test, model.reconstruct(corrupted), multioutput="variance_weighted")
    assert model.score(test) > of_corrupted + 0.1
    assert of_corrupted > (0.25 if noise == "masking" else -0.1)


def test_weights_of_rows_are_not_taken():
    with pytest.raises(TypeError, match="sample_weight"):
        denoiser().fit(rows(), sample_weight=np.ones(60))


# Real pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_pairs_teach_the_way_from_noisy_to_clean(early_stopping):
    X, clean = pairs(400)
    settings = {"max_iter": 300, "learning_rate": 0.01, "early_stopping": early_stopping}
    model = denoiser(**settings).fit(X[:300], X_clean=clean[:300])
    restored = model.denoise(X[300:])
    assert np.square(restored - clean[300:]).mean() < 0.05
    assert np.square(model.denoise(X[300:]) - X[300:]).mean() > 50, "not the noisy rows"
    # Noise is a third of a third of the rows': restoring it beats undoing the scale alone.
    assert np.square(restored - clean[300:]).mean() < 2 * np.square((X - 10) / 3 - clean)[300:].mean()


def test_pairs_get_no_noise():
    X, clean = pairs()

    def forbidden(batch, generator):
        raise AssertionError("pairs need no noise")

    models = [denoiser(noise=noise).fit(X, X_clean=clean) for noise in (*NOISES, forbidden)]
    for model in models[1:]:
        assert_same_model(model, models[0])
    still = denoiser(**STILL).fit(X, X_clean=clean)
    assert_allclose(still.loss_curve_, np.square(still.reconstruct(X) - clean).mean(), rtol=1e-9)


def test_a_pair_of_equals_is_a_plain_fit():
    X = rows()
    paired = denoiser().fit(X, X_clean=X)
    plain = configured(AutoencoderTransformer, init="glorot").fit(X)
    assert_same(paired.transform(X), plain.transform(X))


PAIRS = {
    "csr": (sparse.csr_array, sparse.csr_array),
    "coo": (sparse.coo_array, sparse.csc_array),
    "noisy_sparse": (sparse.csr_array, np.asarray),
    "clean_sparse": (np.asarray, sparse.csr_array),
    "lists": (np.ndarray.tolist, np.ndarray.tolist),
    "frames": (lambda X: pd.DataFrame(X, columns=list("abcde")), lambda X: pd.DataFrame(X, columns=list("vwxyz"))),
    "fortran": (np.asfortranarray, np.asfortranarray),
    "integers": (lambda X: X.astype(int), lambda X: X.astype(np.uint8)),
}


def counting(x, generator):
    """Noise that a pickled model finds again."""
    return counting.noise(x, generator)


def clone_by_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_pairs_of_any_kind(kind, method):
    rng = np.random.default_rng(0)
    clean = rng.poisson(0.7, size=(60, 5)).astype(float)
    X = clean + rng.poisson(0.2, size=clean.shape)
    expected = getattr(denoiser(), method)(X, X_clean=clean)
    of_noisy, of_clean = PAIRS[kind]
    model = getattr(denoiser(), method)(of_noisy(X), X_clean=of_clean(clean))
    assert_allclose(model.denoise(of_noisy(X)), expected.denoise(X), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32)])
def test_pairs_of_two_precisions(dtypes):
    X, clean = pairs()
    model = denoiser().fit(X.astype(dtypes[0]), X_clean=clean.astype(dtypes[1]))
    assert_allclose(model.loss_curve_, denoiser().fit(X, X_clean=clean).loss_curve_, rtol=1e-4)
    assert model.denoise(X.astype(dtypes[0])).dtype == dtypes[0]


@pytest.mark.parametrize("cut", [lambda X: X[:-1], lambda X: X[:, :-1], lambda X: sparse.csr_array(X[:-1])])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_pairs_of_other_shapes_are_refused(cut, method):
    X, clean = pairs()
    model = denoiser()
    with pytest.raises(ValueError, match=r"X_clean has shape \(.*X has shape \(60, 5\)"):
        getattr(model, method)(X, X_clean=cut(clean))
    assert not hasattr(model, "encoder_")


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_columns_of_clean_rows_in_another_order_are_refused(method, make):
    X, clean = (make(dict(zip("abcde", values.T, strict=True))) for values in pairs())
    model = denoiser().fit(X, X_clean=clean)
    with pytest.raises(ValueError, match=r"in the order of X: 'c' is column 0 there, but column 2 of X"):
        getattr(model, method)(X, X_clean=clean[list("cabde")])
    getattr(model, method)(X, X_clean=clean)
    with pytest.raises(ValueError, match=r"X_clean has shape \(60, 4\)"):
        getattr(model, method)(X, X_clean=clean[list("abcd")])


@pytest.mark.parametrize("through", [lambda model: model, clone_by_pickle], ids=["kept", "pickled"])
def test_portions_with_and_without_clean_rows_take_turns(through):
    """Noise is added to clean rows alone, whatever the portions before had."""
    X, clean = pairs()
    calls = []

    def noise(x, generator):
        calls.append(len(x))
        return x + 1

    counting.noise = noise
    model = denoiser(noise=counting, clean_fraction=0)
    for paired in (True, False, True, False):
        calls.clear()
        model = through(model).partial_fit(X, X_clean=clean if paired else None)
        assert bool(calls) != paired
        if paired:
            with pytest.raises(ValueError, match="fitted with X_clean"):
                model.sample(2)
        else:
            assert model.sample(2, random_state=0).shape == (2, 5)


def test_clean_rows_are_checked_under_their_name():
    X, clean = pairs()
    clean[3, 1] = np.nan
    with pytest.raises(ValueError, match="Input X_clean contains NaN"):
        denoiser().fit(X, X_clean=clean)


def test_cross_entropy_asks_its_range_of_the_clean_rows():
    X = np.random.default_rng(0).normal(size=(60, 5))
    clean = (X > 0).astype(float)
    model = denoiser(loss="binary_cross_entropy", max_iter=200, learning_rate=0.01).fit(X, X_clean=clean)
    assert ((model.denoise(X) > 0.5) == clean).mean() > 0.8
    with pytest.raises(ValueError, match=r"binary_cross_entropy.*\[0, 1\].*minimum"):
        denoiser(loss="binary_cross_entropy").fit(clean, X_clean=X)


def test_pairs_through_a_pipeline():
    X, clean = pairs()
    with config_context(enable_metadata_routing=True):
        step = denoiser().set_fit_request(X_clean=True)
        pipeline = make_pipeline(StandardScaler(), step).fit(X, X_clean=clean)
        expected = denoiser().fit(StandardScaler().fit_transform(X), X_clean=clean)
        assert_same_model(pipeline[-1], expected)
        restored = pipeline[-1].denoise(pipeline[:-1].transform(X))
        assert np.square(restored - clean).mean() < np.square(restored - X).mean()


def test_pairs_through_a_pipeline_that_scales_both():
    X, clean = pairs()
    with config_context(enable_metadata_routing=True):
        steps = [("scale", StandardScaler()), ("denoise", denoiser().set_fit_request(X_clean=True))]
        pipeline = Pipeline(steps, transform_input=["X_clean"]).fit(X, X_clean=clean)
        scaler = StandardScaler().fit(X)
        expected = denoiser().fit(scaler.transform(X), X_clean=scaler.transform(clean))
        assert_same_model(pipeline[-1], expected)


def test_pairs_through_a_search():
    """The search cuts the clean rows as it cuts the noisy ones, for `fit` and for `score`."""
    X, clean = pairs()
    with config_context(enable_metadata_routing=True):
        model = denoiser().set_fit_request(X_clean=True).set_score_request(X_clean=True)
        search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2).fit(X, X_clean=clean)
        expected = denoiser(n_components=1).fit(X[30:], X_clean=clean[30:]).score(X[:30], X_clean=clean[:30])
        assert search.cv_results_["split0_test_score"][0] == expected
        model.set_score_request(X_clean=False)
        search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2).fit(X, X_clean=clean)
        expected = denoiser(n_components=1).fit(X[30:], X_clean=clean[30:]).score(X[:30])
        assert search.cv_results_["split0_test_score"][0] == expected


def test_pairs_not_asked_for_are_not_routed():
    X, clean = pairs()
    with config_context(enable_metadata_routing=True), pytest.raises(ValueError, match="X_clean"):
        make_pipeline(StandardScaler(), denoiser()).fit(X, X_clean=clean)


# What the papers say ---------------------------------------------------------------------------------------


def psnr(restored, clean):
    """Decibels, up to the peak, which is the same for all that are compared."""
    return -10 * np.log10(np.square(restored - clean).mean())


@pytest.fixture(scope="module")
def noisy_digits(digits):
    """Digits whose every pixel gets normal noise of its own deviation: train, test, noisy train, noisy test."""
    noise = np.random.default_rng(0).normal(size=digits.shape) * digits.std(0)
    return digits[:1200], digits[1200:], (digits + noise)[:1200], (digits + noise)[1200:]


def best_pca(train, test, noisy):
    basis = PCA().fit(train)
    scores = basis.transform(noisy)
    projections = (scores[:, :k] @ basis.components_[:k] + basis.mean_ for k in range(1, 61))
    return max(psnr(restored, test) for restored in projections)


def best_ridge(train, test, noisy, n_copies=10):
    """A linear map trained on many noisy copies, at its best strength on the test rows."""
    rng = np.random.default_rng(1)
    copies = np.vstack([train + rng.normal(size=train.shape) * train.std(0) for _ in range(n_copies)])
    targets = np.vstack([train] * n_copies)
    return max(psnr(Ridge(alpha=a).fit(copies, targets).predict(noisy), test) for a in (1, 100, 1000, 10_000))


@pytest.fixture(scope="module")
def best_linear(noisy_digits):
    """What projections and linear maps restore of the digits, at their best on the test rows."""
    train, test, _, noisy = noisy_digits
    return best_pca(train, test, noisy), best_ridge(train, test, noisy)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_it_restores_digits_better_than_any_linear_map(noisy_digits, best_linear, early_stopping):
    """Vincent et al. (2008): what it learns is more than directions to keep."""
    train, test, _, noisy = noisy_digits
    model = DenoisingAutoencoder(
        64,
        hidden_layer_sizes=(256,),
        noise_level=1.0,
        learning_rate=1e-3,
        batch_size=50,
        max_iter=60,
        early_stopping=early_stopping,
        dtype="float32",
        random_state=0,
    ).fit(train)
    ours, (pca, ridge) = psnr(model.denoise(noisy), test), best_linear
    assert ours > pca + 0.5
    assert ours > ridge + 0.1


def passed_on(model, X, noisy):
    """The share of the noise that gets through."""
    return np.square(model.reconstruct(noisy) - model.reconstruct(X)).sum() / np.square(noisy - X).sum()


@pytest.mark.filterwarnings("ignore:n_components=256 is more than the 64 columns")
@pytest.mark.parametrize(("noise", "share"), [("gaussian", 0.6), ("masking", 0.85), ("salt_and_pepper", 0.6)])
def test_overcomplete_codes_do_not_learn_the_identity(noisy_digits, noise, share):
    """With four codes to a feature, a plain autoencoder hands noise on; a denoising one does not."""
    train, test, _, noisy = noisy_digits
    settings = {"hidden_layer_sizes": (), "code_activation": "relu", "max_iter": 60, "tol": None}
    settings |= {"batch_size": 50, "learning_rate": 2e-3, "dtype": "float32", "random_state": 0}
    plain = AutoencoderTransformer(256, **settings).fit(train)
    denoising = DenoisingAutoencoder(256, noise=noise, noise_level=0.5, **settings).fit(train)
    assert plain.transform(test).shape == (597, 256)
    assert passed_on(plain, test, noisy) > 0.6
    assert passed_on(denoising, test, noisy) < share * passed_on(plain, test, noisy)
    assert denoising.score(test) > 0.4


def test_the_codes_of_pairs_and_of_drawn_noise_agree_on_what_to_keep(noisy_digits):
    """Noise drawn once, as pairs, restores too, but less well than noise drawn anew: pairs are fewer."""
    train, test, noisy_train, noisy = noisy_digits
    settings = {"max_iter": 40, "tol": None, "batch_size": 50, "dtype": "float32", "random_state": 0}
    pairs_ = DenoisingAutoencoder(32, **settings).fit(noisy_train, X_clean=train)
    drawn = DenoisingAutoencoder(32, noise_level=1.0, **settings).fit(train)
    assert psnr(noisy, test) + 1 < psnr(pairs_.denoise(noisy), test) < psnr(drawn.denoise(noisy), test)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_clean_rows_given_as_y_are_told_of(method):
    X, clean = pairs()
    call = getattr(denoiser().fit(X, X_clean=clean), method)
    message = rf"y has the shape of X, \(60, 5\), and is ignored.*call {method}\(X, X_clean=y\)"
    with pytest.warns(UserWarning, match=message):
        call(X, clean)
    call(X, clean, X_clean=clean)  # warnings are errors
    call(X, clean[:, 0])


@pytest.mark.filterwarnings("ignore:Without effect with a callable noise")
@pytest.mark.parametrize("noise", [*NOISES, lambda x, generator: x])
def test_the_scale_of_the_noise_is_told_in_units_of_the_rows(noise):
    X = rows(300) * [1, 2, 3, 4, 5] + 7
    model = denoiser(noise=noise, noise_level=0.5).fit(X)
    if noise not in NOISES[:3]:
        assert model.noise_scale_ is None
        return
    every = {"gaussian": X.std(0), "isotropic": np.full(5, np.sqrt(X.var(0).mean())), "white": np.ones(5)}
    expected = every[noise]
    assert_allclose(model.noise_scale_, 0.5 * expected)
    assert model.fit(X, X_clean=X).noise_scale_ is None
    first, second = X[:100], X[100:]
    both = denoiser(noise=noise, noise_level=0.5).partial_fit(first).partial_fit(second)
    assert_allclose(both.noise_scale_, model.fit(X).noise_scale_)
    assert model.fit(X.astype(np.float32)).noise_scale_.dtype == np.float32


@pytest.mark.parametrize("noise", NOISES[:2])
def test_noise_that_was_meant_in_units_of_the_rows_is_told(noise, recwarn):
    X = 40 * rows(100)
    with pytest.warns(UserWarning, match=r"^noise_level=25 is noise of 25 times .*, set noise='white'; noise_sc"):
        denoiser(noise=noise, noise_level=25).fit(X)
    recwarn.clear()
    denoiser(noise=noise, noise_level=5).fit(X)
    denoiser(noise=noise, noise_level=25).fit(X, X_clean=X)
    denoiser(noise="white", noise_level=25).fit(X)
    assert not [str(told.message) for told in recwarn.list if "noise_level" in str(told.message)]


@pytest.mark.parametrize("settings", [{}, {"output_activation": "elu"}, {"missing_values": np.nan}])
def test_white_noise_is_isotropic_noise_in_units_of_the_rows(settings):
    X = rows(200) * [1, 2, 3, 4, 5] + 7
    white = denoiser(noise="white", noise_level=1.5, **settings).fit(X)
    level = 1.5 / np.sqrt(X.var(0).mean())
    isotropic = denoiser(noise="isotropic", noise_level=level, **settings).fit(X)
    assert_allclose(white.noise_scale_, isotropic.noise_scale_)
    assert_allclose(white.loss_curve_, isotropic.loss_curve_, rtol=1e-5)  # numbers are drawn in single precision
    assert_allclose(white.denoise(X), isotropic.denoise(X), rtol=1e-4, atol=1e-4)
    if not settings:
        drawn = (model.sample(20, burn_in=5, random_state=0) for model in (white, isotropic))
        assert_allclose(*drawn, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", [1000, 1 / 1024])
def test_white_noise_suits_rows_in_any_unit(unit):
    X = rows(200) + 3
    one, other = (denoiser(noise="white", noise_level=scale).fit(scale * X) for scale in (1, unit))
    for _ in range(2):
        assert_allclose(other.score(unit * X), one.score(X), atol=1e-6)
        assert_allclose(other.noise_scale_, unit * one.noise_scale_)
        one.partial_fit(X[:50])
        other.partial_fit(unit * X[:50])


# The score of restored rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("weighted", [False, True])
def test_restored_rows_are_scored_against_the_clean_ones(kind, weighted):
    rng = np.random.default_rng(0)
    clean = rng.poisson(0.7, size=(60, 5)).astype(float)
    X = 2 * clean + rng.poisson(0.2, size=clean.shape) + 1
    weight = np.arange(60.0) % 3 if weighted else None
    of_noisy, of_clean = PAIRS[kind]
    model = denoiser().fit(of_noisy(X), X_clean=of_clean(clean))
    score = model.score(of_noisy(X), sample_weight=weight, X_clean=of_clean(clean))
    restored = model.denoise(of_noisy(X))
    assert type(score) is float
    expected = r2_score(clean, restored, sample_weight=weight, multioutput="variance_weighted")
    assert_allclose(score, expected, rtol=1e-7)
    assert model.score(of_noisy(X), sample_weight=weight) < score - 1, "which is not that of the noisy rows"


def test_rows_are_their_own_clean_version_unless_told():
    X = rows()
    model = denoiser().fit(X)
    assert model.score(X, X_clean=X) == model.score(X)


def test_a_score_of_rows_too_many_for_a_chunk():
    X = np.random.default_rng(0).normal(size=(5000, 200))
    model = denoiser(max_iter=1).fit(X)
    expected = r2_score(X + 1, model.denoise(X), multioutput="variance_weighted")
    assert_allclose(model.score(X, X_clean=X + 1), expected, rtol=1e-9)


@pytest.mark.parametrize("marker", [np.nan, -1.0])
def test_missing_values_do_not_count_in_the_score_of_restored_rows(marker):
    X, clean = pairs()
    rng = np.random.default_rng(2)
    noisy, target = (np.where(rng.random(X.shape) < 0.2, np.nan, x) for x in (X, clean))
    given = [np.nan_to_num(x, nan=marker) for x in (noisy, target)]
    model = denoiser(missing_values=marker).fit(given[0], X_clean=given[1])
    residual, total = target - model.denoise(given[0]), target - np.nanmean(target, axis=0)
    expected = 1 - np.nansum(residual**2) / np.nansum(total**2)
    assert_allclose(model.score(given[0], X_clean=given[1]), expected, rtol=1e-7)


@pytest.mark.parametrize("cut", [lambda X: X[:-1], lambda X: X[:, :-1], lambda X: sparse.csr_array(X[:-1])])
def test_a_score_of_other_shapes_is_refused(cut):
    X, clean = pairs()
    model = denoiser().fit(X, X_clean=clean)
    with pytest.raises(ValueError, match=r"X_clean has shape \(.*X has shape \(60, 5\)"):
        model.score(X, X_clean=cut(clean))
    clean[3, 1] = np.inf
    with pytest.raises(ValueError, match="Input X_clean contains infinity"):
        model.score(X, X_clean=clean)


def test_a_range_is_asked_of_the_clean_rows_in_a_score():
    X = np.random.default_rng(0).normal(size=(60, 5))
    clean = (X > 0).astype(float)
    model = denoiser(loss="binary_cross_entropy").fit(X, X_clean=clean)
    assert np.isfinite(model.score(X, X_clean=clean))  # warnings are errors
    with pytest.warns(UserWarning, match=r"X_clean has rows .* needs X_clean in \[0, 1\]"):
        model.score(X, X_clean=2 * clean)


def test_a_search_by_restored_rows_finds_the_level_of_the_noise(digits):
    """The default score knows clean rows only, and prefers the weakest noise."""

    def restored(model, X, y=None):
        noise = np.random.default_rng(0).normal(scale=X.std(), size=X.shape)
        return model.score(X + noise, X_clean=X)

    found = {}
    for name, scoring in {"default": None, "restored": restored}.items():
        model = DenoisingAutoencoder(32, noise="isotropic", max_iter=20, tol=None, random_state=0)
        search = GridSearchCV(model, {"noise_level": [0.05, 0.8, 4.0]}, scoring=scoring, cv=2)
        found[name] = search.fit(digits[:600]).best_params_["noise_level"]
    assert found == {"default": 0.05, "restored": 0.8}
