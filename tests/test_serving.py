"""Fitted models in threads, in spawned workers and from a mapped file; `test_docs.py` runs the guide's service."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from estimators import assert_same, classifier, configured, detector, labels, row_methods, rows

from skae import (
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    VAESampler,
)

MODELS = {
    "dense": configured(AutoencoderTransformer, hidden_layer_sizes=(64, 32)),
    "images": configured(
        AutoencoderTransformer, image_shape=(5, 1), hidden_layer_sizes=(4, 3), normalization="batch"
    ),
    "denoising": configured(DenoisingAutoencoder),
    "sparse": configured(SparseAutoencoder, sparsity="topk"),
    "variational": configured(VAESampler),
    "hasher": configured(SemanticHasher),
    "classifier": classifier(configured(AutoencoderTransformer, random_state=None), max_iter=3),
}


@pytest.fixture(scope="module")
def fitted():
    X = rows()
    return {name: model.fit(X, labels(X)) for name, model in MODELS.items()} | {"detector": detector().fit(X)}


def answers(model, X):
    names = ["score_samples", "p_values"] if hasattr(model, "p_values") else row_methods(model)
    return [getattr(model, name)(X) for name in names]


@pytest.mark.parametrize("name", [*MODELS, "detector"])
def test_threads_share_a_model(fitted, name):
    """Many at once, on rows of different numbers, get what one after the other gets; the model stays as it is."""
    model, X = fitted[name], rows(300, seed=1)
    requests = [X[start : start + 1 + start % 23] for start in range(0, 270, 3)]
    expected = [answers(model, part) for part in requests]
    before = pickle.dumps(model)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda part: answers(model, part), requests))
    for one, other in zip(got, expected, strict=True):
        for result, right in zip(one, other, strict=True):
            assert_same(result, right)
    assert pickle.dumps(model) == before


def test_spawned_workers(fitted):
    """All models in one worker, which imports skae anew."""
    X = rows(20, seed=1)
    jobs = [(model, X) for model in fitted.values()]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.starmap(answers, jobs)
    for (model, _), results in zip(jobs, got, strict=True):
        for result, right in zip(results, answers(model, X), strict=True):
            np.testing.assert_allclose(result, right, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [*MODELS, "detector"])
def test_mapped_files(fitted, name, tmp_path):
    """A file that is mapped read-only gives the same model, which can be saved again."""
    path = tmp_path / "model.joblib"
    joblib.dump(fitted[name], path)
    mapped, X = joblib.load(path, mmap_mode="r"), rows(20, seed=1)
    for result, right in zip(answers(mapped, X), answers(fitted[name], X), strict=True):
        assert_same(result, right)
    again = pickle.loads(pickle.dumps(mapped))
    assert_same(answers(again, X)[0], answers(mapped, X)[0])
