"""Time and memory of a process's first fits, each in a process of its own."""

import statistics

import numpy as np
from race import TINY, Row, benchmark, fresh_process

FIRST_FIT = """
import time, numpy as np, torch
torch.set_num_threads(1)
X = np.random.default_rng(0).random((100, 10), dtype=np.float32)
{prepare}
start = time.perf_counter()
model.fit({arguments})
print(time.perf_counter() - start)
"""


@benchmark
def first_fit():
    """The first fit of a process, 10-128-2-128-10 on 100 rows for 10 epochs; wall clock."""
    skae = "from skae import AutoencoderTransformer as A; model = A(2, max_iter=10, tol=None)"
    mlp = "from sklearn.neural_network import MLPRegressor; model = MLPRegressor('squared_error', (128, 2, 128))"
    mlp += ".set_params(max_iter=10)"
    seconds = {"skae": [], "MLPRegressor": []}
    for _ in range(1 if TINY else 7):
        seconds["skae"].append(fresh_process(FIRST_FIT.format(prepare=skae, arguments="X")))
        seconds["MLPRegressor"].append(fresh_process(FIRST_FIT.format(prepare=mlp, arguments="X, X")))
    ours, theirs = (statistics.median(s) for s in seconds.values())
    yield Row("first fit of 100x10", "MLPRegressor", ours, theirs, ours * 1e3, "ms", 20, 5, smaller=True)


MEMORY = """
import numpy as np, torch
torch.set_num_threads(1)
from skae import AutoencoderTransformer
X = np.random.default_rng(0).random(({n_rows}, 784), dtype=np.float32)
if {warm}:
    AutoencoderTransformer(2, max_iter=1, tol=None).fit(X[:100, :10])
model = AutoencoderTransformer(32, hidden_layer_sizes=256, batch_size=256, max_iter=1, tol=None)
def resident(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak starts over from here
before = resident("VmRSS")
model.fit(X)
print((resident("VmHWM") - before) / X.nbytes)
"""


@benchmark
def memory():
    """What one epoch adds to the process's memory, in units of X (Linux only).

    The first fit of a process also brings the libraries' code into memory, which depends on them, not on X; after
    a tiny fit that is done.
    """
    for work, warm in ("memory of a fit, 60000x784", True), ("the same, first of a process", False):
        code = MEMORY.format(warm=warm, n_rows=2000 if TINY else 60_000)
        share = statistics.median(fresh_process(code) for _ in range(1 if TINY else 3))
        yield Row(work, "X itself", np.nan, np.nan, share, "X", 0.15, 0.06, smaller=True)
