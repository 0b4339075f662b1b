"""Draws: new rows, from codes that are drawn from a prior; and estimates over draws of the code."""

import functools
import math
from collections.abc import Callable, Iterator
from numbers import Integral

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.quasirandom import SobolEngine

from .._data import arrays
from .._data.chunks import chunk_rows, slices
from .._networks.activations import bounded
from .._networks.inference import forward
from .._support.devices import random_streams

SEED = 0  # of the draws that scores are taken over: the same for every row, so that no row depends on others

# New rows --------------------------------------------------------------------------------------------------


def check_n_samples(n_samples, name: str = "n_samples", least: int = 1) -> int:
    """Check a number of samples, or another number called ``name``.

    Raises
    ------
    TypeError
        If it is no integer; a bool is none.
    ValueError
        If it is below ``least``.
    """
    rule = f"must be an integer of at least {least}"
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool):
        raise TypeError(f"{name}={n_samples!r} is of type {type(n_samples).__name__}, but {rule}.")
    if n_samples < least:
        raise ValueError(f"{name}={n_samples} was asked for, but {rule}.")
    return int(n_samples)


def generate(
    estimator,
    n_samples,
    random_state,
    draw_codes: Callable[[int, Tensor, torch.Generator], Tensor],
    draw_rows: Callable[[Tensor, torch.Generator], Tensor] | None = None,
):
    """Return new rows, (n_samples, n_features), of the kind and dtype of the data that were given to ``fit``.

    A data frame where `set_output` asks for one.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Fitted, or `sklearn.exceptions.NotFittedError` is raised.
    n_samples : int
    random_state : int, RandomState instance or None
    draw_codes : callable (n, like, generator) -> Tensor of shape (n, n_components)
        From the prior, of the dtype of ``like``, on the CPU.
    draw_rows : callable (output, generator) -> Tensor or None
        From what the decoder's link takes to the rows that are returned; None returns what the link gives.
    """
    check_is_fitted(estimator)
    n_samples, streams = check_n_samples(n_samples), random_streams(random_state)
    output = arrays.Output(estimator.offset_, (n_samples, estimator.n_features_in_))
    dtype = output.tensor.dtype
    decode = forward(estimator.decoder_, dtype, linked=draw_rows is None)
    like = torch.empty(0, dtype=dtype, device="cpu")
    with estimator._inference(n_samples):
        for part in slices(n_samples, estimator._widest * dtype.itemsize):
            z = draw_codes(part.stop - part.start, like, streams.weights)
            x = decode(z.to(estimator.device_), None).cpu()
            output.tensor[part] = x if draw_rows is None else draw_rows(x, streams.noise)
    return arrays.framed(estimator, output.array())


# Estimates: log p(x), and how probable a reconstruction is; a bounded chunk at a time ------------------------


