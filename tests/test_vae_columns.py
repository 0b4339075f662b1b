"""Variational autoencoders of categories, of heavy tails, and of columns whose spread depends on the row."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from skae import VAESampler

KIND, OTHER, YES = [0, 1, 2], [7, 4, 5], [6, 8]
QUESTIONNAIRE = [("categorical", KIND), ("gaussian", [3]), ("categorical", OTHER), ("categorical", YES)]


def answers(n_samples=1500, seed=0):
    """Rows of a questionnaire: a kind that decides the other answers up to chance, and a number."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n_samples, p=[0.5, 0.3, 0.2])
    other = np.where(rng.random(n_samples) < 0.1, rng.integers(3, size=n_samples), 2 - kind)
    yes = (kind == 1).astype(int)
    X = np.empty((n_samples, 9))
    X[:, [0, 1, 2]] = np.eye(3)[kind]
    X[:, 3] = 3.0 * kind + rng.normal(size=n_samples)
    X[:, [4, 5, 7]] = np.eye(3)[other]
    X[:, [6, 8]] = np.eye(2)[yes]
    return X


# Categories ------------------------------------------------------------------------------------------------


def configured(**parameters):
    settings = {"likelihood": QUESTIONNAIRE, "max_iter": 40, "learning_rate": 5e-3, "tol": None, "random_state": 0}
    return VAESampler(**{"n_components": 3, **settings, **parameters})


@pytest.fixture(scope="module")
def fitted():
    X = answers()
    return X, configured().fit(X)


def test_every_draw_is_valid_and_variables_hang_together(fitted):
    X, model = fitted
    sample = model.sample(4000, random_state=0)
    for columns in (KIND, OTHER, YES):
        assert ((sample[:, columns] == 1).sum(1) == 1).all()
        assert ((sample[:, columns] == 0).sum(1) == len(columns) - 1).all()
    assert_allclose(sample.mean(0), X.mean(0), atol=0.1)
    assert_allclose(np.corrcoef(sample.T), np.corrcoef(X.T), atol=0.25)


def test_probabilities_of_each_variable_sum_to_one(fitted):
    X, model = fitted
    for rows in (model.inverse_transform(np.zeros((1, 3))), model.reconstruct(X), model.sample(9, mean=True)):
        assert (rows[:, [0, 1, 2, 4, 5, 6, 7, 8]] >= 0).all()
        for columns in (KIND, OTHER, YES):
            assert_allclose(rows[:, columns].sum(1), 1, rtol=1e-6)
    assert (model.reconstruct(X)[:, :3].argmax(1) == X[:, :3].argmax(1)).mean() > 0.95


def test_the_score_is_the_log_likelihood_of_the_categories():
    """Of independent variables, which leave nothing to encode, it is minus their entropy."""
    rng = np.random.default_rng(0)
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.8])
    X = np.hstack([np.eye(3)[rng.choice(3, 4000, p=p)], np.eye(2)[rng.choice(2, 4000, p=q)]])
    likelihood = [("categorical", [0, 1, 2]), ("categorical", [3, 4])]
    with pytest.warns(UserWarning, match="inactive"):
        model = configured(n_components=1, likelihood=likelihood, learning_rate=0.01).fit(X)
    expected = X[:, :3] @ np.log(X[:, :3].mean(0)) + X[:, 3:] @ np.log(X[:, 3:].mean(0))
    assert_allclose(model.score_samples(X), expected, atol=0.1)
    assert_allclose(model.score(X), expected.mean(), atol=0.005)


def test_categories_beat_separate_bits():
    """Also by their likelihood, where bits count the impossible rows too."""
    X, held_out = answers(), answers(seed=1)
    bits = [("gaussian", [3]), ("bernoulli", [0, 1, 2, 4, 5, 6, 7, 8])]
    assert configured().fit(X).score(held_out) > configured(likelihood=bits).fit(X).score(held_out)


def test_kinds_of_input_saving_and_portions(fitted):
    X, model = fitted
    assert_allclose(configured().fit(sparse.csr_matrix(X)).transform(X[:50]), model.transform(X[:50]), atol=1e-4)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.sample(20, random_state=0), model.sample(20, random_state=0))
    np.testing.assert_array_equal(again.score_samples(X[:20]), model.score_samples(X[:20]))
    portions = configured()
    for _ in range(40):
        portions.partial_fit(X)
    assert portions.score(X) == pytest.approx(model.score(X), abs=0.3)


def test_rows_of_images_with_categories_beside_them():
    """A convolutional decoder too ends in probabilities."""
    X = answers(100)
    model = configured(image_shape=(3, 3), hidden_layer_sizes=(4,), max_iter=2).fit(X)
    assert_allclose(model.reconstruct(X)[:, :3].sum(1), 1, rtol=1e-6)


