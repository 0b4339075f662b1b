"""Solvers on flat buffers: all parameters are one vector, and so are their gradients.

`torch.optim` would do the same arithmetic, but building its first optimiser takes a second, and every step
of it walks lists of tensors. torch's fused kernel is called on the one vector instead. The kernel is private
to torch, so the formula stands beside it and serves where the kernel is missing.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

SLOW_STEPS = 20  # over which the rate of a solver rises that takes over trained weights
fused_adam = getattr(torch, "_fused_adam_", None)


class Optimizer:
    """What the solvers share: the buffers, the L2 penalty, and a state that can be carried on.

    Parameters
    ----------
    parameters, gradient : Tensor of shape (n_parameters,)
        Updated, and read, in place.
    is_weight : bool Tensor of shape (n_parameters,)
        True for weights, to which the L2 penalty applies; False for biases.
    learning_rate : float
    alpha : float
        Strength of the penalty ``alpha / 2 * sum(w ** 2)``.
    momentum : float
        Read by SGD alone.
    """

    decoupled = False  # whether weights decay beside the gradient (AdamW) instead of through it
    state_names: tuple[str, ...] = ()

    def __init__(
        self,
        parameters: Tensor,
        gradient: Tensor,
        is_weight: Tensor,
        *,
        learning_rate: float,
        alpha: float = 0.0,
        momentum: float = 0.9,
    ) -> None:
        self.parameters, self.gradient = parameters, gradient
        self.learning_rate, self.momentum = learning_rate, momentum
        self.shrinkage = alpha * is_weight.to(parameters.dtype) if alpha else None
        self._shrink = torch.empty_like(parameters if alpha else parameters[:0])  # new memory costs more than sums
        self._n_slow: int | None = None  # how many of the slow steps have been taken; None once they are over

    def begin_slowly(self) -> None:
        """Let the rate rise from zero over the next steps: the first steps of a new solver are long ones."""
        self._n_slow = 0

    def update(self) -> Tensor | None:
        """Take one step; return the penalty at the parameters it started from, None without a penalty."""
        rate = self.learning_rate
        if self._n_slow is not None:
            self._n_slow += 1
            self.learning_rate = rate * self._n_slow / SLOW_STEPS
            self._n_slow = self._n_slow if self._n_slow < SLOW_STEPS else None
        penalty = None if self.shrinkage is None else self.shrink()
        self.descend()
        if penalty is not None:
            self.decay()
        self.learning_rate = rate
        return penalty

    def shrink(self) -> Tensor:
        """Add the penalty's gradient to the gradient, where weights decay through it; return the penalty."""
        assert self.shrinkage is not None
        torch.mul(self.shrinkage, self.parameters, out=self._shrink)
        if not self.decoupled:
            self.gradient.add_(self._shrink)
        return torch.dot(self._shrink, self.parameters).mul_(0.5)

    def decay(self) -> None:
        """Let weights decay where they do so beside the gradient."""
        if self.decoupled:
            self.parameters.sub_(self._shrink, alpha=self.learning_rate)

    def descend(self) -> None:
        """Move the parameters along the gradient."""
        raise AssertionError("an optimizer defines its descent")  # pragma: no cover

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on beside the parameters."""
        slow = {} if self._n_slow is None else {"n_slow": self._n_slow}
        return slow | {name: getattr(self, name) for name in self.state_names}

    def load_state(self, state: dict[str, Any]) -> None:
        """Copy a state that `state` returned, so that the two optimisers stay apart."""
        self._n_slow = state.get("n_slow")
        for name in self.state_names:
            getattr(self, name).copy_(state[name])


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015)."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    state_names = ("mean", "variance", "n_steps")

    def __init__(self, parameters: Tensor, gradient: Tensor, is_weight: Tensor, **settings: Any) -> None:
        super().__init__(parameters, gradient, is_weight, **settings)
        self.mean = torch.zeros_like(parameters)
        self.variance = torch.zeros_like(parameters)
        self.n_steps = torch.zeros((), dtype=torch.float32, device=parameters.device)
        self._one = torch.ones_like(self.n_steps)  # adding a Python number costs a conversion each time
        self._kernel: Callable[..., object] = self._formula
        if fused_adam is not None and parameters.device.type in ("cpu", "cuda"):
            self._kernel = self.kernel([self])

    @classmethod
    def kernel(cls, optimizers: Sequence["Adam"]) -> Callable[..., object]:
        """Return torch's kernel on the buffers of several solvers of this class; it takes ``lr``."""
        names = ("parameters", "gradient", "mean", "variance", "n_steps")
        *buffers, n_steps = ([getattr(ours, name) for ours in optimizers] for name in names)
        constants = {"beta1": cls.beta1, "beta2": cls.beta2, "eps": cls.epsilon}
        unused = {"weight_decay": 0.0, "amsgrad": False, "maximize": False}
        return partial(fused_adam, *buffers, [], n_steps, **constants, **unused)  # type: ignore[misc, arg-type]

    def descend(self) -> None:
        self.n_steps.add_(self._one)
        self._kernel(lr=self.learning_rate)

    @property
    def is_fused(self) -> bool:
        """Whether torch's kernel is at work."""
        return self._kernel != self._formula

    def count_in(self, n_steps: Tensor) -> None:
        """Go on counting steps in a 0-d tensor that is given: part of one for several solvers."""
        self.n_steps = n_steps.copy_(self.n_steps)
        self._kernel = self.kernel([self])

    def _formula(self, lr: float) -> None:
        self.mean.lerp_(self.gradient, 1 - self.beta1)
        self.variance.mul_(self.beta2).addcmul_(self.gradient, self.gradient, value=1 - self.beta2)
        n_steps = self.n_steps.to(self.parameters.dtype)
        mean = self.mean / (1 - self.beta1**n_steps)
        deviation = (self.variance / (1 - self.beta2**n_steps)).sqrt_()
        self.parameters.addcdiv_(mean, deviation.add_(self.epsilon), value=-lr)


