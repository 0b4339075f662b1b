"""Dask works with skae as it does with scikit-learn: there is no code for it inside skae."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("dask_ml")
pytest.importorskip("distributed")

CODE = """
import joblib
import numpy as np
import dask.array as da
from dask.distributed import Client, LocalCluster
from dask_ml.wrappers import Incremental, ParallelPostFit
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from skae import AutoencoderTransformer

if __name__ == "__main__":
    X = load_digits().data.astype(np.float32)[:600] / 16
    D = da.from_array(X, chunks=(150, 64))
    settings = {"hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}

    incremental = Incremental(AutoencoderTransformer(4, **settings), shuffle_blocks=False).fit(D)
    alone = AutoencoderTransformer(4, **settings)
    for start in range(0, 600, 150):
        alone.partial_fit(X[start : start + 150])
    np.testing.assert_array_equal(incremental.estimator_.transform(X), alone.transform(X))

    model = AutoencoderTransformer(4, **settings).fit(X)
    expected = model.transform(X)
    np.testing.assert_array_equal(ParallelPostFit(model).transform(D).compute(), expected)
    blocks = D.map_blocks(model.transform, dtype=X.dtype, chunks=(D.chunks[0], (4,)))
    assert blocks.shape == (600, 4)
    np.testing.assert_array_equal(blocks.compute(), expected)

    search = GridSearchCV(AutoencoderTransformer(**settings), {"n_components": [1, 4]}, cv=2)
    scores = search.fit(X).cv_results_["mean_test_score"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        with Client(cluster), joblib.parallel_config(backend="dask"):
            on_cluster = search.fit(X).cv_results_["mean_test_score"]
    np.testing.assert_allclose(on_cluster, scores, rtol=1e-5)
    print("all is equal")
"""


@pytest.mark.slow
def test_blocks_and_a_cluster_give_what_one_process_does(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CODE)
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip().endswith("all is equal"), done.stderr
