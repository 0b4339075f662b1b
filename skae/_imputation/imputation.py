"""The whole of an imputation: the linear fill, and the members' correction of it, by shares.

Each observed entry is in one fold. Member e, and the linear fill that belongs to it, never see fold e, so that
every observed entry is held out from someone. These entries say how much of the Gaussian of normal scores to take,
when to stop training, how much of the members' correction to add, and how large errors are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import invwishart
from torch import Tensor

from .._fitted.sampling import standard_normal
from .._support.devices import Streams
from .blending import share, share_of_mean
from .gaussian import Gaussian, Patterns
from .linear import Linear, best_shrinkage, fit_linear
from .members import Members, Shape
from .normal_scores import NormalScores
from .training import Cells, Review, Settings, train

LEAST_FOLDS = 5  # so that few members see most of the entries
ENTRIES_TO_CHOOSE_BY = 2000  # the shrinkage
MOST_ROWS_COMPARED = 2000
N_DRAWS = 50  # of the code, to fill with


class Imputation(NamedTuple):
    """A fitted imputation of standardised rows.

    Attributes
    ----------
    whole : Linear
        Fitted to all observed entries.
    of_members : tuple of Linear
        Each member's own.
    scores_share : float
        How much of the linear fill comes from the Gaussian of normal scores.
    members : Members
    network_share : float
        How much of the members' mean correction is added.
    n_rows : float
        Observed entries of a column, on average.
    """

    whole: Linear
    of_members: tuple[Linear, ...]
    scores_share: float
    members: Members
    network_share: float
    n_rows: float

    def fill(self, x: Tensor, observed: Tensor) -> Tensor:
        """Return rows (n, d), float64, with missing entries filled by their expected values."""
        patterns = Patterns(observed)
        result = self._linear(self.whole, x, observed, patterns)
        if self.network_share > 0:
            filled = torch.stack([self._linear(one, x, observed, patterns) for one in self.of_members])
            corrections = self._means(x, observed[None], filled) - filled
            result += self.network_share * corrections.mean(0)
        return torch.where(observed, x, result)

    def _linear(self, linear: Linear, x: Tensor, observed: Tensor, patterns: Patterns) -> Tensor:
        by_columns, by_scores = linear.fills(x, observed, patterns)
        return by_columns.lerp(by_scores, self.scores_share)

    def _means(self, x: Tensor, observed: Tensor, filled: Tensor) -> Tensor:
        noise = standard_normal(N_DRAWS, self.members.shape.n_components, x)
        return self.members.means(x, observed, filled, noise)

    def draw(self, x: Tensor, observed: Tensor, random: np.random.RandomState) -> Tensor:
        """Return rows with missing entries drawn, given the observed ones, from what the fill is the mean of.

        A row is drawn from a member with the probability of the members' share, else from one of the Gaussians.
        Which member, and the parameters of the Gaussians, are drawn once for all rows, so that several calls
        differ by what is uncertain in the model too.
        """
        by_scores, by_member = torch.from_numpy(random.uniform(size=(2, len(x))))
        columns, scores = (draw_gaussian(one, self.n_rows, random) for one in self.whole[:2])
        noise = torch.from_numpy(random.standard_normal(x.shape))
        whole = Linear(columns, scores, self.whole.maps)
        result = whole.draw(x, observed, by_scores < self.scores_share, noise)
        number = random.randint(self.members.shape.n_members)
        chosen = (by_member < self.network_share).nonzero()[:, 0]
        if len(chosen):
            rows, seen = x[chosen], observed[chosen]
            filled = self._linear(self.of_members[number], rows, seen, Patterns(seen))
            codes = standard_normal(N_DRAWS, self.members.shape.n_components, x)
            drawn = self.members.one(number).draw(rows, seen[None], filled[None], codes, random)
            result[chosen] = torch.where(seen, rows, drawn)
        return result


def draw_gaussian(gaussian: Gaussian, n_rows: float, random: np.random.RandomState) -> Gaussian:
    """Draw parameters from their posterior after so many rows: normal, inverse-Wishart (Schafer 1997, 5.2).

    The posterior mean of the covariance is the given one.
    """
    d = len(gaussian.mean)
    scale = (n_rows + 1) * gaussian.covariance.numpy()
    covariance = torch.from_numpy(np.reshape(invwishart.rvs(n_rows + d + 2, scale, random_state=random), (d, d)))
    step = torch.linalg.cholesky(covariance) @ torch.from_numpy(random.standard_normal(d))
    return Gaussian(gaussian.mean + step / n_rows**0.5, covariance)


# Fitting ---------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What fitting gives.

    Attributes
    ----------
    imputation : Imputation
    error : Tensor of shape (d,)
        Root mean squared error of held-out entries of each column, in standard deviations.
    shrinkage : float
        Of the covariances.
    reviews : list of Review
    interrupted : bool
    """

    imputation: Imputation
    error: Tensor
    shrinkage: float
    reviews: list[Review]
    interrupted: bool


