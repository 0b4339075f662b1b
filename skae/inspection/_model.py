"""A fitted autoencoder, alone or in a pipeline, seen from the pipeline's input."""

import math
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._data import arrays


class Model:
    """The autoencoder in an estimator, with the steps before it.

    Parameters
    ----------
    estimator : fitted autoencoder, or fitted Pipeline or search that holds one
        Where no step has networks, the last one with an ``inverse_transform`` takes the autoencoder's place.

    Attributes
    ----------
    autoencoder : estimator
    before : list of (str, transformer)
        What rows pass before they enter the autoencoder.
    """

    def __init__(self, estimator) -> None:
        estimator = getattr(estimator, "best_estimator_", estimator)
        check_is_fitted(estimator)
        steps = _steps(estimator)
        kinds = [[hasattr(step, name) for _, step in steps] for name in ("encoder_", "inverse_transform")]
        found = [[i for i, has in enumerate(kind) if has] for kind in kinds]
        if not any(found):
            raise TypeError(
                f"{type(estimator).__name__} holds neither a fitted autoencoder nor a transformer with an "
                "inverse_transform. Pass a fitted autoencoder, or a Pipeline with one among its steps."
            )
        last = (found[0] or found[1])[-1]
        self.before, (_, self.autoencoder) = steps[:last], steps[last]
        self.feature_names = getattr(steps[0][1], "feature_names_in_", None)

    def network(self, name: str) -> nn.Module:
        """Return the encoder or the decoder, by that name."""
        try:
            return getattr(self.autoencoder, f"{name}_")
        except AttributeError:
            raise TypeError(
                f"{type(self.autoencoder).__name__} has no {name}_. Pass one of skae's fitted autoencoders"
                f"{self._or_its_autoencoder()}, or a Pipeline with one among its steps."
            ) from None

    def prepare(self, X):
        """Send rows through the steps before the autoencoder."""
        for _, step in self.before:
            X = step.transform(X)
        return X

    def prepared_rows(self, X):
        """Return rows as the autoencoder takes them, validated."""
        return arrays.check_rows(self.autoencoder, self.prepare(X), reset=False)

    def restore(self, X):
        """Send rows back from the autoencoder's input to the pipeline's: a dense ndarray."""
        for name, step in reversed(self.before):
            if not hasattr(step, "inverse_transform"):
                raise TypeError(
                    f"Step {name!r} before the autoencoder, a {type(step).__name__}, has no inverse_transform, so "
                    "that rows cannot be brought back to the pipeline's input. To look at rows as the autoencoder "
                    "sees them, pass the autoencoder itself and the rows transformed by the steps before it."
                )
            X = step.inverse_transform(X)
        return to_numpy(X)

    def encode(self, prepared) -> np.ndarray:
        """Return the codes of prepared rows, dense."""
        return to_numpy(self.autoencoder.transform(prepared))

    def decode(self, Z: np.ndarray) -> np.ndarray:
        """Return what codes stand for, at the pipeline's input."""
        self._require_inverse()
        Z = arrays.to_namespace_of(getattr(self.autoencoder, "offset_", Z), Z)
        return self.restore(self.autoencoder.inverse_transform(Z))

    def reconstruct(self, prepared) -> np.ndarray:
        """Return the reconstructions of prepared rows, at the pipeline's input."""
        self._require_inverse()
        return self.restore(self.autoencoder.inverse_transform(self.autoencoder.transform(prepared)))

    def _require_inverse(self) -> None:
        if not hasattr(self.autoencoder, "inverse_transform"):
            raise TypeError(
                f"{type(self.autoencoder).__name__} has no inverse_transform to decode with. Pass an autoencoder"
                f"{self._or_its_autoencoder()}."
            )

    def _or_its_autoencoder(self) -> str:
        has_one = hasattr(self.autoencoder, "autoencoder_")
        return ", such as its autoencoder_, which is as it was before fine-tuning" if has_one else ""

    def image_shape(self, image_shape, n_features: int) -> tuple[int, ...] | None:
        """Return the shape of rows of ``n_features`` as images, None where they are none.

        A shape that is given must fit; the autoencoder's own is taken where it does.
        """
        if image_shape is not None:
            return check_image_shape(image_shape, n_features)
        own = getattr(self.autoencoder, "image_shape", None)
        return tuple(own) if own is not None and math.prod(own) == n_features else None


def check_image_shape(image_shape, n_features: int) -> tuple[int, ...] | None:
    """Check that rows of ``n_features`` are images of that shape that can be drawn.

    Raises
    ------
    ValueError
        If they are not.
    """
    if image_shape is None:
        return None
    shape = tuple(int(size) for size in image_shape)
    if len(shape) not in (2, 3) or math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} is {math.prod(shape)} values, but the rows to draw have {n_features}. Pass "
            "(height, width) or (height, width, channels) whose product is the number of values."
        )
    return shape


def _steps(estimator, name: str = "") -> list[tuple[str, Any]]:
    """List the steps of a pipeline, and of those inside it, in order."""
    if not isinstance(estimator, Pipeline):
        return [(name, estimator)]
    steps = [(n, step) for n, step in estimator.steps if step is not None and step != "passthrough"]
    return [inner for n, step in steps for inner in _steps(step, n)]


def to_numpy(X) -> np.ndarray:
    """Turn rows of any container into a dense ndarray."""
    if sparse.issparse(X):
        return X.toarray()
    return X.detach().cpu().numpy() if isinstance(X, Tensor) else np.asarray(X)


def take(X, index):
    """Return rows by number, in their own container."""
    X = X if hasattr(X, "shape") else np.asarray(X)
    if isinstance(X, Tensor):
        return X[np.asarray(index).tolist()]
    return _safe_indexing(X.tocsr() if sparse.issparse(X) else X, np.asarray(index))


def first_rows(X, n_samples: int):
    """Return the first rows, as many as there are of ``n_samples``."""
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    return take(X, np.arange(min(n_samples, n_rows)))
