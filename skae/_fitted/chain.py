"""The Markov chain of a denoising autoencoder: corrupt, restore, draw (Bengio et al. 2013).

P(X | X~), of which restored rows are the mean, is taken for normal, with one variance for each feature, or for
Bernoulli's. Where it is right, the chain's rows come to be distributed as the data are.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .._data.corruption import Corruption, Restore
from .._data.rows import as_tensor

Draw = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def normal(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw around restored rows."""
    return torch.empty_like(mean).normal_(generator=generator).mul_(variance.sqrt()).add_(mean)


def bernoulli(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw zeros and ones with restored rows as their probabilities."""
    return torch.bernoulli(mean, generator=generator)


class Walkback(Corruption):
    """Noise after a walk: a row is first carried along the chain, for as many steps as a draw says.

    It goes on from each step with probability one half, for ``n_steps`` at most. Training to return the row from
    wherever the chain has led takes away modes that it would find between the data ("walkback", Bengio et al.
    2013, algorithm 1). Rows held out are corrupted once, without a walk, so that their losses can be compared.

    Parameters
    ----------
    corruption : Corruption
        The noise of one step.
    n_steps : int
        At most.
    draw : Draw
    link : callable (Tensor) -> Tensor
        From the decoder's output to rows.
    """

    def __init__(self, corruption: Corruption, n_steps: int, draw: Draw, link: Callable[[Tensor], Tensor]) -> None:
        vars(self).update(vars(corruption))
        self.n_steps, self.draw, self.link = n_steps, draw, link
        self._walks = True

    def __call__(self, x: Tensor, out: Tensor | None = None, restore: Restore | None = None) -> Tensor:
        """Return a batch with noise; see `Corruption`."""
        if restore is None or not self._walks:
            return super().__call__(x, out)
        noisy = super().__call__(x)
        goes_on = torch.empty(len(x), self.n_steps, device=x.device).bernoulli_(0.5, generator=self.generator)
        steps = goes_on.cumprod(1).sum(1, keepdim=True)
        variance = None
        for step in range(1, self.n_steps + 1):
            mean = self.link(restore(noisy).clone())
            if variance is None:
                variance = (mean - x).square().mean(0)  # of the first step, as `sample` knows it
            on = super().__call__(self.draw(mean, variance, self.generator))
            noisy = torch.where(steps >= step, on, noisy)
        return noisy if out is None else out.copy_(noisy)

    @contextlib.contextmanager
    def held_out(self) -> Iterator[None]:
        """Corrupt once, with the same noise each time."""
        self._walks = False
        try:
            with super().held_out():
                yield
        finally:
            self._walks = True


def residual_variance(restore: Restore, corrupt: Corruption | None, batches: Iterator) -> Tensor:
    """Return the mean square, (n_features,), of what is missing from restored rows.

    Parameters
    ----------
    restore : callable (x) -> rows
    corrupt : Corruption or None
        Its generator is left as it was.
    batches : iterator of (x, target)
        Inputs before their corruption, and what they are to be restored to.
    """
    squares, n = torch.zeros((), dtype=torch.float64), 0
    corrupt = None if corrupt is None else corrupt.apart()
    with torch.no_grad(), corrupt.held_out() if corrupt is not None else contextlib.nullcontext():
        for x, target in batches:
            residual = restore(x if corrupt is None else corrupt(x)) - target
            squares = squares + residual.square_().sum(0).cpu().double()
            n += len(x)
    return squares / n


def start(statistics: tuple, n: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Draw rows whose columns have the data's means, deviations and ranges, and nothing in common; on the CPU."""
    deviation, lowest, highest, mean = (as_tensor(s).cpu().to(dtype) for s in statistics)
    draws = torch.empty(n, len(mean), dtype=dtype).normal_(generator=generator)
    return torch.addcmul(mean, draws, deviation).clamp_(lowest, highest)
