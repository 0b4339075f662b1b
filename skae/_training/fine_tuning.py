"""Fine-tuning a pretrained encoder with a softmax layer on its codes."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.utils import compute_class_weight
from torch import nn
from torch.nn import functional as F

from .._data.arrays import to_numpy
from .._data.rows import Rows, codings
from .._data.training_data import TrainingData
from .._networks.blocks import Block, Linear
from .._networks.initial_weights import initialize
from .._networks.networks import Encoder, n_parameters, preparation
from .._objectives.losses import CROSS_ENTROPY
from .._support.devices import random_streams
from .history import History
from .problem import Objective, Served
from .setup import Run, hold_out
from .step import Step


class Classification(Run):
    """Training of the encoder's layers that are not frozen, and of a softmax layer on the code.

    Parameters
    ----------
    estimator : AutoencoderClassifier
        With a fitted ``autoencoder_``.
    X : validated rows
    sample_weight : ndarray of shape (n_samples,) or None
    """

    step: Step

    def __init__(self, estimator, X, sample_weight: np.ndarray | None) -> None:
        autoencoder = estimator.autoencoder_
        self.encoder = to_fine_tune(autoencoder.encoder_)
        dtype, device = next(self.encoder.parameters()).dtype, autoencoder.device_
        missing = autoencoder._takes_missing
        data = TrainingData(X, sample_weight=sample_weight, missing=missing, dtype=dtype, device=device)
        super().__init__(estimator, data, device, dtype, random_streams(estimator.random_state))
        data.offset, data.unit = getattr(self.encoder, "offset", None), getattr(self.encoder, "unit", 1.0)
        self.n_classes = estimator.classes_.shape[0]
        self.head = Linear(autoencoder._n_features_out, self.n_classes)
        initialize([Block(self.head, "identity")], self.streams.weights)
        self.head.to(device, dtype)

    @property
    def low_precision(self) -> bool:
        """Whether to compute in bfloat16 beside float32 parameters: the autoencoder's to say."""
        return self.estimator.autoencoder_.dtype == "bfloat16"

    def networks(self) -> tuple[Rows, nn.Module, nn.Module]:
        """Return what is trained, and the rows that it takes: the encoder's layers but those frozen, and the head.

        Raises
        ------
        ValueError
            If there are not as many layers as are to be frozen.
        """
        n_frozen, layers = self.estimator.n_frozen_layers, [*self.encoder.children()]
        if n_frozen > len(layers) or (n_frozen and not isinstance(self.encoder, nn.Sequential)):
            raise ValueError(
                f"n_frozen_layers={n_frozen}, but the encoder of {type(self.estimator.autoencoder_).__name__} has "
                f"{len(layers)} layers one after the other. Use a number from 0 to that."
            )
        rows = self.data.inputs(preparation(self.encoder))
        trained: nn.Module = self.encoder
        if n_frozen:
            rows = codings(nn.Sequential(*layers[:n_frozen]), rows)
        if isinstance(self.encoder, nn.Sequential):
            trained = nn.Sequential(*layers[n_frozen:])
        return rows, trained, nn.Sequential(Block(self.head, "identity"))

    def glimpse(self, history: History) -> dict[str, Any]:
        """Return the fitted attributes as they are in the midst of training, with copies of the networks."""
        self.step.publish()
        with torch.inference_mode(False):
            return self._attributes(history, *copy.deepcopy((self.encoder, self.head)))

    def attributes(self, history: History) -> dict[str, Any]:
        """Return the fitted attributes, once training is over."""
        self.step.release()
        return self._attributes(history, self.encoder, self.head)

    def _attributes(self, history: History, encoder: nn.Module, head: nn.Module) -> dict[str, Any]:
        return {
            "encoder_": encoder.eval(),
            "head_": head.eval(),
            "device_": self.device,
            "n_parameters_": n_parameters((encoder, head)),
            **history.attributes(history.loss_curve),
            **self.values_used(None, self.max_iter),
        }


class FineTuning(Classification):
    """Training on labelled rows alone, by their cross-entropy.

    Parameters
    ----------
    estimator : AutoencoderClassifier
        With a fitted ``autoencoder_``.
    X : validated rows
        Those with a label.
    codes : int ndarray of shape (n_samples,)
        Numbers of their classes.
    sample_weight : ndarray of shape (n_samples,) or None
    """

    def __init__(self, estimator, X, codes: np.ndarray, sample_weight: np.ndarray | None = None) -> None:
        super().__init__(estimator, X, weights_by_class(estimator, codes, sample_weight))
        hold_out(estimator, self.data, self.streams.split, torch.from_numpy(codes))
        one_hot = F.one_hot(torch.from_numpy(codes), self.n_classes).to(self.dtype)
        targets = Rows(one_hot, None, self.dtype, self.device)
        rows, encoder, head = self.networks()
        served = Served(rows, targets, self.data.row_weight())
        self.step = self.make_step(encoder, head, served, Objective(CROSS_ENTROPY))


def to_fine_tune(encoder: nn.Module) -> Any:
    """Return a copy of a fitted encoder that ends in the code, to be trained further."""
    return encoder.to_fine_tune() if isinstance(encoder, Encoder) else copy.deepcopy(encoder)


def weights_by_class(estimator, codes: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
    """Return the weight of each labelled row: its own, times that of its class."""
    if estimator.class_weight is None:
        return sample_weight
    classes = to_numpy(estimator.classes_)
    settings = {"classes": classes, "y": classes[codes], "sample_weight": sample_weight}
    with np.errstate(divide="ignore"):  # by the weight of a class whose rows all have weight zero
        by_class = compute_class_weight(estimator.class_weight, **settings)[codes]
    return by_class if sample_weight is None else np.where(sample_weight > 0, by_class, 0) * sample_weight