def fit_imputation(
    x: Tensor,
    observed: Tensor,
    shape: Shape,
    settings: Settings,
    streams: Streams,
    report: Callable[[Review], bool],
) -> Outcome:
    """Fit an imputation to standardised rows.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Float64, zero where an entry is missing.
    observed : bool Tensor of shape (n, d)
    shape : Shape
        Of the members.
    settings : Settings
    streams : Streams
    report : callable (Review) -> bool
        Ends training by returning True.
    """
    n_members = shape.n_members
    fold = torch.randint(max(n_members, LEAST_FOLDS), x.shape, generator=streams.split)
    held_out = torch.stack([observed & (fold == e) for e in range(n_members)])
    seen = observed & ~held_out
    n_entries = held_out.flatten(1).sum(1).cumsum(0)
    few = slice(1 + int((n_entries < ENTRIES_TO_CHOOSE_BY).sum()))
    shrinkage = best_shrinkage(x, seen[few], held_out[few])

    whole = fit_linear(x, observed, shrinkage)
    of_members = tuple(fit_linear(x, one, shrinkage) for one in seen)
    fills = torch.stack([linear.fills(x, one) for linear, one in zip(of_members, seen, strict=True)], 1)
    by_columns, by_scores = fills
    scores_share = share((by_scores - by_columns)[held_out], (x - by_columns)[held_out])
    filled = by_columns.lerp(by_scores, scores_share)

    trained = train(shape, Cells(x, seen, held_out, filled), settings, streams, report)
    n_rows = float(observed.sum()) / x.shape[1]
    fitted = Imputation(whole, of_members, scores_share, trained.members, 1.0, n_rows)
    corrections = fitted._means(x, seen, filled) - filled
    of_one = share(corrections[held_out], (x - filled)[held_out])
    network_share = share_of_mean(of_one, _corrections_of_all(fitted, x, seen[0]))

    rows, columns = held_out.any(0).nonzero(as_tuple=True)
    member = fold[rows, columns]
    judged = (filled + of_one * corrections)[member, rows, columns]
    squares = x.new_zeros(x.shape[1]).index_add_(0, columns, (judged - x[rows, columns]).square())
    error = (squares / torch.bincount(columns, minlength=x.shape[1])).sqrt()
    return Outcome(fitted._replace(network_share=network_share), error, shrinkage, *trained[1:])


def _corrections_of_all(fitted: Imputation, x: Tensor, observed: Tensor) -> Tensor:
    """Return every member's correction of the entries that are not observed, (n_members, n_entries)."""
    part = slice(MOST_ROWS_COMPARED)
    x, observed = x[part], observed[part]
    patterns = Patterns(observed)
    filled = torch.stack([fitted._linear(one, x, observed, patterns) for one in fitted.of_members])
    return (fitted._means(x, observed[None], filled) - filled)[:, ~observed]


# Saving: plain values and arrays -----------------------------------------------------------------------------


def to_plain(imputation: Imputation) -> dict[str, Any]:
    """Return an imputation as plain values and NumPy arrays."""
    members = imputation.members
    return {
        "linear": [_plain_linear(one) for one in (imputation.whole, *imputation.of_members)],
        "members": {"shape": tuple(members.shape), "parameters": members.flat.cpu().numpy()},
        "shares": (imputation.scores_share, imputation.network_share, imputation.n_rows),
    }


def from_plain(state: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Imputation:
    """Undo `to_plain`, with the members on a device and of a dtype."""
    whole, *of_members = (_linear_of(one) for one in state["linear"])
    flat = torch.from_numpy(state["members"]["parameters"]).to(device, dtype)
    members = Members(Shape(*state["members"]["shape"]), flat)
    scores_share, network_share, n_rows = state["shares"]
    return Imputation(whole, tuple(of_members), scores_share, members, network_share, n_rows)


def _plain_linear(linear: Linear) -> dict[str, Any]:
    arrays = {name: [part.numpy() for part in getattr(linear, name)] for name in ("columns", "scores")}
    return {**arrays, "knots": [linear.maps.values, linear.maps.knots]}


def _linear_of(state: dict[str, Any]) -> Linear:
    columns, scores = (Gaussian(*map(torch.from_numpy, state[name])) for name in ("columns", "scores"))
    return Linear(columns, scores, NormalScores(*state["knots"]))
