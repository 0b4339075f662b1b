"""The fits that two ranks and one process are compared by."""

import numpy as np
import torch
from estimators import CONFIGURATIONS, CONVOLUTIONAL, GREEDY, INEXACT_WEIGHTS, MISSING, configured, rows
from scipy import sparse
from sklearn.base import clone
from torch import nn

from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, VAESampler

N_ROWS = 60


def _wide():
    """More columns than rows."""
    return rows(N_ROWS, 90)


def _wide_sparse(name):
    """As many columns as are read as they are stored, but of one rank alone only, or with one of its centre."""
    X = np.zeros((N_ROWS, 1000))
    X[:, :5] = rows(N_ROWS)
    if name == "sparse_rows_denser":  # those of the second rank, by more than what is read so
        X[N_ROWS * 2 // 3 :, 5:20] = rows(N_ROWS // 3, 15, seed=1)
    else:  # the centre is all that there is of the first rank's rows
        X[:, 0] += np.where(np.arange(N_ROWS) < N_ROWS * 2 // 3, 300, 900)
    return sparse.csr_array(X)


class PenalizedAutoencoder(AutoencoderTransformer):
    """With a penalty that only rows of the second rank have."""

    strength: float = 1.0
    unused: float = 0.0

    def _penalty(self, x, code):
        return self.strength * (x[:, 0] - 10).relu() * code.square().sum(1)


def _own_encoder():
    """A module of a user's, with batch normalization."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))


_OWN = {
    "alike": configured(AutoencoderTransformer, early_stopping=True, tol=1e-3),
    "weighted": configured(AutoencoderTransformer, early_stopping=True),
    "weighted_kl": configured(SparseAutoencoder, sparsity="kl"),
    "weighted_winners": configured(SparseAutoencoder, sparsity="winner_take_all", sparsity_target=0.3),
    "weighted_batch_topk": configured(SparseAutoencoder, sparsity="batch_topk", n_active=1),
    "sparse_rows": configured(AutoencoderTransformer),
    "sparse_rows_denser": configured(AutoencoderTransformer, init="glorot"),
    "sparse_rows_apart": configured(AutoencoderTransformer, init="glorot"),
    "sparse_rows_noise": configured(DenoisingAutoencoder, noise="salt_and_pepper"),
    "wide": configured(AutoencoderTransformer, hidden_layer_sizes=(12,)),
    "images_kl": configured(
        SparseAutoencoder, sparsity="kl", image_shape=(5, 1), hidden_layer_sizes=(4,), normalization="batch"
    ),
    "batch_of_few": configured(AutoencoderTransformer),
    "of_two": configured(AutoencoderTransformer, hidden_layer_sizes=()),
    "free_bits": configured(VAESampler, free_bits=0.5),
    "paired": configured(DenoisingAutoencoder),
    "starts": configured(AutoencoderTransformer, n_init=2, early_stopping=True),
    "own_encoder": configured(AutoencoderTransformer, encoder=_own_encoder()),
    "own_penalty": configured(PenalizedAutoencoder),
    "watched": configured(AutoencoderTransformer, early_stopping=True),
    "all_rows": configured(AutoencoderTransformer, early_stopping="auto", n_components=1),
}
_BATCH_SIZES = {"batch_of_few": 8, "of_two": 2, "own_penalty": 1}


def rows_of(name):
    """The rows of a case, those of the first rank first."""
    if name == "wide":
        return _wide()
    if name in ("sparse_rows_denser", "sparse_rows_apart"):
        return _wide_sparse(name)
    X = rows(N_ROWS)
    if name == "own_penalty":
        X[-10:, 0] += 20
    if name == "vae_missing":
        return np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)
    if name.startswith("sparse_rows"):
        return sparse.csr_array(np.where(np.abs(X) < 0.5, 0, X))
    return np.repeat(X[:20], 3, 0) if name == "alike" else X


def _data_of(name):
    if name.startswith("weighted"):
        return {"sample_weight": np.random.default_rng(1).integers(0, 4, N_ROWS).astype(float)}
    if name == "paired":
        return {"X_clean": rows(N_ROWS) + 0.1}
    return {"X_val": rows(N_ROWS, seed=1)} if name == "watched" else {}


def _case(name, estimator):
    parameters = {"batch_size": _BATCH_SIZES.get(name, 25), "max_iter": 2}
    if name == "all_rows":  # which rows held out tell for how many epochs to train on
        parameters["max_iter"] = "auto"
    if estimator.dtype != "auto":
        parameters["dtype"] = "float64"
    return clone(estimator), parameters, _data_of(name)


ALL = {**CONFIGURATIONS, **INEXACT_WEIGHTS, **CONVOLUTIONAL, **GREEDY, **MISSING, **_OWN}
CASES = {name: _case(name, estimator) for name, estimator in ALL.items()}
