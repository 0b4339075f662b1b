"""Blocks: a linear map or a convolution, with its normalization and its activation; rows go in, rows come out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .activations import ACTIVATIONS
from .convolutions import Layers, Tied


class Linear(nn.Linear):
    """`torch.nn.Linear` in float32, whatever torch's default is, that leaves drawing its weights to `initialize`.

    Weights of its last ``n_marks`` inputs, which mark missing entries, start at zero: where nothing is missing,
    they stay there.
    """

    n_marks = 0

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, dtype=torch.float32)

    def reset_parameters(self) -> None:
        pass


class TiedLinear(Tied):
    """The transpose of another layer's linear map; see `Tied`."""

    def __init__(self, partner: nn.Linear) -> None:
        super().__init__(partner, partner.in_features)

    @property
    def weight(self) -> Tensor:
        return self.partner.weight.t()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.partner.out_features}, out_features={self.partner.in_features}"


class Block(nn.Sequential):
    """A linear map and the activation named ``activation`` (none for the identity).

    Parameters
    ----------
    linear : torch.nn.Module or Layers
        Of rows or, in a convolution block with all that it is made of, of images.
    activation : str
    normalization : torch.nn.Module or None
        What comes between the two.
    """

    def __init__(
        self, linear: nn.Module | Layers, activation: str, normalization: nn.Module | None = None
    ) -> None:
        layers = linear if isinstance(linear, Layers) else Layers(linear)
        between = [] if normalization is None else [normalization]
        between += [] if activation == "identity" else [ACTIVATIONS[activation].module()]
        super().__init__(*layers.before, layers.linear, *between, *layers.after)
        self.activation = activation
        self.is_of_rows = isinstance(layers.linear, nn.Linear | TiedLinear) and not (layers.before or layers.after)
        self.is_dense = normalization is None and not layers.before  # what has a step in closed form
        self.widest, self.n_places = layers.widest, layers.n_places
        self._parts = (layers.linear, normalization, layers)

    @property
    def linear(self) -> "Linear | TiedLinear":
        return self._parts[0]  # type: ignore[return-value]

    def with_activation(self, activation: str) -> "Block":
        """Return a block of the same layers and another activation."""
        _, normalization, layers = self._parts
        return Block(layers, activation, normalization)
