"""Models in forked worker processes, whose parent has used several threads."""

import multiprocessing
import os
import subprocess
import sys

import pytest

CODE = """
import multiprocessing, pickle
import numpy as np, torch
from skae import *
from skae.inspection import latent_grid, maximize_activation

torch.set_num_threads(2)
large = torch.rand(800, 800)
large @ large, (large + 1).sum()  # the second thread is there
rng = np.random.default_rng(0)
X, wide = rng.uniform(size=(60, 12)), rng.normal(size=(20000, 50))
settings = {"max_iter": 2, "random_state": 0}
models = [
    AutoencoderTransformer(3, **settings),
    AutoencoderTransformer(3, image_shape=(4, 3), hidden_layer_sizes=(4,), **settings),
    DenoisingAutoencoder(3, **settings),
    SparseAutoencoder(5, sparsity="topk", n_active=2, **settings),
    VAESampler(3, **settings),
    SemanticHasher(8, **settings),
]
models = [model.fit(X) for model in models]
models += pickle.loads(pickle.dumps(models))
classifier = AutoencoderClassifier(AutoencoderTransformer(3, **settings), **settings).fit(X, np.arange(60) % 3)
models += [classifier, pickle.loads(pickle.dumps(classifier))]
wider = AutoencoderTransformer(4, hidden_layer_sizes=(64,), **settings).fit(wide)

def results(_=None):
    found = [wider.transform(wide), wider.reconstruction_error(wide), wider.score(wide)]
    for model in models:
        if isinstance(model, AutoencoderClassifier):
            found += [model.transform(X), model.predict_proba(X), model.score(X, np.arange(60) % 3)]
        else:
            found += [model.transform(X), model.reconstruct(X), model.score_samples(X), model.score(X)]
    found += [classifier.fit(X, np.arange(60) % 3).predict_proba(X)]
    found += [maximize_activation(models[0], X, units=[0], max_iter=3, random_state=0), latent_grid(models[4], X)]
    found += [AutoencoderTransformer(4, max_iter=1, random_state=0).fit(wide).transform(wide)]
    found += [models[0].partial_fit(X).transform(X)]
    return found

with multiprocessing.get_context("fork").Pool(2) as pool:
    there = pool.map_async(results, range(2)).get(timeout=90)
here = results()
for found in there:
    for one, other in zip(found, here, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
assert torch.get_num_threads() == 2
print("done")
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
def test_models_work_in_forked_processes():
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert done.stdout.strip() == "done", done.stderr
