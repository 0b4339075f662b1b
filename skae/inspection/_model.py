"""A fitted autoencoder, alone or in a pipeline: the one place that knows how estimators and networks are made."""

import math
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._data import arrays
from .._data.corruption import Corruption
from .._networks.selection import Bits, Selection
from .._support.devices import random_seed
from ._drawing import check_image_shape
from ._rows import to_numpy
from ._scales import scales_of
from ._steps import steps_of


class NoWayBackError(TypeError):
    """Codes cannot be decoded, or rows not be brought back to a pipeline's input."""


class Model:
    """The autoencoder in an estimator, and the steps before it.

    Parameters
    ----------
    estimator : fitted autoencoder, or fitted Pipeline or search that contains one
        If no step has networks, the last one with an ``inverse_transform`` takes the autoencoder's place.

    Attributes
    ----------
    autoencoder : estimator
    before : list of (str, transformer)
        The steps before the autoencoder.
    feature_names : ndarray of str or None
        Names of the pipeline's input features.
    """

    def __init__(self, estimator) -> None:
        estimator = getattr(estimator, "best_estimator_", estimator)
        check_is_fitted(estimator)
        steps = steps_of(estimator)
        kinds = ("inverse_transform", "encoder_")
        found = [i for kind in kinds for i, (_, step) in enumerate(steps) if hasattr(step, kind)]
        if not found:
            raise TypeError(
                f"{type(estimator).__name__} contains neither a fitted autoencoder nor a transformer with an "
                "inverse_transform. Pass a fitted autoencoder, or a Pipeline that contains one."
            )
        self.before, (_, self.autoencoder) = steps[: found[-1]], steps[found[-1]]
        self.feature_names = getattr(steps[0][1], "feature_names_in_", None)

    def attribute(self, name: str, purpose: str = "") -> Any:
        """Return an attribute of the autoencoder, such as its encoder; a TypeError says if it has none."""
        error = NoWayBackError if name == "inverse_transform" else TypeError
        if not hasattr(self.autoencoder, name):
            inner = hasattr(self.autoencoder, "autoencoder_")
            hint = ", such as its autoencoder_, which is the one before fine-tuning" if inner else ""
            raise error(
                f"{type(self.autoencoder).__name__} has no {name}{purpose}. Pass a fitted autoencoder{hint}, or a "
                "Pipeline that contains one."
            )
        return getattr(self.autoencoder, name)

    @property
    def has_sparse_dictionary(self) -> bool:
        """Whether the autoencoder has sparse codes, and a decoder that is their dictionary."""
        return hasattr(self.autoencoder, "dead_fraction_") and hasattr(self.autoencoder, "components_")

    # Rows in and out ---------------------------------------------------------------------------------------

    def prepare(self, X):
        """Transform rows by the steps before the autoencoder."""
        for _, step in self.before:
            X = step.transform(X)
        return X

    def rows(self, X) -> "Tensor | sparse.csr_matrix":
        """Return rows as the autoencoder takes them, validated: a tensor on the CPU or a CSR matrix."""
        return arrays.to_torch(arrays.check_rows(self.autoencoder, self.prepare(X), reset=False))

    def restore(self, X) -> np.ndarray:
        """Bring rows from the autoencoder's input back to the pipeline's: a dense ndarray."""
        X = self._native(X)
        for name, step in reversed(self.before):
            words, cause = "has no inverse_transform", None
            if hasattr(step, "inverse_transform"):
                try:
                    X = step.inverse_transform(X)
                    continue
                except (AttributeError, NotImplementedError, ValueError) as error:  # some have one that refuses
                    words, cause = f"has no inverse_transform that works here ({error})", error
            raise NoWayBackError(
                f"Step {name!r} before the autoencoder, a {type(step).__name__}, {words}, so rows cannot be "
                "brought back to the pipeline's input. To see rows as the autoencoder does, pass the autoencoder "
                "itself, and the rows transformed by the steps before it."
            ) from cause
        return to_numpy(X)

    def encode(self, X) -> np.ndarray:
        """Return the codes of rows, dense."""
        return to_numpy(self.autoencoder.transform(self.prepare(X)))

    def decode(self, Z) -> np.ndarray:
        """Decode codes, to rows at the pipeline's input."""
        return self.restore(self.attribute("inverse_transform", " to decode with")(self._native(Z)))

    def _native(self, X):
        """Move an ndarray to the array namespace that the autoencoder was fitted in."""
        like = getattr(self.autoencoder, "offset_", None)
        return arrays.to_namespace_of(like, X) if isinstance(X, np.ndarray) and like is not None else X

    def panel_options(self, image_shape, n_features: int, X=None) -> dict:
        """Return a display's image shape and feature names for rows of the pipeline's input, and scales by X.

        An image shape that is given must fit; the autoencoder's own is used if it does.
        """
        own = getattr(self.autoencoder, "image_shape", None)
        if image_shape is None and own is not None and math.prod(own) == n_features:
            image_shape = tuple(own)
        shape = check_image_shape(image_shape, n_features)
        options = {"image_shape": shape, "feature_names": self.feature_names}
        has_scales = X is not None and shape is None and np.shape(X)[1] == n_features
        return options | ({"scales": scales_of(X)} if has_scales else {})

    # Noise -------------------------------------------------------------------------------------------------

    @property
    def has_noise(self) -> bool:
        """Whether the autoencoder was trained with noise of its own."""
        model = self.autoencoder
        return getattr(model, "noise", None) is not None and model._column_statistics is not None

    def corrupt(self, prepared, random_state):
        """Add the autoencoder's own noise to prepared rows."""
        model = self.autoencoder
        if not self.has_noise:
            raise ValueError(
                f"corrupt=True, but this {type(model).__name__} was not trained with noise of its own. Use "
                "corrupt=False, or pass corrupted rows as X_corrupted."
            )
        x = torch.as_tensor(to_numpy(arrays.check_rows(model, prepared, reset=False)))
        generator = torch.Generator().manual_seed(random_seed(random_state))
        statistics = model._column_statistics
        missing = model._takes_missing
        noise = Corruption(model.noise, model.noise_level, statistics, generator, x.dtype, missing=missing)
        return self._native(noise(x).numpy())


# Layers of networks ----------------------------------------------------------------------------------------


def layers(network: nn.Module) -> list[nn.Module]:
    """List a network's layers: its children without the selection of units after the code; at least itself."""
    network = getattr(network, "unlinked", network)  # a user's decoder, without the loss's link
    return [child for child in network.children() if not isinstance(child, Selection)] or [network]


def find_layer(network: nn.Module, layer: int | str | None) -> nn.Module:
    """Return a layer by its number in `layers`, or a module by its name in ``named_modules()``.

    None is the module that computes the code: the encoder, or its last layer if bits are made of the code.

    Raises
    ------
    ValueError
        If there is none.
    """
    found, named = layers(network), dict(network.named_modules())
    if layer is None:
        return found[-1] if isinstance(getattr(network, "selection", None), Bits) else network
    if isinstance(layer, str):
        if layer not in named:
            names = ", ".join(repr(name) for name in named if name)
            raise ValueError(f"layer={layer!r} is not a module of the network. Its modules are {names}.")
        return named[layer]
    if not -len(found) <= layer < len(found):
        raise ValueError(
            f"layer={layer} does not exist: the network has {len(found)} layers, 0 to {len(found) - 1}, or -1 and "
            "down counted from the end. To pick a module inside a layer, pass its name."
        )
    return found[layer]
