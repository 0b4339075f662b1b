"""How cost grows: with rows, columns, units and models; several models at once, and sparse rows."""

import os
import time
from pathlib import Path

import numpy as np
import peers
import torch
from race import TINY, Race, Row, benchmark, digits, fresh_process, squared_errors
from scipy import sparse
from sklearn.decomposition import PCA
from speed_process import MEMORY


@benchmark
def together():
    """The best of ten starts of 64-32-8-32-64 on batches of 32 rows, trained at once, against one."""
    X, widths, epochs = digits(), (64, 32, 8, 32, 64), 20
    race = Race(
        9,
        skae=lambda: peers.skae(X, widths, epochs, 32, init="glorot", n_init=10),
        one_fit=lambda: peers.skae(X, widths, epochs, 32, init="glorot"),
    )
    losses = squared_errors(race, X)
    yield race.row("ten models at once", "one_fit", 6, 5, smaller=True, losses=losses)


def sparse_torch_loop(X, widths, epochs, batch_size):
    """The loop that one writes by hand for CSR rows: each batch is made dense."""
    torch.manual_seed(0)
    network = peers.Dense(widths)
    adam = torch.optim.Adam(network.parameters(), lr=peers.LEARNING_RATE, fused=True)
    for _ in range(epochs):
        for index in np.random.default_rng(0).permutation(X.shape[0]).reshape(-1, batch_size):
            batch = torch.from_numpy(X[index].toarray())
            adam.zero_grad()
            torch.nn.functional.mse_loss(network(batch), batch).backward()
            adam.step()


def topics(n_rows, n_columns):
    """CSR rows of up to a hundred words each, all of one of ten topics."""
    rng = np.random.default_rng(0)
    part, n_words = n_columns // 10, min(100, n_columns // 50)
    words = rng.integers(10, size=(n_rows, 1)) * part + rng.integers(part, size=(n_rows, n_words))
    numbers = np.repeat(np.arange(n_rows), n_words)
    values = rng.random(words.size, dtype=np.float32)
    return sparse.csr_array((values, (numbers, words.ravel())), shape=(n_rows, n_columns))


@benchmark
def sparse_rows():
    """Five epochs over 2048 CSR rows of 20000 columns, 0.5 % of them not zero, through 128 units to 32 codes."""
    X = topics(*((256, 500) if TINY else (2048, 20_000)))
    task = ((X.shape[1], 128, 32, 128, X.shape[1]), 5, 128)
    race = Race(
        3,
        skae=lambda: peers.skae(X, *task, init="glorot"),
        dense_batches=lambda: sparse_torch_loop(X, *task),
        PCA_start=lambda: peers.skae(X, *task),
    )
    yield race.row("sparse rows, 0.5 % of 20000", "dense_batches", 1.4, 2.2)
    yield race.row("sparse rows, started at PCA", "dense_batches", 0, 0, ours="PCA_start")


# How cost grows --------------------------------------------------------------------------------------------

SIZES = {
    "rows": (1000, 10_000, 100_000, 1_000_000),
    "columns": (10, 100, 1000, 10_000),
    "hidden units": (8, 64, 512, 2048),
    "models": (1, 3, 10, 30),
}
TYPICAL = {"rows": 2000, "columns": 50, "hidden units": 64, "models": 1}
MOST = 4e9  # entries times hidden units; a peer that takes longer than others is not tried with more
FORM = "{:<14}{:>9}" + "{:>15}" * 5


def sizes(axis):
    """The first two, where it is only to be seen whether all of it runs."""
    return SIZES[axis][:2] if TINY else SIZES[axis]


def candidates(rows, columns, hidden, models):
    """Fits of an epoch, of batches of 64 rows; PCA finds as many components as there are codes."""
    X = np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
    width = min(8, columns // 2)
    task = ((columns, hidden, width, hidden, columns), 1, 64)
    found = {"skae": lambda: peers.skae(X, *task, init="glorot", n_init=models)}
    if models == 1:
        found["PCA"] = lambda: PCA(width, random_state=0).fit(X)
    if models == 1 and rows * columns * hidden <= MOST:
        found["MLPRegressor"] = lambda: peers.scikit_learn(X, *task)
        found["torch loop"] = lambda: peers.torch_loop(X, *task, fused=True)
    return found


def seconds_of(fit):
    """Process CPU time of a fit: the least of three where it is short."""
    taken = []
    while len(taken) < 3 and sum(taken) < 2:
        start = time.process_time()
        fit()
        taken.append(time.process_time() - start)
    return min(taken)


def megabytes(n_rows):
    """What a fit to so many rows of 784 columns adds to the memory of a process (Linux only)."""
    share = fresh_process(MEMORY.format(warm=True, n_rows=n_rows))
    return share * n_rows * 784 * 4 / 2**20


def exponent(cost):
    """The slope of the cost on logarithmic axes, over the upper half of the sizes, where fixed costs fade."""
    sizes, values = (np.log([*part]) for part in (cost.keys(), cost.values()))
    half = len(sizes) // 2
    return float(np.polyfit(sizes[-half - 1 :], values[-half - 1 :], 1)[0])


def measure():
    """Return seconds by axis, candidate and size, and print them as they come."""
    measured = {}
    print(FORM.format("", "", "skae", "PCA", "MLPRegressor", "torch loop", "memory, MiB"))
    for axis in SIZES:
        measured[axis] = {}
        for size in sizes(axis):
            place = [*({**TYPICAL, axis: size}).values()]
            cells = {name: seconds_of(fit) for name, fit in candidates(*place).items()}
            if axis == "rows" and size <= 100_000:
                cells["memory"] = megabytes(size)
            for name, value in cells.items():
                measured[axis].setdefault(name, {})[size] = value
            names = ("skae", "PCA", "MLPRegressor", "torch loop", "memory")
            texts = (f"{cells[name]:.4g}" if name in cells else "" for name in names)
            print(FORM.format(axis, size, *texts), flush=True)
    return measured


@benchmark
def scaling():
    """How time, and memory, of an epoch grow with rows, columns, hidden units and models started at once.

    The figures are exponents: 1 is in proportion. ``SKAE_FIGURE`` names a file for the picture of it.
    """
    measured = measure()
    for axis, by_name in measured.items():
        for name, cost in by_name.items():
            if len(cost) > 1:
                yield Row(f"{name} by {axis}", "exponent", [*cost.values()][-1], np.nan, exponent(cost), "", 0, 0)
    draw(measured)


def draw(measured):
    """Draw seconds against sizes, where ``SKAE_FIGURE`` says where to."""
    if not (file := os.environ.get("SKAE_FIGURE")):
        return
    import matplotlib.pyplot as plt

    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "skae"}  # small, and the same each time
    figure, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained", sharey=True)
    for ax, (axis, by_name) in zip(axes.flat, measured.items(), strict=True):
        for name, cost in by_name.items():
            if name != "memory" and len(cost) > 1:
                ax.loglog([*cost.keys()], [*cost.values()], "o-", label=f"{name} ({exponent(cost):.1f})")
        ax.set(xlabel=axis)
        ax.grid(alpha=0.3)
        ax.legend(fontsize="small")
    for ax in axes[:, 0]:
        ax.set(ylabel="seconds of an epoch")
    figure.savefig(Path(file), metadata={"Date": None})
