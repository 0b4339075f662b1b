"""Between the caller's arrays and torch: NumPy, SciPy sparse, torch tensors and other array namespaces."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils._array_api import (
    check_same_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis
from sklearn.utils.validation import validate_data
from torch import Tensor

from .rows import Densifier, as_tensor, slices


def check_rows(estimator, X, *, reset: bool, method: str | None = None):
    """Validate X as scikit-learn does; floating dtypes stay, all others become float64, sparse becomes CSR.

    ``method`` names a method of a fitted estimator, which takes the array namespace that `fit` was given.

    Raises
    ------
    ValueError
        For anything that is not a two-dimensional array of finite real numbers.
    """
    _check_ndim(X)
    X = X.detach() if isinstance(X, Tensor) else X
    X = validate_data(estimator, X, accept_sparse="csr", dtype=_float_dtypes(X), reset=reset)
    if method is not None:
        check_same_namespace(X, estimator, attribute="offset_", method=method)
    return X


def check_rows_and_labels(estimator, X, y):
    """Validate training rows as `check_rows` does, and their class labels."""
    _check_ndim(X)
    X = X.detach() if isinstance(X, Tensor) else X
    return validate_data(estimator, X, y, accept_sparse="csr", dtype=_float_dtypes(X))


def _check_ndim(X) -> None:
    ndim = getattr(X, "ndim", 2)
    if ndim > 2:
        raise ValueError(
            f"X has {ndim} dimensions, shape {tuple(X.shape)}, but each row must be one flat sample. "
            "Pass X.reshape(len(X), -1); with image_shape=(height, width[, channels]) the networks turn the "
            "rows back into images."
        )


def check_codes(estimator, Z, width: int):
    """Validate codes as rows are, and their width.

    Raises
    ------
    ValueError
        If Z is not of that width.
    """
    Z = check_unnamed(Z, "Z")
    if Z.shape[1] != width:
        raise ValueError(
            f"Z has {Z.shape[1]} columns, but the codes of this {type(estimator).__name__} have "
            f"{estimator._width_parameter}={width}. Pass what transform returned, or codes of that width."
        )
    check_same_namespace(Z, estimator, attribute="offset_", method="inverse_transform")
    return Z


def check_unnamed(X, name: str):
    """Validate an array beside the rows, without feature names, called ``name`` in messages."""
    X = X.detach() if isinstance(X, Tensor) else X
    return check_array(X, accept_sparse="csr", dtype=_float_dtypes(X), input_name=name)


def _float_dtypes(X) -> list:
    """List the dtypes that are kept: half precision is none of them, as in PCA."""
    xp, _, device = get_namespace_and_device(X)
    return [dtype for dtype in supported_float_dtypes(xp, device) if "16" not in str(dtype)]


def to_torch(X) -> "Tensor | sparse.csr_matrix":
    """View validated rows as a tensor, without a copy for NumPy and torch; sparse rows stay CSR."""
    if sparse.issparse(X):
        return X
    if isinstance(X, np.ndarray | Tensor):
        return as_tensor(X)
    return as_tensor(move_to(X, xp=np, device="cpu"))


def torch_dtype(X) -> torch.dtype:
    """Return the torch dtype of validated rows: float32 or float64."""
    return torch.float64 if str(X.dtype).endswith("float64") else torch.float32


class Output:
    """An array of the caller's kind that results are written into, chunk by chunk, through ``tensor``.

    Its dtype is X's floating one unless another is given.
    """

    def __init__(self, X, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> None:
        dtype, self._like = dtype or torch_dtype(X), X
        if isinstance(X, Tensor):
            self.tensor = torch.empty(shape, dtype=dtype, device=X.device)
        else:
            self.tensor = torch.from_numpy(np.empty(shape, str(dtype).removeprefix("torch.")))

    def array(self):
        """Return the filled array, in the caller's namespace and on the caller's device."""
        array = self.tensor if isinstance(self._like, Tensor) else self.tensor.numpy()
        return to_namespace_of(self._like, array)


def stream(
    X,
    apply: Callable[[Tensor, Tensor | None], Tensor],
    width: int,
    device: torch.device,
    dtype: torch.dtype | None = None,
    widest: int = 0,
):
    """Apply a function of dense chunks to validated rows, into one preallocated array of ``width`` columns.

    ``widest`` is that of the layers in between, which take memory as the rows do.
    """
    rows, output, densify = to_torch(X), Output(X, (X.shape[0], width), dtype), Densifier()
    here = output.tensor.device == device
    with torch.inference_mode():
        for part in slices(rows.shape[0], max(width, rows.shape[1], widest) * torch_dtype(X).itemsize):
            x, out = densify(rows[part]).to(device), output.tensor[part]
            if here:
                apply(x, out)
            else:
                out.copy_(apply(x, torch.empty_like(out, device=device)))
    return output.array()


def to_namespace_of(X, array):
    """Carry a NumPy array or a tensor to X's array namespace and device."""
    if isinstance(array, type(X)) or sparse.issparse(X):
        return array
    xp, is_array_api, device = get_namespace_and_device(X)
    return move_to(array, xp=xp, device=device) if is_array_api else array


def column_means(X: "Tensor | sparse.csr_matrix", weight: Tensor | None) -> Tensor:
    """Return the weighted mean of each column, summed in float64: shape (n_features,), float64."""
    if sparse.issparse(X):
        weights = None if weight is None else weight.cpu().numpy().astype(str(X.dtype))
        return torch.from_numpy(mean_variance_axis(X, axis=0, weights=weights)[0]).double()
    total = torch.zeros(X.shape[1], dtype=_accumulator(X), device=X.device)
    for part in slices(len(X), X.shape[1] * 64):  # short chunks are converted while they are in the cache
        if weight is None:
            total += X[part].sum(0, dtype=total.dtype)
        else:
            rows = X[part].to(total.dtype)
            total += weight[part].to(rows) @ rows
    return total / (len(X) if weight is None else weight.sum().to(total))


def _accumulator(X: Tensor) -> torch.dtype:
    return torch.float32 if X.device.type == "mps" else torch.float64


def extremes(X: "Tensor | sparse.csr_matrix") -> tuple[float, float]:
    """Return the smallest and the largest entry."""
    if sparse.issparse(X):
        lowest, highest = min_max_axis(X, axis=0)
        return float(lowest.min()), float(highest.max())
    lowest, highest = torch.aminmax(X)
    return float(lowest), float(highest)


def column_statistics(X: "Tensor | sparse.csr_matrix") -> tuple[np.ndarray, ...]:
    """Return each column's standard deviation, minimum, maximum and mean."""
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X, axis=0)
        return np.sqrt(variance), *min_max_axis(X, axis=0), mean
    mean = column_means(X, None)
    squares = torch.zeros_like(mean)
    for part in slices(len(X), X.shape[1] * 8):
        squares += (X[part] - mean).square().sum(0)
    columns = (squares / len(X)).sqrt(), X.amin(0), X.amax(0), mean
    return tuple(column.cpu().numpy() for column in columns)
