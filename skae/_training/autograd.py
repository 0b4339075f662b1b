"""The training step of everything that has no closed form: the objective as written, derived by autograd."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .._data.corruption import Corruption, repeated_noise
from .._data.rows import Rows
from .._networks.custom import core
from .._networks.networks import Block, weights
from .layers import Bridge
from .optimizers import Optimizer


class AutogradStep:
    """One step of training, ``step(index) -> objective``, for any two modules and any objective.

    The parameters are moved into one flat buffer, and so are their gradients, so that the optimizers are
    those of the explicit step.

    Parameters
    ----------
    encoder, decoder : torch.nn.Module
    objective : callable (x, target) -> (Tensor of shape (n,), 0-d Tensor or None)
        The loss of each row, and the penalties, a mean over rows.
    rows : Rows
    make_optimizer : callable (parameters, gradient, is_weight) -> Optimizer
    targets, row_weight, corrupt, constrain, low_precision
        As for `ExplicitStep`; ``constrain`` needs a decoder of skae's own.
    bridge : Bridge or None
        Part of the objective; here to repeat its noise on held-out rows.
    """

    by_autograd = True

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        objective: Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor | None]],
        rows: Rows,
        make_optimizer: Callable[[Tensor, Tensor, Tensor], Optimizer],
        *,
        targets: Rows | None = None,
        row_weight: Tensor | None = None,
        corrupt: Corruption | None = None,
        bridge: Bridge | None = None,
        constrain: Callable[[Tensor], object] | None = None,
        low_precision: bool = False,
    ) -> None:
        self.networks = (encoder, decoder)
        self.objective, self.rows, self.targets = objective, rows, targets
        self.row_weight, self.corrupt, self.bridge = row_weight, corrupt, bridge
        self.constrain, self.low_precision = constrain, low_precision
        unique = {id(p): p for network in self.networks for p in network.parameters()}
        trained = [p for p in unique.values() if p.requires_grad]
        weight_ids = {id(p) for p in weights(self.networks)}
        self.parameters, self.gradient = _flatten(trained, rows.device)
        is_weight = torch.cat([torch.full((p.numel(),), id(p) in weight_ids, device=rows.device) for p in trained])
        self.optimizer = make_optimizer(self.parameters, self.gradient, is_weight)
        modules = [module for network in self.networks for module in network.modules()]
        self.needs_two_rows = any(isinstance(module, _BatchNorm) for module in modules)
        convolved = sum(m.linear.weight.numel() * (m.n_places - 1) for m in modules if isinstance(m, Block))
        self.multiply_adds = len(self.parameters) + convolved
        for network in self.networks:
            network.train()

    def __call__(self, index: Tensor) -> Tensor:
        """Take one step on the rows numbered ``index``; return the objective, summed over these rows."""
        total = self.differentiate(index)
        with torch.no_grad():
            penalty = self.optimizer.update()
            if self.constrain is not None:
                decoder: Any = self.networks[1]
                self.constrain(decoder.blocks[0].linear.weight.t())
        return total if penalty is None else total.add(penalty, alpha=len(index))

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        n = len(index)
        self.gradient.zero_()
        with torch.enable_grad():
            loss, penalty = self._objective(index)
            total = loss.sum()
            if penalty is not None:
                total = total + n * penalty
            (total / n).backward()
        return total.detach()

    def evaluate(self, index: Tensor) -> Tensor:
        """Return the loss without penalties, summed over the rows numbered ``index``."""
        for network in self.networks:
            network.eval()
        with torch.no_grad(), repeated_noise(self.corrupt, self.bridge):
            loss, _ = self._objective(index)
        for network in self.networks:
            network.train()
        return loss.sum()

    def _objective(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        x = self.rows.batch(index)
        target = x if self.targets is None else self.targets.batch(index)
        x = x if self.corrupt is None else self.corrupt(x, restore=self._restore)
        weight = None if self.row_weight is None else self.row_weight[index]
        with torch.autocast(self.rows.device.type, torch.bfloat16, enabled=self.low_precision):
            loss, penalty = self.objective(x, target, weight)
        return (loss if weight is None else loss * weight), penalty

    def _restore(self, x: Tensor) -> Tensor:
        """Return what the networks make of rows as they enter the encoder, outside training."""
        encoder, decoder = self.networks
        modes = [network.training for network in self.networks]
        with torch.no_grad():
            restored = core(decoder.eval())(core(encoder.eval())(x)).to(x.dtype)
        for network, mode in zip(self.networks, modes, strict=True):
            network.train(mode)
        return restored

    def publish(self) -> None:
        """Do nothing: the modules hold the current parameters already."""

    def release(self) -> None:
        """Give the modules parameters of their own again."""
        for network in self.networks:
            for parameter in network.parameters():
                parameter.data, parameter.grad = parameter.data.clone(), None
            network.eval()

    def snapshot(self) -> tuple[Tensor, list[Any]]:
        """Return a copy of the trained state: the parameters, and the modules' buffers."""
        return self.parameters.clone(), [b.clone() for network in self.networks for b in network.buffers()]

    def restore(self, snapshot: tuple[Tensor, list[Any]]) -> None:
        """Go back to a snapshot."""
        self.assign(snapshot[0])
        buffers = (b for network in self.networks for b in network.buffers())
        for buffer, saved in zip(buffers, snapshot[1], strict=True):
            buffer.copy_(saved)

    def assign(self, parameters: Tensor) -> None:
        """Go on from other parameters."""
        self.parameters.copy_(parameters)


def _flatten(parameters: Sequence[nn.Parameter], device: torch.device) -> tuple[Tensor, Tensor]:
    """Move parameters into one vector and their gradients into another; each becomes a view."""
    flat = torch.cat([p.detach().reshape(-1) for p in parameters]).to(device)
    gradient = torch.zeros_like(flat)
    start = 0
    for p in parameters:
        stop = start + p.numel()
        p.data = flat[start:stop].view(p.shape)
        p.grad = gradient[start:stop].view(p.shape)
        start = stop
    return flat, gradient
