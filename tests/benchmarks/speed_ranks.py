"""Two processes that fit one model against one: wall clock, on two cores that have nothing else to do."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from race import TINY, Row, benchmark

FIT = """
import os, sys, time, warnings
import numpy as np, torch
import skae
rank, n_ranks, n_rows, store = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
warnings.simplefilter("ignore")
os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[rank]])  # a core of its own, and no other
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=n_ranks)
X = np.random.default_rng(0).random((n_rows, 784), dtype=np.float32)[rank::n_ranks]
model = skae.AutoencoderTransformer(
    32, hidden_layer_sizes=256, batch_size=1024, init="glorot", learning_rate=1e-3, early_stopping=False,
    dtype="float32", random_state=0, max_iter=1,
)
def seconds(n_epochs):
    torch.distributed.barrier()
    wall, processor = time.perf_counter(), time.process_time()
    if n_ranks == 1:
        model.set_params(max_iter=n_epochs).fit(X)
    else:
        with skae.data_parallel():
            model.set_params(max_iter=n_epochs).fit(X)
    return np.array([time.perf_counter() - wall, time.process_time() - processor])
seconds(1)
print(*(seconds(4) - seconds(1)))  # of three epochs, without what comes before and after
"""


def seconds_of(n_ranks, n_rows):
    """Return the wall-clock and the processor seconds of the slowest rank."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-c", FIT]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(n_ranks), str(n_rows), str(Path(folder) / "store")],
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(n_ranks)
        ]
        found = [[float(number) for number in rank.communicate()[0].split()] for rank in ranks]
    return [max(of_ranks) for of_ranks in zip(*found, strict=True)]


@benchmark
def two_processes():
    """784-256-32-256-784 at batch 1024: rows per second of two ranks over those of one process of one thread.

    The second row is of the processor time: what is left of the first where the machine has other work.
    """
    n_rows = 4096 if TINY else 16_384
    pairs = [(seconds_of(2, n_rows), seconds_of(1, n_rows)) for _ in range(1 if TINY else 3)]
    for number, clock in enumerate(("wall clock", "processor time")):
        ours, theirs = (statistics.median(pair[i][number] for pair in pairs) for i in range(2))
        ratio = statistics.median(pair[1][number] / pair[0][number] for pair in pairs)
        yield Row(f"two ranks, {clock}", "one process", ours, theirs, ratio, "x", 1.6, 1.85)
