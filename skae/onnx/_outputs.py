"""What each estimator gives: a class for each kind, whose properties write one output each, once."""

import functools
import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch

from .. import (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    BaseAutoencoder,
    SemanticHasher,
    VAESampler,
)
from .._data.arrays import is_nan
from .._fitted.distances import Gaussian
from .._fitted.members import DistanceMember
from .._fitted.sampling import standard_normal
from .._networks.activations import LOG_VARIANCE_BOUND
from ._graph import Graph
from ._imputer import Imputer
from ._likelihoods import negative_log_likelihood
from ._modules import array
from ._networks import decode, encode
from ._support import empty, minus_infinity_outside, minus_infinity_where, nan_if_not_finite, no_class


class Autoencoder:
    """The outputs of an autoencoder.

    Parameters
    ----------
    graph : Graph
    model : BaseAutoencoder
        Fitted.
    x : str
        Name of the rows, of the graph's dtype.
    """

    outputs: ClassVar[tuple[str, ...]] = ("codes", "reconstruction", "score_samples")
    defaults: ClassVar = ("codes",)  # what is given where no output is asked for, and in the midst of a pipeline

    def __init__(self, graph: Graph, model: Any, x: str) -> None:
        self.graph, self.model, self.x, self._given = graph, model, x, x
        if model._takes_missing and not is_nan(model.missing_values):
            self.x = graph.where(graph.op("Equal", x, float(model.missing_values)), math.nan, x)

    @staticmethod
    def shape(model: Any, output: str) -> tuple[int, ...]:
        """Return the shape of one row of an output."""
        return {"codes": (model._n_features_out,), "reconstruction": (model.n_features_in_,)}.get(output, ())

    @staticmethod
    def dtype(model: Any, output: str, dtype: np.dtype) -> np.dtype:
        """Return the dtype of an output for rows of a floating dtype."""
        return dtype

    @cached_property
    def codes(self) -> str:
        return self.graph.add(self._encoded, self._mark)

    @cached_property
    def reconstruction(self) -> str:
        decoded = decode(self.graph, self.model.decoder_, self._encoded, self.model._n_features_out)
        return self.graph.add(decoded, self._mark)

    @cached_property
    def _encoded(self) -> str:
        return encode(self.graph, self.model.encoder_, self.x, self.model.n_features_in_)

    @cached_property
    def _mark(self) -> str:
        allow_nan = self.model._takes_missing and is_nan(self.model.missing_values)
        return nan_if_not_finite(self.graph, self._given, allow_nan)

    @cached_property
    def score_samples(self) -> str:
        graph = self.graph
        squares = graph.square(graph.subtract(self.x, self.reconstruction))
        if not self.model._takes_missing:
            mean = graph.reduce("Mean", squares, keepdims=False)
        else:
            missing = graph.op("IsNaN", self.x)
            total = graph.reduce("Sum", graph.where(missing, 0.0, squares), keepdims=False)
            n_seen = graph.reduce("Sum", graph.cast(graph.op("Not", missing)), keepdims=False)
            mean = graph.divide(total, n_seen)
        return self._allowed(graph.op("Neg", mean))

    def _allowed(self, score: str) -> str:
        """Return scores, 0 of rows without any value, and -inf of those that are impossible or not finite."""
        if self.model._takes_missing:
            score = self.graph.where(empty(self.graph, self._given, self.model.missing_values), 0.0, score)
        score = minus_infinity_outside(self.graph, self.model, self.x, score)
        return minus_infinity_where(self.graph, self._mark, score)


class Hasher(Autoencoder):
    """The outputs of a semantic hasher, whose codes are bits."""

    @staticmethod
    def dtype(model: Any, output: str, dtype: np.dtype) -> np.dtype:
        return np.dtype(np.uint8) if output == "codes" else dtype

    @cached_property
    def codes(self) -> str:
        return self.graph.cast(self._encoded, np.uint8)


