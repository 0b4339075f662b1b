"""Codes on their way to bits: a logistic code behind growing noise, which drives its units to either end.

With logits v, normal noise e of standard deviation s, and h = logistic(v + s e)::

    dh/dv = h (1 - h)

Under much noise only large logits tell the decoder anything, so that the units saturate (Salakhutdinov and Hinton
2009), and little is lost when a fitted network rounds h to a bit.
"""

import torch
from torch import Tensor

from .._objectives.penalties import WarmUp
from .._support.devices import normal
from .._support.ranks import current
from .._training.bottleneck import Bottleneck


class NoisySigmoid(Bottleneck):
    """From logits to a noisy logistic code; rows held out are judged by their bits, as fitted networks see them.

    Parameters
    ----------
    noise : WarmUp
        The noise's standard deviation.
    generator : torch.Generator
    """

    def __init__(self, noise: WarmUp, generator: torch.Generator) -> None:
        super().__init__()
        self.warm_up: WarmUp = noise
        self._generator = generator

    def _noisy(self, code: Tensor) -> Tensor:
        noise = current().noise(lambda n: normal((n, code.shape[1]), code, self._generator), len(code))
        return noise.mul_(self.warm_up.value).add_(code)

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Write noisy codes, or bits."""
        if self.is_held_out:
            torch.gt(code, 0, out=z)
        else:
            torch.sigmoid(self._noisy(code), out=z)
        self._code = z

    def forward_autograd(self, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Return noisy codes, or bits."""
        return (code > 0).to(code.dtype) if self.is_held_out else torch.sigmoid(self._noisy(code))

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the logits."""
        torch.addcmul(self._code, self._code, self._code, value=-1, out=dcode).mul_(dz)
