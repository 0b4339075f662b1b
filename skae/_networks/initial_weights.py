"""The weights that networks start with, drawn from a seed."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .blocks import Block
from .convolutions import Tied
from .networks import Decoder


def _draw(linear: Any, shape: torch.Size, init: str, generator: torch.Generator) -> torch.Tensor:
    n_places = shape[2:].numel()
    if init == "he":
        fan_in = shape[0] if isinstance(linear, nn.ConvTranspose2d) else shape[1]
        draws = torch.empty(shape, dtype=torch.float64).normal_(generator=generator)
        return draws.mul_((2 / (fan_in * n_places)) ** 0.5)
    draws = torch.rand(shape, dtype=torch.float64, generator=generator)
    return draws.mul_(2).sub_(1).mul_((6 / ((shape[0] + shape[1]) * n_places)) ** 0.5)


def initialize(networks: Sequence[nn.Module], generator: torch.Generator, init: str = "glorot") -> None:
    """Draw the weights; biases start at zero.

    Within Glorot's uniform bounds (Glorot and Bengio 2010), also before rectifiers: wider bounds make an
    autoencoder's first reconstructions worse, most of all behind a narrow code. ``init='he'`` draws from the
    normal distribution of He et al. (2015). Drawn in float64 on the CPU, so that every device and dtype starts
    from the same numbers.
    """
    for block in (m for network in networks for m in network.modules() if isinstance(m, Block)):
        linear = block.linear
        with torch.no_grad():
            if not isinstance(linear, Tied):
                weight = linear.weight.zero_()
                drawn = weight[:, : weight.shape[1] - getattr(linear, "n_marks", 0)]
                drawn.copy_(_draw(linear, drawn.shape, init, generator))
            if linear.bias is not None:
                linear.bias.zero_()
    for network in networks:
        if isinstance(network, Decoder):
            network.initialize(generator)
