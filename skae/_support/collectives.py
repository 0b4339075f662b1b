"""What several processes do together: sums, gathers and broadcasts that fail on all of them where one has failed.

Before each exchange the ranks meet: they tell each other whether one has failed, and what they are about to do. So
none waits for a rank that has raised an error, and the ranks stay in step for the next fit.

A meeting costs half as much as the sum of 400,000 numbers. Sums that follow each other with nothing in between are
therefore announced in one meeting; a rank that fails meanwhile gives NaN to the next of them, and a sum of NaN
makes the others ask why.
"""

import zlib
from typing import Any, NoReturn

import torch
from torch import Tensor

_NONE = -(2**62)  # what a rank that has failed is about to do


class Collectives:
    """The exchanges of the ranks of a process group of torch.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup or None
        None is the default group.

    Attributes
    ----------
    rank, n_ranks : int
    """

    def __init__(self, group: Any) -> None:
        self._distributed, self._group = torch.distributed, group
        self.rank, self.n_ranks = torch.distributed.get_rank(group), torch.distributed.get_world_size(group)
        # NCCL knows no memory but that of its devices.
        on_device = torch.distributed.get_backend(group) == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_device else torch.device("cpu")
        self._has_failed = False
        self._announced: Tensor | None = None  # what the sums that were announced are of
        self._n_announced = 0  # how many of them are to come

    def reduce(self, values: Tensor, operation: str = "SUM") -> Tensor:
        """Return the sum ("SUM"), the minima ("MIN") or the maxima ("MAX") over ranks; all give one shape."""
        self._meet(f"{operation} {tuple(values.shape)} {values.dtype}")
        shared = values.detach().to(self._device, copy=True).contiguous()
        self._run("all_reduce", shared, op=getattr(self._distributed.ReduceOp, operation), group=self._group)
        return shared.to(values.device)

    def announce(self, n: int, values: Tensor) -> None:
        """Meet for the next ``n`` exchanges, all of which add up values like these."""
        self._meet(f"add {n} times {tuple(values.shape)} {values.dtype}")
        self._announced, self._n_announced = values, n

    def add_up(self, values: Tensor) -> None:
        """Put the sum over ranks in the place of contiguous values."""
        if not self._n_announced:
            self._meet(f"add {tuple(values.shape)} {values.dtype}")
            self._add_up(values)
            return
        self._n_announced -= 1
        self._add_up(values)
        if values.view(-1)[0].isnan():  # of a rank that has failed, or of a fit that diverges
            n, self._n_announced = self._n_announced, 0
            self._meet("go on")
            self._n_announced = n

    def _add_up(self, values: Tensor) -> None:
        if values.device.type != self._device.type:
            shared = values.to(self._device)
            self._run("all_reduce", shared, group=self._group)
            values.copy_(shared)
        else:
            self._run("all_reduce", values, group=self._group)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all ranks, one rank after the other; each may give as many as it likes."""
        return torch.cat(self.gather_parts(rows))

    def gather_parts(self, rows: Tensor) -> list[Tensor]:
        """Return the rows of each rank."""
        sizes = [int(n) for n in self.gather_equal(torch.tensor([len(rows)]))]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = self.gather_equal(padded)
        return [part[:n] for part, n in zip(parts, sizes, strict=True)]

    def gather_equal(self, values: Tensor) -> list[Tensor]:
        """Return what each rank gives, all of one shape."""
        self._meet(f"gather {tuple(values.shape)} {values.dtype}")
        shared = values.detach().to(self._device).contiguous()
        parts = [torch.empty_like(shared) for _ in range(self.n_ranks)]
        self._run("all_gather", parts, shared, group=self._group)
        return [part.to(values.device) for part in parts]

    def gather_objects(self, given: Any) -> list[Any]:
        """Return what each rank gives: plain values."""
        self._meet("gather objects")
        return self._gather_objects(given)

    def spread(self, values: Tensor) -> None:
        """Copy the values of the first rank to all others, in place."""
        self._meet(f"spread {tuple(values.shape)} {values.dtype}")
        shared = values.detach().to(self._device, copy=True).contiguous()
        source = 0 if self._group is None else self._distributed.get_global_rank(self._group, 0)
        self._run("broadcast", shared, src=source, group=self._group)
        if self.rank:
            values.copy_(shared)

    # Failures ---------------------------------------------------------------------------------------------

    def meet(self) -> None:
        """Wait for the others; raise if one has failed."""
        self._meet("meet")

    def report(self, error: BaseException) -> None:
        """Tell the others that this rank has failed, unless that is known, or nobody is there to be told."""
        if self._has_failed:
            return
        self._has_failed = True
        if self._n_announced:
            assert self._announced is not None
            self._n_announced = 0
            self._add_up(torch.full_like(self._announced, torch.nan))
        self._all_reduce_header(1, _NONE)
        self._gather_objects(f"{type(error).__name__}: {error}")

    def _meet(self, purpose: str) -> None:
        """Tell each other what is about to be done.

        Raises
        ------
        RuntimeError
            If a rank has failed, is lost, or is about to do something else.
        """
        assert not self._n_announced, f"about to {purpose}, but {self._n_announced} sums were announced"
        code = zlib.crc32(purpose.encode())
        failed, highest, lowest = self._all_reduce_header(0, code)
        if failed:
            self._has_failed = True
            self._raise_for(self._gather_objects(None))
        if highest != code or -lowest != code:
            self._has_failed = True
            raise RuntimeError(
                f"Rank {self.rank} is about to {purpose}, but another rank is not: the ranks are out of step. All "
                "ranks must call fit the same number of times, with the same parameters."
            )

    def _raise_for(self, messages: list[str | None]) -> NoReturn:
        failed, message = next((rank, text) for rank, text in enumerate(messages) if text is not None)
        raise RuntimeError(f"Rank {failed} of {self.n_ranks} has failed: {message}")

    def _all_reduce_header(self, failed: int, code: int) -> list[int]:
        header = torch.tensor([failed, code, _NONE if code == _NONE else -code], device=self._device)
        self._run("all_reduce", header, op=self._distributed.ReduceOp.MAX, group=self._group)
        return header.tolist()

    def _gather_objects(self, given: Any) -> list[Any]:
        found: list[Any] = [None] * self.n_ranks
        self._run("all_gather_object", found, given, group=self._group)
        return found

    def _run(self, name: str, *arguments: Any, **settings: Any) -> None:
        try:
            getattr(self._distributed, name)(*arguments, **settings)
        except RuntimeError as error:
            self._has_failed = True
            raise RuntimeError(
                f"Rank {self.rank} of {self.n_ranks} has lost the others, one of which may have ended, or may not "
                f"have come within the timeout of the process group: {error}"
            ) from error
