"""Save a model of every kind with the version of skae that is installed, for later versions to load.

Run once for each version: ``python tests/data_saved/save.py`` writes a folder named after it, which holds the
models, and the rows and results that tests/fitted/test_saved_files.py compares with.
"""

import pathlib
import pickle
import warnings

import numpy as np
import torch
from torch import nn

import skae

X = np.random.default_rng(0).normal(size=(40, 5))
X[:, 2] = abs(X[:, 2])
X01 = np.random.default_rng(1).uniform(size=(40, 5))
Y = np.arange(40) % 3
SETTINGS = {"hidden_layer_sizes": (3,), "max_iter": 3, "tol": None, "random_state": 0}
LIKELIHOOD = [("gaussian", [0, 1]), ("exponential", [2]), ("gaussian", [3, 4])]


def plain(n_components=2, **parameters):
    return skae.AutoencoderTransformer(n_components, **{**SETTINGS, **parameters})


def models():
    images = {"image_shape": (5, 1), "normalization": "batch"}
    stacked = skae.StackedAutoencoder(2, pretrain_max_iter=2, **SETTINGS)
    own = {"encoder": nn.Sequential(nn.Linear(5, 2)), "decoder": nn.Linear(2, 5)}
    return {
        "autoencoder": plain(),
        "ordered": plain(3, ordered=True),
        "tied_images": plain(hidden_layer_sizes=(2,), tied_weights=True, **images),
        "own_modules": plain(loss="binary_cross_entropy", **own),
        "own_encoder": plain(ordered=True, encoder=nn.Linear(5, 2)),
        "own_decoder": plain(decoder=nn.Linear(2, 5), **images),
        "denoising": skae.DenoisingAutoencoder(2, **SETTINGS),
        "sparse": skae.SparseAutoencoder(6, sparsity="batch_topk", **SETTINGS),
        "stacked": stacked,
        "vae": skae.VAESampler(2, likelihood=LIKELIHOOD, **SETTINGS),
        "adversarial": skae.AdversarialAutoencoder(2, prior=[(-1, 0.5), (1, 0.5)], **SETTINGS),
        "hasher": skae.SemanticHasher(4, **SETTINGS),
        "classifier": skae.AutoencoderClassifier(stacked, max_iter=3, tol=None, random_state=0),
    }


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / skae.__version__
    folder.mkdir()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # of the modules that stand for a user's own
    warnings.simplefilter("ignore")
    results = {"X": X, "X01": X01}
    for name, model in models().items():
        rows = X01 if name == "own_modules" else X
        model.fit(rows, Y)
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(model, protocol=5))
        results[name] = model.transform(rows)
        results[f"{name}_back"] = model.predict_proba(rows) if name == "classifier" else model.reconstruct(rows)
    np.savez_compressed(folder / "expected.npz", **results)