class Variational(Autoencoder):
    """The outputs of a variational autoencoder: codes are posterior means, scores are log-likelihoods."""

    @cached_property
    def score_samples(self) -> str:
        """Estimate log p(x) over the draws that the model's method takes: they are the same for every row."""
        graph, model = self.graph, self.model
        width, n_draws, n_features = model._n_features_out, model.n_importance_samples, model.n_features_in_
        dtype = torch.float64 if graph.is_double else torch.float32
        noise = array(standard_normal(n_draws, width, torch.empty(0, dtype=dtype)))
        heads = graph.reshape(encode(graph, model.encoder_, self.x, n_features, heads=True), -1, 1, 2 * width)
        mean, raw = graph.op("Split", heads, outputs=2, axis=2, num_outputs=2)
        bounded = graph.op("Tanh", graph.divide(raw, LOG_VARIANCE_BOUND))
        log_variance = graph.multiply(bounded, LOG_VARIANCE_BOUND)
        deviation = graph.op("Exp", graph.multiply(log_variance, 0.5))
        z = graph.add(mean, graph.multiply(deviation, noise))  # (n, draws, width)
        decoded = decode(graph, model.decoder_, graph.reshape(z, -1, width), width, linked=False)
        n_raw = model._architecture["n_variances"] if model.decoder_.has_conditional_variances else 0
        decoded = graph.reshape(decoded, -1, n_draws, n_features + n_raw)
        nll = negative_log_likelihood(graph, model, decoded, graph.reshape(self.x, -1, 1, n_features))
        # log p(z) - log q(z|x), without the constants of a standard normal distribution, which cancel
        halves = graph.multiply(graph.add(log_variance, np.square(noise)), 0.5)
        ratio = graph.add(graph.reduce("Sum", halves, axis=2, keepdims=False), self._log_prior(z))
        total = graph.reduce("LogSumExp", graph.subtract(ratio, nll), keepdims=False)
        return self._allowed(graph.subtract(total, math.log(n_draws)))

    def _log_prior(self, z: str) -> str:
        return self.graph.multiply(self.graph.reduce("Sum", self.graph.square(z), axis=2, keepdims=False), -0.5)


class Classifier:
    """The outputs of a classifier."""

    outputs: ClassVar = ("labels", "probabilities", "codes")
    defaults: ClassVar = ("labels", "probabilities")

    def __init__(self, graph: Graph, model: Any, x: str) -> None:
        self.graph, self.model, self.x = graph, model, x

    @staticmethod
    def shape(model: Any, output: str) -> tuple[int, ...]:
        return {"codes": (model._n_features_out,), "probabilities": (len(model.classes_),)}.get(output, ())

    @staticmethod
    def dtype(model: Any, output: str, dtype: np.dtype) -> np.dtype:
        classes = model.classes_.dtype
        if output == "labels":
            return np.dtype(np.int64) if classes.kind in "iu" else classes
        return dtype

    @cached_property
    def codes(self) -> str:
        encoded = encode(self.graph, self.model.encoder_, self.x, self.model.n_features_in_)
        return self.graph.add(encoded, self._mark)

    @cached_property
    def _mark(self) -> str:
        return nan_if_not_finite(self.graph, self.x, allow_nan=False)

    @cached_property
    def probabilities(self) -> str:
        head = self.model.head_
        scores = self.graph.op("Gemm", self.codes, array(head.weight).T, array(head.bias))
        return self.graph.op("Softmax", scores, axis=1)

    @cached_property
    def labels(self) -> str:
        graph, classes = self.graph, self.model.classes_.astype(self.dtype(self.model, "labels", self.graph.dtype))
        best = graph.op("ArgMax", self.probabilities, axis=1, keepdims=0)
        if classes.dtype.kind != "b":  # which have no third value
            broken = graph.op("IsNaN", graph.reshape(self._mark, -1))
            best = graph.where(broken, graph.integers([len(classes)]), best)
            classes = np.append(classes, no_class(classes))
        return graph.op("Gather", graph.labels(classes), best, axis=0)


