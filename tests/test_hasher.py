"""The semantic hasher: bits that saturate, stay balanced, and find neighbours."""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import assert_same, rows
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderClassifier, SemanticHasher


def configured(**parameters):
    settings = {"n_bits": 11, "hidden_layer_sizes": 8, "max_iter": 5, "tol": None, "random_state": 0}
    return SemanticHasher(**{**settings, **parameters})


@pytest.fixture(scope="module")
def pixels():
    """Digits in [0, 1], in float32: training rows, test rows, and their labels."""
    X, y = load_digits(return_X_y=True)
    return train_test_split((X / 16).astype(np.float32), y, stratify=y, random_state=0)


@pytest.fixture(scope="module")
def hasher(pixels):
    settings = {"learning_rate": 3e-3, "batch_size": 50, "max_iter": 80, "noise_warm_up": 50, "tol": None}
    return SemanticHasher(16, noise_level=8.0, random_state=0, **settings).fit(pixels[0])


# Bits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bits", [1, 8, 11])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
def test_codes_are_bits(n_bits, dtype):
    X = (10 * rows()).astype(dtype)
    model = configured(n_bits=n_bits).fit(X)
    bits = model.transform(X)
    assert bits.shape == (len(X), n_bits)
    assert bits.dtype == np.uint8
    assert set(np.unique(bits)) <= {0, 1}
    packed = model.pack(X)
    assert_same(packed, np.packbits(bits, axis=1))
    assert_same(np.unpackbits(packed, axis=1, count=n_bits), bits)
    assert_same(model.pack(sparse.csr_array(X)), packed)
    assert_allclose(model.bit_frequencies_, bits.mean(0), atol=1e-6)


def test_bits_are_where_logits_are_positive():
    X = rows()
    model = configured().fit(X)
    with torch.no_grad():
        logits = model.encoder_.forward_centred(torch.tensor((X - model.offset_) / model.unit_)).numpy()
    np.testing.assert_array_equal(model.transform(X), logits > 0)
    ends = 1 / (1 + np.exp(-np.abs(logits))) > 0.9
    assert_allclose(model.saturation_, ends.mean())


def test_inverse_transform_takes_bits_of_any_dtype():
    X = rows()
    model = configured().fit(X)
    bits = model.transform(X)
    for same in (bits.astype(bool), bits.astype(float), bits.tolist(), sparse.csr_array(bits)):
        assert_same(model.inverse_transform(same), model.inverse_transform(bits))
    assert_same(model.inverse_transform(bits), model.reconstruct(X))
    assert model.inverse_transform(bits.astype(np.float32)).dtype == np.float32


def test_arrays_of_other_kinds():
    X = rows()
    model = configured().fit(X)
    frame = clone(model).set_output(transform="pandas").fit(pd.DataFrame(X, columns=list("abcde")))
    assert_same(frame.transform(pd.DataFrame(X, columns=list("abcde"))).to_numpy(), model.transform(X))
    with config_context(array_api_dispatch=True):
        tensors = clone(model).fit(torch.tensor(X))
        bits, packed = tensors.transform(torch.tensor(X)), tensors.pack(torch.tensor(X))
    assert bits.dtype == packed.dtype == torch.uint8
    assert_same(packed.numpy(), model.pack(X))


def test_bits_are_the_only_width():
    assert next(iter(inspect.signature(SemanticHasher).parameters)) == "n_bits"
    assert not {"n_components", "code_activation"} & SemanticHasher().get_params().keys()
    assert not hasattr(SemanticHasher(), "n_components")
    with pytest.raises(ValueError, match="'n_bits' parameter of SemanticHasher must be"):
        configured(n_bits=0).fit(rows())
    model = configured(warm_start=True).fit(rows())
    with pytest.raises(ValueError, match="n_bits"):
        model.set_params(n_bits=3).fit(rows())


# What the paper says ---------------------------------------------------------------------------------------


def test_noise_saturates_units(hasher, pixels):
    assert hasher.saturation_ > 0.95
    quiet = clone(hasher).set_params(noise_level=0.0).fit(pixels[0])
    assert quiet.saturation_ < 0.8
    # Without noise the decoder listens to more than bits, and loses more when they are all that it gets.
    assert hasher.score(pixels[1]) > quiet.score(pixels[1]) + 0.2


def test_more_noise_saturates_more(pixels):
    saturation = [
        configured(noise_level=level, max_iter=30, learning_rate=5e-3).fit(pixels[0]).saturation_
        for level in (0.0, 1.0, 4.0)
    ]
    assert (np.diff(saturation) > 0.02).all()


