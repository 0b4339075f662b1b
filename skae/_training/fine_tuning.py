"""Fine-tuning a pretrained encoder with a softmax layer on its codes."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.utils import compute_class_weight
from torch import nn
from torch.nn import functional as F

from .._data.rows import Rows, TrainingData, codings
from .._networks.building import initialize
from .._networks.networks import Block, Encoder, Linear, compression, n_parameters
from .._objectives.losses import CROSS_ENTROPY
from .._support.devices import random_streams
from .loop import History
from .problem import Objective, Served
from .setup import Run
from .step import Step


class FineTuning(Run):
    """Training of the encoder's layers that are not frozen, and a softmax layer on the code.

    Parameters
    ----------
    estimator : AutoencoderClassifier
        With a fitted ``autoencoder_``.
    X : validated rows
        Those with a label.
    codes : int ndarray of shape (n_samples,)
        Numbers of their classes.
    """

    def __init__(self, estimator, X, codes: np.ndarray) -> None:
        autoencoder = estimator.autoencoder_
        self.encoder = to_fine_tune(autoencoder.encoder_)
        dtype, device = next(self.encoder.parameters()).dtype, autoencoder.device_
        weight = _weights(estimator.class_weight, estimator.classes_, codes)
        data = TrainingData(X, sample_weight=weight, dtype=dtype, device=device)
        super().__init__(estimator, data, device, dtype, random_streams(estimator.random_state))
        self.y = estimator.classes_[codes]
        if estimator.early_stopping:
            data.split(estimator.validation_fraction, self.streams.split, groups=torch.from_numpy(codes))
        data.offset = getattr(self.encoder, "offset", None)
        n_classes = len(estimator.classes_)
        self.head = Linear(autoencoder._n_features_out, n_classes)
        initialize([Block(self.head, "identity")], self.streams.weights)
        self.head.to(device, dtype)
        one_hot = F.one_hot(torch.from_numpy(codes), n_classes).to(dtype)
        self.targets = Rows(one_hot, None, dtype, device)
        self.step = self._step()

    @property
    def low_precision(self) -> bool:
        """Whether to compute in bfloat16 beside float32 parameters: the autoencoder's to say."""
        return self.estimator.autoencoder_.dtype == "bfloat16"

    def _step(self) -> Step:
        n_frozen, layers = self.estimator.n_frozen_layers, [*self.encoder.children()]
        if n_frozen > len(layers) or (n_frozen and not isinstance(self.encoder, nn.Sequential)):
            raise ValueError(
                f"n_frozen_layers={n_frozen}, but the encoder of {type(self.estimator.autoencoder_).__name__} has "
                f"{len(layers)} layers one after the other. Use a number from 0 to that."
            )
        rows = self.data.inputs(compression(self.encoder))
        trained: nn.Module = self.encoder
        if n_frozen:
            rows = codings(nn.Sequential(*layers[:n_frozen]), rows)
        if isinstance(self.encoder, nn.Sequential):
            trained = nn.Sequential(*layers[n_frozen:])
        head = nn.Sequential(Block(self.head, "identity"))
        served = Served(rows, self.targets, self.data.row_weight())
        return self.make_step(trained, head, served, Objective(CROSS_ENTROPY))

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
        }


def to_fine_tune(encoder: nn.Module) -> Any:
    """Return a copy of a fitted encoder that ends in the code, to be trained further."""
    return encoder.to_fine_tune() if isinstance(encoder, Encoder) else copy.deepcopy(encoder)


def _weights(class_weight, classes: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
    """Return the weight of each row by its class."""
    if class_weight is None:
        return None
    return compute_class_weight(class_weight, classes=classes, y=classes[codes])[codes]
