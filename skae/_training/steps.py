"""Which of the two training steps serves two networks, and the state of torch around it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .._data.corruption import Corruption
from .._data.rows import Rows
from .._networks.custom import core
from .._networks.nested import PrefixDecoder
from .._networks.networks import dense_blocks
from .._objectives.losses import Loss
from .._objectives.penalties import Penalty
from .autograd import AutogradStep
from .averaging import Averaged
from .explicit import ExplicitStep
from .layers import Bridge, balance


def make_step(
    encoder: nn.Sequential | nn.Module,
    decoder: nn.Sequential | nn.Module,
    loss: Loss,
    rows: Rows,
    make_optimizer: Callable,
    *,
    targets: Rows | None = None,
    row_weight: Tensor | None = None,
    corrupt: Corruption | None = None,
    bridge: Bridge | None = None,
    penalty: Penalty | None = None,
    constrain: Callable[[Tensor], object] | None = None,
    low_precision: bool = False,
) -> ExplicitStep | AutogradStep:
    """Choose the explicit step where everything has a closed form, autograd elsewhere.

    Parameters
    ----------
    encoder, decoder : torch.nn.Module
        Of skae's own blocks, or a user's.
    loss : Loss
    rows, targets, row_weight, corrupt, bridge, constrain, low_precision, make_optimizer
        As for `ExplicitStep`.
    penalty : Penalty or None
    """
    settings: dict[str, Any] = {
        "targets": targets,
        "row_weight": row_weight,
        "corrupt": corrupt,
        "bridge": bridge,
        "constrain": constrain,
        "low_precision": low_precision,
    }
    encoder_blocks = dense_blocks(encoder)
    decoder_blocks = decoder.dense_blocks() if isinstance(decoder, PrefixDecoder) else dense_blocks(decoder)
    closed_form = penalty is None or penalty.closed_form is not None
    if loss.sum_and_gradient is not None and closed_form and encoder_blocks and decoder_blocks:
        settings["penalty"] = None if penalty is None else penalty.closed_form
        return ExplicitStep(encoder_blocks, decoder_blocks, loss, rows, make_optimizer, **settings)
    objective = _objective(encoder, decoder, loss, penalty, bridge)
    return AutogradStep(encoder, decoder, objective, rows, make_optimizer, **settings)


def _objective(
    encoder: nn.Module, decoder: nn.Module, loss: Loss, penalty: Penalty | None, bridge: Bridge | None
) -> Callable:
    encode, decode = core(encoder), core(decoder)

    def objective(x: Tensor, target: Tensor, row_weight: Tensor | None):
        penalized = penalty is not None and torch.is_grad_enabled()  # held-out rows are scored without
        x = x.detach().requires_grad_() if penalized else x
        code = encode(x)
        if bridge is None:
            rows = loss.per_row(decode(code), target)
        else:
            z, own = bridge.through(code, None if row_weight is None else row_weight.unsqueeze(1))
            repeats = len(z) // len(code)
            each = loss.per_row(decode(z), target.repeat(repeats, 1)).view(repeats, -1)
            rows = each.mean(0)
            if bridge.importance is not None:  # in what the gradient feels, not in what is counted
                losses = each if row_weight is None else each * row_weight
                felt = (balance(losses.sum(1), bridge.importance)[:, None] * each).mean(0)
                rows = rows.detach() + felt - felt.detach()
            if bridge.auxiliary is not None:  # felt by the gradient, and not counted
                felt = bridge.auxiliary * each[1:].sum(0)
                rows = each[0] + felt - felt.detach()
            rows = rows if own is None else rows + own
        return rows, penalty.value(x, code, row_weight) if penalty is not None and penalized else None

    return objective


@contextlib.contextmanager
def torch_modes(
    step: ExplicitStep | AutogradStep | Averaged, device: torch.device, generator: torch.Generator
) -> Iterator[None]:
    """Set torch up for a step; for autograd also its default generator, which is put back afterwards.

    Users' modules, such as dropout, can draw from no other. It gets a seed from ``generator``.
    """
    if not step.by_autograd:
        with torch.inference_mode():
            yield
        return
    seed = int(torch.randint(2**62, (), generator=generator))
    cuda = [device] if device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(cuda):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        yield