# Heavy tails -----------------------------------------------------------------------------------------------


def tailed(n_samples=1500, dof=2.5, seed=0):
    """Rows near a plane, with noise of which a few entries are huge."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(n_samples, 2)) @ np.random.default_rng(9).normal(size=(2, 5))
    return plane + 0.3 * rng.standard_t(dof, size=plane.shape)


def of_numbers(**parameters):
    settings = {"max_iter": 60, "learning_rate": 5e-3, "tol": None, "random_state": 0}
    return VAESampler(**{"n_components": 2, **settings, **parameters})


@pytest.mark.parametrize(
    ("dof", "unit", "middle"), [(1, 10.0, 1e6), (2, 0.3, 0.0), (4, 1.0, -5.0), (30, 1.0, 0.0)]
)
def test_scales_and_degrees_of_freedom_of_independent_columns(dof, unit, middle):
    """Without a mean, or with one that is nothing beside the unit: the density is SciPy's."""
    law = stats.t(dof, middle, unit)
    X = law.rvs(size=(4000, 2), random_state=0)
    with warnings.catch_warnings(action="ignore"):  # inactive units
        model = of_numbers(n_components=1, likelihood="student_t", max_iter=40).fit(X[:2000])
    assert_allclose(model.decoder_.variance.detach().sqrt(), unit, rtol=0.15)
    found = model.decoder_.degrees_of_freedom.detach()
    assert_allclose(1 / found, 1 / max(dof, 1.0), atol=0.12)
    assert_allclose(model.score(X[2000:]), law.logpdf(X[2000:]).sum(1).mean(), atol=0.03)
    assert np.abs(model.score_samples(X[2000:]) - law.logpdf(X[2000:]).sum(1)).mean() < 0.2
    sample = model.sample(4000, random_state=0)
    probabilities = [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]
    assert_allclose(
        (np.quantile(sample, probabilities, axis=0) - middle) / unit / stats.t(dof).ppf(0.99),
        np.tile(stats.t(dof).ppf(probabilities)[:, None], 2) / stats.t(dof).ppf(0.99),
        atol=0.35,
    )


def test_heavy_tails_explain_what_a_normal_distribution_cannot():
    X, held_out = tailed(), tailed(seed=1)
    student, normal = (of_numbers(likelihood=name).fit(X) for name in ("student_t", "gaussian"))
    assert student.score(held_out) > normal.score(held_out) + 0.5
    found = student.decoder_.degrees_of_freedom.detach()
    assert 2 < found.min() < 5 < 20 > found.max()
    kept = np.abs(held_out).max(1) < 5
    error = [((model.reconstruct(held_out) - held_out)[kept] ** 2).mean() for model in (student, normal)]
    assert error[0] < 1.05 * error[1]


def test_a_value_from_far_away_moves_codes_little():
    X = tailed()
    X[0, 0] = 1e9
    model = of_numbers(likelihood=[("student_t", [0, 1]), ("gaussian", [2, 3, 4])]).fit(X)
    moved = X[1:2].copy()
    moved[0, 0] = 1e9
    assert np.abs(model.transform(moved)).max() < 30
    assert model.score(X[1:]) > -15
    assert np.isfinite(model.score_samples(moved)).all()


def test_a_given_scale():
    model = of_numbers(likelihood="student_t", decoder_variance=0.09, max_iter=3).fit(tailed())
    assert_allclose(model.decoder_.variance, 0.09)
    assert model.decoder_.degrees_of_freedom.shape == (5,)


# Variances of rows -----------------------------------------------------------------------------------------


def sensor(n_samples=2000, seed=0, spread=0.9):
    """A level, and three readings whose noise grows with it."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(-2, 2, size=(n_samples, 1))
    noise = np.exp(spread * level - 1.5)
    readings = np.tanh(level * [0.5, -1.0, 1.5]) + noise * rng.normal(size=(n_samples, 3))
    return np.hstack([level, readings]), noise[:, 0]


@pytest.fixture(scope="module")
def both():
    """Sensors' models with variances of columns and of rows."""
    X, _ = sensor()
    return [of_numbers(decoder_variance=variance, max_iter=100).fit(X) for variance in ("learned", "conditional")]


def test_conditional_variances_are_those_of_the_rows(both):
    _, model = both
    X, noise = sensor(seed=1)
    with torch.no_grad():
        deviations = model.decoder_.variances(torch.tensor(model.transform(X))).sqrt().numpy()
    for column in (1, 2, 3):
        assert np.corrcoef(np.log(deviations[:, column]), np.log(noise))[0, 1] > 0.9
    assert model.decoder_.variance is None
    sample = model.sample(4000, random_state=0)
    loud, quiet = sample[sample[:, 0] > 1], sample[sample[:, 0] < -1]
    assert loud[:, 2].std() > 4 * quiet[:, 2].std()