def test_bits_stay_balanced_and_decorrelated(hasher, pixels):
    bits = hasher.transform(pixels[1]).astype(float)
    assert np.minimum(bits.mean(0), 1 - bits.mean(0)).min() > 0.2
    assert np.minimum(hasher.bit_frequencies_, 1 - hasher.bit_frequencies_).mean() > 0.35
    correlation = np.abs(np.corrcoef(bits.T) - np.eye(16))
    assert correlation.mean() < 0.15
    assert correlation.max() < 0.7


def precision(codes, queries, y, y_queries):
    """Mean average precision of the ranking by Hamming distance, ties in the order of rows; all rows ranked."""
    distances = (codes[None] != queries[:, None]).sum(2)
    relevant = y[distances.argsort(1, kind="stable")] == y_queries[:, None]
    ranks = np.arange(1, len(codes) + 1)
    return ((relevant.cumsum(1) / ranks * relevant).sum(1) / relevant.sum(1)).mean()


def test_bits_retrieve_better_than_hyperplanes_and_signs_of_pca(hasher, pixels):
    X_train, X_test, y_train, y_test = pixels
    mean = X_train.mean(0)
    planes = np.random.default_rng(0).normal(size=(64, 16))
    axes = PCA(16, random_state=0).fit(X_train).components_.T
    others = [
        precision((X_train - mean) @ a > 0, (X_test - mean) @ a > 0, y_train, y_test) for a in (planes, axes)
    ]
    ours = precision(hasher.transform(X_train), hasher.transform(X_test), y_train, y_test)
    assert ours > max(others) + 0.05


def test_neighbours_by_hamming_distance(hasher, pixels):
    X_train, X_test, y_train, y_test = pixels
    search = NearestNeighbors(n_neighbors=3, metric="hamming").fit(hasher.transform(X_train))
    distances, index = search.kneighbors(hasher.transform(X_test))
    differ = (hasher.transform(X_test)[:, None] != hasher.transform(X_train)[index]).mean(2)
    assert_allclose(distances, differ)
    pipe = make_pipeline(clone(hasher), KNeighborsClassifier(metric="hamming")).fit(X_train, y_train)
    assert pipe.score(X_test, y_test) > 0.85
    pipe = make_pipeline(
        StandardScaler(), clone(hasher).set_params(max_iter=5), NearestNeighbors(metric="hamming")
    )
    pipe.fit(X_train)
    assert pipe[-1].kneighbors(pipe[:-1].transform(X_test), return_distance=False).shape == (len(X_test), 5)


# Training --------------------------------------------------------------------------------------------------


def test_noise_grows_over_passes_as_over_epochs():
    X = rows(300)
    model, passes = (configured(noise_level=20.0, noise_warm_up=4, max_iter=8) for _ in range(2))
    for _ in range(8):
        passes.partial_fit(X)
    assert_same(passes.loss_curve_, model.fit(X).loss_curve_)


def test_growing_noise_is_no_reason_to_stop():
    model = configured(noise_level=30.0, noise_warm_up=25, max_iter=300, tol=0.1, batch_size=10).fit(rows())
    assert model.n_iter_ > 25


def test_early_stopping_watches_what_bits_restore():
    X = rows(200)
    model = configured(early_stopping=True, learning_rate=1e-12, max_iter=3, noise_level=9.0).fit(X)
    curve = model.validation_loss_curve_
    assert_allclose(curve, curve[0], rtol=1e-6)  # no noise in it
    assert 0.5 * curve[0] < model.reconstruction_error(X).mean() < 2 * curve[0]


def test_a_warm_start_fits_on_without_a_second_warm_up():
    X = rows()
    model = configured(warm_start=True, noise_warm_up=3).fit(X)
    assert np.isfinite(model.fit(X).loss_)


def test_a_classifier_gets_the_logistic_code():
    X, y = rows(), np.arange(60) % 2
    model = AutoencoderClassifier(configured(max_iter=20), max_iter=3, tol=None, random_state=0).fit(X, y)
    codes = model.transform(X)
    assert ((codes > 0) & (codes < 1)).all()
    assert len(np.unique(codes)) > 60


def test_search_over_bits():
    search = GridSearchCV(configured(learning_rate=0.02, max_iter=60), {"n_bits": [1, 8]}, cv=2).fit(rows(200))
    assert search.best_params_ == {"n_bits": 8}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_are_decoded_in_the_dtype_of_the_rows(dtype):
    X = rows().astype(dtype)
    model = configured().fit(X)
    bits = model.transform(X)
    reconstructed = model.reconstruct(X)
    assert reconstructed.dtype == dtype
    for codes in (bits, bits.astype(bool), bits.astype(int), bits.tolist()):
        assert_same(model.inverse_transform(codes), reconstructed)
    for other in (np.float32, np.float64):  # as those of every estimator
        assert model.inverse_transform(bits.astype(other)).dtype == other
