"""From an estimator's parameters to the shape of its networks, with the checks that span parameters."""

from numbers import Integral
from typing import Any

from .._networks.building import Architecture
from .._networks.convolutions import Images
from .._objectives.losses import LOSSES

_ALIASES = {"logistic": "sigmoid"}


def describe(estimator, n_features: int) -> Architecture:
    """Describe the networks that an estimator's parameters ask for.

    Raises
    ------
    ValueError
        If parameters contradict each other.
    """
    e = estimator
    code_width = getattr(e, e._width_parameter)
    if not isinstance(code_width, Integral):
        code_width = n_features  # a share of the variance to keep: for `_adapt_architecture` to replace
    hidden = layer_sizes(e.hidden_layer_sizes, "hidden_layer_sizes")
    mirrored = hidden[::-1]
    decoder_hidden = mirrored
    if e.decoder_hidden_layer_sizes is not None:
        decoder_hidden = layer_sizes(e.decoder_hidden_layer_sizes, "decoder_hidden_layer_sizes")
    custom = e.encoder is not None or e.decoder is not None
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
    images = None
    if e.image_shape is not None:
        images = _images(e, n_features, hidden, code_width)
        if len(decoder_hidden) != len(hidden):
            raise ValueError(
                "With image_shape, each convolution block of the encoder has one in the decoder that restores its "
                f"sides, but decoder_hidden_layer_sizes={decoder_hidden} and hidden_layer_sizes={hidden} differ "
                "in length. Make them equally long, or leave decoder_hidden_layer_sizes at None."
            )
    output_activation = _ALIASES.get(e.output_activation, e.output_activation)
    loss = LOSSES[e.loss] if isinstance(e.loss, str) else None
    link = "identity" if loss is None else loss.link
    if link != "identity":
        if output_activation not in ("identity", link):
            raise ValueError(
                f"loss={e.loss!r} works on logits and applies the {link} itself, but output_activation="
                f"{e.output_activation!r}. Use output_activation='identity', or another loss."
            )
        output_activation = "identity"  # the link follows, so that it is applied once
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
        centred=loss is not None and loss.shift_invariant and output_activation == "identity" and not custom,
    )


def layer_sizes(sizes: Any, name: str) -> tuple[int, ...]:
    """Turn an integer or a sequence of integers into a tuple of widths.

    Raises
    ------
    ValueError
        If a width is no positive integer.
    """
    sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name}={sizes!r} holds {size!r}, but every width must be an integer of at least 1.")
    return tuple(int(size) for size in sizes)


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
    if (
        not has_dense_code
        and isinstance(getattr(e, e._width_parameter), Integral)
        and code_width % (rows * columns)
    ):
        raise ValueError(
            f"{e._width_parameter}={code_width} does not fill a convolutional code of {rows} x {columns} places: "
            f"with code_layer='convolution' it must be a multiple of {rows * columns}. Use such a number, another "
            "downsampling_factor, or code_layer='dense'."
        )
    return images
