"""The two networks: an encoder and a decoder, sequences of equally many blocks.

A block is a linear map and its activation. Since both networks have equally many of them, the pair (first
block of the encoder, last block of the decoder) is a shallow autoencoder, and so is every pair inwards.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._activations import activation_module
from ._selection import Selection, selection


class Architecture(NamedTuple):
    """All that is needed to build the networks again: plain values, kept beside the weights."""

    n_features: int
    encoder_layer_sizes: tuple[int, ...]
    decoder_layer_sizes: tuple[int, ...]
    activation: str = "relu"
    code_activation: str = "identity"
    output_activation: str = "identity"
    link: str = "identity"
    tied_weights: bool = False
    centred: bool = True
    selection: tuple | None = None  # see `selection`


class Linear(nn.Linear):
    """`torch.nn.Linear` that leaves drawing its weights to `initialize`, off the global generator."""

    def reset_parameters(self) -> None:
        pass


class TiedLinear(nn.Module):
    """The transpose of another layer's linear map, with a bias of its own.

    Parameters
    ----------
    partner : torch.nn.Linear
        The layer whose weight this one uses, transposed.
    """

    def __init__(self, partner: nn.Linear) -> None:
        super().__init__()
        # Inside a tuple the partner is no submodule: its weight is counted, saved and penalised once.
        self._partner = (partner,)
        self.bias = nn.Parameter(torch.empty(partner.in_features))

    @property
    def partner(self) -> nn.Linear:
        return self._partner[0]

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.partner.weight.t(), self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.partner.out_features}, out_features={self.partner.in_features}"


class Block(nn.Sequential):
    """A linear map and the activation named ``activation`` (none for the identity)."""

    def __init__(self, linear: nn.Module, activation: str) -> None:
        super().__init__(linear, *([] if activation == "identity" else [activation_module(activation)]))
        self.activation = activation

    @property
    def linear(self) -> "Linear | TiedLinear":
        return self[0]  # type: ignore[return-value]


class Encoder(nn.Sequential):
    """Blocks from the data to the code: float (n, n_features) -> (n, n_components).

    The training data's mean is subtracted in the precision that it comes in; only then is the input cast
    to the weights' dtype, so that a column like 1e9 + N(0, 1) keeps its information.
    """

    offset: Tensor | None
    selection: Selection | None

    def __init__(self, blocks: Sequence[nn.Module], selection: Selection | None = None) -> None:
        super().__init__(*blocks)
        self.register_buffer("offset", None)
        self.selection = selection

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self if isinstance(block, Block)]

    def core(self, x: Tensor) -> Tensor:
        """Map rows that are centred and cast already, up to where a selection would follow."""
        for module in self:
            x = x if isinstance(module, Selection) else module(x)
        return x

    def encode(self, x: Tensor) -> Tensor:
        """Map rows that are centred and cast already to their codes."""
        return super().forward(x)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.offset is None else x - self.offset
        return self.encode(x.to(next(self.parameters()).dtype))


class Decoder(nn.Sequential):
    """Blocks from the code to the data's space: float (n, n_components) -> (n, n_features)."""

    offset: Tensor | None

    def __init__(self, blocks: Sequence[nn.Module], link: str) -> None:
        super().__init__(*blocks)
        self.link = link
        self._link = (activation_module(link),)  # no submodule: the blocks stay countable
        self.register_buffer("offset", None)

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self if isinstance(block, Block)]

    def core(self, z: Tensor) -> Tensor:
        """Map codes to what the loss takes: centred rows, or logits."""
        return super().forward(z)

    def forward(self, z: Tensor) -> Tensor:
        x = self.core(z.to(next(self.parameters()).dtype))
        (link,) = self._link
        x = link(x)
        return x if self.offset is None else x + self.offset


def build(architecture: Architecture) -> tuple[Encoder, Decoder]:
    """Build both networks with uninitialised weights in float32 on the CPU."""
    a = architecture
    encoder_widths = [*pairwise((a.n_features, *a.encoder_layer_sizes))]
    decoder_widths = [*pairwise((a.encoder_layer_sizes[-1], *a.decoder_layer_sizes))]
    encoder_linears = [Linear(*widths) for widths in encoder_widths]
    decoder_linears: list[nn.Module] = (
        [TiedLinear(linear) for linear in reversed(encoder_linears)]
        if a.tied_weights
        else [Linear(*widths) for widths in decoder_widths]
    )
    encoder = _blocks(encoder_linears, a.activation, a.code_activation)
    decoder = _blocks(decoder_linears, a.activation, a.output_activation)
    return Encoder(encoder, selection(a.selection)), Decoder(decoder, a.link)


def _blocks(linears: Sequence[nn.Module], hidden: str, last: str) -> list[Block]:
    activations = [hidden] * (len(linears) - 1) + [last]
    return [Block(linear, name) for linear, name in zip(linears, activations, strict=True)]


def initialize(networks: Sequence[nn.Module], generator: torch.Generator) -> None:
    """Draw the weights; biases start at zero.

    Within Glorot's uniform bounds (Glorot and Bengio 2010), also before rectifiers: wider bounds make an
    autoencoder's first reconstructions worse, most of all behind a narrow code. Drawn in float64 on the CPU,
    so that every device and dtype starts from the same numbers.
    """
    for block in (m for network in networks for m in network.modules() if isinstance(m, Block)):
        linear = block.linear
        with torch.no_grad():
            if isinstance(linear, Linear):
                fan_out, fan_in = linear.weight.shape
                draws = torch.rand(fan_out, fan_in, dtype=torch.float64, generator=generator)
                linear.weight.copy_(draws.mul_(2).sub_(1).mul_((6 / (fan_in + fan_out)) ** 0.5))
            linear.bias.zero_()


def dense_blocks(network: nn.Module) -> list[Block]:
    """Return the blocks of a network made of dense ones, and of a selection at most; else an empty list."""
    modules = [module for module in network.children() if not isinstance(module, Selection)]
    blocks = [module for module in modules if type(module) is Block]
    return blocks if len(blocks) == len(modules) else []


def weights(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Trainable parameters that the L2 penalty shrinks: all but biases and normalisations, each once."""
    unique = {id(p): p for network in networks for p in network.parameters()}
    return [p for p in unique.values() if p.requires_grad and p.ndim > 1]


def n_parameters(networks: Sequence[nn.Module]) -> int:
    """Number of trainable parameters, a shared one counted once."""
    unique = {id(p): p for network in networks for p in network.parameters()}
    return sum(p.numel() for p in unique.values() if p.requires_grad)
