"""Rows outside the support of a likelihood or a loss: never likely, and every method says so, once."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import assert_same, configured
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_digits

from skae import (
    AdversarialAutoencoder,
    AutoencoderClassifier,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    StackedAutoencoder,
    VAESampler,
)

N, D = 60, 5
BLOCK = [1, 3, 4]


def possible(likelihood):
    """Rows in the support."""
    rng = np.random.default_rng(0)
    X = rng.poisson(2.0, size=(N, D)).astype(float)
    if likelihood in ("bernoulli", "bce"):
        X = rng.uniform(size=(N, D))
    elif likelihood == "categorical":
        X[:, BLOCK] = np.eye(3)[rng.integers(3, size=N)]
    return X


# What is done to a row, and what the warning says.
BCE = [("2", ["[0, 1]", "maximum 2", "MinMaxScaler"]), ("-1", ["[0, 1]", "minimum is -1", "MinMaxScaler"])]
POSITIVE = [("-3", ["at least 0", "minimum is -3", "maximum", "likelihood='gaussian'"])]
ONE_HOT = [
    ("0.5", ["one-hot columns [1, 3, 4]", "OneHotEncoder"]),
    ("none", ["one-hot columns [1, 3, 4]", "minimum is 0", "maximum 1", "OneHotEncoder"]),
]
CASES = {
    "bernoulli": ({"likelihood": "bernoulli"}, BCE),
    "bce": ({"loss": "binary_cross_entropy"}, BCE),
    "poisson": ({"likelihood": "poisson"}, POSITIVE),
    "exponential": ({"likelihood": "exponential"}, POSITIVE),
    "pairs": ({"likelihood": [("gaussian", [0, 2]), ("poisson", BLOCK)]}, POSITIVE),
    "categorical": ({"likelihood": [("gaussian", [0, 2]), ("categorical", BLOCK)]}, ONE_HOT),
}
CASES = [pytest.param(name, s, *w, id=f"{name}{w[0]}") for name, (s, words) in CASES.items() for w in words]

TRANSFORMERS = {
    "autoencoder": configured(AutoencoderTransformer),
    "images": configured(AutoencoderTransformer, image_shape=(5, 1)),
    "sparse": configured(SparseAutoencoder, sparsity="topk"),
    "sparse_output": configured(SparseAutoencoder, sparsity="topk", sparse_output=True),
    "stacked": configured(StackedAutoencoder, pretrain_max_iter=2),
    "hasher": configured(SemanticHasher),
    "adversarial": configured(AdversarialAutoencoder),
    "vae": configured(VAESampler),
}
NOISY = {
    "denoising": configured(DenoisingAutoencoder),
    "stacked_denoising": configured(StackedAutoencoder, noise="gaussian", pretrain_max_iter=2),
}


def impossible(X, change):
    """Rows of which the third and the last are outside the support, in a column of the likelihood that has one."""
    X = X.copy()
    columns = BLOCK if change == "none" else BLOCK[0]
    for row in (2, -1):
        X[row, columns] = 0 if change == "none" else float(change)
    return X, np.isin(np.arange(len(X)), [2, len(X) - 1])


def warned(method, *arguments):
    """What a method returns, and the words of its one warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = method(*arguments)
    (warning,) = caught
    assert warning.category is UserWarning
    assert warning.filename == __file__
    return result, str(warning.message)


@pytest.mark.parametrize(("name", "settings", "change", "words"), CASES)
@pytest.mark.parametrize("method", ["score_samples", "reconstruction_probability"])
def test_no_likelihood_rewards_an_impossible_row(method, name, settings, change, words):
    X = possible(name)
    model = configured(VAESampler, **settings).fit(X)
    Y, outside = impossible(X, change)
    score, message = warned(getattr(model, method), Y)
    assert (score[outside] == -np.inf).all()
    assert_allclose(score[~outside], getattr(model, method)(Y[~outside]), rtol=1e-10)
    assert set(np.argsort(score)[:2]) == {2, N - 1}
    for word in [*words, "score -inf", f"2 of {N} rows"]:
        assert word in message
    mean, message = warned(model.score, Y)
    assert mean == -np.inf
    assert words[0] in message


