"""Compare skae's speed and memory with its peers' and with what the arithmetic alone costs.

    python tests/benchmarks/speed.py                   every row (about five minutes)
    python tests/benchmarks/speed.py small transform   some of them, by name

All candidates of a row take turns in one process (A B A B ...) on one thread, and process CPU time is measured;
the quoted figure is the median over rounds of that round's ratio, since absolute times drift. Losses are mean
squared errors per entry of the final models on the training rows, computed here for everybody. Needs skorch and
pythae (``pip install skae[benchmark]``). MNIST is read from ``$SKAE_DATA/mnist_train.npz``, else fetched from
OpenML, else replaced by random images of the same shape. A new row is a generator function marked ``@benchmark``.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import functools
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peers
import torch
from sklearn.datasets import fetch_openml, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
)

BENCHMARKS = {}


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
        for _ in range(rounds):
            self.results = {}
            for name, candidate in candidates.items():
                start = time.process_time()
                self.results[name] = candidate()
                self.seconds[name].append(time.process_time() - start)

    def median(self, name):
        return statistics.median(self.seconds[name])

    def ratio(self, over, under):
        return statistics.median(a / b for a, b in zip(self.seconds[over], self.seconds[under], strict=True))

    def row(self, work, peer, required, aim, *, unit="x", ours="skae", losses=None, **options):
        """Compare one pair: how often ours goes into the peer's time, as a share where the peer is a limit."""
        losses = losses or {}
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
    return StandardScaler().fit_transform(load_digits().data).astype(np.float32)


def mnist():
    file = Path(os.environ.get("SKAE_DATA", "")) / "mnist_train.npz"
    try:
        X = np.load(file)["X"] if file.exists() else fetch_openml("mnist_784", as_frame=False).data[:60_000]
    except OSError:
        print("MNIST is neither in SKAE_DATA nor to be had from OpenML: random images stand in for it.")
        X = np.random.default_rng(0).integers(0, 256, (60_000, 784))
    return np.ascontiguousarray(X.reshape(len(X), -1) / np.float32(255), dtype=np.float32)


# Rows ------------------------------------------------------------------------------------------------------


@benchmark
def small():
    """Digits, 20 epochs: what a grid search does all day."""
    X, task = digits(), ((64, 32, 8, 32, 64), 20, 32)
    race = Race(
        9,
        skae=lambda: peers.skae(X, *task),
        MLPRegressor=lambda: peers.scikit_learn(X, *task),
        torch_loop=lambda: peers.torch_loop(X, *task),
        fused_torch_loop=lambda: peers.torch_loop(X, *task, fused=True),
        skorch=lambda: peers.skorch(X, *task),
        skorch_without_split=lambda: peers.skorch(X, *task, train_split=None),
        limit=lambda: peers.fit_limit(X, *task),
    )
    losses = squared_errors(race, X)
    yield race.row("small fit", "MLPRegressor", 3, 6, losses=losses)
    yield race.row("small fit", "skorch", 10, 20, losses=losses)
    yield race.row("small fit", "skorch_without_split", 12, 20, losses=losses)
    yield race.row("small fit", "torch_loop", 7, 12, losses=losses)
    yield race.row("small fit", "fused_torch_loop", 5, 8, losses=losses)
    yield race.row("small fit", "limit", 0, 0, unit="%", losses=losses)


