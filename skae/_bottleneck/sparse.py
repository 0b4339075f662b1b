"""The bottleneck of sparse codes: passes on the units that win, and lets dead units learn from the residual."""

from typing import Any

import torch
from torch import Tensor

from .._training.bottleneck import Bottleneck
from .dead_units import DeadUnits
from .winners import Choose


class SparseBottleneck(Bottleneck):
    """Passes on the units that win, in training; a `Selection` is what is left of it later.

    Parameters
    ----------
    choose : callable (magnitude, row_weight, out)
        Writes ones for the winners and zeros for the others; ``row_weight`` is (n, 1) or None.
    signed : bool
        Whether codes may be negative.
    dead_units : DeadUnits or None
        Those that join the winners in a second pass. Rows held out are judged by the winners alone.
    """

    def __init__(self, choose: Choose, signed: bool, dead_units: DeadUnits | None = None) -> None:
        super().__init__()
        self._choose, self._signed, self.dead_units = choose, signed, dead_units
        self._winners = torch.empty(0, 0)  # ones for the units that won in the last batch
        self._joined: Tensor | None = None  # ones for these and the dead units that joined them, if any

    @property
    def n_passes(self) -> int:  # type: ignore[override]
        """How often each row passes through the decoder: twice while there are dead units."""
        return 2 if self._joining is not None else 1

    @property
    def _joining(self) -> DeadUnits | None:
        units = None if self.is_held_out else self.dead_units
        return None if units is None or units.dead is None else units

    def pass_weights(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights with which the second pass contributes to the gradient, not to the reported loss."""
        return losses.new_tensor([1.0, 0.0]), losses.new_tensor([1.0, self.dead_units.weight])  # type: ignore[union-attr]

    def _decide(self, code: Tensor, row_weight: Tensor | None) -> None:
        """Decide who is passed on, and who joins."""
        magnitude = code.abs() if self._signed else code
        self._winners, self._joined = torch.empty_like(code), None
        self._choose(magnitude, row_weight, self._winners)
        joining = self._joining
        if joining is not None:
            self._joined = torch.empty_like(code)
            joining.join(magnitude, row_weight, self._winners, self._joined)

    def _watch(self, passed: Tensor) -> None:
        if self.dead_units is not None and not self.is_held_out:
            self.dead_units.watch(passed.abs() if self._signed else passed)

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Write the codes of winners and, for a second pass, those of winners and dead units."""
        self._decide(code, row_weight)
        if self._joined is not None:
            z, joined = z.chunk(2)
            torch.mul(code, self._joined, out=joined)
        torch.mul(code, self._winners, out=z)
        self._watch(z)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the code."""
        if self._joined is None:
            torch.mul(dz, self._winners, out=dcode)
        else:
            passed, joined = dz.chunk(2)
            torch.mul(passed, self._winners, out=dcode).addcmul_(joined, self._joined)

    def forward_autograd(self, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Do as `forward`, differentiable by autograd."""
        self._decide(code.detach(), row_weight)
        z = code * self._winners
        self._watch(z.detach())
        return z if self._joined is None else torch.cat([z, code * self._joined])

    def state(self) -> dict[str, Any]:
        """Return what is known of dead units."""
        return {} if self.dead_units is None else self.dead_units.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned."""
        if self.dead_units is not None and state:
            self.dead_units.load_state(state)
