"""Nested dropout: in training, codes are cut to prefixes, their first k units with zeros for the others."""

import torch
from torch import Tensor

from .._networks.nested import group_ends
from .._support.ranks import current
from .._training.bottleneck import Bottleneck
from .._training.optimizers import scaled_rate

FIRST = (3.0, 3.0, 2.0)  # what the loss of the first groups counts for; the others count one
WHOLE = 2.0  # what that of the last counts for at least
LATER = 5.0  # what all groups after its own count for together in a unit's gradient; else they would rule it


class NestedDropout(Bottleneck):
    """Passes on a prefix of each group, drawn anew for each batch; held-out rows get the widest of each.

    Nested dropout (Rippel et al. 2014) draws a prefix for each row; here all rows share the draws, so that weights
    of rows act as repetitions do.

    Parameters
    ----------
    width : int
        Of the code.
    generator : torch.Generator
    """

    averages_weights = True

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator
        self._units = torch.arange(width, device=generator.device)
        self._ends = torch.tensor(group_ends(width), device=generator.device)
        self._sizes = self._ends.diff(prepend=self._ends.new_zeros(1))
        self.n_passes = len(self._ends)
        group = torch.bucketize(self._units + 1, self._ends)  # of each unit
        later = (LATER / (self.n_passes - 1 - group).float()).clamp_max(1)
        own = group == torch.arange(self.n_passes, device=generator.device)[:, None]
        self._shares = torch.where(own, 1.0, later)
        # Relative to the losses' sizes, or wide prefixes, whose losses are small, would hardly count.
        importance = torch.ones(self.n_passes, dtype=torch.float32, device=generator.device)
        importance[: len(FIRST)] = importance.new_tensor(FIRST[: self.n_passes])
        importance[-1:].clamp_(min=WHOLE)
        self._importance = importance / importance.mean()
        self._kept_in_gradient = torch.empty(0)

    def learning_rate(self, learning_rate: float, solver: str) -> float:
        """Return the learning rate for as many prefixes at once.

        They are like a batch so many times as large, where rates may rise in proportion, or for an adaptive solver
        with the square root (Malladi et al. 2022).
        """
        return scaled_rate(learning_rate, self.n_passes if solver == "sgd" else self.n_passes**0.5, solver)

    def _draw(self, like: Tensor) -> Tensor:
        """Return ones for the units of each prefix, (n_passes, 1, width): the k-th is of the k-th group."""
        widths = self._ends
        if not self.is_held_out:
            places = torch.rand(
                self.n_passes, dtype=torch.float32, generator=self._generator, device=self._units.device
            )
            widths = widths - (places * self._sizes).floor()
        kept = self._units < widths[:, None]
        self._kept_in_gradient = (kept * self._shares).to(like.dtype)[:, None]
        return kept.to(like.dtype)[:, None]

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Write the prefixes, one after the other."""
        torch.mul(code, self._draw(code), out=z.view(self.n_passes, *code.shape))

    def forward_autograd(self, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Return the prefixes, one after the other."""
        z = code.detach() * self._draw(code)
        return (z + (code - code.detach()) * self._kept_in_gradient).flatten(0, 1)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the code."""
        torch.sum(dz.view(self.n_passes, *code.shape) * self._kept_in_gradient, 0, out=dcode)

    def pass_weights(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return equal weights for the loss, and for the gradient those that let relative changes count.

        The gradient is that of the weighted mean of their logarithms, times the mean of the losses, which makes it
        as large as that mean's own. No loss counts more than a hundredfold for its size, or one that is all but
        zero would be the only one that counts.
        """
        equal, _ = super().pass_weights(losses)
        sizes = current().batch_sum(losses).abs()
        mean = sizes.mean()
        relative = (mean / sizes.clamp_min(0.01 * mean)).nan_to_num(1.0)
        return equal, equal * self._importance.to(losses.dtype) * relative
