"""The interface of what stands between the encoder and the decoder in training."""

from typing import Any

import torch
from torch import Tensor

from .._objectives.penalties import WarmUp
from .._support.held_out import TrainingOnly
from .._support.ranks import current


class Bottleneck(TrainingOnly):
    """What happens to codes between the code layer and the decoder, where that is more than passing them on.

    Examples are sampling (variational autoencoders) and selecting (top-k). The explicit step calls `forward`, then
    the decoder, then `own_loss` and `backward`; the autograd step `forward_autograd`, the decoder, `own_loss`. A
    bottleneck overrides what it needs; what it is asked of is all here.

    Attributes
    ----------
    n_passes : int
        How often each row passes through the decoder. It may change from one step to the next.
    averages_weights : bool
        Whether the networks are kept with a running mean of their weights instead of the last ones.
    warm_up : WarmUp or None
        What grows over the first epochs. While the objective changes, no epoch counts as flat, or as the best.
    is_held_out : bool
        Whether the rows at hand are held out; see `held_out`.
    """

    n_passes: int = 1
    averages_weights = False
    warm_up: WarmUp | None = None

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def decoder_width(self, code_width: int) -> int:
        """Return the width of the decoder's input."""
        return code_width

    def learning_rate(self, learning_rate: float, solver: str) -> float:
        """Return the learning rate of networks around this bottleneck, given the automatic one."""
        return learning_rate

    def set_rate(self, factor: float) -> None:
        """Set the rate of a solver of its own, if there is one, to ``factor`` times its highest value."""

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Write the decoder's input.

        ``code`` is (n, code_width), ``z`` (n_passes n, decoder_width): all rows once, then all rows again;
        ``row_weight`` is (n, 1) or None.
        """
        raise NotImplementedError

    def forward_autograd(self, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Return the decoder's input, differentiable by autograd."""
        raise NotImplementedError

    def own_loss(self, reconstruction: Tensor) -> Tensor | None:
        """Return the own loss of each row of the batch, (n,), if there is one.

        ``reconstruction`` is the reconstruction loss of the batch, a sum over rows, without a gradient.
        """
        return None

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write dcode: what comes from dz, and the derivative of the own loss's mean over rows."""
        raise NotImplementedError

    def pass_weights(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each pass counts for in the loss that is reported, and in the gradient: two of (n_passes,).

        ``losses``, (n_passes,), are sums over rows, without a gradient.
        """
        equal = torch.full_like(losses, 1 / len(losses))
        return equal, equal

    def add(self, name: str, total: Tensor) -> None:
        """Add a sum over the rows of a batch to those of the epoch; on the device, so that no step waits."""
        if self.is_held_out:
            return
        total = current().counted(total)
        sums = self._sums.get(name)
        if sums is None:
            self._sums[name] = total.clone()  # the memory of ``total`` may be used again
        else:
            sums.add_(total)

    def take_sums(self) -> dict[str, Tensor]:
        """Return the sums of the epoch, and begin another."""
        sums, self._sums = self._sums, {}
        return sums

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on beside the networks' weights."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
