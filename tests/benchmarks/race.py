"""What the benchmarks of speed share: candidates that take turns, their data, and the table.

All candidates of a row take turns in one process (A B A B ...) on one thread, and process CPU time is measured;
the quoted figure is the median over rounds of that round's ratio, since absolute times drift. Losses are mean
squared errors per entry of the final models on the training rows, computed here for everybody.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import fetch_openml, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

BENCHMARKS = {}
TINY = "--tiny" in sys.argv  # whether only to run everything once, on few rows: figures mean nothing then


class Row(NamedTuple):
    """One line of the table; ``figure`` is to be above ``required``, or below it where ``smaller`` is better."""

    work: str
    peer: str
    ours: float
    theirs: float
    figure: float
    unit: str
    required: float
    aim: float
    smaller: bool = False
    our_loss: float | None = None
    peer_loss: float | None = None


def benchmark(function):
    """Register a generator of rows under its own name."""
    BENCHMARKS[function.__name__] = function
    return function


# Measuring -------------------------------------------------------------------------------------------------


class Race:
    """Runs all candidates in turn, ``rounds`` times, and keeps their seconds and their last results."""

    def __init__(self, rounds, **candidates):
        self.seconds = {name: [] for name in candidates}
        for _ in range(1 if TINY else rounds):
            self.results = {}
            for name, candidate in candidates.items():
                start = time.process_time()
                try:
                    self.results[name] = candidate()
                except ModuleNotFoundError as error:  # of an optional peer
                    self.results[name], self.seconds[name] = None, []
                    print(f"{name}: skipped, {error}", file=sys.stderr)
                else:
                    self.seconds[name].append(time.process_time() - start)

    def median(self, name):
        return statistics.median(self.seconds[name])

    def ratio(self, over, under):
        return statistics.median(a / b for a, b in zip(self.seconds[over], self.seconds[under], strict=True))

    def row(self, work, peer, required, aim, *, unit="x", ours="skae", losses=None, **options):
        """Compare one pair: how often ours goes into the peer's time, as a share where the peer is a limit."""
        losses = losses or {}
        if not (self.seconds[ours] and self.seconds[peer]):
            return None
        figure = self.ratio(ours, peer) if options.get("smaller") else self.ratio(peer, ours)
        seconds = self.median(ours), self.median(peer)
        options |= {"our_loss": losses.get(ours), "peer_loss": losses.get(peer)}
        return Row(work, peer.replace("_", " "), *seconds, figure, unit, required, aim, **options)


def squared_errors(race, X):
    """Return each candidate's mean squared error per entry on X; those that learn nothing have none."""
    models = {name: model for name, model in race.results.items() if model is not None}
    return {name: float(np.square(model(X) - X, dtype=np.float64).mean()) for name, model in models.items()}


def fresh_process(code):
    """Run code in a new interpreter and return the number that it prints."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return float(done.stdout)


# Data ------------------------------------------------------------------------------------------------------


def digits():
    return StandardScaler().fit_transform(load_digits().data).astype(np.float32)[: 128 if TINY else None]


def mnist():
    """MNIST, from ``$SKAE_DATA/mnist_train.npz`` or OpenML; random images of its shape where there is neither."""
    if TINY:
        return np.random.default_rng(0).random((256, 784), dtype=np.float32)
    file = Path(os.environ.get("SKAE_DATA", "")) / "mnist_train.npz"
    try:
        X = np.load(file)["X"] if file.exists() else fetch_openml("mnist_784", as_frame=False).data[:60_000]
    except OSError:
        print("MNIST is neither in SKAE_DATA nor to be had from OpenML: random images stand in for it.")
        X = np.random.default_rng(0).integers(0, 256, (60_000, 784))
    return np.ascontiguousarray(X.reshape(len(X), -1) / np.float32(255), dtype=np.float32)


# Table -----------------------------------------------------------------------------------------------------


def verdict(row):
    if TINY or not row.required:
        return ""
    sign = -1 if row.smaller else 1
    if sign * row.figure >= sign * row.aim:
        return "aim"
    return "ok" if sign * row.figure >= sign * row.required else "MISSED"


def line(row):
    def quantity(value):
        return "" if not value else f"{value:.0%}" if row.unit == "%" else f"{value:.4g} {row.unit}"

    def number(value, digits):
        return "" if value is None or np.isnan(value) else f"{value:.{digits}f}"

    seconds = number(row.ours, 3), number(row.theirs, 3)
    losses = number(row.our_loss, 5), number(row.peer_loss, 5)
    figures = (quantity(value) for value in (row.figure, row.required, row.aim))
    return (row.work, row.peer, *seconds, *figures, verdict(row), *losses)


def processor():
    """Name the processor, its number of cores and torch's version."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return (
        f"{model}, {os.cpu_count()} cores, torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()})"
    )


def main(names):
    names = [name for name in names if name != "--tiny"]
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # the first one imports torch._dynamo, which is nobody's fit
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.filterwarnings("ignore", message="Training ended with a loss")  # of an epoch of noise
    print(f"On {processor()}; one thread.")
    head = "work", "peer", "ours s", "peer s", "figure", "required", "aim", "verdict", "our loss", "peer loss"
    form = "{:<29}{:<31}" + "{:>10}" * 8
    print(form.format(*head))
    for name in names or BENCHMARKS:
        for row in filter(None, BENCHMARKS[name]()):
            print(form.format(*line(row)), flush=True)
