"""The training step of everything that has no closed form: the objective as written, derived by autograd."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .._networks.custom import forward_centred
from .._networks.nested import Parallel
from .._networks.networks import Network, multiply_adds, weights
from .._networks.selection import Selection
from .._support.ranks import current
from .dropout import Dropout
from .step import Step


class AutogradStep(Step):
    """A step for any two modules and any objective.

    The parameters are moved into one flat buffer, and so are their gradients, so that the optimizers are
    those of the explicit step.

    Parameters
    ----------
    encoder, decoder : torch.nn.Module
    *arguments, **settings
        As for `Step`.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.networks = (encoder, decoder)
        self._encode, self._decode = (with_dropout(network, self.objective.dropout) for network in self.networks)
        unique = {id(p): p for network in self.networks for p in network.parameters()}
        self._trained = [p for p in unique.values() if p.requires_grad]
        if not self._trained:
            raise ValueError(
                "Nothing is left to train: no parameter of encoder and decoder requires a gradient. Call "
                "requires_grad_(True) on those that are to be trained, or leave encoder or decoder at None."
            )
        weight_ids = {id(p) for p in weights(self.networks)}
        device = self.served.rows.device
        self.parameters = self._gathered().to(device)
        self.gradient = torch.zeros_like(self.parameters)
        of_weights = [torch.full((p.numel(),), id(p) in weight_ids, device=device) for p in self._trained]
        self.needs_two_rows = normalize_batches(*self.networks)
        self.multiply_adds = multiply_adds(self.networks)
        self._attach()
        self._begin(torch.cat(of_weights))

    def differentiate(self, index: Tensor) -> Tensor:
        """Write the gradient of the objective, all but its L2 penalty; return its sum over the rows."""
        ranks = current()
        self.gradient.zero_()
        with torch.enable_grad():
            loss, penalty = self._objective(index, penalized=True)
            total = loss.sum()
            if penalty is not None:
                total = total + len(index) * penalty
            (ranks.counted(total) / ranks.batch_size(len(index))).backward()
        return total.detach()

    def _evaluate(self, index: Tensor) -> Tensor:
        with evaluating(*self.networks), torch.no_grad():
            loss, _ = self._objective(index, penalized=False)
        return loss.sum()

    def _objective(self, index: Tensor, penalized: bool) -> tuple[Tensor, Tensor | None]:
        """Return the weighted loss of each row, (n,), and the penalties, a mean over rows."""
        served, objective = self.served, self.objective
        x = served.rows.batch(index)
        target = x if served.targets is None else served.targets.batch(index)
        x = x if objective.corruption is None else objective.corruption(x)
        row_weight, weight = self._weights_of(index)
        if objective.hiding is not None and weight is not None:
            objective.hiding(x, weight)
        penalized = penalized and bool(objective.penalties)
        with torch.autocast(served.rows.device.type, torch.bfloat16, enabled=self.low_precision):
            given, unit = x, objective.input_unit
            if penalized:  # by functions of inputs in units of the data
                given = (x.detach() if unit == 1 else x.detach() * unit).requires_grad_()
                x = given if unit == 1 else given / unit
            code = self._encode(x)
            loss = self._losses(code, target, row_weight, weight)
            if not penalized:
                return loss, None
            return loss, sum(penalty.value(given, code, row_weight) for penalty in objective.penalties)  # type: ignore[return-value]

    def _losses(self, code: Tensor, target: Tensor, row_weight: Tensor | None, weight: Tensor | None) -> Tensor:
        """Return the weighted loss of each row, (n,), the bottleneck's own included."""
        loss, bottleneck = self.objective.loss, self.objective.bottleneck
        if bottleneck is None:
            return loss.per_row(self._decode(code), target, weight)
        z = bottleneck.forward_autograd(code, row_weight)
        passes = len(z) // len(code)
        repeated = weight if weight is None or passes == 1 else weight.repeat(passes, 1)
        each = loss.per_row(self._decode(z), target.repeat(passes, 1), repeated).view(passes, -1)
        rows = each[0]
        if passes > 1:
            reported, trained = bottleneck.pass_weights(each.detach().sum(1))
            gradient = trained @ each
            rows = (reported @ each).detach() + gradient - gradient.detach()
        own = bottleneck.own_loss(rows.detach().sum())
        if own is None:
            return rows
        return rows + (own if row_weight is None else own * row_weight[:, 0])

    @contextlib.contextmanager
    def modes(self, generator: torch.Generator) -> Iterator[None]:
        """Seed torch's default generator, which users' modules such as dropout draw from; put it back after."""
        device = self.served.rows.device
        seed = int(torch.randint(2**62, (), generator=generator)) + current().rank
        cuda = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(cuda), current().normalizing(self.networks):
            torch.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.manual_seed(seed)
            yield

    # The networks -----------------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Make the modules' parameters views of the flat ones, and their gradients of the flat gradient."""
        parts = [p.numel() for p in self._trained]
        flat = zip(self._trained, self.parameters.split(parts), self.gradient.split(parts), strict=True)
        for p, value, gradient in flat:
            p.data, p.grad = value.view(p.shape), gradient.view(p.shape)
        for network in self.networks:
            network.train()

    def resume(self) -> None:
        """Go on after `leave`, from the parameters reached, or from the modules' where these were edited."""
        super().resume()
        self._attach()

    def publish(self) -> None:
        """See to it that the modules, whose parameters are views, hold what has been learnt."""
        self._show()

    def release(self) -> None:
        """Give the modules parameters of their own again."""
        self._show()
        for network in self.networks:
            for parameter in network.parameters():
                parameter.data, parameter.grad = parameter.data.clone(), None
            network.eval()

    def snapshot(self) -> tuple[Tensor, list[Any]]:
        """Return a copy of the trained state: the parameters, and the modules' buffers."""
        return super().snapshot(), [b.clone() for network in self.networks for b in network.buffers()]

    def restore(self, snapshot: tuple[Tensor, list[Any]]) -> None:
        """Go back to a snapshot."""
        super().restore(snapshot[0])
        buffers = (b for network in self.networks for b in network.buffers())
        for buffer, saved in zip(buffers, snapshot[1], strict=True):
            buffer.copy_(saved)

    def _store(self, parameters: Tensor) -> None:
        parts = parameters.split([p.numel() for p in self._trained])
        for p, value in zip(self._trained, parts, strict=True):
            p.data.copy_(value.view(p.shape))

    def _gathered(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self._trained])

    def _code_weights(self) -> Tensor:
        decoder: Any = self.networks[1]
        return decoder.blocks[0].linear.weight.detach().t()


@contextlib.contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode, and back into that of training."""
    for network in networks:
        network.eval()
    yield
    for network in networks:
        network.train()


def normalize_batches(*networks: nn.Module) -> bool:
    """Tell whether networks take means over the rows of a batch."""
    return any(isinstance(module, _BatchNorm) for network in networks for module in network.modules())


def with_dropout(network: nn.Module, dropout: Dropout | None) -> Callable[[Tensor], Tensor]:
    """Return a network's map of centred rows, with dropout after each of its own hidden blocks."""
    whole = forward_centred(network)
    if dropout is None or not isinstance(network, Network):
        return whole
    blocks = [module for module in network if not isinstance(module, Selection)]

    def forward(x: Tensor) -> Tensor:
        if dropout.is_held_out:
            return whole(x)
        for block in blocks:
            x = _side_by_side(block, x) if isinstance(block, Parallel) else block(x)
            x = dropout(x) if block is not blocks[-1] else x
        return x

    return forward


def _side_by_side(parallel: Parallel, x: Tensor) -> Tensor:
    parts = x.split(len(x) // len(parallel))
    return torch.cat([block(part) for block, part in zip(parallel.blocks, parts, strict=True)])
