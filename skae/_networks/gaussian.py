"""The encoder of a variational autoencoder: blocks from the data to a normal distribution of the code."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from .activations import bounded
from .blocks import Linear
from .convolutions import ToRows
from .networks import Encoder


class GaussianEncoder(Encoder):
    """Blocks from the data to a normal distribution of the code.

    float (n, n_features) -> mean and log-variance, each (n, n_components). The log-variance is bounded, see
    `bounded`; `forward_centred` returns the mean and the unbounded log-variance side by side.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        mean, raw = self.heads(x).chunk(2, dim=1)
        return mean, bounded(raw)

    def heads(self, x: Tensor) -> Tensor:
        """Return the mean and the unbounded log-variance side by side."""
        return super().forward(x)

    @torch.no_grad()
    def to_fine_tune(self) -> Encoder:
        """Return a copy that returns the mean alone, to be trained further."""
        if self.own is not None:
            return self._with_blocks([*self.own, FirstHalf()])
        blocks: list[Any] = copy.deepcopy(self.blocks)
        linear: Any = blocks[-1].linear
        for name, both in linear.named_parameters():
            setattr(linear, name, nn.Parameter(both[: len(both) // 2].clone()))
        if isinstance(linear, Linear):
            linear.out_features //= 2
        else:
            linear.out_channels //= 2
            blocks[-1][-1] = ToRows()
        return self._with_blocks(blocks)


class FirstHalf(nn.Module):
    """Returns the first half of the columns: of means and log-variances side by side, the means."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : x.shape[1] // 2]