class Detector:
    """The outputs of an outlier detector; what follows its members' networks is in float64, as in the method."""

    outputs: ClassVar = ("labels", "score_samples", "p_values")
    defaults: ClassVar = ("labels", "score_samples")

    def __init__(self, graph: Graph, model: Any, x: str) -> None:
        self.graph, self.model, self.x = graph, model, x
        self._wide = Graph(graph.scope, graph.container, np.dtype(np.float64))
        if model.autoencoder is not None and not isinstance(model.estimators_[0], BaseAutoencoder):
            raise NotImplementedError(
                f"The members of the detector are of {type(model.estimators_[0]).__name__}, but only members that "
                "are autoencoders of skae can be exported. Leave autoencoder at None, or give one of these."
            )

    @staticmethod
    def shape(model: Any, output: str) -> tuple[int, ...]:
        return ()

    @staticmethod
    def dtype(model: Any, output: str, dtype: np.dtype) -> np.dtype:
        return {"labels": np.dtype(np.int64), "p_values": np.dtype(np.float64)}.get(output, dtype)

    @cached_property
    def _oddness(self) -> str:
        graph, members = self._wide, self.model._members()
        each = [self._distance(m) if isinstance(m, DistanceMember) else self._minus_score(m) for m in members]
        mean = graph.divide(functools.reduce(graph.add, each), float(len(each)))
        marker, reference = getattr(self.model.autoencoder, "missing_values", None), self.model._reference()
        if marker is not None and len(reference):  # nothing speaks against a row without any value
            mean = graph.where(empty(self.graph, self.x, marker), float(reference[0]), mean)
        return graph.where(self._broken, math.inf, mean)

    @cached_property
    def _broken(self) -> str:
        """Which rows are not finite."""
        marker = getattr(self.model.autoencoder, "missing_values", None)
        mark = nan_if_not_finite(self.graph, self.x, marker is not None and is_nan(marker))
        return self.graph.op("IsNaN", self.graph.reshape(mark, -1))

    def _minus_score(self, member: Any) -> str:
        model = member.autoencoder
        score = kind_of(model)(self.graph, model, self.x).score_samples
        return self._wide.op("Neg", self._wide.cast(score))

    def _distance(self, member: DistanceMember) -> str:
        graph, outputs = self._wide, Autoencoder(self.graph, member.autoencoder, self.x)
        residual = graph.cast(self.graph.subtract(outputs.reconstruction, self.x))
        squared = self._squared(member.residuals, graph.divide(residual, array(member.scale)))
        if not member.code_weight:
            return squared
        of_code = self._squared(member.codes, graph.cast(outputs.codes))
        return graph.add(squared, graph.multiply(of_code, float(member.code_weight)))

    def _squared(self, gaussian: Gaussian, rows: str) -> str:
        graph, root = self._wide, np.asarray(gaussian.root)
        deviation = graph.subtract(rows, np.asarray(gaussian.mean))
        white = graph.multiply(deviation, root) if root.ndim == 1 else graph.product(deviation, root)
        return graph.reduce("Sum", graph.square(white), keepdims=False)

    @cached_property
    def _judged(self) -> str:
        """How odd rows are, infinitely so where that is NaN."""
        return self._wide.where(self._wide.op("IsNaN", self._oddness), math.inf, self._oddness)

    @cached_property
    def score_samples(self) -> str:
        return self.graph.cast(self._wide.op("Neg", self._oddness))

    @cached_property
    def labels(self) -> str:
        graph = self._wide
        below = graph.op("Less", graph.op("Neg", self._judged), float(self.model.offset_))
        below = graph.op("Or", below, self._broken)  # also where no row is below the threshold
        return graph.where(below, graph.integers([-1]), graph.integers([1]))

    @cached_property
    def p_values(self) -> str:
        """Count how many left-out rows are less odd, by a binary search in their sorted scores."""
        graph, reference = self._wide, self.model._reference()
        n, step = len(reference), 1 << (len(reference).bit_length() - 1)
        padded = graph.constant(np.concatenate([reference, np.full(2 * step - n, np.inf)]))
        place = graph.op("Mul", graph.cast(self._broken, np.int64), graph.integers([0]))
        while step:
            further = graph.op("Add", place, graph.integers([step]))
            before = graph.op("Gather", padded, graph.op("Sub", further, graph.integers([1])), axis=0)
            place = graph.where(graph.op("Less", before, self._judged), further, place)
            step //= 2
        return graph.divide(graph.subtract(float(1 + n), graph.cast(place)), float(1 + n))


KINDS = {  # the first that fits
    AutoencoderImputer: Imputer,
    AutoencoderOutlierDetector: Detector,
    AutoencoderClassifier: Classifier,
    SemanticHasher: Hasher,
    VAESampler: Variational,
    BaseAutoencoder: Autoencoder,
}


def kind_of(model: Any) -> Any:
    """Return the class of a model's outputs."""
    return next(kind for estimator, kind in KINDS.items() if isinstance(model, estimator))
