"""Compare skae's speed and memory with its peers' and with what the arithmetic alone costs.

    python tests/benchmarks/speed.py                   every row (about ten minutes)
    python tests/benchmarks/speed.py small transform   some of them, by name
    python tests/benchmarks/speed.py --tiny            every row once, on few rows: whether they still run

How it is measured is told in ``race.py``. Peers need skorch and pythae (``pip install skae[benchmark]``); rows of
those that are missing are left out. MNIST is read from ``$SKAE_DATA/mnist_train.npz``, else fetched from OpenML,
else replaced by random images of the same shape. A new row is a generator function marked ``@benchmark``.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import functools
import sys

import numpy as np
import peers
import peers_images
import race
import speed_process
import speed_ranks
import speed_scaling
from race import TINY, Race, benchmark, digits, mnist, squared_errors
from sklearn.decomposition import PCA

from skae import (
    AdversarialAutoencoder,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
)

__all__ = ["speed_process", "speed_ranks", "speed_scaling"]  # each registers its rows


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
    for name in costly:  # more networks, a discriminator or decoders of prefixes: nothing is asked of them
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
            skae=lambda task=task: peers_images.images(X, *task),
            bfloat16=lambda task=task: peers_images.images(X, *task, dtype="bfloat16"),
            torch_loop=lambda task=task: peers_images.images_torch_loop(X, *task),
        )
        losses = squared_errors(race, X)
        yield race.row(f"{kind} net", "torch_loop", required[0], aim[0], losses=losses)
        yield race.row(f"{kind} net, bf16", "torch_loop", required[1], aim[1], ours="bfloat16", losses=losses)


@benchmark
def transform():
    """A million rows to their codes; skorch's predict gets one row in fifty."""
    part, widths = 50, (64, 32, 8)
    X = np.random.default_rng(0).standard_normal((20_000 if TINY else 1_000_000, 64), dtype=np.float32)
    few = X[: len(X) // part]
    skae = AutoencoderTransformer(8, hidden_layer_sizes=32, max_iter=1, tol=None, random_state=0).fit(few)
    pca, skorch = PCA(8).fit(few), peers.skorch_encoder(few, widths)  # None where skorch is not installed
    race = Race(
        9,
        skae=lambda: skae.transform(X),
        limit=lambda: peers.transform_limit(X, widths),
        PCA=lambda: pca.transform(X),
        skorch=lambda: peers.skorch_predict(skorch, few),
    )
    race.seconds["skorch"] = [part * seconds for seconds in race.seconds["skorch"]]
    against_skorch = race.row("transform", "skorch", 50, 75)
    yield against_skorch and against_skorch._replace(peer=f"skorch ({part} x 1/{part} of the rows)")
    yield race.row("transform", "limit", 0.80, 0.87, unit="%")
    yield race.row("transform", "PCA", 3, 2.4, smaller=True)


if __name__ == "__main__":
    race.main(sys.argv[1:])
