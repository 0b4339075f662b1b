"""Statistics of columns: of tensors chunk by chunk, of CSR matrices by scikit-learn, without making them dense."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis, min_max_axis
from torch import Tensor

from .chunks import chunks, fold, sum_rows, total


def column_means(X: "Tensor | sparse.csr_matrix", weight: Tensor | None = None) -> Tensor:
    """Return the weighted mean of each column, summed in float64: shape (n_features,), float64."""
    if sparse.issparse(X):
        weights = None if weight is None else weight.cpu().numpy().astype(str(X.dtype))
        return torch.from_numpy(mean_variance_axis(X, axis=0, weights=weights)[0]).double()
    short = chunks(X, 64 * X.shape[1])  # which are converted while they are in the cache
    if weight is None:
        return total(sum_rows(x) for _, x in short) / len(X)
    return total(sum_rows(x, weight[part]) for part, x in short) / sum_rows(weight).to(X.device)


def extremes(X: "Tensor | sparse.csr_matrix") -> tuple[float, float]:
    """Return the smallest and the largest entry."""
    if sparse.issparse(X):
        lowest, highest = min_max_axis(X, axis=0)
    else:
        lowest, highest = fold((x.aminmax() for _, x in chunks(X)), torch.minimum, torch.maximum)
    return float(lowest.min()), float(highest.max())


def column_statistics(X: "Tensor | sparse.csr_matrix") -> tuple[np.ndarray, ...]:
    """Return each column's standard deviation, minimum, maximum and mean."""
    if sparse.issparse(X):
        mean, variance = mean_variance_axis(X, axis=0)
        return np.sqrt(variance), *min_max_axis(X, axis=0), mean
    mean = column_means(X)
    lowest, highest = fold(((x.amin(0), x.amax(0)) for _, x in chunks(X)), torch.minimum, torch.maximum)
    squares = total(sum_rows((x - mean).square()) for _, x in chunks(X))
    columns = (squares / len(X)).sqrt(), lowest, highest, mean
    return tuple(column.cpu().numpy() for column in columns)