class Densities:
    """log p(x|z) and log p(z) - log q(z|x) over draws z of q(z|x).

    Parameters
    ----------
    encode : callable (x) -> Tensor of shape (n, 2 n_components)
        The mean and the raw log-variance side by side.
    decode : callable (z) -> Tensor of shape (n, n_features)
        What the likelihood takes.
    nll : callable (output, target) -> Tensor of shape (n,)
        Minus the log-likelihood.
    noise : Tensor of shape (n_samples, n_components)
        Standard normal, on the rows' device.
    width : int
        Of the widest layer, which bounds how many rows are decoded at once.
    log_prior : callable (z) -> Tensor of shape (..., )
        log p(z) of codes (..., n_components), up to the constant of a standard normal distribution, whose it is if
        nothing is given.
    draw_prior : callable (n, like, generator) -> Tensor of shape (n, n_components)
        From p(z), of the dtype and device of ``like``, (0, n_components); standard normal if nothing is given.
    """

    def __init__(
        self,
        encode: Callable,
        decode: Callable,
        nll: Callable,
        noise: Tensor,
        width: int,
        log_prior: Callable | None = None,
        draw_prior: Callable | None = None,
    ) -> None:
        self.encode, self.decode, self.nll, self.noise, self.width = encode, decode, nll, noise, width
        self.log_prior, self.draw_prior = log_prior or _log_standard_normal, draw_prior or self._draw_normal

    def marginal(self, x: Tensor, out: Tensor) -> Tensor:
        """Write the importance-weighted log p(x) of each row (Burda et al. 2016) to ``out``, (n, 1)."""
        self._reduce(x, out, lambda density, ratio: (density + ratio).logsumexp(1), torch.logaddexp)
        return out.sub_(math.log(len(self.noise)))

    def reconstruction(self, x: Tensor, out: Tensor) -> Tensor:
        """Write the mean of log p(x|z) of each row to ``out``, (n, 1)."""
        self._reduce(x, out, lambda density, ratio: density.sum(1), torch.add)
        return out.div_(len(self.noise))

    def expectation(self, x: Tensor, decode: Callable, out: Tensor) -> Tensor:
        """Write the mean of ``decode(z)`` over p(z|x) to ``out``, by weights of the draws that sum to one."""
        for part, z, log_weight in self._posterior(x):
            values = decode(z.flatten(0, 1)).unflatten(0, log_weight.shape)
            out[part] = torch.bmm(torch.softmax(log_weight, 1).unsqueeze(1), values).squeeze(1)
        return out

    def codes(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a code from p(z|x) for each row, (n, n_components): one of draws of its own, by their weights.

        Of draws that all rows share, as scores are taken over, the best would come again and again.
        """
        drawn = []
        for _, z, log_weight in self._posterior(x, generator):
            chosen = torch.multinomial(torch.softmax(log_weight, 1).cpu(), 1, generator=generator)
            drawn.append(z[torch.arange(len(z)), chosen[:, 0]])
        return torch.cat(drawn)

    def conditional(self, x: Tensor, other: Tensor, out: Tensor) -> Tensor:
        """Write log p(other | x) of each row to ``out``, (n, 1); the two have no entry in common."""
        for part, _, output, log_weight in self._at_once(x):
            target = other[part].repeat_interleave(log_weight.shape[1], 0)
            both = log_weight - self.nll(output, target).view_as(log_weight)
            out[part, 0] = both.logsumexp(1) - log_weight.logsumexp(1)
        return out

    def _at_once(self, x: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
        """Yield which rows, all draws z of theirs, what is decoded, and log p(x, z) - log q(z|x)."""
        for part in slices(len(x), len(self.noise) * self.width * x.itemsize):
            z, output, density, ratio = self._of_draws(x[part], self.noise)
            yield part, z, output, density + ratio

    def _posterior(
        self, x: Tensor, generator: torch.Generator | None = None
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield which rows, draws z of theirs, and the log-weights that make these draws of p(z|x).

        As many are from the prior as from q(z|x) (defensive importance sampling, Hesterberg 1995): where little of
        a row is there, q(z|x) may be narrower than p(z|x), and its draws would all be alike. With a ``generator``,
        each row has draws of its own.
        """
        n_draws, width = self.noise.shape
        for part in slices(len(x), 2 * n_draws * self.width * x.itemsize):
            rows, noise = x[part], self.noise
            if generator is not None:
                noise = self._draw_normal(len(rows) * n_draws, noise, generator).view(len(rows), n_draws, width)
            own = generator or torch.Generator().manual_seed(SEED)
            prior = self.draw_prior(noise.numel() // width, noise.new_empty(0, width), own)
            mean, log_variance = self._proposal(rows)
            z = torch.addcmul(mean, torch.exp(0.5 * log_variance), noise)
            z = torch.cat([z, prior.view_as(noise).expand_as(z)], 1)
            log_q = -0.5 * ((z - mean).square() * torch.exp(-log_variance) + log_variance).sum(2)
            log_prior = self.log_prior(z)
            yield part, z, self._explained(rows, z)[1] + log_prior - torch.logaddexp(log_prior, log_q)

    @staticmethod
    def _draw_normal(n: int, like: Tensor, generator: torch.Generator) -> Tensor:
        drawn = torch.empty(n, like.shape[-1], dtype=torch.float64, device="cpu")
        return drawn.normal_(generator=generator).to(like)

    def _reduce(self, x: Tensor, out: Tensor, reduce: Callable, join: Callable) -> None:
        """Reduce over draws, in chunks of rows, and of draws where there are many."""
        row_bytes = self.width * x.itemsize
        n_draws = min(len(self.noise), chunk_rows(row_bytes))
        for part in slices(len(x), n_draws * row_bytes):
            values = (reduce(*self._of_draws(x[part], noise)[2:]) for noise in self.noise.split(n_draws))
            out[part, 0] = functools.reduce(join, values)

    def _of_draws(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return draws z, (n, draws, n_components), what is decoded, and log p(x|z) and log p(z) - log q(z|x).

        What is decoded is (n * draws, width), the others are (n, draws).
        """
        mean, log_variance = self._proposal(x)
        z = torch.addcmul(mean, torch.exp(0.5 * log_variance), noise)
        ratio = 0.5 * (log_variance + noise.square()).sum(2) + self.log_prior(z)
        return z, *self._explained(x, z), ratio

    def _proposal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z|x), (n, 1, n_components)."""
        mean, raw = self.encode(x).chunk(2, dim=1)
        return mean[:, None], bounded(raw)[:, None]

    def _explained(self, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return what draws z are decoded to, and log p(x|z), (n, draws)."""
        output = self.decode(z.flatten(0, 1))
        return output, -self.nll(output, x.repeat_interleave(z.shape[1], 0)).view(len(x), -1)


def _log_standard_normal(z: Tensor) -> Tensor:
    return -0.5 * z.square().sum(-1)


def standard_normal(n_samples: int, width: int, like: Tensor) -> Tensor:
    """Return standard normal draws that cover the space evenly, (n_samples, width).

    They are points of a scrambled Sobol sequence (Owen 1997) where there is one so wide. Since all rows share
    them, their unevenness would not average out over rows. In float64 on the CPU, so that every dtype and device
    gets the same numbers.
    """
    if width <= SobolEngine.MAXDIM:
        points = SobolEngine(width, scramble=True, seed=SEED).draw(n_samples, dtype=torch.float64)
        points[:1] = points[:1].float()  # which torch rounds to its default dtype
        return torch.special.ndtri(points + 2.0**-31).to(like)  # from the edges of cells to their middles
    generator = torch.Generator().manual_seed(SEED)
    drawn = torch.empty(n_samples, width, dtype=torch.float64, device="cpu")
    return drawn.normal_(generator=generator).to(like)
