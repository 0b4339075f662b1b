"""Normal scores: each column through its own distribution function to a standard normal one, and back.

A Gaussian of normal scores is a Gaussian copula of the columns. Expectations of a column given its score's
distribution are taken by Gauss-Hermite quadrature.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import ndtri
from torch import Tensor

N_NODES = 16
MOST_KNOTS = 1000  # of a column with more distinct values, evenly spaced ones among its sorted values


class NormalScores:
    """The maps of all columns, from what was observed of them.

    Values between two that were seen are interpolated; those outside have the score of the nearest one seen, and
    scores outside have its value.

    Parameters
    ----------
    values, knots : sequence of ndarray
        Of each column: values in ascending order, and their scores. Those of a column without are its values.
    """

    def __init__(self, values: Sequence[np.ndarray], knots: Sequence[np.ndarray]) -> None:
        self.values, self.knots = list(values), list(knots)

    @classmethod
    def of(cls, x: Tensor, observed: Tensor, as_they_are: Tensor) -> "NormalScores":
        """Return the maps of what is observed of rows (n, d), and the identity for columns ``as_they_are``."""
        seen = torch.where(as_they_are, False, observed)
        columns = (_knots(one[here].numpy()) for one, here in zip(x.T, seen.T, strict=True))
        return cls(*zip(*columns, strict=True))

    def to_scores(self, x: Tensor) -> Tensor:
        """Map values (n, d) to scores."""
        return self._interpolate(x, self.values, self.knots)

    def to_values(self, z: Tensor) -> Tensor:
        """Map scores (n, d) to values."""
        return self._interpolate(z, self.knots, self.values)

    def expectation(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the expected values of scores with these means and variances, each (n, d)."""
        nodes, weights = hermegauss(N_NODES)
        deviation = variance.sqrt()
        terms = (w * self.to_values(mean + t * deviation) for t, w in zip(nodes, weights, strict=True))
        return sum(terms, torch.zeros_like(mean)) / weights.sum()

    @staticmethod
    def _interpolate(x: Tensor, from_: list[np.ndarray], to: list[np.ndarray]) -> Tensor:
        columns = [
            np.interp(column, knots, values) if len(knots) else column
            for column, knots, values in zip(x.T.numpy(), from_, to, strict=True)
        ]
        return torch.from_numpy(np.stack(columns, 1))


def _knots(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a column, and the normal scores of the middles of their ranks."""
    values, counts = np.unique(x, return_counts=True)
    rank = (counts.cumsum() - 0.5 * counts) / max(1, len(x))
    if len(values) > MOST_KNOTS:
        kept = np.linspace(0, len(values) - 1, MOST_KNOTS).round().astype(int)
        values, rank = values[kept], rank[kept]
    return values, ndtri(rank)
