"""Training the members: AdamW on the importance-weighted bound, until held-out entries are filled best."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .._fitted.sampling import standard_normal
from .._networks.ensembles import draw_weights
from .._support import devices
from .._support.devices import Streams
from .._training.optimizers import AdamW
from .._training.problem import DivergedError
from .members import Members, Shape

N_DRAWS = 5  # of the code, for each row of a batch
N_DRAWS_OF_REVIEW = 10
STEPS_PER_REVIEW = 50
REVIEWS_WITHOUT_GAIN = 5  # after which training ends
MOST_ROWS_REVIEWED = 2000


class Settings(NamedTuple):
    """How members are trained."""

    n_steps: int
    batch_size: int
    learning_rate: float
    alpha: float
    dtype: torch.dtype
    device: torch.device


class Review(NamedTuple):
    """Where training stands.

    Attributes
    ----------
    n_steps : int
        Steps taken.
    bound : float
        Mean of the bound since the last review, up to a constant, in nats per row.
    error : float
        Root mean squared error of held-out entries, over all members, in standard deviations.
    """

    n_steps: int
    bound: float
    error: float


class Cells(NamedTuple):
    """Which entries each member sees and is judged by, and the rows as it gets them.

    Attributes
    ----------
    x : Tensor of shape (n, d)
        Standardised rows, zero where an entry is missing.
    seen, held_out : bool Tensors of shape (n_members, n, d)
    filled : Tensor of shape (n_members, n, d)
    """

    x: Tensor
    seen: Tensor
    held_out: Tensor
    filled: Tensor


class Trained(NamedTuple):
    """Trained members, the reviews, and whether a KeyboardInterrupt ended training."""

    members: Members
    reviews: list[Review]
    interrupted: bool


def train(
    shape: Shape, cells: Cells, settings: Settings, streams: Streams, report: Callable[[Review], bool]
) -> Trained:
    """Train all members from new weights.

    Every so many steps the held-out entries are reviewed. The parameters of the review with the smallest error are
    kept, the same one for all members, so that the choice is hardly fitted to the entries. ``report`` is called
    with each review, and ends training by returning True. So does a number of reviews without a smaller error.

    Raises
    ------
    DivergedError
        If the bound is not finite.
    """
    members = Members(shape, torch.empty(sum(shape.n_parameters), dtype=settings.dtype, device=settings.device))
    draw_weights((*members.encoder, *members.decoder), streams.weights)
    step, review = _Step(members, cells, settings, streams), _Reviews(members, cells)
    reviews: list[Review] = []
    best, interrupted = members.flat.clone(), False
    try:
        with devices.cpu_settings(settings.batch_size * N_DRAWS * len(members.flat)):
            for n_steps, bound in _rounds(step, settings.n_steps):
                if not math.isfinite(bound):
                    raise DivergedError(n_steps)
                error = review()
                if error <= min((before.error for before in reviews), default=math.inf):
                    best.copy_(members.flat)
                reviews.append(Review(n_steps, bound, error))
                if report(reviews[-1]) or _stands_still(reviews):
                    break
    except KeyboardInterrupt:
        if not reviews:
            raise  # nothing has been learnt
        interrupted = True
    return Trained(Members(shape, best), reviews, interrupted)


def _stands_still(reviews: list[Review]) -> bool:
    errors = [review.error for review in reviews]
    return len(errors) - 1 - errors.index(min(errors)) >= REVIEWS_WITHOUT_GAIN


def _rounds(step: Callable[[int], Tensor], n_steps: int) -> Iterator[tuple[int, float]]:
    """Take steps; before each review, yield how many there have been, and the mean of what they returned since."""
    for start in range(0, n_steps, STEPS_PER_REVIEW):
        end = min(n_steps, start + STEPS_PER_REVIEW)
        total = torch.stack([step(number) for number in range(start, end)]).mean()
        yield end, float(total)


class _Step:
    """One step of all members, each on a batch of its own; the learning rate falls along a cosine."""

    def __init__(self, members: Members, cells: Cells, settings: Settings, streams: Streams) -> None:
        self.settings, self.streams = settings, streams
        flat = members.flat
        gradient = torch.zeros_like(flat)
        # The layers are leaves that share the memory of the flat vector, and their gradients that of the other.
        self.members, gradients = members.with_parameters(flat), members.with_parameters(gradient)
        for parameter, of_it in zip(self.members.tensors(), gradients.tensors(), strict=True):
            parameter.requires_grad_().grad = of_it
        rate, alpha = settings.learning_rate, settings.alpha
        self.optimizer = AdamW(flat, gradient, members.weights(), learning_rate=rate, alpha=alpha)
        self.noise = torch.Generator(flat.device).manual_seed(streams.noise.initial_seed())
        seen = cells.seen.to(flat)
        self.rows = torch.cat([cells.filled.to(flat), seen, cells.x.to(flat).expand_as(seen)], -1)

    def __call__(self, number: int) -> Tensor:
        members, settings, n = self.members, self.settings, self.rows.shape[1]
        n_members, batch_size, width = len(self.rows), settings.batch_size, members.shape.n_components
        self.optimizer.learning_rate = 0.5 * settings.learning_rate * _cosine(number, settings.n_steps)
        index = torch.randint(n, (n_members, batch_size), generator=self.streams.order)
        index += n * torch.arange(n_members)[:, None]
        batch = self.rows.flatten(0, 1).index_select(0, index.flatten().to(self.rows.device))
        batch = batch.view(n_members, batch_size, -1)
        d = batch.shape[-1] // 3
        noise = torch.empty(n_members, N_DRAWS, batch_size, width, dtype=batch.dtype, device=batch.device)
        noise.normal_(generator=self.noise)
        self.optimizer.gradient.zero_()
        bound = members.bound(batch[..., : 2 * d], batch[..., 2 * d :], batch[..., d : 2 * d], noise).mean(1).sum()
        bound.neg().backward()
        self.optimizer.update()
        return bound.detach() / n_members


def _cosine(number: int, n_steps: int) -> float:
    return 1.0 + math.cos(math.pi * number / n_steps)


class _Reviews:
    """The error of held-out entries, of at most so many rows, with the same draws each time."""

    def __init__(self, members: Members, cells: Cells) -> None:
        self.members, part = members, slice(MOST_ROWS_REVIEWED)
        self.x, self.seen, self.held_out = cells.x[part], cells.seen[:, part], cells.held_out[:, part]
        self.filled = cells.filled[:, part]
        self.noise = standard_normal(N_DRAWS_OF_REVIEW, members.shape.n_components, cells.x)

    def __call__(self) -> float:
        means = self.members.means(self.x, self.seen, self.filled, self.noise)
        return float((means - self.x)[self.held_out].square().mean().sqrt())
