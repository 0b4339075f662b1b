"""Variational autoencoders of columns that are no plain numbers: categories."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

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
    assert_allclose(model.score_samples(X), expected, atol=0.05)
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
