"""A discriminator between codes and draws of their prior, and its part in the training (Makhzani et al. 2015).

With D(z) the discriminator's logit of "z is a draw of the prior", it learns to lower, over draws p and codes z::

    (mean softplus(-D(p)) + mean softplus(D(z))) / 2

and the encoder to lower softplus(-D(z)), which has a slope also where D is sure (Goodfellow et al. 2014). Both
are binary cross-entropies: the encoder's calls codes draws of the prior.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._networks.blocks import Block, Linear
from .._networks.initial_weights import initialize
from .._objectives.losses import binary_cross_entropy
from .._support.devices import normal
from .._support.ranks import current
from .._support.sizes import of_size
from .._training.bottleneck import Bottleneck
from .._training.buffers import BufferPool
from .._training.layers import Affine, Chain, FlatLayers, dense_layers
from .._training.optimizers import Optimizer, scaled_rate

ACTIVATION = "leaky_relu"


class Judgement(Chain):
    """The memory of ``n`` codes under judgement, and the calls that take them there and back."""

    def __init__(self, layers: Sequence[Affine], n: int, pool: BufferPool) -> None:
        width = layers[0].fan_in
        h, self.dx = pool.with_ones("x", n, width), pool.empty("dx", n, width)
        self.x = h[:, :-1]
        self.logits = pool.empty("logits", n, 1)  # then the derivative with respect to them
        self.target = self.logits.new_zeros(n, 1)  # where the first half are draws of the prior
        self.target[: n // 2] = 1
        super().__init__("judge", layers, h, self.dx, self.logits, self.logits, pool)
        down = reversed([*zip(layers, self.buffers, strict=True)])
        self.backward_to_input = [call for layer, p in down for call in layer.backward_to_input(p)]


class Discriminator(FlatLayers):
    """A dense network from codes to one logit.

    Parameters
    ----------
    widths : tuple of int
        From the code's width to 1.
    generator : torch.Generator
        On the CPU; draws the first weights.
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(
        self, widths: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.widths = widths
        activations = [*[ACTIVATION] * (len(widths) - 2), "identity"]
        blocks = [Block(Linear(*pair), name) for pair, name in zip(pairwise(widths), activations, strict=True)]
        initialize([nn.Sequential(*blocks)], generator)
        super().__init__(dense_layers(blocks), dtype, device)
        self._pool = BufferPool(self.parameters)
        self._judgements: dict[int, Judgement] = {}

    @property
    def flat(self) -> tuple[Tensor, Tensor, Tensor]:
        """Parameters, their gradient, and which of them are weights: what a solver takes."""
        return self.parameters, self.gradient, self.is_weight

    def plain(self) -> tuple[tuple[int, ...], np.ndarray]:
        """Return the widths and the parameters as a plain array."""
        return self.widths, self.parameters.cpu().numpy().copy()

    def load(self, plain: tuple[tuple[int, ...], np.ndarray]) -> None:
        """Take over what `plain` returned, if the widths are the same; else stay new."""
        if tuple(plain[0]) == self.widths:
            self.parameters.copy_(torch.tensor(plain[1]))

    def _judge(self, *codes: Tensor) -> Judgement:
        """Compute the logits of these codes, all of one shape."""
        n = sum(map(len, codes))
        judged = of_size(self._judgements, n, lambda: Judgement(self.layers, n, self._pool))
        torch.cat(codes, out=judged.x)
        for call in judged.forward:
            call()
        return judged

    def differentiate(self, draws: Tensor, codes: Tensor) -> Tensor:
        """Write the gradient of its loss on as many draws as codes; return the loss, summed over pairs."""
        judged = self._judge(draws, codes)
        total = binary_cross_entropy(judged.logits, judged.target, None, judged.logits)
        judged.logits.mul_(1 / len(judged.logits))
        for call in judged.backward:
            call()
        return total * 0.5

    def pull(self, codes: Tensor) -> Tensor:
        """Return the derivative of the encoder's loss, summed over rows, with respect to codes."""
        judged = self._judge(codes)
        judged.logits.sigmoid_().sub_(1)
        for call in judged.backward_to_input:
            call()
        return judged.dx

    def logits(self, codes: Tensor) -> Tensor:
        """Return the logits, differentiable by autograd with respect to codes."""
        for layer in self.layers:
            z = torch.addmm(layer.weight[-1], codes, layer.weight[:-1])
            codes = layer.activation.module()(z)
        return codes[:, 0]


class Adversary(Bottleneck):
    """Hands codes on as they are, and pulls them towards the prior.

    The pull contributes to the gradient, not to the reported loss, which could not be compared between epochs: it
    rises when the discriminator gets better. Its weight goes with the reconstruction loss L of the batch: the
    gradient of L + L w A, with L held fixed in the second place, is L times that of log L + w A, so that w means
    the same whatever the units of the data, and however well they can be reconstructed.

    The discriminator sees codes and draws through normal noise, without which it would learn the rows by heart
    where there are few (Sonderby et al. 2017). Its loss ("discriminator") is added up over an epoch. Rows held out
    are left alone: nobody learns from them.

    Parameters
    ----------
    discriminator : Discriminator
    solver : Optimizer
        The discriminator's.
    draw : callable (n, generator) -> Tensor of shape (n, n_components)
        From the prior.
    weight : float
        Of the pull.
    noise : float
        Standard deviation of what the discriminator sees codes through.
    n_steps : int
        The discriminator's for each of the networks'.
    generator : torch.Generator
    """

    averages_weights = True

    def __init__(
        self,
        discriminator: Discriminator,
        solver: Optimizer,
        draw: Callable[[int, torch.Generator], Tensor],
        *,
        weight: float,
        noise: float,
        n_steps: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.discriminator, self.solver, self.draw = discriminator, solver, draw
        self.weight, self.noise, self.n_steps = weight, noise, n_steps
        self._learning_rate = solver.learning_rate
        self.generator = generator
        self._pull: Tensor | None = None  # of each row, under autograd

    def learning_rate(self, learning_rate: float, solver: str) -> float:
        """Return twice the rate: a step of the networks has to serve the reconstruction and the pull."""
        return scaled_rate(learning_rate, 2, solver)

    def set_rate(self, factor: float) -> None:
        """Let the discriminator's rate change as that of the networks."""
        self.solver.learning_rate = self._learning_rate * factor

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Hand the codes on; let the discriminator learn."""
        z.copy_(code)
        self._pull, self._blurred = None, self._learn(code)

    def forward_autograd(self, code: Tensor, row_weight: Tensor | None) -> Tensor:
        """Do as `forward`, differentiable by autograd."""
        self._pull, self._n = None, len(code)
        if not self.is_held_out:
            with torch.autocast(code.device.type, enabled=False):
                self._pull = F.softplus(-self.discriminator.logits(self._learn(code)))
        return code

    def own_loss(self, reconstruction: Tensor) -> Tensor | None:
        """Note how large the pull is to be; under autograd, return what has its gradient and the value zero."""
        ranks = current()
        self._level = ranks.batch_sum(reconstruction) / ranks.batch_size(self._n)
        if self._pull is None:
            return None
        pull = self._level * self.weight * self._pull
        return pull - pull.detach()

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the codes."""
        pull = self.discriminator.pull(self._blurred).mul_(self._level)
        if row_weight is not None:
            pull.mul_(row_weight)
        torch.add(dz, pull.to(dz.dtype), alpha=self.weight / len(code), out=dcode)

    def _learn(self, code: Tensor) -> Tensor:
        """Let the discriminator learn; return the codes as the encoder is to see them judged."""
        self._n = len(code)
        if self.is_held_out:
            return code
        code, ranks = code.to(self.discriminator.parameters.dtype), current()
        with torch.no_grad():
            for _ in range(self.n_steps):
                draws = ranks.noise(lambda n: self.draw(n, self.generator), self._n)
                total = self.discriminator.differentiate(self._blur(draws), self._blur(code))
                ranks.scale_to_share(self.discriminator.gradient)
                ranks.add_up(self.discriminator.gradient)
                self.solver.update()
                self.add("discriminator", total / self.n_steps)
        return self._blur(code)

    def _blur(self, codes: Tensor) -> Tensor:
        if not self.noise:
            return codes
        noise = current().noise(lambda n: normal((n, codes.shape[1]), codes, self.generator), len(codes))
        return noise.mul_(self.noise).add(codes)

    def state(self) -> dict[str, Any]:
        """Return the discriminator's weights and its solver's state."""
        return {"discriminator": self.discriminator.plain(), "solver": self.solver.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Carry on from what `state` returned, with a discriminator of the same widths."""
        if tuple(state["discriminator"][0]) == self.discriminator.widths:
            self.discriminator.load(state["discriminator"])
            self.solver.load_state(state["solver"])
