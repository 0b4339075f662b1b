"""Results do not depend on how many threads torch has, nor on what other threads of Python do at the same time.

Each test runs in a process of its own with two threads of torch, since this one has a single thread.
"""

import os
import subprocess
import sys

CODE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import numpy as np, torch
from joblib import Parallel, delayed
from sklearn.base import clone
from skae import *

torch.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
y = np.arange(len(X)) % 3
settings = {"max_iter": 2, "tol": None, "random_state": 0}
images = {"image_shape": (8, 8), "hidden_layer_sizes": (4,), "batch_size": 50} | settings
MODELS = [
    AutoencoderTransformer(8, **settings),
    VAESampler(8, **settings),
    VAESampler(4, n_importance_samples=4, **images),
    SparseAutoencoder(40, sparsity="batch_topk", hidden_layer_sizes=(), **settings),
    AutoencoderClassifier(AutoencoderTransformer(8, **settings), max_iter=2, tol=None, random_state=0),
]

def used(model):
    given = X[:400]
    results = [model.transform(given), model.score(given, y[:400])]
    if hasattr(model, "score_samples"):
        results += [model.score_samples(given), model.reconstruct(given)]
    return [np.asarray(result).tobytes() for result in results]

def fitted(estimator, n_threads=None):
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    before = torch.get_num_threads()
    model = clone(estimator).fit(X, y)
    found = used(model)
    if hasattr(model, "partial_fit"):
        found += used(model.partial_fit(X[:500]))
    assert torch.get_num_threads() == before
    return found
"""

# Workers of joblib's have one thread each, where they are as many as cores.
BITS = """
in_workers = Parallel(n_jobs=2)(delayed(fitted)(estimator, 1) for estimator in MODELS)
for estimator, there in zip(MODELS, in_workers):
    assert fitted(estimator, 2) == fitted(estimator, 1) == there, estimator
"""

# Calls begin and end at all times within others. Each thread asks torch first, and has its number from then on.
AT_THE_SAME_TIME = """
models = [clone(estimator).fit(X, y) for estimator in MODELS]
large = AutoencoderTransformer(8, hidden_layer_sizes=(256,), max_iter=1, tol=None, random_state=0).fit(X)
torch.set_num_threads(2)
expected = [used(model) for model in models]
begin = Barrier(4)

def work(number):
    before = torch.get_num_threads()
    begin.wait()
    for repeat in range(10):
        for at in range(len(models)):
            at = (at + number) % len(models)
            assert used(models[at]) == expected[at], models[at]
            np.testing.assert_allclose(large.transform(X)[:9], large.transform(X[:9]), rtol=1e-4, atol=1e-4)
            assert torch.get_num_threads() == before == 2
    return fitted(MODELS[number]) == fitted(MODELS[number])

with ThreadPoolExecutor(4) as pool:
    assert all(pool.map(work, range(4)))
assert torch.get_num_threads() == 2
"""


def run(script):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_"))}
    command = [sys.executable, "-W", "ignore", "-c", CODE + script]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment | path, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_bits_do_not_depend_on_the_number_of_threads():
    """Nor on whether a worker of joblib's computes them."""
    run(BITS)


def test_several_threads_use_and_fit_models_at_the_same_time():
    run(AT_THE_SAME_TIME)
