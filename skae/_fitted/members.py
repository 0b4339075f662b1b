"""The members of an outlier detector at work: how odd rows are to each, and which columns make them so.

A member is a fitted autoencoder with three methods: ``oddness(X)``, (n,), higher for odder rows,
``per_column(X)``, (n, n_features), not negative, and ``expected(X)``, (n, n_features), what the columns should be.
The last two take rows of `fit` that it was not trained on, too (``is_new=False``), and answer as of new ones.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _get_feature_names
from torch import Tensor

from .._data import arrays
from .._data.chunks import Reader, chunk_rows, slices
from .._data.standardization import Standardization
from .._networks.inference import forward
from .._networks.networks import multiply_adds
from .._support import threads
from .._support.devices import sum_dtype
from . import reasons
from .distances import MOST_COLUMNS, Gaussian, fit_gaussian, fit_to_closest, left_out, squared_distance

RIDGE = 0.02  # what is added to variances: of residuals in those of the columns, of codes in their mean one
MOST_CODES = 10_000  # that the Gaussian of codes is fitted to


class DistanceMember:
    """A member whose rows are odd where their residual, or their code, is far from those of training rows.

    Parameters
    ----------
    autoencoder : AutoencoderTransformer
        Fitted.
    scale : ndarray of shape (n_features,)
        The unit of each column, in which residuals are measured.
    code_weight : float
        What the squared distance of the code counts, where that of the residual counts one.
    residuals, codes : Gaussian
        Of rows that it was not trained on, and of those that it was.
    """

    def __init__(
        self, autoencoder: Any, scale: np.ndarray, code_weight: float, residuals: Gaussian, codes: Gaussian
    ) -> None:
        self.autoencoder, self.code_weight = autoencoder, code_weight
        self.scale, self.residuals, self.codes = arrays.as_tensor(scale), residuals, codes

    @classmethod
    def measure(
        cls, autoencoder: Any, scale: np.ndarray, code_weight: float, X, seen: np.ndarray, unseen: np.ndarray
    ) -> "DistanceMember":
        """Return the member, its Gaussians fitted to what it makes of training rows, by their numbers."""
        unit = torch.from_numpy(scale)
        seen = np.sort(np.random.RandomState(0).permutation(seen)[:MOST_CODES])
        with threads.for_work(_work(autoencoder, len(unseen))):
            residuals = fit_gaussian((residual for _, residual, _ in _parts(autoencoder, unit, X, unseen)), RIDGE)
            codes = fit_to_closest(torch.cat([code for _, _, code in _parts(autoencoder, unit, X, seen)]), RIDGE)
        return cls(autoencoder, scale, code_weight, residuals, codes)

    def oddness(self, X) -> np.ndarray:
        """Return the squared distance of each row."""
        result = np.empty(X.shape[0])
        with threads.for_work(_work(self.autoencoder, len(result))):
            for part, residual, code in _parts(self.autoencoder, self.scale, X):
                result[part] = self._with_code(squared_distance(self.residuals, residual), code)
        return result

    def unseen(self, X, rows: np.ndarray, standardization: Standardization) -> np.ndarray:
        """Return the squared distance of rows that the Gaussian of the residuals was fitted to, as of new ones."""
        result = np.empty(len(rows))
        as_they_are = _parts(self.autoencoder, self.scale, X, rows)
        as_new = _parts(self.autoencoder, self.scale, X, rows, standardization.as_new)
        with threads.for_work(_work(self.autoencoder, len(rows))):
            for (part, own, _), (_, residual, code) in zip(as_they_are, as_new, strict=True):
                result[part] = self._with_code(left_out(self.residuals, own, residual), code)
        return result

    def _with_code(self, squared: Tensor, code: Tensor) -> np.ndarray:
        if self.code_weight:
            squared += self.code_weight * squared_distance(self.codes, code)
        return squared.numpy()

    def per_column(self, X, *, is_new: bool = True) -> np.ndarray:
        """Return by how much the distance falls when one column is free."""
        return reasons.falls(self, X, None if is_new else self._residuals(X))

    def expected(self, X, *, is_new: bool = True) -> np.ndarray:
        """Return the value of each column at which the distance is least, the others as they are."""
        return reasons.least_odd(self, X, None if is_new else self._residuals(X))

    def walk(self, X) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Walk over rows: yield which part, residuals in units of ``scale``, codes; in float64."""
        with threads.for_work(_work(self.autoencoder, X.shape[0])):
            yield from _parts(self.autoencoder, self.scale, X)

    @property
    def centre(self) -> np.ndarray:
        """What the encoder subtracts from rows."""
        return self.autoencoder.offset_

    @property
    def finest(self) -> np.dtype:
        """The most precise dtype that rows can be reconstructed in."""
        return np.dtype(str(sum_dtype(self.autoencoder.device_)).removeprefix("torch."))

    def dtype(self, X) -> np.dtype:
        """Return the dtype in which rows like these are reconstructed."""
        return np.dtype(str(_dtype(self.autoencoder, X)).removeprefix("torch."))

    def _residuals(self, X) -> Tensor:
        return torch.cat([residual for _, residual, _ in self.walk(X)])


def _row_bytes(autoencoder: Any) -> int:
    return 8 * max(autoencoder.n_features_in_, autoencoder._widest)


def _work(autoencoder: Any, n_rows: int) -> int:
    """Return the multiply-adds that a chunk of so many rows takes: networks, and products with covariances."""
    d = autoencoder.n_features_in_
    each = multiply_adds([autoencoder.encoder_, autoencoder.decoder_]) + (d * d if d <= MOST_COLUMNS else d)
    return min(n_rows, chunk_rows(_row_bytes(autoencoder))) * each


