"""The ranks of a fit in several processes; what they are asked for is described with `SingleProcess`."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .collectives import Collectives
from .ranks import SingleProcess
from .shared_normalization import normalized_over_ranks

_RANK_BITS = 40  # of a row's number in the whole: its rank comes above


class Part(NamedTuple):
    """A rank's part of a batch.

    Attributes
    ----------
    n : int
        Rows of the batch.
    places : int64 Tensor
        Where this rank's rows stand in it.
    n_here : int
        How many of them count: 0 where one row stands for none.
    """

    n: int
    places: Tensor
    n_here: int

    @property
    def share(self) -> float:
        return self.n_here / self.n


class Ranks(SingleProcess):
    """Several processes, each with rows of its own.

    Noise is drawn for the whole's batch on each rank, which then takes that of its rows: generators stay in step,
    and the fit does not depend on how rows are shared out.

    Parameters
    ----------
    collectives : Collectives
    """

    is_shared = True

    def __init__(self, collectives: Collectives) -> None:
        self.collectives, self.rank = collectives, collectives.rank
        self.part: Part | None = None

    def sum(self, values: Tensor) -> Tensor:
        return self.collectives.reduce(values)

    def mean(self, values: Tensor, weight: float) -> Tensor:
        total = self.sum(torch.tensor(weight, dtype=torch.float64))
        return self.sum(values * (weight / float(total)))

    def maximum(self, values: Tensor) -> Tensor:
        return self.collectives.reduce(values, "MAX")

    def announce(self, n: int, values: Tensor) -> None:
        self.collectives.announce(n, values)

    def add_up(self, values: Tensor) -> None:
        self.collectives.add_up(values)

    def join(self, totals: tuple[Tensor, ...] | None, joins: Sequence[Callable]) -> tuple[Tensor, ...]:
        flat = torch.empty(0, dtype=torch.float64)
        if totals is not None:
            flat = torch.cat([one.cpu().double().reshape(-1) for one in totals])
        parts = [part for part in self.collectives.gather_parts(flat) if len(part)]
        like = totals
        if len(parts) < self.collectives.n_ranks:  # a rank without rows does not know the shapes
            empty = None if totals is None else [one.cpu() for one in totals]
            like = next(found for found in self.collectives.gather_objects(empty) if found is not None)
        assert like is not None
        each = [part.split([one.numel() for one in like]) for part in parts]
        by_total = zip(joins, zip(*each, strict=True), strict=True)
        joined = [functools.reduce(join, of_ranks) for join, of_ranks in by_total]
        return tuple(one.to(own).view(own.shape) for one, own in zip(joined, like, strict=True))

    def count(self, n: int) -> int:
        return int(self.sum(torch.tensor(n)))

    def before(self, n: int) -> int:
        return sum(int(one) for one in self.collectives.gather_equal(torch.tensor([n]))[: self.rank])

    def any(self, flag: bool) -> bool:
        return bool(self.maximum(torch.tensor(int(flag))))

    def gather(self, rows: Tensor) -> Tensor:
        return self.collectives.gather(rows)

    def of_first(self, value: int) -> int:
        shared = torch.tensor(value)
        self.collectives.spread(shared)
        return int(shared)

    def spread(self, networks: Sequence[nn.Module]) -> None:
        tensors = [value for network in networks for value in network.state_dict().values()]
        # As one vector of bytes: each exchange costs time.
        own = [tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8) for tensor in tensors]
        everything = torch.cat(own)
        self.collectives.spread(everything)
        if self.rank:
            for tensor, part in zip(tensors, everything.split([len(one) for one in own]), strict=True):
                tensor.copy_(part.clone().view(tensor.dtype).view(tensor.shape))

    def agree(self, facts: Callable[[], dict[str, Any]]) -> None:
        found = self.collectives.gather_objects(facts())
        for name in found[0]:
            values = [of_rank[name] for of_rank in found]
            other = next((rank for rank, value in enumerate(values) if value != values[0]), None)
            if other is not None:
                raise ValueError(
                    f"The ranks were given what does not go together: {name} is {values[0]} on rank 0, but "
                    f"{values[other]} on rank {other}."
                )

    def whole(self, rows: Tensor) -> Tensor:
        return self.collectives.gather(rows + (self.rank << _RANK_BITS))

    def mine(self, batch: Tensor) -> Tensor:
        places = ((batch >> _RANK_BITS) == self.rank).nonzero()[:, 0]
        n_here = len(places)
        if not n_here:
            self.part = Part(len(batch), batch.new_zeros(1), 0)
            return batch.new_zeros(1)
        self.part = Part(len(batch), places, n_here)
        return batch[places] & ((1 << _RANK_BITS) - 1)

    def leave(self) -> None:
        self.part = None

    def batches(self, rows: Tensor, size: int, *, padded: bool = True) -> Iterator[Tensor]:
        try:
            for batch in self.whole(rows).split(size):
                index = self.mine(batch)
                if padded or self.part.n_here:  # type: ignore[union-attr]
                    yield index
        finally:
            self.leave()

    def batch_size(self, n: int) -> int:
        return n if self.part is None else self.part.n

    def rows_here(self, n: int) -> int:
        return n if self.part is None else self.part.n_here

    def counted(self, values: Tensor) -> Tensor:
        if self.part is None or self.part.n_here:
            return values
        return values.masked_fill(_true(values), 0)

    def scale_to_share(self, gradient: Tensor) -> None:
        if self.part is not None:
            gradient.mul_(self.part.share)

    def batch_sum(self, values: Tensor) -> Tensor:
        return self.sum(self.counted(values))

    def batch_mean(self, values: Tensor) -> Tensor:
        if self.part is not None:
            # What stands for no row stays in the graph, since each rank has to go back through it.
            values = values * self.part.share if self.part.n_here else values.masked_fill(_true(values), 0)
        return _SumOverRanks.apply(values, self.collectives)

    def batch_weight(self, weight: Tensor) -> Tensor:
        whole = self.batch_sum(weight)
        if self.part is None:
            return whole
        return whole * self.part.share if self.part.n_here else torch.ones_like(whole)

    def gather_batch(self, values: Tensor) -> Tensor:
        return self.gather(values[: self.rows_here(len(values))])

    def normalizing(self, networks: Sequence[nn.Module]) -> AbstractContextManager[None]:
        return normalized_over_ranks(networks)

    def noise(self, draw: Callable[[int], Tensor], n: int, axis: int = 0) -> Tensor:
        if self.part is None:
            return draw(n)
        return draw(self.part.n).index_select(axis, self.part.places)

    def fill(self, out: Tensor, draw: Callable[[Tensor], object]) -> None:
        if self.part is None:
            draw(out)
            return
        times, width = len(out) // len(self.part.places), out.shape[1:]
        whole = out.new_empty(times * self.part.n, *width)
        draw(whole)
        mine = whole.view(times, self.part.n, *width).index_select(1, self.part.places)
        out.copy_(mine.view(out.shape))

    def generator(self, generator: torch.Generator) -> torch.Generator:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        return torch.Generator(generator.device).manual_seed(seed + self.rank)


def _true(like: Tensor) -> Tensor:
    return torch.ones((), dtype=torch.bool, device=like.device)


class _SumOverRanks(torch.autograd.Function):
    """The sum over ranks, whose derivative is that of all ranks' losses."""

    @staticmethod
    def forward(context: Any, values: Tensor, collectives: Collectives) -> Tensor:
        context.collectives = collectives
        return collectives.reduce(values)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return context.collectives.reduce(gradient), None
