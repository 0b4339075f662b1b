"""From an estimator's parameters to the shape of its networks, with the checks that span parameters."""

from numbers import Integral
from typing import Any

from ._losses import LOSSES
from ._networks import Architecture

_ALIASES = {"logistic": "sigmoid"}


def architecture(estimator, n_features: int, code_width: int) -> Architecture:
    """Describe the networks that an estimator's parameters ask for.

    Raises
    ------
    ValueError
        If parameters contradict each other.
    """
    e = estimator
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
        encoder_layer_sizes=(*hidden, code_width),
        decoder_layer_sizes=(*decoder_hidden, n_features),
        activation=_ALIASES.get(e.activation, e.activation),
        code_activation=_ALIASES.get(e.code_activation, e.code_activation),
        output_activation=output_activation,
        link=link,
        tied_weights=bool(e.tied_weights),
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
