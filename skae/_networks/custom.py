"""Modules that users bring, with their mistakes explained, and weights that are taken over."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .activations import ACTIVATIONS
from .building import Architecture


class Linked(nn.Module):
    """A user's decoder followed by the loss's link, so that it ends in the data's space.

    Parameters
    ----------
    unlinked : torch.nn.Module
        Returns what the loss takes, such as logits.
    link : str
        Name of the link.
    """

    def __init__(self, unlinked: nn.Module, link: str) -> None:
        super().__init__()
        self.unlinked = unlinked
        self.link = ACTIVATIONS[link].module()

    def forward(self, z: Tensor) -> Tensor:
        return self.link(self.unlinked(z))


def forward_centred(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what maps centred rows, of the networks' dtype, in training."""
    return getattr(network, "forward_centred", network)


def load_weights(network: nn.Module, fitted: nn.Module) -> None:
    """Give a network the weights of a fitted one.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    beside = ("offset", "selection.threshold")  # no weights: they come from the rows
    now, then = (
        {name: t for name, t in each.state_dict().items() if name not in beside} for each in (network, fitted)
    )
    new, old = ({name: tuple(getattr(t, "shape", ())) for name, t in state.items()} for state in (now, then))
    mismatch = [
        f"{name} of shape {new.get(name, 'none')}, which was {old.get(name, 'none')}"
        for name in {**new, **old}
        if new.get(name) != old.get(name)
    ]
    if mismatch:
        raise ValueError(
            "warm_start and partial_fit continue the fitted networks, but a parameter that shapes them "
            "(n_components or n_bits, hidden_layer_sizes, decoder_hidden_layer_sizes, tied_weights, "
            "ordered, normalization, image_shape and what goes with it, encoder or decoder) "
            f"has changed since: the networks now have {'; '.join(mismatch)}. Fit with warm_start=False, or set "
            "it back."
        )
    network.load_state_dict(then, strict=False)


def check_own_networks(encoder: nn.Module, decoder: nn.Module, shape: Architecture, like: Tensor) -> None:
    """Send two rows of zeros through both networks and check the shapes that come out.

    Raises
    ------
    ValueError
        If a network does not take its input or returns another shape than it should.
    """
    n_components = shape.encoder_layer_sizes[-1]
    for name, network, width, expected in (
        ("encoder", encoder, shape.n_features, n_components),
        ("decoder", decoder, n_components, shape.n_features),
    ):
        rule = f"{name} must map shape (n, {width}) to shape (n, {expected})"
        network.eval()
        try:
            with torch.no_grad():
                result = network(like.new_zeros(2, width))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{rule}, but it failed on shape (2, {width}): {error}") from error
        got = tuple(getattr(result, "shape", ()))
        if got != (2, expected):
            raise ValueError(
                f"{rule}, but it returned shape {got} for shape (2, {width}). Change the module, or n_components."
            )
