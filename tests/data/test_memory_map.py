"""A fit to a memory map that would not fit: what the process takes of its own stays small."""

import subprocess
import sys

import pytest

CODE = """
import sys, threading, time, warnings
import numpy as np
from skae import AutoencoderTransformer

warnings.simplefilter("ignore")
path, gigabytes = sys.argv[1], float(sys.argv[2])
width = 8192
n = int(gigabytes * 2**30 / (4 * width))
with open(path, "wb") as file:  # holes take no place on the disk; some rows are numbers
    file.truncate(4 * width * n)
    for row in range(0, n, n // 50):
        file.seek(4 * width * row)
        file.write(np.random.default_rng(row).random(width, dtype=np.float32).tobytes())

def own():
    with open("/proc/self/status") as file:  # what is read of the file are the system's pages, to be had back
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

settings = {"hidden_layer_sizes": (), "init": "glorot", "max_iter": 1, "early_stopping": False, "random_state": 0}
AutoencoderTransformer(2, **settings).fit(np.random.default_rng(0).random((100, 10)))  # what libraries take
before, most, running = own(), [0], threading.Event()
def watch():
    while not running.wait(0.01):
        most[0] = max(most[0], own() - before)
watching = threading.Thread(target=watch)
watching.start()
X = np.memmap(path, np.float32, "r", shape=(n, width))
model = AutoencoderTransformer(8, batch_size=1024, **settings).fit(X)
running.set()
watching.join()
assert np.isfinite(model.loss_)
print(most[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_of_a_memory_map_a_fit_holds_little(tmp_path):
    """Of 2 GB no more than an eighth of a gigabyte for what grows with rows, and a few batches of 32 MB."""
    command = [sys.executable, "-c", CODE, str(tmp_path / "rows"), "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 0.25e9
