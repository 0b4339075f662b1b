"""What models are made of: pipelines, searches and ensembles taken apart; and parts that have no graph."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from .. import (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    BaseAutoencoder,
    TabularVAESampler,
)

_STEPS = ("steps", "transformers_", "transformer_list")
_PLACES = (
    *_STEPS,
    *("best_estimator_", "estimator_", "estimators_", "estimator", "calibrated_classifiers_", "final_estimator_"),
)
_WHOLE = (
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    BaseAutoencoder,
    TabularVAESampler,
)


def plain(model: Any) -> Any:
    """Return a model as skl2onnx takes it: the best of a search, and no steps that do nothing."""
    model = getattr(model, "best_estimator_", model)
    name = next((name for name in _STEPS if hasattr(model, name)), None)
    if name is None:
        return model
    parts = [(part[0], plain(part[1]), *part[2:]) for part in getattr(model, name)]
    if name == "steps":
        parts = [part for part in parts if part[1] is not None and not isinstance(part[1], str)]
        parts = parts or [("passthrough", FunctionTransformer().fit(None))]
    elif name == "transformer_list":
        parts = [part for part in parts if not isinstance(part[1], str) or part[1] != "drop"]
    result = copy.copy(model)
    vars(result)[name] = parts
    return result


def first_step(model: Any) -> Any:
    """Return the estimator that a model gives its rows to."""
    while hasattr(model, "steps"):
        model = model.steps[0][1]
    return model


def last_step(model: Any) -> Any:
    """Return the estimator whose outputs a model gives."""
    while hasattr(model, "steps"):
        model = model.steps[-1][1]
    return model


def parts_of(model: Any) -> Iterator[Any]:
    """Yield the estimators that a model is made of: the steps of pipelines, those for columns, and so on."""
    if isinstance(model, list | tuple | np.ndarray):
        for part in model:
            yield from parts_of(part)
        return
    yield model
    if not isinstance(model, _WHOLE):
        for name in _PLACES:
            yield from parts_of(getattr(model, name, ()))


def refuse(model: Any) -> None:
    """Say why some estimators have no graph, alone or as a step."""
    for part in parts_of(model):
        if isinstance(part, AutoencoderImputer) and part.sample_posterior:
            rest = "" if part is model else " Or export the steps after it, and give them what it returns."
            raise NotImplementedError(
                "AutoencoderImputer(sample_posterior=True) cannot be exported: each call draws anew, with "
                "generators that ONNX does not have. Call set_params(sample_posterior=False), which needs no new "
                f"fit, to export what fills in expected values.{rest}"
            )
