"""Corruptions of a batch, drawn anew each time.

They are meant in the data's space: a masked entry is a zero of the data, salt and pepper are a feature's own
extremes. Batches come centred, so that what a corruption puts in has to be centred too. Random numbers are of
single precision whatever the batch is of, so that one seed gives one noise.

Networks that have only seen corrupted rows overshoot on whole ones, whose entries say the same thing several times
over. Therefore some of the rows of each batch may stay whole.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._support.callables import OwnFunction, described
from .._support.ranks import current
from .._support.sizes import of_size
from .arrays import as_tensor


class Draw:
    """What batches of one shape need to be corrupted: memory for the random numbers, level and fills beside it.

    The level is kept as tensors: a Python number would cost a conversion at every step, which on small batches is
    as much as the arithmetic.
    """

    @torch.inference_mode(False)  # for use in any mode
    def __init__(self, x: Tensor, level: float, fills: list[Tensor], unit: float) -> None:
        self.number = torch.empty(x.shape, dtype=torch.float32, device=x.device)
        self.row = torch.empty(len(x), 1, dtype=torch.float32, device=x.device)
        self.whole = torch.empty(len(x), 1, dtype=torch.bool, device=x.device)
        self.rounded = None if x.dtype == torch.float32 else torch.empty_like(x)
        self.changed, self.lowered = self.below = torch.empty(2, *x.shape, dtype=torch.bool, device=x.device)
        self.levels = self.number.new_tensor([level, level / 2]).view(2, 1, 1)
        self.level = self.levels[0]
        self.scale = (level * fills[0]).float()
        self.common_scale = self.scale.square().mean().sqrt()
        self.white_scale = self.number.new_tensor(level / unit)
        self.lowest, self.highest, self.masked = (fill.to(x.dtype) for fill in fills[1:])


def gaussian(x: Tensor, draw: Draw, number: Tensor, out: Tensor) -> None:
    """Add normal noise of ``level`` times each feature's standard deviation."""
    _add(x, draw, number, draw.scale, out)


def isotropic(x: Tensor, draw: Draw, number: Tensor, out: Tensor) -> None:
    """Add normal noise of ``level`` times the root of the features' mean variance."""
    _add(x, draw, number, draw.common_scale, out)


def white(x: Tensor, draw: Draw, number: Tensor, out: Tensor) -> None:
    """Add normal noise of standard deviation ``level`` in units of the data."""
    _add(x, draw, number, draw.white_scale, out)


def _add(x: Tensor, draw: Draw, number: Tensor, scale: Tensor, out: Tensor) -> None:
    if draw.rounded is None:
        torch.addcmul(x, number, scale, out=out)
    else:
        torch.add(x, draw.rounded.copy_(number.mul_(scale)), out=out)


def masking(x: Tensor, draw: Draw, number: Tensor, out: Tensor) -> None:
    """Set each entry to zero, or make it missing, with probability ``level``; the others keep their values."""
    torch.lt(number, draw.level, out=draw.changed)
    torch.where(draw.changed, draw.masked, x, out=out)


def salt_and_pepper(x: Tensor, draw: Draw, number: Tensor, out: Tensor) -> None:
    """Set each entry with probability ``level`` to its feature's minimum or maximum, either as likely."""
    torch.lt(number, draw.levels, out=draw.below)
    torch.where(draw.changed, draw.highest, x, out=out)
    torch.where(draw.lowered, draw.lowest, out, out=out)


class Noise(NamedTuple):
    """One kind of noise.

    Attributes
    ----------
    draw : callable (number, generator)
        Fills a tensor with random numbers.
    apply : callable (x, draw, number, out)
        Writes the noisy batch, given these numbers.
    nothing : float
        The number that leaves an entry as it is.
    clean_fraction : float
        Of rows that stay whole, where nobody says how many.
    """

    draw: Callable[[Tensor, torch.Generator], object]
    apply: Callable[[Tensor, Draw, Tensor, Tensor], object]
    nothing: float
    clean_fraction: float


def _normal(number: Tensor, generator: torch.Generator) -> None:
    number.normal_(generator=generator)


def _uniform(number: Tensor, generator: torch.Generator) -> None:
    number.uniform_(generator=generator)  # below one


NOISES = {
    "gaussian": Noise(_normal, gaussian, nothing=0.0, clean_fraction=0.0),
    "isotropic": Noise(_normal, isotropic, nothing=0.0, clean_fraction=0.0),
    "white": Noise(_normal, white, nothing=0.0, clean_fraction=0.0),
    "masking": Noise(_uniform, masking, nothing=1.0, clean_fraction=0.2),
    "salt_and_pepper": Noise(_uniform, salt_and_pepper, nothing=1.0, clean_fraction=0.2),
}
# Which parameters each noise reads.
READ_BY_NOISE = {**dict.fromkeys(NOISES, ("noise_level", "clean_fraction")), "a callable": ("clean_fraction",)}


@contextlib.contextmanager
def restarted(generator: torch.Generator) -> Iterator[None]:
    """Draw the same numbers each time this is entered, and go on afterwards as if nothing had been drawn."""
    state = generator.get_state()
    generator.manual_seed(0)
    try:
        yield
    finally:
        generator.set_state(state)


