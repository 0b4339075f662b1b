"""Dense networks of one shape that are run and trained at once: every tensor has a leading axis of models.

Their parameters are one flat vector, as a solver takes them, and layers are views of it.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .activations import ACTIVATIONS


class DenseLayer(NamedTuple):
    """Weights (n_models, fan_in, fan_out) and biases (n_models, 1, fan_out) of one layer in all models."""

    weight: Tensor
    bias: Tensor


def n_parameters(n_models: int, widths: Sequence[int]) -> int:
    """Count the parameters of all models with layers of these widths, the input's first."""
    return n_models * sum((i + 1) * o for i, o in itertools.pairwise(widths))


def layers_of(flat: Tensor, n_models: int, widths: Sequence[int]) -> list[DenseLayer]:
    """View a flat vector of `n_parameters` numbers as layers: each one's weights, then its biases."""
    sizes = list(itertools.pairwise(widths))
    parts = iter(flat.split([n for i, o in sizes for n in (n_models * i * o, n_models * o)]))
    return [DenseLayer(next(parts).view(n_models, i, o), next(parts).view(n_models, 1, o)) for i, o in sizes]


def draw_weights(layers: Sequence[DenseLayer], generator: torch.Generator) -> None:
    """Draw Glorot's uniform weights (Glorot and Bengio 2010) by a generator on the CPU; biases are zero."""
    for weight, bias in layers:
        bound = math.sqrt(6 / sum(weight.shape[1:]))
        drawn = torch.empty(weight.shape, dtype=torch.float64).uniform_(-bound, bound, generator=generator)
        weight.copy_(drawn)
        bias.zero_()


def forward(layers: Sequence[DenseLayer], x: Tensor, activation: str) -> Tensor:
    """Map rows (n_models, n, fan_in) through the layers, with the activation after all but the last."""
    activate = ACTIVATIONS[activation].module()
    for number, (weight, bias) in enumerate(layers, 1):
        x = torch.baddbmm(bias, x, weight)
        if number < len(layers):
            x = activate(x)
    return x