class AdamW(Adam):
    """Adam with the weight decay beside the gradient (Loshchilov and Hutter 2019)."""

    decoupled = True


class AdversarialAdam(Adam):
    """Adam with a short memory, for the moving objective of adversarial training (Radford et al. 2016)."""

    beta1 = 0.5


class SGD(Optimizer):
    """Stochastic gradient descent with Nesterov's momentum (Sutskever et al. 2013)."""

    state_names = ("velocity",)

    def __init__(self, parameters: Tensor, gradient: Tensor, is_weight: Tensor, **settings: Any) -> None:
        super().__init__(parameters, gradient, is_weight, **settings)
        self.velocity = torch.zeros_like(parameters)

    def descend(self) -> None:
        self.velocity.mul_(self.momentum).add_(self.gradient)
        self.gradient.add_(self.velocity, alpha=self.momentum)
        self.parameters.sub_(self.gradient, alpha=self.learning_rate)


class Together:
    """Solvers of several models, which take their steps in one call where they are Adam's, of one learning rate.

    Parameters
    ----------
    optimizers : sequence of Optimizer
    parameters, gradient : Tensor of shape (n_models, n_parameters)
        Of which theirs are slices.
    """

    def __init__(self, optimizers: Sequence[Any], parameters: Tensor, gradient: Tensor) -> None:
        self.optimizers, self._parameters, self._gradient = optimizers, parameters, gradient
        self._kernel, self._shrinkage = None, None
        kind = type(optimizers[0])
        if all(type(ours) is kind and isinstance(ours, Adam) and ours.is_fused for ours in optimizers):
            self._n_steps = torch.zeros_like(optimizers[0].n_steps).repeat(len(optimizers))
            self._one = torch.ones_like(optimizers[0].n_steps)
            for ours, own in zip(optimizers, self._n_steps.unbind(), strict=True):
                ours.count_in(own)
            self._kernel = kind.kernel(optimizers)
            shrinkages = [ours.shrinkage for ours in optimizers]
            if any(own is not None for own in shrinkages):
                nothing = torch.zeros_like(parameters[0])
                self._shrinkage = torch.stack([nothing if own is None else own for own in shrinkages])
                self._shrink, self._squares = parameters.new_empty(2, *parameters.shape)

    def update(self) -> Tensor | list[Tensor | None] | None:
        """Take a step of each; return their penalties, as `Optimizer.update` does, or None without any."""
        rates = {ours.learning_rate for ours in self.optimizers}
        if self._kernel is None or len(rates) > 1:
            return [ours.update() for ours in self.optimizers]
        rate, penalties = rates.pop(), None
        decoupled = self.optimizers[0].decoupled
        if self._shrinkage is not None:
            torch.mul(self._shrinkage, self._parameters, out=self._shrink)
            penalties = torch.mul(self._shrink, self._parameters, out=self._squares).sum(1).mul_(0.5)
            if not decoupled:
                self._gradient.add_(self._shrink)
        self._n_steps.add_(self._one)
        self._kernel(lr=rate)
        if self._shrinkage is not None and decoupled:
            self._parameters.sub_(self._shrink, alpha=rate)
        return penalties


OPTIMIZERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}
FASTEST = 0.01  # at Adam's rates above it, wide codes of digits were restored worse


def scaled_rate(learning_rate: float, factor: float, solver: str) -> float:
    """Return a learning rate times ``factor``, which raises Adam's up to `FASTEST` at most."""
    product = learning_rate * factor
    return product if solver == "sgd" else max(learning_rate, min(product, FASTEST))
