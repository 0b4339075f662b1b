"""Random numbers: generators of our own, so that no global one is ever read or written."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state


class Streams(NamedTuple):
    """One generator for each purpose, so that using more of one changes none of the others. On the CPU."""

    weights: torch.Generator
    split: torch.Generator
    order: torch.Generator
    noise: torch.Generator


def seed(random_state) -> int:
    """Draw a seed from scikit-learn's ``random_state``; None gives fresh entropy, not NumPy's global state."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def streams(random_state) -> Streams:
    """Derive the generators from scikit-learn's ``random_state``."""
    seeds = np.random.SeedSequence(seed(random_state)).generate_state(len(Streams._fields), np.uint64)
    return Streams(*(torch.Generator().manual_seed(int(s) >> 1) for s in seeds))