@pytest.mark.parametrize(("name", "settings", "change", "words"), CASES)
def test_codes_and_reconstructions_of_impossible_rows_warn(name, settings, change, words):
    X = possible(name)
    model = configured(VAESampler, **settings).fit(X)
    Y, outside = impossible(X, change)
    for method in (model.transform, model.reconstruct, model.reconstruction_error):
        result, message = warned(method, Y)
        assert np.isfinite(result).all()
        assert_allclose(result[~outside], method(Y[~outside]), rtol=1e-6, atol=1e-12)
        for word in [*words, f"2 of {N} rows"]:
            assert word in message
        assert "-inf" not in message
    warned(lambda: model.transform(Y, return_std=True))


@pytest.mark.parametrize("estimator", [*TRANSFORMERS.values(), *NOISY.values()], ids=[*TRANSFORMERS, *NOISY])
def test_bounded_losses_of_every_estimator(estimator):
    X = possible("bce")
    model = estimator.set_params(loss="binary_cross_entropy").fit(X)
    Y, outside = impossible(X, "20")
    score, message = warned(model.score_samples, Y)
    assert (score[outside] == -np.inf).all()
    assert_allclose(score[~outside], model.score_samples(Y[~outside]), rtol=1e-6)
    for word in ("[0, 1]", "minimum is", "maximum 20", f"2 of {N} rows", "MinMaxScaler", "loss='squared_error'"):
        assert word in message
    mean, _ = warned(model.score, Y)
    assert mean < 0.5  # an R^2 stays one
    for method in ("transform", "reconstruct", *(["pack"] if hasattr(model, "pack") else [])):
        if estimator in NOISY.values():  # noise may have led the rows that it was fitted to there
            getattr(model, method)(Y)
        else:
            assert "maximum 20" in warned(getattr(model, method), Y)[1]
    assert np.isfinite(model.score_samples(X)).all()


def test_a_classifier_says_so_too():
    X, y = possible("bce"), np.arange(N) % 2
    autoencoder = configured(AutoencoderTransformer, loss="binary_cross_entropy")
    model = AutoencoderClassifier(autoencoder, max_iter=3, tol=None).fit(X, y)
    Y, _ = impossible(X, "255")
    for method in (model.predict, model.predict_proba, model.transform):
        assert "maximum 255" in warned(method, Y)[1]


@pytest.mark.parametrize("kind", ["float32", "csr", "pandas", "torch"])
def test_kinds_of_input(kind):
    X = possible("bernoulli")
    Y, outside = impossible(X, "2")
    convert = {
        "float32": lambda x: x.astype(np.float32),
        "csr": sparse.csr_matrix,
        "pandas": pd.DataFrame,
        "torch": torch.tensor,
    }[kind]
    with config_context(array_api_dispatch=kind == "torch"):
        model = configured(VAESampler, likelihood="bernoulli").fit(convert(X))
        score, _ = warned(model.score_samples, convert(Y))
        assert "maximum 2" in warned(model.transform, convert(Y))[1]
    assert_same(np.isneginf(np.asarray(score)), outside)


def test_the_support_is_that_of_the_fit():
    """Whatever parameters are set later, and after saving."""
    X = possible("bernoulli")
    model = configured(VAESampler, likelihood="bernoulli").fit(X)
    model.set_params(likelihood="gaussian")
    for same in (model, pickle.loads(pickle.dumps(model))):
        assert warned(same.score, X + 1)[0] == -np.inf


def test_many_rows_give_one_warning():
    """Also where they are worked on a chunk at a time."""
    X = np.random.default_rng(0).uniform(size=(300, D))
    model = configured(VAESampler, likelihood="bernoulli", n_importance_samples=2000).fit(X)
    assert "300 of 300 rows" in warned(model.score_samples, X + 1)[1]


def test_unscaled_digits_are_not_likely():
    X = load_digits().data
    model = VAESampler(8, likelihood="bernoulli", max_iter=5, tol=None, random_state=0).fit(X[:1500] / 16)
    scaled = model.score(X[1500:] / 16)
    unscaled, message = warned(model.score, X[1500:])
    assert unscaled == -np.inf < scaled
    assert "maximum 16" in message
