"""New rows: codes drawn from a prior, and decoded, chunk by chunk, into one array."""

from collections.abc import Callable

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._data import arrays
from .._data.chunks import slices
from .._networks.inference import forward
from .._support import random
from .sampling import check_n_samples


def generate(
    estimator,
    n_samples,
    random_state,
    draw_codes: Callable[[int, Tensor, torch.Generator], Tensor],
    draw_rows: Callable[[Tensor, torch.Generator], Tensor] | None = None,
):
    """Return new rows, (n_samples, n_features), of the kind and dtype of the data that were given to ``fit``.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Fitted, or `sklearn.exceptions.NotFittedError` is raised.
    n_samples : int
    random_state : int, RandomState instance or None
    draw_codes : callable (n, like, generator) -> Tensor of shape (n, n_components)
        Of the dtype, and on the device, of ``like``.
    draw_rows : callable (x, generator) -> Tensor or None
        From decoded rows, (n, n_features), to those that are returned; None returns the former.
    """
    check_is_fitted(estimator)
    n_samples, streams = check_n_samples(n_samples), random.streams(random_state)
    output = arrays.Output(estimator.offset_, (n_samples, estimator.n_features_in_))
    dtype = output.tensor.dtype
    decode, like = forward(estimator.decoder_, dtype), torch.empty(0, dtype=dtype)
    with torch.inference_mode():
        for part in slices(n_samples, estimator._widest * dtype.itemsize):
            z = draw_codes(part.stop - part.start, like, streams.weights)
            x = decode(z.to(estimator.device_), None).cpu()
            output.tensor[part] = x if draw_rows is None else draw_rows(x, streams.noise)
    return output.array()