class Corruption:
    """A noise ready for batches.

    Parameters
    ----------
    noise : str or callable (X, generator) -> X
        A callable gets, and returns, rows in the data's space.
    level : float
    statistics : tuple of four ndarrays of shape (n_features,)
        The columns' standard deviations, minima, maxima and means.
    generator : torch.Generator
        On the batches' device.
    dtype : torch.dtype
        Of the batches.
    offset : Tensor of shape (n_features,) or None
        What batches are centred by.
    clean_fraction : float or 'auto'
        Probability that a row stays whole; 'auto' is the noise's own, and 0 for a callable.
    missing : bool
        Whether entries may be missing, which are NaN: then masked entries are missing too.
    unit : float
        What batches are divided by once they are centred.
    """

    def __init__(
        self,
        noise: str | Callable,
        level: float,
        statistics: tuple,
        generator: torch.Generator,
        dtype: torch.dtype,
        offset: Tensor | None = None,
        clean_fraction: Any = 0.0,
        missing: bool = False,
        unit: float = 1.0,
    ) -> None:
        if noise in ("masking", "salt_and_pepper") and level > 1:
            raise ValueError(
                f"noise_level={level} with noise={noise!r} is a fraction of entries, so that it must be "
                "in [0, 1]. Lower it, or use noise='gaussian', whose level has no upper bound."
            )
        self.noise, self.level, self.generator = noise, level, generator
        if clean_fraction == "auto":
            clean_fraction = NOISES[noise].clean_fraction if isinstance(noise, str) else 0.0
        self.clean_fraction: float = clean_fraction
        self._dtype, self._missing, self._unit = dtype, missing, unit
        self.own = OwnFunction(noise, f"noise={noise!r}", "") if callable(noise) else None
        self.describe(statistics, offset)

    def describe(self, statistics: tuple, offset: Tensor | None) -> None:
        """Take note of the columns' statistics, and of what batches are centred by."""
        self.statistics = statistics
        deviation, lowest, highest = (as_tensor(s).cpu().double() for s in statistics[:3])
        zero = torch.zeros_like(deviation) if offset is None else -offset.cpu().double()
        masked = torch.full_like(zero, math.nan) if self._missing else zero
        fills = (zero, deviation, lowest + zero, highest + zero, masked)
        self._zero, *self._fills = ((f / self._unit).to(self.generator.device, self._dtype) for f in fills)
        self._draws: dict[tuple, Draw] = {}

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Return a batch with noise, written to ``out``, which may be the batch itself, or to new memory."""
        draw = of_size(self._draws, (x.shape, x.dtype), lambda: Draw(x, self.level, self._fills, self._unit))
        if self.own is not None:
            noisy = self._of_callable(x, self.own, draw)
            return noisy if out is None else out.copy_(noisy)
        out, noise = torch.empty_like(x) if out is None else out, NOISES[self.noise]  # type: ignore[index]
        current().fill(draw.number, lambda numbers: noise.draw(numbers, self.generator))
        if self.clean_fraction:
            draw.number.masked_fill_(self._whole(draw), noise.nothing)
        noise.apply(x, draw, draw.number, out)
        return out

    def _whole(self, draw: Draw) -> Tensor:
        """Draw which rows stay whole, (n, 1)."""
        current().fill(draw.row, lambda numbers: numbers.uniform_(generator=self.generator))
        return torch.lt(draw.row, self.clean_fraction, out=draw.whole)

    def _of_callable(self, x: Tensor, noise: OwnFunction, draw: Draw) -> Tensor:
        zero = self._zero
        rows = (x - zero) * self._unit
        noise.contract = _contract(rows)
        noisy = noise(rows, current().generator(self.generator))
        _check_noisy(noisy, rows, noise)
        if not self._missing:
            noise.look(noisy, rows)
        noisy = noisy.to(x.dtype) / self._unit + zero
        return torch.where(self._whole(draw), x, noisy) if self.clean_fraction else noisy

    def apart(self) -> "Corruption":
        """Return the same noise on all rows, from the same generator, with memory of its own."""
        other = copy.copy(self)
        other._draws, other.clean_fraction = {}, 0.0
        return other

    def held_out(self):
        """Return a context in which the noise is the same each time."""
        return restarted(self.generator)


def _contract(rows: Tensor) -> str:
    return (
        f"noise is called with {described(rows, 'the rows')}, and a torch.Generator, and must return a tensor "
        "like them. Draw by torch.randn(rows.shape, generator=generator, dtype=rows.dtype, device=rows.device); "
        "NumPy's functions take rows.cpu().numpy(), and torch.as_tensor(result).to(rows) makes a tensor of what "
        "they return."
    )


def _check_noisy(noisy: Any, rows: Tensor, noise: OwnFunction) -> None:
    """Check what a user's noise returned for rows."""
    if not isinstance(noisy, Tensor):
        raise TypeError(
            f"{noise.name} returned a {type(noisy).__name__}, but noise must return one tensor. {noise.contract}"
        )
    if noisy.shape != rows.shape:
        raise ValueError(
            f"{noise.name} returned shape {tuple(noisy.shape)} for a batch of shape {tuple(rows.shape)}, but "
            "noise must keep the shape."
        )
    if noisy.dtype == torch.bool or noisy.is_complex() or noisy.device != rows.device:
        raise ValueError(
            f"{noise.name} returned {noisy.dtype} on {noisy.device} for {rows.dtype} on {rows.device}, but noise "
            f"must return rows like those that it is given. {noise.contract}"
        )


class MarkedCorruption(Corruption):
    """A noise for batches with missing entries: zeros, which further columns mark, (n, 2 n_features).

    What is missing stays so. A callable gets NaN for it, and makes other entries missing by NaN.
    """

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        out = torch.empty_like(x) if out is None else out
        values, marks = out.copy_(x).chunk(2, dim=1)
        values.masked_fill_(marks > 0, math.nan)
        super().__call__(values, out=values)
        torch.maximum(marks, values.isnan().to(marks.dtype), out=marks)
        values.masked_fill_(marks > 0, 0.0)
        return out