def _parts(
    autoencoder: Any, scale: Tensor, X, rows: np.ndarray | None = None, change: Callable | None = None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Walk over validated rows, all or some: yield which part, residuals in units of ``scale``, codes; in float64.

    Rows that ``change`` has changed are other ones, to be reconstructed.
    """
    dtype, reader = _dtype(autoencoder, X), Reader(arrays.to_torch(X))
    encode, decode = forward(autoencoder.encoder_, dtype), forward(autoencoder.decoder_, dtype)
    numbers = None if rows is None else torch.from_numpy(rows)
    n_rows = X.shape[0] if rows is None else len(rows)
    for part in slices(n_rows, _row_bytes(autoencoder)):
        read = reader.run(part) if numbers is None else reader.gather(numbers[part])
        with torch.no_grad():  # not around the loop: whoever takes a part must not be left in this mode
            x = (read if change is None else change(read.cpu())).to(autoencoder.device_, dtype)
            code = encode(x, None)
            residual = (decode(code, None) - x).to("cpu").double().div_(scale)
        yield part, residual, code.to("cpu").double()


def _dtype(autoencoder: Any, X) -> torch.dtype:
    """Return the dtype of the rows or, where units are beyond single precision, that of the networks."""
    own = next(autoencoder.encoder_.parameters()).dtype
    return own if own == torch.float64 else arrays.torch_dtype(X)


class ScoreMember:
    """A member whose rows are odd where it gives them a low score.

    Parameters
    ----------
    autoencoder : object
        Fitted, with ``score_samples``, and for `per_column` with ``score_features`` or ``reconstruction_error``.
    usual : ndarray of shape (n_features,) or None
        The mean of ``score_features`` over rows that it was not trained on.
    """

    def __init__(self, autoencoder: Any, usual: np.ndarray | None = None) -> None:
        self.autoencoder, self.usual = autoencoder, usual

    @classmethod
    def measure(cls, autoencoder: Any, unseen, empty: np.ndarray) -> "ScoreMember":
        """Return the member, with what is usual of its scores of columns, of rows it has not seen.

        Rows that are ``empty`` tell nothing of that.
        """
        if not hasattr(autoencoder, "score_features"):
            return cls(autoencoder)
        scores = _numbers(autoencoder.score_features(unseen))
        return cls(autoencoder, scores[~empty].mean(0) if not empty.all() else scores.mean(0))

    def oddness(self, X) -> np.ndarray:
        """Return minus the score of each row.

        Raises
        ------
        ValueError
            If there are not as many scores as rows.
        """
        scores = _numbers(_named_as(self.autoencoder, X).score_samples(X))
        if scores.shape != (X.shape[0],):
            raise ValueError(
                f"score_samples of {type(self.autoencoder).__name__} returned an array of shape {scores.shape} "
                f"for {X.shape[0]} rows. Let it return one score for each row, of shape ({X.shape[0]},)."
            )
        return -scores

    def per_column(self, X, *, is_new: bool = True) -> np.ndarray:
        """Return by how much the score of a column is below the usual, or else its squared error."""
        autoencoder = _named_as(self.autoencoder, X)
        if self.usual is not None:
            return np.maximum(self.usual - _numbers(autoencoder.score_features(X)), 0)
        return _numbers(autoencoder.reconstruction_error(X, per_feature=True))

    def expected(self, X, *, is_new: bool = True) -> np.ndarray:
        """Return its reconstruction."""
        return _numbers(_named_as(self.autoencoder, X).reconstruct(X))


def _numbers(values: Any) -> np.ndarray:
    """Return an array of any kind as one of NumPy, float64."""
    is_tensor = isinstance(values, Tensor)
    return np.asarray(values.detach().cpu().numpy() if is_tensor else values, dtype=np.float64)


def _named_as(estimator: Any, X) -> Any:
    """Return a fitted estimator that takes the names of X, or that it has none, for what it was fitted to.

    The detector has warned of names that rows lack, or have alone; each of its members would do so again.
    """
    names = _get_feature_names(X)
    if (names is None) == (getattr(estimator, "feature_names_in_", None) is None):
        return estimator
    twin = object.__new__(type(estimator))
    vars(twin).update(vars(estimator))
    if isinstance(estimator, Pipeline):
        (name, first), *others = estimator.steps
        twin.steps = [(name, _named_as(first, X)), *others]
    elif names is None:
        vars(twin).pop("feature_names_in_", None)
    else:
        vars(twin)["feature_names_in_"] = names
    return twin


# Together --------------------------------------------------------------------------------------------------


def mean_of(members: list, method: str, X) -> np.ndarray:
    """Return the mean over members of what a method of theirs returns of rows."""
    each = (getattr(member, method)(X) for member in members)
    return functools.reduce(np.add, each) / len(members)  # not in place: values in frames are read-only


def mean_of_unseen(members: list, method: str, X, unseen: np.ndarray) -> np.ndarray:
    """Return the mean of `per_column` or `expected` of rows of `fit`, each by the members that have not seen it.

    ``unseen``, (n_members, n_rows), tells which have not. Rows that all have seen are as new ones to all.
    """
    result, n_judges = np.zeros(tuple(X.shape)), unseen.sum(0)
    for member, new in zip(members, unseen, strict=True):
        if new.any():
            result[new] += getattr(member, method)(_safe_indexing(X, np.flatnonzero(new)), is_new=False)
    result /= np.maximum(n_judges, 1)[:, np.newaxis]
    if not n_judges.all():
        result[n_judges == 0] = mean_of(members, method, _safe_indexing(X, np.flatnonzero(n_judges == 0)))
    return result
