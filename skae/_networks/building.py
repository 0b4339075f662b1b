"""From an estimator's parameters to an `Architecture`, and from that to two networks."""

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple

from torch import nn

from .._support.parameters import layer_sizes
from .activations import Link
from .blocks import Block, Linear, TiedLinear
from .convolutions import NORMALIZATIONS, Images, Layers, decoder_layers, encoder_layers
from .gaussian import GaussianEncoder
from .nested import NestedDecoder
from .networks import Decoder, Encoder
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
    n_variances: int = 0  # columns whose likelihood has a variance
    learns_variances: bool = False
    conditional_variances: bool = False  # whether the decoder gives them for each row
    n_dof: int = 0  # columns with degrees of freedom
    medians: tuple[int, ...] = ()  # columns with heavy tails: centred by their median, and compressed
    compresses: bool = False  # whether some inputs pass through a logarithm first
    normalization: str | None = None
    images: tuple | None = None  # see `Images`; hidden layer sizes then count channels
    prefixes: bool = False  # whether prefixes of the code have decoders of their own
    marks_missing: bool = False  # whether the encoder takes missing entries, with as many inputs to mark them
    scaled: bool = False  # whether rows, once centred, are divided by their unit
    unit: float = 1.0  # which is this one
    target_unit: float = 1.0  # and that of what is to be reconstructed

    @property
    def linear(self) -> bool:
        """Whether both networks are dense and linear maps."""
        shallow = len(self.encoder_layer_sizes) == len(self.decoder_layer_sizes) == 1
        ends = {self.code_activation, self.output_activation, self.link}
        dense = self.images is None and self.normalization is None
        return dense and ends == {"identity"} and (self.activation == "identity" or shallow)


def changed(now: Architecture, then: Architecture, width_parameter: str) -> list[str]:
    """Say which parameters shape networks otherwise than they shaped fitted ones."""
    named = [(width_parameter, *(a.encoder_layer_sizes[-1] for a in (now, then)))]
    named.append(("hidden_layer_sizes", *(tuple(a.encoder_layer_sizes[:-1]) for a in (now, then))))
    mirrored = all(a.encoder_layer_sizes[-2::-1] == a.decoder_layer_sizes[:-1] for a in (now, then))
    if not mirrored:
        named.append(("decoder_hidden_layer_sizes", *(tuple(a.decoder_layer_sizes[:-1]) for a in (now, then))))
    named += [(name, getattr(now, name), getattr(then, name)) for name in ("tied_weights", "normalization")]
    return [f"{name} is {value!r}, and was {before!r}" for name, value, before in named if value != before]


# From parameters to an architecture -----------------------------------------------------------------------

_ALIASES = {"logistic": "sigmoid"}


def describe(estimator, n_features: int, loss: Any) -> Architecture:
    """Describe the networks that an estimator's parameters ask for; ``loss`` is its `Loss`, None for a likelihood.

    Raises
    ------
    ValueError
        If parameters contradict each other.
    """
    e = estimator
    code_width = getattr(e, e._width_parameter)
    if not isinstance(code_width, Integral):
        code_width = n_features  # a share of the variance to keep: for `_adapt_architecture` to replace
    custom = e.encoder is not None or e.decoder is not None
    hidden, decoder_hidden = _hidden_layer_sizes(e, custom)
    images = None if e.image_shape is None else _images(e, n_features, hidden, code_width)
    output_activation = _ALIASES.get(e.output_activation, e.output_activation)
    link = "identity" if loss is None else loss.link
    if link != "identity":
        if output_activation not in ("identity", link):
            raise ValueError(
                f"loss={e.loss!r} works on logits and applies the {link} itself, but output_activation="
                f"{e.output_activation!r}. Use output_activation='identity', or another loss."
            )
        output_activation = "identity"  # the link follows, so that it is applied once
    centred = loss is not None and loss.shift_invariant and output_activation == "identity" and not custom
    return Architecture(
        n_features=n_features,
        encoder_layer_sizes=(*hidden, int(code_width)),
        decoder_layer_sizes=(*decoder_hidden, n_features),
        activation=_ALIASES.get(e.activation, e.activation),
        code_activation=_ALIASES.get(e.code_activation, e.code_activation),
        output_activation=output_activation,
        link=link,
        tied_weights=bool(e.tied_weights),
        normalization=e.normalization,
        images=None if images is None else tuple(images),
        centred=centred,
        scaled=centred and loss.degree is not None,
    )


