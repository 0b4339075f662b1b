"""Devices, the processor's state while a fit runs, and random generators: no global state stays changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state

from . import threads
from .ranks import current

KINDS = ("cpu", "cuda", "mps", "xpu")


def available() -> list[str]:
    """Name the devices of this machine, without starting CUDA."""
    names = ["cpu"]
    names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    names += ["mps"] if torch.backends.mps.is_available() else []
    names += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    return names


def resolve(device: str | torch.device) -> torch.device:
    """Turn the ``device`` parameter into a device that is there.

    Raises
    ------
    ValueError
        If ``device`` names no kind of device.
    RuntimeError
        If the machine has no such device, or if CUDA was started before this process was forked.
    """
    there = available()
    if device == "auto":
        device = there[1] if len(there) > 1 else "cpu"
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is None or resolved.type not in KINDS:
        raise ValueError(
            f"device={device!r} is no device. Use 'auto', one of {', '.join(map(repr, KINDS))}, "
            "one with an index such as 'cuda:1', or a torch.device."
        )
    if resolved.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise RuntimeError(
            f"device={device!r}: CUDA cannot be used in a process that was forked after CUDA had started. "
            "Use joblib's default 'loky' backend or the 'spawn' start method, or n_jobs=1."
        )
    name = str(resolved) if resolved.index is not None else f"{resolved.type}:0"
    if resolved.type not in there and name not in there:
        raise RuntimeError(
            f"device={device!r} is not available: this machine has {', '.join(there)}. "
            "Pass one of these, or device='auto' to use the best."
        )
    return resolved


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for sums over rows: float64, or float32 on MPS, which has no other."""
    return torch.float32 if device.type == "mps" else torch.float64


@contextmanager
def cpu_settings(multiply_adds: int) -> Iterator[None]:
    """Set the processor up for steps of so many multiply-adds, and put everything back afterwards.

    `threads` says on how many threads they run. Denormal numbers are flushed to zero: dead units leave Adam's
    moments there, where arithmetic is several times slower.
    """
    flushed = _flushes_denormals()
    with threads.for_work(multiply_adds):
        try:
            torch.set_flush_denormal(True)
            yield
        finally:
            torch.set_flush_denormal(flushed)


def _flushes_denormals() -> bool:
    # torch has no getter; half of the smallest normal number is denormal, or zero where they are flushed.
    smallest = torch.full((1,), torch.finfo(torch.float64).tiny, dtype=torch.float64)
    return not bool(smallest.mul_(0.5).count_nonzero())


# Random numbers --------------------------------------------------------------------------------------------


class Streams(NamedTuple):
    """One generator for each purpose, so that using more of one changes none of the others. On the CPU."""

    weights: torch.Generator
    split: torch.Generator
    order: torch.Generator
    noise: torch.Generator


def normal(shape: Sequence[int], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw standard normal numbers of the dtype and on the device of ``like``, which is the generator's.

    In single precision, whatever the dtype: torch draws other numbers in another one, but one seed is to give one
    noise to rows in float32 and in float64.
    """
    return torch.empty(shape, dtype=torch.float32, device=like.device).normal_(generator=generator).to(like.dtype)


def uniform(shape: Sequence[int], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw numbers from the unit interval, one excluded, as `normal` draws."""
    return torch.empty(shape, dtype=torch.float32, device=like.device).uniform_(generator=generator).to(like.dtype)


def random_seed(random_state) -> int:
    """Draw a seed from scikit-learn's ``random_state``; None gives fresh entropy, not NumPy's global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def random_streams(random_state) -> Streams:
    """Derive the generators from scikit-learn's ``random_state``."""
    seed = current().of_first(random_seed(random_state))
    seeds = np.random.SeedSequence(seed).generate_state(len(Streams._fields), np.uint64)
    return Streams(*(torch.Generator().manual_seed(int(s) >> 1) for s in seeds))


def rewound(streams: Streams) -> Streams:
    """Return generators that draw once more what these have drawn."""
    return Streams(*(torch.Generator().manual_seed(stream.initial_seed()) for stream in streams))


def restarted(streams: Streams, n_starts: int) -> list[Streams]:
    """Return the generators of each start after the first, which has ``streams``."""
    seed = streams.weights.initial_seed()
    return [random_streams(np.random.RandomState((seed % 2**32, number))) for number in range(1, n_starts)]
