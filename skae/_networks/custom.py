"""Modules that users bring, with their mistakes explained, and weights that are taken over."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .activations import ACTIVATIONS
from .building import Architecture, decoder_of, encoder_of

# Parameters of networks that skae builds, which modules of users take no notice of.
_OF_EITHER = (
    *("activation", "normalization", "dropout", "init"),
    *("kernel_size", "downsampling", "downsampling_factor", "code_layer"),
)
_DTYPES = (
    "Modules are called in the dtype of training and in that of X. Let constants that a module holds be buffers "
    "(register_buffer), or bring them to the dtype of its input by .to(x)."
)


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


def load_weights(network: nn.Module, fitted: nn.Module, changed: list[str]) -> None:
    """Give a network the weights of a fitted one; ``changed`` says of parameters what they are, and were.

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
        what = "; ".join(changed) or (
            "a parameter that shapes them (image_shape and what goes with it, encoder or decoder, ordered, "
            "missing_values, likelihood, decoder_variance) has changed since: the networks now have "
            f"{'; '.join(mismatch)}"
        )
        raise ValueError(
            f"warm_start and partial_fit continue the fitted networks, but {what}. Call fit with "
            "warm_start=False, or set it back."
        )
    network.load_state_dict(then, strict=False)


# Networks that hold them -----------------------------------------------------------------------------------


def with_own(networks: tuple[Any, Any], own: tuple[Any, Any], a: Architecture) -> tuple[Any, Any]:
    """Put a user's modules, None for none, into the places of networks that skae has built.

    A module is the network itself where nothing is done before or after it. Otherwise it is the one block of a
    network that does the rest: selects units, tells means from log-variances, knows the likelihood's variances.
    """
    (encoder, decoder), (own_encoder, own_decoder) = networks, own
    if own_encoder is not None:
        is_whole = a.code_heads == 1 and a.selection is None and not a.marks_missing
        encoder = own_encoder if is_whole else encoder_of(a, [own_encoder])
    if own_decoder is not None:
        decoder = own_decoder if a.code_heads == 1 else decoder_of(a, [own_decoder])
    return encoder, decoder


def redraw(own: tuple[Any, Any], generator: torch.Generator) -> None:
    """Draw the parameters of a user's modules, None for none, by the modules' own `reset_parameters`.

    These draw from torch's global generator, which is seeded here and then put back. What is frozen stays.

    Raises
    ------
    ValueError
        If a module has parameters to train and no such method.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.no_grad(), torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        for name, module in zip(("encoder", "decoder"), own, strict=True):
            if module is not None:
                module.cpu()  # so that every device starts from the same numbers
                for reset in _resets(module, name):
                    reset()


def _resets(module: nn.Module, name: str, is_covered: bool = False) -> Iterator[Callable[[], object]]:
    """Yield the methods that draw a module's parameters, its children's first.

    ``is_covered`` tells whether a module around it draws them, too.
    """
    trained = any(p.requires_grad for p in module.parameters())
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    is_covered = is_covered or reset is not None
    left = [parameter for parameter, p in module.named_parameters(recurse=False) if p.requires_grad]
    if left and not is_covered:
        raise ValueError(
            "reset_parameters=True draws the parameters of your modules by their method reset_parameters(), but "
            f"{type(module).__name__} in {name} has the parameter {left[0]!r} and no such method. Give it one, or "
            "set reset_parameters=False to start from the values that it has."
        )
    for child in module.children():
        yield from _resets(child, name, is_covered)
    if reset is not None and trained:
        yield reset


def without_effect(estimator: Any) -> list[str]:
    """Return the names of parameters that a user's modules take no notice of; none where there are no such."""
    e, names = estimator, []
    has_encoder, has_decoder = getattr(e, "encoder", None) is not None, getattr(e, "decoder", None) is not None
    if has_encoder and (has_decoder or (e.decoder_hidden_layer_sizes is not None and e.image_shape is None)):
        names.append("hidden_layer_sizes")  # which the decoder does not mirror
    if has_decoder:
        names += ["decoder_hidden_layer_sizes", "output_activation"]
    if has_encoder and not e._reads_code_activation:
        names.append("code_activation")
    return [*names, *_OF_EITHER] if has_encoder and has_decoder else names


def check_own_networks(encoder: Any, decoder: Any, a: Architecture, like: Tensor) -> None:
    """Send two rows of zeros through a user's modules, None for none, and check the shapes that come out.

    Raises
    ------
    ValueError
        If a module does not take its input or returns another shape than it should.
    """
    n_components, n_columns = a.encoder_layer_sizes[-1], a.n_features
    marks = f": {n_columns} features, then ones where these are missing" if a.marks_missing else ""
    n_variances = a.n_variances if a.conditional_variances else 0
    heads = ": means and log-variances of the code side by side" if a.code_heads > 1 else ""
    variances = ": means and log-variances side by side" if n_variances else ""
    for name, network, width, taken, expected, given in (
        ("encoder", encoder, n_columns * (1 + a.marks_missing), marks, n_components * a.code_heads, heads),
        ("decoder", decoder, n_components, "", n_columns + n_variances, variances),
    ):
        if network is None:
            continue
        rule = f"{name} must map shape (n, {width}){taken} to shape (n, {expected}){given}"
        network.eval()
        try:
            with torch.no_grad():
                result = network(like.new_zeros(2, width))
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            cause = f". {_DTYPES}" if "dtype" in str(error) else ""
            of = f"shape (2, {width})" + (f", {like.dtype}" if cause else "")
            raise ValueError(f"{rule}, but it failed on {of}: {error}{cause}") from error
        if not isinstance(result, Tensor):
            raise ValueError(f"{rule}, but it returned {type(result).__name__}, which is no tensor.")
        got = tuple(result.shape)
        if got != (2, expected):
            raise ValueError(
                f"{rule}, but it returned shape {got} for shape (2, {width}). Change the module, or n_components."
            )
        if result.dtype != like.dtype:
            raise ValueError(
                f"{rule}, and to keep the dtype, but it returned {result.dtype} for {like.dtype}. {_DTYPES}"
            )
