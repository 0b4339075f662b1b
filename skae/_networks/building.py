"""From an `Architecture` to two networks with their first weights."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn

from .activations import Link
from .convolutions import (
    NORMALIZATIONS,
    Images,
    Layers,
    Tied,
    TiedConvolution,
    TransposedConvolution,
    decoder_layers,
    encoder_layers,
)
from .nested import NestedDecoder
from .networks import Block, Decoder, Encoder, GaussianEncoder, Linear, TiedLinear
from .selection import selection


class Architecture(NamedTuple):
    """All that is needed to build the networks again: plain values, kept beside the weights."""

    n_features: int
    encoder_layer_sizes: tuple[int, ...]
    decoder_layer_sizes: tuple[int, ...]
    activation: str = "relu"
    code_activation: str = "identity"
    output_activation: str = "identity"
    link: Link = "identity"
    tied_weights: bool = False
    centred: bool = True
    selection: tuple | None = None  # see `selection`
    code_heads: int = 1  # outputs of the encoder per unit of the code: two where it is normally distributed
    uncentred: tuple[int, ...] = ()  # columns to leave as they are when the others are centred
    n_variances: int = 0  # columns with a normal likelihood
    learns_variances: bool = False
    compresses: bool = False  # whether some inputs pass through a logarithm first
    normalization: str | None = None
    images: tuple | None = None  # see `Images`; hidden layer sizes then count channels
    prefixes: bool = False  # whether prefixes of the code have decoders of their own

    @property
    def linear(self) -> bool:
        """Whether both networks are dense and linear maps."""
        shallow = len(self.encoder_layer_sizes) == len(self.decoder_layer_sizes) == 1
        ends = {self.code_activation, self.output_activation, self.link}
        dense = self.images is None and self.normalization is None
        return dense and ends == {"identity"} and (self.activation == "identity" or shallow)


def build(architecture: Architecture) -> tuple[Encoder, Decoder]:
    """Build both networks with uninitialised weights in float32 on the CPU."""
    a = architecture
    encoder, decoder = _dense_blocks(a) if a.images is None else _image_blocks(a, Images(*a.images))
    kind = Encoder if a.code_heads == 1 else GaussianEncoder
    n_compressed = a.n_features if a.compresses else 0
    encoder_ = kind(encoder, None if a.selection is None else selection(a.selection), n_compressed)
    if a.prefixes:
        return encoder_, NestedDecoder(decoder, a.encoder_layer_sizes[-1], a.link)
    return encoder_, Decoder(decoder, a.link, a.n_variances, a.learns_variances)


def _dense_blocks(a: Architecture) -> tuple[list[Block], list[Block]]:
    *hidden, code = a.encoder_layer_sizes
    up: list[Any] = _linears((a.n_features, *hidden, code * a.code_heads), bias=a.normalization != "batch")
    down: list[Any] = _linears((code, *a.decoder_layer_sizes), bias=a.normalization != "batch")
    if a.tied_weights:
        pairs = zip(reversed(up), down, strict=True)
        down = [TiedLinear(partner, bias=linear.bias is not None) for partner, linear in pairs]
    return _blocks(a, up, a.code_activation), _blocks(a, down, a.output_activation)


def _linears(widths: Sequence[int], bias: bool) -> list[Linear]:
    """Return linear layers; ``bias`` says whether all but the last have biases."""
    shapes = [*pairwise(widths)]
    return [Linear(*shape, bias=bias) for shape in shapes[:-1]] + [Linear(*shapes[-1])]


def _image_blocks(a: Architecture, images: Images) -> tuple[list[Block], list[Block]]:
    """Return convolution blocks and, where the code is dense, a block between them and the code on each side."""
    *hidden, code = a.encoder_layer_sizes
    *decoder_hidden, _ = a.decoder_layer_sizes
    bias = a.normalization != "batch"  # which would take a bias out again
    height, width = images.sides()[-1]
    dense = images.has_dense_code
    code_channels = () if dense else (code // (height * width),)
    up: list[Any] = encoder_layers(images, (*hidden, *code_channels), bias=bias, heads=a.code_heads)
    tied = [layers.linear for layers in up] if a.tied_weights else None
    down: list[Any] = decoder_layers(images, (*code_channels, *decoder_hidden), bias=bias, tied=tied)
    if dense:
        up.append(Linear(height * width * hidden[-1], code * a.code_heads))
        fan_out = height * width * decoder_hidden[0]
        down.insert(0, TiedLinear(up[-1], bias) if a.tied_weights else Linear(code, fan_out, bias=bias))
    return _blocks(a, up, a.code_activation), _blocks(a, down, a.output_activation)


def _blocks(a: Architecture, parts: Sequence[Any], last: str) -> list[Block]:
    """Complete linear layers and those of convolution blocks; ``last`` is the last one's activation."""
    blocks = []
    for part in parts:
        layers = part if isinstance(part, Layers) else Layers(part)
        linear: Any = layers.linear
        hidden, normalization = part is not parts[-1], None
        if hidden and a.normalization is not None:
            n_units = linear.weight.shape[isinstance(linear, TransposedConvolution | TiedConvolution)]
            normalization = NORMALIZATIONS[a.normalization][part is layers](n_units)
        blocks.append(Block(linear, a.activation if hidden else last, normalization, layers))
    return blocks


def initialize(networks: Sequence[nn.Module], generator: torch.Generator) -> None:
    """Draw the weights; biases start at zero.

    Within Glorot's uniform bounds (Glorot and Bengio 2010), also before rectifiers: wider bounds make an
    autoencoder's first reconstructions worse, most of all behind a narrow code. Drawn in float64 on the CPU,
    so that every device and dtype starts from the same numbers.
    """
    for block in (m for network in networks for m in network.modules() if isinstance(m, Block)):
        linear = block.linear
        with torch.no_grad():
            if not isinstance(linear, Tied):
                shape = linear.weight.shape
                fans = (shape[0] + shape[1]) * shape[2:].numel()
                draws = torch.rand(shape, dtype=torch.float64, generator=generator)
                linear.weight.copy_(draws.mul_(2).sub_(1).mul_((6 / fans) ** 0.5))
            if linear.bias is not None:
                linear.bias.zero_()
    for network in networks:
        if isinstance(network, Decoder):
            network.initialize(generator)
