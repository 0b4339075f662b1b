"""A graph of nearest neighbours, and labels that spread along it: never a matrix of all pairs of rows."""

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

N_NEIGHBORS = 8
N_ITERATIONS, STAY = 60, 0.05  # a share of each label stays at its row in each iteration


class NeighborGraph:
    """Rows, each joined to its nearest neighbours and to those rows whose neighbour it is.

    The weight of a pair at distance d is ``exp(-d ** 2 / (s_i * s_j))``, with s the distance of a row to the
    last of its neighbours (Zelnik-Manor and Perona 2004). Memory grows with the number of rows times that of
    neighbours.

    Parameters
    ----------
    points : float ndarray or CSR matrix of shape (n_points, n_dimensions)
        At least two rows.
    """

    def __init__(self, points) -> None:
        n = self.n_points = points.shape[0]
        self._n_neighbors = min(N_NEIGHBORS, n - 1)
        self._neighbors = NearestNeighbors(n_neighbors=self._n_neighbors, algorithm="brute").fit(points)
        distances, numbers = self._neighbors.kneighbors()
        reach = distances[:, -1].astype(np.float64)
        weights = _affinity(distances, reach[:, None], reach[numbers])
        ends = np.arange(0, n * self._n_neighbors + 1, self._n_neighbors)
        graph = sparse.csr_array((weights.ravel(), numbers.ravel(), ends), shape=(n, n))
        graph = graph.maximum(graph.T)
        # A row far from all others may be joined to none of them: its weights are zero in floating point.
        degree = np.maximum(graph.sum(axis=1), np.finfo(np.float64).tiny)
        scale = sparse.diags_array(1 / np.sqrt(degree))
        self._normalized = (scale @ graph @ scale).tocsr()

    def spread(self, labels: np.ndarray) -> np.ndarray:
        """Let labels flow to neighbours, and a share of each stay (Zhou et al. 2004).

        Parameters
        ----------
        labels : ndarray of shape (n_points, n_columns)
            Zero where there is none.

        Returns
        -------
        spread : ndarray of shape (n_points, n_columns)
            Non-negative; how much of each label has come to a row.
        """
        spread = labels
        for _ in range(N_ITERATIONS):
            spread = (1 - STAY) * (self._normalized @ spread) + STAY * labels
        return spread

    def extend(self, values: np.ndarray, points) -> np.ndarray:
        """Return for further rows the mean of what their neighbours in the graph have, by the same weights.

        Parameters
        ----------
        values : ndarray of shape (n_points, n_columns)
        points : float ndarray or CSR matrix of shape (n_others, n_dimensions)
        """
        distances, numbers = self._neighbors.kneighbors(points)
        reach = distances[:, -1:].astype(np.float64)
        weights = _affinity(distances, reach, reach)[:, :, None]  # that of the last neighbour is 1 / e
        return (weights * values[numbers]).sum(1) / weights.sum(1)


def _affinity(distances: np.ndarray, reach: np.ndarray, other_reach: np.ndarray) -> np.ndarray:
    """Return exp(-d ** 2 / (s_i s_j)), which is one for equal rows even where these have no other neighbours."""
    squares, scales = distances.astype(np.float64) ** 2, reach * other_reach
    exponent = np.divide(squares, scales, out=np.full_like(squares, np.inf), where=scales > 0)
    return np.where(squares > 0, np.exp(-exponent), 1.0)
