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
core, rank, n_ranks, n_rows, batch_size = map(int, sys.argv[1:6])
store = sys.argv[6]
warnings.simplefilter("ignore")
os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[core]])  # a core of its own, and no other
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=n_ranks)
X = np.random.default_rng(0).random((n_rows, 784), dtype=np.float32)[rank::n_ranks]
model = skae.AutoencoderTransformer(
    32, hidden_layer_sizes=256, batch_size=batch_size, init="glorot", learning_rate=1e-3, early_stopping=False,
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
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


def seconds_of(*processes):
    """Return the wall-clock and the processor seconds of the slowest process.

    Each is (rank, number of ranks, rows of the whole, rows of a batch), and has a core of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        started = []
        for core, (rank, n_ranks, *sizes) in enumerate(processes):
            store = Path(folder) / ("store" if n_ranks > 1 else f"store {core}")
            arguments = [*map(str, (core, rank, n_ranks, *sizes)), str(store)]
            command = [sys.executable, "-W", "ignore", "-c", FIT, *arguments]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        found = [[float(number) for number in process.communicate()[0].split()] for process in started]
    return [max(of_processes) for of_processes in zip(*found, strict=True)]


@benchmark
def two_processes():
    """784-256-32-256-784 at batch 1024: rows per second of two ranks over those of one process of one thread.

    "Apart" are two processes at once that fit half of the rows each, in batches of half the size, and exchange
    nothing: the most that these cores give. Processor time is what is left where the machine has other work.
    """
    n_rows, n_batch = 4096 if TINY else 16_384, 1024
    halves = (n_rows // 2, n_batch // 2)
    found = {"two ranks": [], "apart": [], "one process": []}
    for _ in range(1 if TINY else 3):
        found["two ranks"].append(seconds_of(*((rank, 2, n_rows, n_batch) for rank in range(2))))
        found["apart"].append(seconds_of((0, 1, *halves), (0, 1, *halves)))
        found["one process"].append(seconds_of((0, 1, n_rows, n_batch)))
    for name, required, aim in (("two ranks", 1.6, 1.85), ("apart", 0, 0)):
        for number, clock in enumerate(("wall clock", "processor time")):
            ours, theirs = ([pair[number] for pair in found[of]] for of in (name, "one process"))
            ratio = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
            times = statistics.median(ours), statistics.median(theirs)
            yield Row(f"{name}, {clock}", "one process", *times, ratio, "x", required, aim)