@benchmark
def variants():
    """The same small fit by what makes the other estimators themselves, per step, against the plain one's.

    The stacked estimator's two layers are pretrained one after the other, for as many epochs each, so that it
    takes twice as many steps; its fine-tuning follows an epoch of each.
    """
    X, epochs = digits(), 20
    settings = {"hidden_layer_sizes": 32, "batch_size": 32, "tol": None, "random_state": 0}
    settings |= {"code_activation": "relu", "learning_rate": peers.LEARNING_RATE, "max_iter": epochs}
    models = {"plain": AutoencoderTransformer(8, **settings)}
    for noise in ("gaussian", "masking", "salt_and_pepper"):
        models[f"denoising, {noise}"] = DenoisingAutoencoder(8, noise=noise, **settings)
    for sparsity in ("kl", "l1", "topk", "batch_topk", "winner_take_all"):
        activation = "auto" if sparsity == "kl" else "relu"
        model = SparseAutoencoder(8, sparsity=sparsity, **{**settings, "code_activation": activation})
        models[f"sparse, {sparsity}"] = model
    costly = {"adversarial": AdversarialAutoencoder(8, **settings)}
    costly["ordered, 8 prefixes"] = AutoencoderTransformer(8, ordered=True, **settings)
    models |= costly
    pretrained = {"pretrain_max_iter": epochs, "fine_tune": False, **settings}
    models["stacked, pretraining"] = StackedAutoencoder(8, **pretrained)
    models["stacked, noisy pretraining"] = StackedAutoencoder(8, noise="masking", **pretrained)
    models["stacked, fine-tuning"] = StackedAutoencoder(8, pretrain_max_iter=1, **settings)
    race = Race(15, **{name: functools.partial(reconstruction, model, X) for name, model in models.items()})
    n_epochs = {"stacked, pretraining": 2 * epochs, "stacked, noisy pretraining": 2 * epochs}
    n_epochs["stacked, fine-tuning"] = epochs + 2
    for name, n in n_epochs.items():
        race.seconds[name] = [seconds * epochs / n for seconds in race.seconds[name]]
    losses = squared_errors(race, X)
    for name in [name for name in models if name not in ("plain", *costly)]:
        yield race.row(name, "plain", 1.5, 0, ours=name, smaller=True, losses=losses)
    for name in costly:  # more networks, or a second pass through the first ones: nothing is asked of them
        yield race.row(name, "plain", 0, 0, ours=name, smaller=True, losses=losses)


def reconstruction(model, X):
    return model.fit(X).reconstruct


@benchmark
def large():
    """MNIST, 3 epochs, in float32 and in mixed precision."""
    X, task = mnist(), ((784, 256, 32, 256, 784), 3, 256)
    race = Race(
        5,
        limit=lambda: peers.fit_limit(X, *task),
        skae=lambda: peers.skae(X, *task),
        bfloat16=lambda: peers.skae(X, *task, dtype="bfloat16"),
        torch_loop=lambda: peers.torch_loop(X, *task),
        fused_torch_loop=lambda: peers.torch_loop(X, *task, fused=True),
    )
    losses = squared_errors(race, X)
    yield race.row("large fit", "limit", 0.88, 0.93, unit="%", losses=losses)
    yield race.row("large fit", "fused_torch_loop", 0, 0, losses=losses)
    yield race.row("large fit, bf16", "torch_loop", 1.8, 2.2, ours="bfloat16", losses=losses)
    yield race.row("large fit, bf16", "fused_torch_loop", 0, 0, ours="bfloat16", losses=losses)


@benchmark
def variational():
    """Grey MNIST, 784-500-20-500-784, 5 epochs over a third of it; losses are bounds in nats per row."""
    X, (hidden, width, epochs, batch_size) = mnist()[:20_000], (500, 20, 5, 100)
    task = (hidden, width, epochs, batch_size)
    shapes = [(784, hidden), (hidden, 2 * width), (width, hidden), (hidden, 784)]
    race = Race(
        5,
        skae=lambda: peers.vae(X, *task),
        pythae=lambda: peers.pythae_trainer(X, *task),
        torch_loop=lambda: peers.vae_torch_loop(X, *task),
        fused_torch_loop=lambda: peers.vae_torch_loop(X, *task, fused=True),
        limit=lambda: peers.fit_limit(X, None, epochs, batch_size, shapes),
    )
    losses = {name: bound(X) for name, bound in race.results.items() if bound is not None}
    if "pythae" in losses:
        yield race.row("VAE fit", "pythae", 1.5, 2, losses=losses)
    else:
        print("VAE fit vs pythae: skipped, pythae is not installed", file=sys.stderr)
    yield race.row("VAE fit", "torch_loop", 0, 0, losses=losses)
    yield race.row("VAE fit", "fused_torch_loop", 0, 0, losses=losses)
    yield race.row("VAE fit", "limit", 0.82, 0.90, unit="%")


