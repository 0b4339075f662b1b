"""Between the caller's arrays and torch: NumPy, SciPy sparse, torch tensors and other array namespaces."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from scipy import sparse
from sklearn import get_config
from sklearn.utils import assert_all_finite, check_array
from sklearn.utils._array_api import (
    check_same_namespace,
    get_namespace,
    get_namespace_and_device,
    move_to,
    supported_float_dtypes,
)
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_sample_weight, validate_data
from torch import Tensor

from .markers import SINGLE, is_nan, marked, without_na
from .remedies import with_remedy


def check_rows(
    estimator, X, y="no_validation", *, reset: bool = True, method: str | None = None, all_finite: bool = True
):
    """Validate X as scikit-learn does; floating dtypes stay, all others become float64, sparse becomes CSR.

    With ``y``, class labels, return both. ``method`` names a method of a fitted estimator, which takes the array
    namespace that `fit` was given. Where the estimator takes missing values, they come back as NaN.
    Without ``all_finite``, values that are not finite are left to `finite_check`.

    Raises
    ------
    ValueError
        For anything that is not a two-dimensional array of finite real numbers.
    """
    ndim = getattr(X, "ndim", 2)
    if ndim > 2:
        raise ValueError(
            f"X has {ndim} dimensions, shape {tuple(X.shape)}, but each row must be one flat sample. "
            "Pass X.reshape(len(X), -1); with image_shape=(height, width[, channels]) the networks turn the "
            "rows back into images."
        )
    marker = getattr(estimator, "missing_values", None)
    X = without_na(X.detach() if isinstance(X, Tensor) else X, dense=marker is not None)
    kinds: dict = _kinds(marker)
    if not all_finite and (marker is None or is_nan(marker)):
        kinds["ensure_all_finite"] = False
    with with_remedy(X, marker):
        checked = validate_data(estimator, X, y, dtype=float_dtypes(X), reset=reset, **kinds)
        if isinstance(checked, tuple):
            checked = without_duplicates(marked(checked[0], marker, X)), checked[1]
        else:
            checked = without_duplicates(marked(checked, marker, X))
    if method is not None:
        check_same_namespace(checked, estimator, attribute="offset_", method=method)
    return checked


def without_duplicates(X):
    """Return validated rows; sparse ones whose entries are stored in parts are copied, with their sums."""
    if not sparse.issparse(X) or X.has_canonical_format:
        return X
    summed = X.copy()
    summed.sum_duplicates()
    return summed


def _kinds(marker) -> dict:
    """Return which arrays scikit-learn's validation lets pass, where ``marker`` stands for missing values."""
    return {"accept_sparse": "csr"} if marker is None else {"ensure_all_finite": "allow-nan"}


def finite_check(estimator, X) -> Callable[[Tensor], None]:
    """Return what raises scikit-learn's error where a chunk of validated rows holds values that are not finite.

    From memory, a pass over all rows costs as much as half of the products of a transform; while a chunk is in the
    processor's cache it costs little. Sparse rows, and those on another device, are checked here, all at once.
    """
    allow_nan = getattr(estimator, "missing_values", None) is not None

    def check_all() -> None:
        with with_remedy(X):
            assert_all_finite(X, allow_nan=allow_nan, estimator_name=type(estimator).__name__, input_name="X")

    def check(rows: Tensor) -> None:
        if not torch.isfinite(rows.sum()) and not _is_finite(rows, allow_nan):
            check_all()

    if get_config()["assume_finite"]:
        return lambda rows: None
    if sparse.issparse(X) or to_torch(X).device.type != "cpu":
        check_all()
        return lambda rows: None
    return check


def _is_finite(rows: Tensor, allow_nan: bool) -> bool:
    return not torch.isinf(rows).any() if allow_nan else bool(torch.isfinite(rows).all())


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


def check_unnamed(X, name: str, missing_values=None):
    """Validate an array beside the rows, without feature names, called ``name`` in messages.

    What stands for missing values, None without, comes back as NaN.
    """
    X = without_na(X.detach() if isinstance(X, Tensor) else X, dense=missing_values is not None)
    with with_remedy(X, missing_values):
        checked = check_array(X, dtype=float_dtypes(X), input_name=name, **_kinds(missing_values))
    return without_duplicates(marked(checked, missing_values, X))


def check_weights(sample_weight, X) -> Tensor | None:
    """Validate weights of validated rows, not negative and not all zero; None stays None."""
    if sample_weight is None:
        return None
    return to_torch(_check_sample_weight(sample_weight, X, ensure_non_negative=True))


