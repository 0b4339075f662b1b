"""The imputer's ensemble of autoencoders, by how much they correct what is filled in."""

import numpy as np
import torch

from .._fitted.sampling import standard_normal
from .._imputation.imputation import N_DRAWS
from .._imputation.members import LEAST_SCALE, MOST_LOG_DEVIATION, Members
from .._networks.ensembles import DenseLayer
from ._graph import Graph
from ._modules import activate, array


class Networks:
    """The networks of all members, in float64; arrays have a leading axis of members.

    Parameters
    ----------
    members : Members
    """

    def __init__(self, members: Members) -> None:
        self.members, self.shape = members, members.shape
        self.noise = array(standard_normal(N_DRAWS, self.shape.n_components, torch.empty(0, dtype=torch.float64)))

    @property
    def row_bytes(self) -> int:
        """What the widest layer takes for each row, and its activation."""
        return 2 * self.members._row_bytes(N_DRAWS)

    def correction(self, graph: Graph, x: str, seen: str, filled: str) -> str:
        """Return by how much the members' means differ from what they were given, on average.

        Parameters
        ----------
        x, seen : str
            Rows (n, d), and one where an entry is seen.
        filled : str
            Rows as each member gets them, (n_members, n, d).
        """
        log_weights, mean = self._decoded(graph, x, seen, filled)
        weights = graph.op("Softmax", log_weights, axis=1)
        weights = graph.op("Unsqueeze", weights, graph.integers([3]))
        means = graph.reduce("Sum", graph.multiply(weights, mean), keepdims=False)
        return graph.reduce("Mean", graph.subtract(means, filled), axis=0, keepdims=False)

    def _decoded(self, graph: Graph, x: str, seen: str, filled: str) -> tuple[str, str]:
        """Return the log-weights of draws, (n_members, n_draws, n), and the means of entries given them."""
        k, n_members, noise = self.shape.n_components, self.shape.n_members, self.noise
        marks = graph.op("Expand", seen, graph.op("Shape", filled))
        code = self._forward(graph, self.members.encoder, graph.stack([filled, marks], axis=2))
        mean, raw = graph.op("Split", code, outputs=2, axis=2, num_outputs=2)
        bounded = graph.op("Tanh", graph.multiply(raw, 0.5 / MOST_LOG_DEVIATION))
        log_deviation = graph.multiply(bounded, MOST_LOG_DEVIATION)
        one = graph.integers([1])
        spread = graph.multiply(graph.op("Unsqueeze", graph.op("Exp", log_deviation), one), noise[:, None])
        z = graph.add(graph.op("Unsqueeze", mean, one), spread)  # (n_members, n_draws, n, k)

        decoded = self._forward(graph, self.members.decoder, graph.reshape(z, n_members, -1, k))
        decoded = graph.reshape(decoded, n_members, len(noise), -1, 2 * self.shape.n_features)
        means, raw = graph.op("Split", decoded, outputs=2, axis=3, num_outputs=2)
        scale = self._scale(graph, raw)
        ratio = graph.divide(graph.subtract(x, means), scale)
        terms = graph.add(graph.multiply(graph.square(ratio), 0.5), graph.op("Log", scale))
        density = graph.reduce("Sum", graph.multiply(terms, seen), axis=3, keepdims=False)
        prior = graph.subtract(np.square(noise)[:, None], graph.square(z))
        prior = graph.multiply(graph.reduce("Sum", prior, axis=3, keepdims=False), 0.5)
        of_codes = graph.reduce("Sum", log_deviation, axis=2, keepdims=False)
        ratio = graph.add(prior, graph.op("Unsqueeze", of_codes, one))
        return graph.subtract(ratio, density), means

    def _forward(self, graph: Graph, layers: list[DenseLayer], x: str) -> str:
        for number, (weight, bias) in enumerate(layers, 1):
            x = graph.add(graph.product(x, array(weight)), array(bias))
            if number < len(layers):
                x = activate(graph, self.shape.activation, x)
        return x

    @staticmethod
    def _scale(graph: Graph, raw: str) -> str:
        """Return deviations of entries: a softplus, by the logarithm of a sigmoid, and what they are at least."""
        log = graph.op("Log", graph.op("Sigmoid", graph.op("Abs", raw)))
        return graph.add(graph.subtract(graph.op("Relu", raw), log), LEAST_SCALE)
