"""Fine-tuning a pretrained encoder with a softmax layer on its codes."""

import copy
from typing import Any

import numpy as np
import torch
from sklearn.utils import compute_class_weight
from torch import nn
from torch.nn import functional as F

from .._data.rows import Rows, codings
from .._data.training_data import TrainingData
from .._networks.building import initialize
from .._networks.networks import Block, Linear, compression, n_parameters
from .._objectives.losses import CROSS_ENTROPY
from .loop import History
from .run import Run


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
        self.encoder = autoencoder._own_encoder()
        dtype = next(self.encoder.parameters()).dtype
        super().__init__(estimator, autoencoder.device_, dtype, autoencoder.dtype == "bfloat16")
        self.y = estimator.classes_[codes]
        weight = _weights(estimator.class_weight, estimator.classes_, codes)
        self.data = TrainingData(X, sample_weight=weight, dtype=dtype, device=self.device)
        if estimator.early_stopping:
            self.data.split(estimator.validation_fraction, self.streams.split, groups=torch.from_numpy(codes))
        self.data.offset = getattr(self.encoder, "offset", None)
        n_classes = len(estimator.classes_)
        self.head = Linear(autoencoder._n_features_out, n_classes)
        initialize([Block(self.head, "identity")], self.streams.weights)
        self.head.to(self.device, dtype)
        one_hot = F.one_hot(torch.from_numpy(codes), n_classes).to(dtype)
        self.targets = Rows(one_hot, None, dtype, self.device)
        self.step = self._step()

    def _step(self):
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
        return self.make_step(trained, head, rows, loss=CROSS_ENTROPY, targets=self.targets)

    def attributes(self, history: History, *, final: bool = True) -> dict[str, Any]:
        """Return the fitted attributes; before the end (``final=False``), with copies of the networks."""
        networks = (self.encoder, self.head)
        if final:
            self.step.release()
        else:
            self.current.publish()
            with torch.inference_mode(False):
                networks = copy.deepcopy(networks)
        watched = history.validation_loss_curve or history.loss_curve
        fitted = {
            "encoder_": networks[0].eval(),
            "head_": networks[1].eval(),
            "device_": self.device,
            "n_parameters_": n_parameters(networks),
            "loss_curve_": history.loss_curve,
            "loss_": history.loss_curve[-1],
            "best_loss_": min(watched),
            "n_iter_": len(history.loss_curve),
        }
        if self.data.validation_rows is not None:
            fitted["validation_loss_curve_"] = history.validation_loss_curve
        return fitted


def _weights(class_weight, classes: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
    """Return the weight of each row by its class."""
    if class_weight is None:
        return None
    return compute_class_weight(class_weight, classes=classes, y=classes[codes])[codes]