def test_conditional_variances_tell_noise_that_is_out_of_place(both):
    """Rows of a low level with the noise of a high one: as well as a Gaussian mixture does."""
    held_out, _ = sensor(seed=1)
    odd, _ = sensor(400, seed=2, spread=-0.9)
    odd = odd[odd[:, 0] < 0]
    X, is_odd = np.vstack([held_out, odd]), np.repeat([0, 1], [len(held_out), len(odd)])
    mixture = GaussianMixture(5, random_state=0).fit(sensor()[0])
    learned, conditional, baseline = (roc_auc_score(is_odd, -model.score_samples(X)) for model in (*both, mixture))
    assert conditional > max(learned + 0.05, baseline - 0.02)
    assert both[1].score(held_out) > both[0].score(held_out) + 1


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", [("student_t", [3, 1]), ("gaussian", [0, 2])]])
@pytest.mark.filterwarnings("ignore:Column 1 of 4 hides:UserWarning")  # by design
@pytest.mark.parametrize(
    "images", [{}, {"image_shape": (2, 2), "hidden_layer_sizes": (4,)}], ids=["dense", "images"]
)
def test_conditional_variances_start_at_the_columns_own(likelihood, images):
    X = sensor(300)[0] * [1.0, 1e3, 1e-3, 1.0]
    settings = {"likelihood": likelihood, **images}
    start = {"max_iter": 1, "learning_rate": 1e-12, "dtype": "float64"}
    learned = of_numbers(**settings, **start).fit(X)
    conditional = of_numbers(decoder_variance="conditional", **settings, **start).fit(X)
    own = learned.decoder_.variance.detach().tile(5, 1)
    assert_allclose(conditional.decoder_.variances(torch.randn(5, 2)).detach(), own, rtol=1e-6)
    X = X / [1.0, 1e3, 1e-3, 1.0]
    models = [of_numbers(decoder_variance=v, **settings).fit(X) for v in ("learned", "conditional")]
    assert models[1].score(X) > models[0].score(X) + (-0.2 if images else 0.3)


def test_variances_of_rows_beside_other_columns():
    """Only the numbers among the columns have them."""
    rng = np.random.default_rng(0)
    level = rng.uniform(-2, 2, size=1500)
    X = np.empty((1500, 5))
    X[:, [0, 2]] = np.eye(2)[(level > 0).astype(int)]
    X[:, 1], X[:, 3] = rng.poisson(np.exp(level)), np.exp(level - 1) * rng.normal(size=1500)
    X[:, 4] = level
    parts = [("categorical", [0, 2]), ("poisson", 1), ("gaussian", [3, 4])]
    models = [
        of_numbers(likelihood=parts, decoder_variance=v, max_iter=80).fit(X) for v in ("learned", "conditional")
    ]
    assert models[1].score(X) > models[0].score(X) + 0.1
    assert models[1].decoder_.variances(torch.zeros(3, 2)).shape == (3, 2)
    assert (models[1].sample(50, random_state=0)[:, [0, 2]].sum(1) == 1).all()


@pytest.mark.parametrize("variance", ["learned", "conditional"])
@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_scales_are_saved_and_go_on(likelihood, variance):
    X, _ = sensor(300)
    model = of_numbers(likelihood=likelihood, decoder_variance=variance, max_iter=5, warm_start=True).fit(X)
    again = pickle.loads(pickle.dumps(model))
    for method in ("score_samples", "transform", "reconstruct"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
    np.testing.assert_array_equal(again.sample(9, random_state=0), model.sample(9, random_state=0))
    before = model.score(X)
    assert model.set_params(max_iter=30).fit(X).score(X) > before
    half = of_numbers(likelihood=likelihood, decoder_variance=variance, dtype="bfloat16").fit(X.astype(np.float32))
    single = of_numbers(likelihood=likelihood, decoder_variance=variance, dtype="float32").fit(X)
    assert half.score(X) == pytest.approx(single.score(X), abs=0.3)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"likelihood": "bernoulli"}, "'gaussian' or 'student_t'.*likelihood='bernoulli' has none"),
        ({"output_activation": "tanh"}, "output_activation='identity'"),
        ({"likelihood": "student_t", "decoder_variance": "learned", "output_activation": "tanh"}, "'identity'"),
    ],
)
def test_what_conditional_variances_cannot_be_asked_for(parameters, words):
    with pytest.raises(ValueError, match=words):
        of_numbers(**{"decoder_variance": "conditional", **parameters}).fit(np.ones((5, 3)))