def to_numpy(array) -> np.ndarray:
    """Return an array of any namespace and device as one of NumPy."""
    return array if isinstance(array, np.ndarray) else move_to(array, xp=np, device="cpu")


def take(values, index):
    """Return the rows, or entries, that ``index`` numbers; the two may be of different array namespaces."""
    if isinstance(values, np.ndarray) or sparse.issparse(values):
        return values[to_numpy(index)]
    if isinstance(values, Tensor):
        return values[as_tensor(to_numpy(index)).to(values.device)]
    xp, _, device = get_namespace_and_device(values)
    return xp.take(values, move_to(index, xp=xp, device=device), axis=0)


def float_dtypes(X) -> list:
    """List the dtypes that are kept: half precision is none of them, as in PCA.

    Single precision is kept in data frames of any library and in other byte orders too, where scikit-learn's
    validation would make it double.
    """
    if (isinstance(X, np.ndarray) or hasattr(X, "columns")) and is_single(X):
        return [np.float32]
    xp, _, device = get_namespace_and_device(X)
    return [dtype for dtype in supported_float_dtypes(xp, device) if "16" not in str(dtype)]


def to_torch(X) -> "Tensor | sparse.csr_matrix":
    """View validated rows as a tensor, without a copy for NumPy and torch; sparse rows stay CSR."""
    if sparse.issparse(X):
        return X
    if isinstance(X, np.ndarray | Tensor):
        return as_tensor(X)
    return as_tensor(move_to(X, xp=np, device="cpu"))


def as_tensor(X: np.ndarray | Tensor) -> Tensor:
    """View an array as a tensor without a copy, also when its memory is read only.

    `torch.from_numpy` warns about read-only memory, since torch cannot enforce it; here nothing writes.
    """
    if isinstance(X, Tensor):
        return X.detach()
    if any(stride < 0 for stride in X.strides) or not X.dtype.isnative:
        X = np.array(X, dtype=X.dtype.newbyteorder("="))
    if not X.flags.writeable:  # the same memory under an interface that does not say so
        interface = X.__array_interface__ | {"data": (X.__array_interface__["data"][0], False)}
        X = np.asarray(SimpleNamespace(__array_interface__=interface, owner=X))
    return torch.from_numpy(X)


def is_floating(X) -> bool:
    """Tell whether an array, a data frame or a list, as it was given, holds floating numbers."""
    dtypes = [X.dtype] if hasattr(X, "dtype") else [*getattr(X, "dtypes", ())] or [np.asarray(X).dtype]
    return any("float" in str(dtype).lower() for dtype in dtypes)


def is_single(X) -> bool:
    """Tell whether an array or a data frame, as it was given, holds numbers of single precision only."""
    dtypes = [*X.dtypes] if hasattr(X, "columns") else [getattr(X, "dtype", "")]
    names = [str(getattr(dtype, "name", dtype)).lower() for dtype in dtypes]
    return bool(names) and all(name.endswith(SINGLE) for name in names)


def cast(X, dtype: torch.dtype):
    """Return validated rows, of any array namespace, in another dtype."""
    if isinstance(X, Tensor):
        return X.to(dtype)
    name = str(dtype).removeprefix("torch.")
    if isinstance(X, np.ndarray) or sparse.issparse(X):
        return X.astype(name)
    xp, _ = get_namespace(X)
    return xp.astype(X, getattr(xp, name))


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


def framed(estimator, rows, original=None):
    """Return rows as a data frame with the names of the features, where `set_output` asks for frames.

    ``original`` is what they were made of: of a data frame, they take over the index.
    """
    kind = _get_output_config("transform", estimator)["dense"]
    if kind == "default" or not isinstance(rows, np.ndarray):
        return rows
    names = getattr(estimator, "feature_names_in_", None)
    names = [f"x{i}" for i in range(rows.shape[1])] if names is None else names
    return ADAPTERS_MANAGER.adapters[kind].create_container(rows, original, columns=names)


def unframed(estimator):
    """Return a fitted estimator that returns arrays, whatever `set_output` or the configuration asks for.

    The others that an estimator has inside are called as this.
    """
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator), _sklearn_output_config={"transform": "default"})
    return twin


def array_like(X, tensor: Tensor):
    """Return a tensor as an array of X's kind, floating dtype and device."""
    return to_namespace_of(X, tensor.to("cpu", torch_dtype(X)).numpy())


def to_namespace_of(X, array):
    """Carry a NumPy array or a tensor to X's array namespace and device."""
    if isinstance(array, type(X)) or sparse.issparse(X):
        return array
    xp, is_array_api, device = get_namespace_and_device(X)
    return move_to(array, xp=xp, device=device) if is_array_api else array