@benchmark
def convolutional():
    """Two epochs over 5000 images of MNIST; the peer trains the same layers in float32 and torch's own layout."""
    X = mnist()[:5000]
    for kind, required, aim in (("pooling", (1.3, 2.1), (1.9, 3.8)), ("strided", (1, 1), (1.1, 1.5))):
        task = kind, 2, 128
        race = Race(
            5,
            skae=lambda task=task: peers.images(X, *task),
            bfloat16=lambda task=task: peers.images(X, *task, dtype="bfloat16"),
            torch_loop=lambda task=task: peers.images_torch_loop(X, *task),
        )
        losses = squared_errors(race, X)
        yield race.row(f"{kind} net", "torch_loop", required[0], aim[0], losses=losses)
        yield race.row(f"{kind} net, bf16", "torch_loop", required[1], aim[1], ours="bfloat16", losses=losses)


@benchmark
def transform():
    """A million rows to their codes; skorch's predict gets one row in fifty."""
    part, widths = 50, (64, 32, 8)
    X = np.random.default_rng(0).standard_normal((1_000_000, 64), dtype=np.float32)
    few = X[: len(X) // part]
    skae = AutoencoderTransformer(8, hidden_layer_sizes=32, max_iter=1, tol=None, random_state=0).fit(few)
    pca, skorch = PCA(8).fit(few), peers.skorch_encoder(few, widths)
    race = Race(
        9,
        skae=lambda: skae.transform(X),
        limit=lambda: peers.transform_limit(X, widths),
        PCA=lambda: pca.transform(X),
        skorch=lambda: skorch.predict(few),
    )
    race.seconds["skorch"] = [part * seconds for seconds in race.seconds["skorch"]]
    yield race.row("transform", "skorch", 50, 75)._replace(peer=f"skorch ({part} x 1/{part} of the rows)")
    yield race.row("transform", "limit", 0.80, 0.87, unit="%")
    yield race.row("transform", "PCA", 3, 2.4, smaller=True)


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
    for _ in range(7):
        seconds["skae"].append(fresh_process(FIRST_FIT.format(prepare=skae, arguments="X")))
        seconds["MLPRegressor"].append(fresh_process(FIRST_FIT.format(prepare=mlp, arguments="X, X")))
    ours, theirs = (statistics.median(s) for s in seconds.values())
    yield Row("first fit of 100x10", "MLPRegressor", ours, theirs, ours * 1e3, "ms", 20, 5, smaller=True)


MEMORY = """
import numpy as np, torch
torch.set_num_threads(1)
from skae import AutoencoderTransformer
X = np.random.default_rng(0).random((60_000, 784), dtype=np.float32)
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
        share = statistics.median(fresh_process(MEMORY.format(warm=warm)) for _ in range(3))
        yield Row(work, "X itself", np.nan, np.nan, share, "X", 0.15, 0.06, smaller=True)


# Table -----------------------------------------------------------------------------------------------------


def verdict(row):
    if not row.required:
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


def main(names):
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # the first one imports torch._dynamo, which is nobody's fit
    warnings.simplefilter("ignore", ConvergenceWarning)
    head = "work", "peer", "ours s", "peer s", "figure", "required", "aim", "verdict", "our loss", "peer loss"
    form = "{:<29}{:<31}" + "{:>10}" * 8
    print(form.format(*head))
    for name in names or BENCHMARKS:
        for row in BENCHMARKS[name]():
            print(form.format(*line(row)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