def _hidden_layer_sizes(e: Any, custom: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the hidden widths of both networks."""
    hidden = layer_sizes(e.hidden_layer_sizes, "hidden_layer_sizes")
    decoder_hidden = mirrored = hidden[::-1]
    if e.decoder_hidden_layer_sizes is not None:
        decoder_hidden = layer_sizes(e.decoder_hidden_layer_sizes, "decoder_hidden_layer_sizes")
    if e.tied_weights and custom:
        raise ValueError(
            "tied_weights=True ties the decoder that skae builds to the encoder that skae builds, but encoder or "
            "decoder is a module of yours. Set tied_weights=False, or share the parameters inside your modules."
        )
    if e.tied_weights and decoder_hidden != mirrored:
        raise ValueError(
            f"tied_weights=True needs a decoder that mirrors the encoder, but decoder_hidden_layer_sizes="
            f"{decoder_hidden} is not hidden_layer_sizes={hidden} reversed. Leave decoder_hidden_layer_sizes at "
            "None, or set tied_weights=False."
        )
    if e.image_shape is not None and len(decoder_hidden) != len(hidden):
        raise ValueError(
            "With image_shape, each convolution block of the encoder has one in the decoder that restores its "
            f"sides, but decoder_hidden_layer_sizes={decoder_hidden} and hidden_layer_sizes={hidden} differ "
            "in length. Make them equally long, or leave decoder_hidden_layer_sizes at None."
        )
    return hidden, decoder_hidden


def mark_missing(e: Any, architecture: Architecture) -> Architecture:
    """Let the encoder take missing entries, if an estimator's ``missing_values`` asks for it.

    Raises
    ------
    ValueError
        With images, or with a decoder that is tied to the encoder.
    """
    if not e._takes_missing:
        return architecture
    refused = {"image_shape": architecture.images is not None, "tied_weights": architecture.tied_weights}
    for name, given in refused.items():
        if given:
            raise ValueError(
                f"missing_values={e.missing_values!r} gives the encoder further inputs, to mark missing entries. "
                f"It does not work with {name}={getattr(e, name)!r}. Fill what is missing, or leave {name} at "
                "its default."
            )
    return architecture._replace(marks_missing=True)


def _images(e: Any, n_features: int, hidden: tuple[int, ...], code_width: int) -> Images | None:
    """Describe the convolution blocks that an estimator's parameters ask for; None for no block."""
    shape = layer_sizes(e.image_shape, "image_shape")
    if len(shape) not in (2, 3):
        raise ValueError(
            f"image_shape={shape} has {len(shape)} entries, but it must be (height, width) or "
            "(height, width, channels)."
        )
    height, width, channels = (*shape, 1)[:3]
    if height * width * channels != n_features:
        raise ValueError(
            f"image_shape={shape} makes images of {height} x {width} x {channels} = {height * width * channels} "
            f"numbers, but X has n_features={n_features}. Set image_shape to the (height, width[, channels]) of "
            "the images that the rows of X are."
        )
    if e.kernel_size % 2 == 0:
        raise ValueError(
            f"kernel_size={e.kernel_size} is even, but must be odd, so that a kernel has a middle: use "
            f"kernel_size={e.kernel_size + 1}."
        )
    has_dense_code = e.code_layer == "dense"
    n_blocks = len(hidden) + (not has_dense_code)
    factors = layer_sizes(e.downsampling_factor, "downsampling_factor")
    if isinstance(e.downsampling_factor, Integral):
        factors *= len(hidden)
    if len(factors) not in (len(hidden), n_blocks):
        raise ValueError(
            f"downsampling_factor={factors} must hold one factor for each of the {n_blocks} convolution blocks, "
            f"but holds {len(factors)}. An integer serves for all."
        )
    factors = (*factors, 1)[:n_blocks]  # the code's own convolution keeps the sides unless told otherwise
    if not n_blocks:
        return None  # a dense code on the data itself
    images = Images(
        (height, width, channels), int(e.kernel_size), factors, e.downsampling == "pool", has_dense_code
    )
    rows, columns = images.sides()[-1]
    is_share = not isinstance(getattr(e, e._width_parameter), Integral)
    if not (has_dense_code or is_share) and code_width % (rows * columns):
        raise ValueError(
            f"{e._width_parameter}={code_width} does not fill a convolutional code of {rows} x {columns} places: "
            f"with code_layer='convolution' it must be a multiple of {rows * columns}. Use such a number, another "
            "downsampling_factor, or code_layer='dense'."
        )
    return images


# From an architecture to networks -------------------------------------------------------------------------


def build(architecture: Architecture) -> tuple[Encoder, Decoder]:
    """Build both networks with uninitialised weights in float32 on the CPU."""
    encoder, decoder = _encoder_and_decoder(architecture)
    encoder, decoder = encoder.float(), decoder.float()  # whatever torch's default dtype is
    encoder.unit, decoder.unit = architecture.unit, architecture.target_unit
    return encoder, decoder


def _encoder_and_decoder(a: Architecture) -> tuple[Encoder, Decoder]:
    up, down = _dense_layers(a) if a.images is None else _image_layers(a, Images(*a.images))
    n_compressed = a.n_features if a.compresses or a.medians else 0
    encoder = encoder_of(a, _blocks(a, up, a.code_activation), n_compressed)
    blocks = _blocks(a, down, a.output_activation)
    if a.prefixes:
        return encoder, NestedDecoder(blocks, a.encoder_layer_sizes[-1], a.link)
    return encoder, decoder_of(a, blocks)


def encoder_of(a: Architecture, blocks: Sequence[nn.Module], n_compressed: int = 0) -> Encoder:
    """Return an encoder of these blocks, or of a user's module."""
    kind = Encoder if a.code_heads == 1 else GaussianEncoder
    chosen = None if a.selection is None else selection(a.selection)
    return kind(blocks, chosen, n_compressed, n_compressed > 0 and bool(a.medians), a.marks_missing)


def decoder_of(a: Architecture, blocks: Sequence[nn.Module]) -> Decoder:
    """Return a decoder of these blocks, or of a user's module."""
    n_features = a.n_features if a.conditional_variances else None
    return Decoder(blocks, a.link, a.n_variances, a.learns_variances, n_features, a.n_dof)


def _dense_layers(a: Architecture) -> tuple[list[Any], list[Any]]:
    *hidden, code = a.encoder_layer_sizes
    n_marks = a.n_features if a.marks_missing else 0
    up = [Linear(*widths) for widths in pairwise((a.n_features + n_marks, *hidden, code * a.code_heads))]
    up[0].n_marks = n_marks
    if a.tied_weights:
        return up, [TiedLinear(partner) for partner in reversed(up)]
    *decoder_hidden, last = a.decoder_layer_sizes
    last += a.n_variances if a.conditional_variances else 0
    return up, [Linear(*widths) for widths in pairwise((code, *decoder_hidden, last))]


def _image_layers(a: Architecture, images: Images) -> tuple[list[Any], list[Any]]:
    """Return those of convolution blocks and, where the code is dense, a layer on each side of it."""
    *hidden, code = a.encoder_layer_sizes
    *decoder_hidden, _ = a.decoder_layer_sizes
    n_places = math.prod(images.sides()[-1])
    code_channels = () if images.has_dense_code else (code // n_places,)
    up: list[Any] = encoder_layers(images, (*hidden, *code_channels), a.code_heads)
    tied = [layers.linear for layers in up] if a.tied_weights else None
    heads = 2 if a.conditional_variances else 1
    down: list[Any] = decoder_layers(images, (*code_channels, *decoder_hidden), tied, heads)
    if images.has_dense_code:
        up.append(Linear(n_places * hidden[-1], code * a.code_heads))
        down.insert(0, TiedLinear(up[-1]) if a.tied_weights else Linear(code, n_places * decoder_hidden[0]))
    return up, down


def _blocks(a: Architecture, parts: Sequence[Any], last: str) -> list[Block]:
    """Complete linear layers and those of convolution blocks; ``last`` is the last one's activation."""
    blocks = []
    for part in parts:
        is_image = isinstance(part, Layers)
        linear: Any = part.linear if is_image else part
        hidden, normalization = part is not parts[-1], None
        if hidden and a.normalization is not None:
            normalization = NORMALIZATIONS[a.normalization][is_image](len(linear.bias))
            if a.normalization == "batch":
                linear.bias = None  # it would be taken out again
        blocks.append(Block(part, a.activation if hidden else last, normalization))
    return blocks
