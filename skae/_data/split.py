"""Holding rows out for early stopping, by what the rows hold instead of where they stand; and subsets of rows.

For early stopping, each row gets a number from what it holds and the seed; the rows with the smallest numbers are
held out. The unit of X does not matter, nor the rounding that comes with another one. Equal rows stay together, so
that no row is validated on its own copy, and integer weights split as repeated rows do. Equal rows that are more
than all that is to be held out, blank images for instance, are trained on.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .._support.ranks import current
from .chunks import Reader, chunk_rows, chunks, fold, spread

# Bits of the mantissa that a row's number is made of: the fewest that tell as many rows apart as all do.
MANTISSAS = (11, 40, 52)
FEWEST_KINDS = 10  # of rows to watch
MANY_TIMES = 5  # that each is there


def hold_out(X, weight: Tensor, fraction: float, generator: torch.Generator, extremes: bool = True) -> Tensor:
    """Choose rows that carry at least ``fraction`` of the weight of all ranks, equal rows of more than that apart.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
    weight : Tensor of shape (n,)
        Rows of weight zero are never chosen.
    fraction : float
    generator : torch.Generator
    extremes : bool
        Whether rows `far_beyond` those that are not chosen may be among them.

    Returns
    -------
    held_out : bool Tensor of shape (n,), on the CPU
    """
    ranks, own = current(), len(weight)
    weight = weight.double().cpu()
    weight = weight / (float(ranks.maximum(weight.amax(keepdim=True))) or 1.0)  # only ratios matter
    levels = ranks.gather(_keys(X, generator, weight > 0))
    first, weight = ranks.before(own), ranks.gather(weight)
    keys = _telling(levels, weight > 0)
    distinct, group = torch.unique(keys, return_inverse=True)
    of_group = torch.zeros(len(distinct), dtype=torch.float64).index_add_(0, group, weight)
    # A group that alone is more than what is wanted cannot be held out in part, so that it is trained on.
    lightest = of_group.where(of_group > 0, torch.inf).min()
    of_group[of_group > (1 + 1e-9) * lightest.clamp_min(fraction * weight.sum())] = 0
    before = of_group.cumsum(0) - of_group
    chosen = (of_group > 0) & (before < fraction * of_group.sum() - 1e-9)
    used = (weight > 0)[first : first + own]
    held_out = chosen[group][first : first + own] & used
    return held_out if extremes else held_out & ~far_beyond(X, held_out, used & ~held_out)


def far_beyond(X, held_out: Tensor, kept: Tensor) -> Tensor:
    """Tell which rows held out have a value further beyond the range of a column than that is wide.

    What a network makes of such rows is extrapolation, and no sign of how well it fits the others. None are told
    where they are most of those held out.

    Parameters
    ----------
    X : Tensor or scipy.sparse CSR matrix of shape (n, d)
    held_out, kept : bool Tensor of shape (n,), on the CPU
        The range is that of rows kept.

    Returns
    -------
    far : bool Tensor of shape (n,), on the CPU
    """
    ranks, reader, far = current(), Reader(X), torch.zeros_like(held_out)
    if not ranks.any(bool(kept.any())):
        return far  # which `split` refuses

    def parts(rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        index = rows.nonzero()[:, 0]
        for some in index.split(chunk_rows(8 * X.shape[1])) if len(index) else ():
            yield some, reader.gather(some)

    # Missing values are NaN, and beyond no range.
    extremes = ((x.nan_to_num(torch.inf).amin(0), x.nan_to_num(-torch.inf).amax(0)) for _, x in parts(kept))
    lowest, highest = fold(extremes, torch.minimum, torch.maximum)
    width = highest - lowest
    for index, x in parts(held_out):
        far[index] = ((x > highest + width) | (x < lowest - width)).any(1).cpu()
    few = 2 * ranks.count(int(far.sum())) < ranks.count(int(held_out.sum()))
    return far if few else torch.zeros_like(far)


def are_few_kinds(X, rows: Tensor | None, weight: Tensor | None) -> bool:
    """Tell whether rows held out are fewer than `FEWEST_KINDS` different ones, each there `MANY_TIMES` or more.

    Equal rows are held out together: what is trained on has none of these then, and tells nothing of them.
    """
    if rows is None:
        return False
    ranks, rows = current(), rows.cpu()
    n_rows = ranks.sum((torch.ones(len(rows)) if weight is None else weight.cpu()[rows]).double().sum())
    some = Reader(X).gather(spread(rows, FEWEST_KINDS**2))
    n_kinds = ranks.count(len(some.unique(dim=0)) if len(some) else 0)
    return n_kinds < FEWEST_KINDS and float(n_rows) >= MANY_TIMES * n_kinds


def distinct(X, weight: Tensor | None, generator: torch.Generator) -> Tensor:
    """Number each row of positive weight once, however often it is there, in an order that is not theirs."""
    used = torch.ones(X.shape[0], dtype=torch.bool) if weight is None else weight.cpu() > 0
    keys, numbers = _telling(_keys(X, generator, used), used), used.nonzero()[:, 0]
    unique, group = torch.unique(keys[used], return_inverse=True)
    last = torch.empty(len(unique), dtype=torch.int64)
    last[group] = numbers
    return last


def _keys(X, generator: torch.Generator, used: Tensor) -> Tensor:
    """Hash each row to int64s, (n, len(MANTISSAS)): its bits times random odd numbers, wrapping around.

    They are the bits of its numbers in double precision, so that the same rows in float32 are split alike, as
    shares of the largest magnitude in the rows ``used``, a bool tensor of shape (n,).
    """
    n_rows, n_features = X.shape
    odd = torch.randint(-(2**62), 2**62, (n_features + 1,), generator=generator) * 2 + 1
    multipliers, start = odd[:-1], odd[-1]  # which keeps rows of zeros from being the first, whatever the seed
    scale = _largest_magnitude(X, used)
    keys = torch.empty(n_rows, len(MANTISSAS), dtype=torch.int64)
    for part, x in _in_double_precision(X):
        shares = x / scale + 0.0  # one zero for both signs
        exact = shares.masked_fill_(shares.isnan(), torch.nan).contiguous().view(torch.int64)  # likewise
        for number, n_bits in enumerate(MANTISSAS):
            n_left = 52 - n_bits
            bits = (exact + (1 << n_left >> 1)) >> n_left  # to the nearest
            bits = bits ^ (bits >> 29)  # floats that are round numbers differ in their high bits only
            keys[part, number] = (bits * multipliers.to(bits.device)).sum(1).cpu() + start
    return keys ^ (keys >> 31)


def _telling(keys: Tensor, used: Tensor) -> Tensor:
    """Return the keys of the fewest bits, a column, that tell as many rows apart as those of all bits."""
    counts = [len(column[used].unique()) for column in keys.t()]
    return keys[:, counts.index(counts[-1])]


def _in_double_precision(X) -> Iterator[tuple[slice, Tensor]]:
    for part, x in chunks(X, 32 * X.shape[1]):
        yield part, (x.cpu() if x.device.type == "mps" else x).double()  # MPS has no double precision


def _largest_magnitude(X, used: Tensor) -> float:
    """Return that of rows ``used``, of all ranks; 1 if they hold nothing."""
    magnitudes = [x.abs().nan_to_num_(0.0).amax(1).cpu() * used[part] for part, x in _in_double_precision(X)]
    largest = torch.cat([torch.zeros(1, dtype=torch.float64), *magnitudes]).max()
    return float(current().maximum(largest)) or 1.0


def subsets(n_rows: int, size: int, n_subsets: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """Draw subsets of ``size`` row numbers; return each in order, with the rows that it leaves out.

    All rows are left out equally often, give or take one.
    """
    n_times = torch.zeros(n_rows, dtype=torch.float64)
    drawn = []
    for _ in range(n_subsets):
        turn = torch.argsort(n_times + torch.rand(n_rows, generator=generator, dtype=torch.float64))
        out, kept = turn[: n_rows - size].sort().values, turn[n_rows - size :].sort().values
        n_times[out] += 1
        drawn.append((kept, out))
    return drawn
