"""Modules as users bring them."""

import torch
from torch import nn


class TiedPair:
    """An encoder and a decoder that share one parameter."""

    class Down(nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return x @ self.weight

    class Up(Down):
        def forward(self, z):
            return z @ self.weight.t()

    def __init__(self):
        weight = nn.Parameter(0.3 * torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))
        self.encoder, self.decoder = self.Down(weight), self.Up(weight)
