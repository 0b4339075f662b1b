"""A discriminator between codes and draws of their prior, and its part in the training (Makhzani et al. 2015).

With D(z) the discriminator's logit of "z is a draw of the prior", it learns to lower, over draws p and codes z::

    (mean softplus(-D(p)) + mean softplus(D(z))) / 2

and the encoder to lower softplus(-D(z)), which has a slope also where D is sure (Goodfellow et al. 2014). Both
are binary cross-entropies: the encoder's calls codes draws of the prior.
"""

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._networks.activations import ACTIVATIONS
from .._networks.building import initialize
from .._networks.networks import Block, Linear
from .._objectives.losses import Loss, binary_cross_entropy
from .._training.layers import Affine, Call, Memory, passes, views
from .._training.ledger import Ledger, watched
from .._training.optimizers import Optimizer

ACTIVATION = "leaky_relu"


class Judgement(NamedTuple):
    """The memory of so many codes under judgement, and the calls that take them there and back."""

    x: Tensor  # (n, n_components)
    dx: Tensor
    logits: Tensor  # (n, 1), then the derivative with respect to them
    target: Tensor
    forward: list[Call]
    backward: list[Call]
    backward_to_input: list[Call]


class Discriminator:
    """A dense network from codes to one logit, with all parameters in one vector.

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
        self,
        widths: tuple[int, ...],
        generator: torch.Generator,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.widths = widths
        linears = [Linear(*pair) for pair in pairwise(widths)]
        activations = [*[ACTIVATION] * (len(linears) - 1), "identity"]
        initialize([nn.Sequential(*map(Block, linears, activations))], generator)
        self.layers = [
            Affine(linear, ACTIVATIONS[name]) for linear, name in zip(linears, activations, strict=True)
        ]
        n_parameters = sum(rows * columns for rows, columns in (layer.shape for layer in self.layers))
        self.parameters = torch.zeros(n_parameters, dtype=dtype, device=device)
        self.gradient = torch.zeros_like(self.parameters)
        self.is_weight = torch.zeros_like(self.parameters, dtype=torch.bool)
        bound = (views(self.layers, flat) for flat in self.flat)
        for layer, weight, gradient, mask in zip(self.layers, *bound, strict=True):
            layer.load(weight)
            layer.mark_weight(mask)
            layer.bind(weight, gradient)
        self._memory = Memory(self.parameters)
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

    def _judge(self, n: int) -> Judgement:
        if n not in self._judgements:
            memory, first = self._memory, self.layers[0]
            h, dh = memory.with_ones("x", n, first.fan_in), memory.empty("dx", n, first.fan_in)
            logits, target = memory.empty("logits", n, 1), memory.empty("target", n, 1)
            up = [*zip(self.layers, passes(self.layers, h, dh, logits, logits, memory), strict=True)]
            self._judgements[n] = Judgement(
                h[:, :-1],
                dh,
                logits,
                target,
                [call for layer, p in up for call in layer.forward(p)],
                [call for layer, p in reversed(up) for call in layer.backward(p)],
                [call for layer, p in reversed(up) for call in layer.backward_to_input(p)],
            )
        return self._judgements[n]

    def differentiate(self, draws: Tensor, codes: Tensor) -> Tensor:
        """Write the gradient of its loss on as many draws as codes; return the loss, summed over pairs."""
        n = len(codes)
        judged = self._judge(2 * n)
        judged.x[:n], judged.x[n:] = draws, codes
        judged.target[:n], judged.target[n:] = 1, 0
        for call in judged.forward:
            call()
        total = binary_cross_entropy(judged.logits, judged.target, None, judged.logits)
        judged.logits.mul_(1 / (2 * n))
        for call in judged.backward:
            call()
        return total * 0.5

    def pull(self, codes: Tensor) -> Tensor:
        """Return the derivative of the encoder's loss, summed over rows, with respect to codes."""
        judged = self._judge(len(codes))
        judged.x.copy_(codes)
        judged.target.fill_(1)
        for call in judged.forward:
            call()
        binary_cross_entropy(judged.logits, judged.target, None, judged.logits)
        for call in judged.backward_to_input:
            call()
        return judged.dx

    def logits(self, codes: Tensor) -> Tensor:
        """Return the logits, differentiable by autograd with respect to codes."""
        for layer in self.layers:
            z = torch.addmm(layer.weight[-1], codes, layer.weight[:-1])
            codes = layer.activation.module()(z)
        return codes[:, 0]


