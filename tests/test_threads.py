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
X = np.random.default_rng(0).normal(size=(400, 784)).astype(np.float32)
y = np.arange(len(X)) % 3
settings = {"max_iter": 1, "tol": None, "batch_size": 200, "random_state": 0}
images = {"image_shape": (28, 28), "hidden_layer_sizes": (4, 8)} | settings
MODELS = [  # whose steps are worth a thread or, the last, two
    VAESampler(8, hidden_layer_sizes=(200,), n_importance_samples=4, **settings),
    AutoencoderTransformer(8, **images),
    SparseAutoencoder(300, sparsity="batch_topk", hidden_layer_sizes=(), **settings),
    AutoencoderClassifier(VAESampler(8, hidden_layer_sizes=(200,), **settings), max_iter=1, random_state=0),
    AutoencoderTransformer(8, hidden_layer_sizes=(700,), **settings | {"batch_size": 400}),
]

def used(model):
    results = [model.transform(X), model.score(X, y)]
    if hasattr(model, "score_samples"):
        results += [model.score_samples(X), model.reconstruct(X)]
    return [np.asarray(result).tobytes() for result in results]

def fitted(estimator, n_threads=None):
    if n_threads is not None:
        torch.set_num_threads(n_threads)
    before = torch.get_num_threads()
    model = clone(estimator).fit(X, y)
    found = used(model)
    if hasattr(model, "partial_fit"):
        found += used(model.partial_fit(X))
    assert torch.get_num_threads() == before
    return found
"""

# Workers of joblib's have one thread each, where they are as many as cores.
BITS = """
in_workers = Parallel(n_jobs=2)(delayed(fitted)(estimator, 1) for estimator in MODELS)
for estimator, there in zip(MODELS, in_workers):
    assert fitted(estimator, 2) == fitted(estimator, 1) == there, estimator
"""

IMPUTERS_AND_DETECTORS = """
rng = np.random.default_rng(0)
Z = rng.normal(size=(400, 6)) @ rng.normal(size=(6, 24)) + 0.1 * rng.normal(size=(400, 24))
H = np.where(rng.random(Z.shape) < 0.2, np.nan, Z)
wide = rng.normal(size=(40, 2100))
imputer = AutoencoderImputer(n_estimators=2, max_iter=2, random_state=0)
MODELS = [
    (imputer, H[:300, :8]), (imputer, H), (clone(imputer).set_params(sample_posterior=True), H),
    (AutoencoderOutlierDetector(n_estimators=2, random_state=0), np.repeat(Z, 6, axis=1)),
    (AutoencoderOutlierDetector(n_estimators=1, random_state=0), wide),
    (AutoencoderOutlierDetector(VAESampler(2, max_iter=2), n_estimators=3, random_state=0), Z),
    (DenoisingAutoencoder(4, missing_values=np.nan, max_iter=2, random_state=0), H),
    (TabularVAESampler(2, max_iter=2, random_state=0), H[:, :8]),
]

def found(estimator, X, n_threads):
    torch.set_num_threads(n_threads)
    model = clone(estimator).fit(X)
    results = [getattr(model, name, ()) for name in ("imputation_error_", "mixture_share_", "offset_")]
    for name in ("transform", "impute", "score_samples", "p_values", "score_features"):
        if hasattr(model, name):
            results.append(getattr(model, name)(X))
    assert torch.get_num_threads() == n_threads
    return [np.asarray(result).tobytes() for result in results]

in_workers = Parallel(n_jobs=2)(delayed(found)(*case, 1) for case in MODELS)
for case, there in zip(MODELS, in_workers):
    assert found(*case, 2) == found(*case, 1) == there, case[0]
"""

# Calls begin and end at all times within others. Each thread asks torch first, and has its number from then on.
AT_THE_SAME_TIME = """
models = [clone(estimator).fit(X, y) for estimator in MODELS]
expected = [used(model) for model in models]
begin = Barrier(4)

def work(number):
    before = torch.get_num_threads()
    begin.wait()
    for at in range(number, number + len(models)):
        at %= len(models)
        assert used(models[at]) == expected[at], models[at]
        assert torch.get_num_threads() == before == 2
    return fitted(MODELS[number]) == fitted(MODELS[number])

with ThreadPoolExecutor(4) as pool:
    assert all(pool.map(work, range(4)))
assert torch.get_num_threads() == 2
"""


# The number of OpenBLAS's threads is the process's, and fits of wide CSR rows set it at each step.
LIMITS = """
from scipy import sparse
from threadpoolctl import threadpool_info

def of_blas():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]

before = of_blas()
rows = sparse.random(400, 2000, density=0.005, format="csr", dtype=np.float32, random_state=0)
estimator = AutoencoderTransformer(4, hidden_layer_sizes=32, **settings | {"batch_size": 50, "max_iter": 4})

def work(number):
    return clone(estimator).fit(rows).transform(rows).tobytes()

with ThreadPoolExecutor(4) as pool:
    assert len({work(0), *pool.map(work, range(8))}) == 1
assert of_blas() == before
"""


def run(script):
    ours = ("OMP_", "MKL_", "GOMP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-W", "ignore", "-c", CODE + script]
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment | path, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_bits_do_not_depend_on_the_number_of_threads():
    """Nor on whether a worker of joblib's computes them."""
    run(BITS)


def test_bits_of_imputers_and_detectors_do_not_either():
    run(IMPUTERS_AND_DETECTORS)


def test_several_threads_use_and_fit_models_at_the_same_time():
    run(AT_THE_SAME_TIME)


def test_fits_at_the_same_time_leave_the_threads_of_blas_as_they_were():
    run(LIMITS)


def test_threads_wait_quietly_where_nobody_has_said_how():
    """Else several processes that train take the cores from each other; workers inherit it."""
    run('import os; assert os.environ["GOMP_SPINCOUNT"] == "1000"')
    for name, value in (("OMP_WAIT_POLICY", "ACTIVE"), ("GOMP_SPINCOUNT", "7")):
        code = f"import os; os.environ[{name!r}] = {value!r}; import skae; print(os.environ.get('GOMP_SPINCOUNT'))"
        told = {n: v for n, v in os.environ.items() if n not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=told, check=True
        )
        assert done.stdout.strip() == ("7" if name == "GOMP_SPINCOUNT" else "None")