class Adversary:
    """The bridge that hands codes on as they are, and pulls them towards the prior; see `Bridge`.

    The pull is felt by the gradient and not counted in the loss, which could not be compared between epochs: it
    rises when the discriminator gets better. Its weight goes with the reconstruction loss L of the batch: the
    gradient of L + L w A, with L held fixed in the second place, is L times that of log L + w A, so that w means
    the same whatever the units of the data, and however well they can be restored.

    The discriminator sees codes and draws through normal noise, without which it would learn the rows by heart
    where there are few (Sonderby et al. 2017).

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
    n_rows, n_features : int
        Rows of an epoch; features of a row.
    generator : torch.Generator

    Attributes
    ----------
    ledger : Ledger
        The discriminator's loss ("discriminator") in each epoch.
    """

    repeats = 1
    auxiliary: float | None = None
    importance: Tensor | None = None

    def __init__(
        self,
        discriminator: Discriminator,
        solver: Optimizer,
        draw: Callable[[int, torch.Generator], Tensor],
        *,
        weight: float,
        noise: float,
        n_steps: int,
        n_rows: int,
        n_features: int,
        generator: torch.Generator,
    ) -> None:
        self.discriminator, self.solver, self.draw = discriminator, solver, draw
        self.weight, self.noise, self.n_steps, self.n_features = weight, noise, n_steps, n_features
        self.generator, self.ledger = generator, Ledger(n_rows)
        self._held_out = False

    def watch(self, loss: Loss) -> Loss:
        """Return the same loss, whose level the pull is to have."""
        return watched(loss, self._note)

    def _note(self, value: Tensor) -> None:
        self._level = value.mean() if value.ndim else value / (self._n * self.n_features)

    def width(self, code_width: int) -> int:
        """Return the width of the decoder's input."""
        return code_width

    def forward(self, code: Tensor, z: Tensor, row_weight: Tensor | None) -> None:
        """Hand the codes on; let the discriminator learn."""
        z.copy_(code)
        self._blurred = self._learn(code)

    def backward(self, code: Tensor, dz: Tensor, dcode: Tensor, row_weight: Tensor | None) -> None:
        """Write the derivative with respect to the codes."""
        pull = self.discriminator.pull(self._blurred).mul_(self._level)
        torch.add(dz, pull.to(dz.dtype), alpha=self.weight / len(code), out=dcode)

    def through(self, code: Tensor, row_weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Do as `forward`, differentiable by autograd."""
        if self._held_out:
            return code, None
        with torch.autocast(code.device.type, enabled=False):
            own = self.weight * F.softplus(-self.discriminator.logits(self._learn(code)))
        own.register_hook(lambda gradient: gradient * self._level)  # which is known by then
        return code, own - own.detach()

    def _learn(self, code: Tensor) -> Tensor:
        """Let the discriminator learn; return the codes as the encoder is to see them judged."""
        self._n = len(code)
        if self._held_out:
            return code
        code = code.to(self.discriminator.parameters.dtype)
        self.ledger.begin(self._n)
        with torch.no_grad():
            for _ in range(self.n_steps):
                draws = self.draw(self._n, self.generator)
                total = self.discriminator.differentiate(self._blur(draws), self._blur(code))
                self.solver.update()
                self.ledger.add("discriminator", total / self.n_steps)
        return self._blur(code)

    def _blur(self, codes: Tensor) -> Tensor:
        if not self.noise:
            return codes
        return torch.empty_like(codes).normal_(generator=self.generator).mul_(self.noise).add(codes)

    @contextlib.contextmanager
    def repeated(self) -> Iterator[None]:
        """Leave rows held out alone: nobody learns from them, and nothing is noted."""
        self._held_out = True
        try:
            yield
        finally:
            self._held_out = False
