"""The whole of an imputation: the parametric fill, and the members' correction of it, by shares.

Each observed entry is in one fold. Member e, and the parametric models that belong to it, never see fold e, so
that every observed entry is held out from someone. These entries say how much of each model to take, when to stop
training, how much of the members' correction to add, and how large errors are.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import invwishart
from torch import Tensor

from .._data.arrays import as_tensor
from .._fitted.sampling import standard_normal
from .._support.devices import Streams
from .gaussian import Gaussian, Patterns
from .members import Members, Shape
from .mixture import Mixture
from .normal_scores import NormalScores
from .parametric import Parametric, Shares, best_shrinkage, fit_parametric, share
from .training import Cells, Review, Settings, train

LEAST_FOLDS = 5  # so that few members see most of the entries
ENTRIES_TO_CHOOSE_BY = 2000  # the shrinkage
MOST_ROWS_COMPARED = 2000
N_DRAWS = 50  # of the code, to fill with


class Imputation(NamedTuple):
    """A fitted imputation of standardised rows.

    Attributes
    ----------
    whole : Parametric
        Fitted to all observed entries.
    of_members : tuple of Parametric
        Each member's own.
    shares : Shares
        How much of the parametric fill comes from which model.
    members : Members
    network_share : float
        How much of the members' mean correction is added.
    n_rows : float
        Observed entries of a column, on average.
    """

    whole: Parametric
    of_members: tuple[Parametric, ...]
    shares: Shares
    members: Members
    network_share: float
    n_rows: float

    def fill(self, x: Tensor, observed: Tensor) -> Tensor:
        """Return rows (n, d), float64, with missing entries filled by their expected values."""
        patterns = Patterns(observed)
        result = self.shares.blend(self.whole.fills(x, observed, patterns))
        if self.network_share > 0:
            filled = self._filled_by_members(x, observed, patterns)
            corrections = self._means(x, observed[None], filled) - filled
            result += self.network_share * corrections.mean(0)
        return torch.where(observed, x, result)

    def _filled_by_members(self, x: Tensor, observed: Tensor, patterns: Patterns) -> Tensor:
        return torch.stack([self.shares.blend(one.fills(x, observed, patterns)) for one in self.of_members])

    def _means(self, x: Tensor, observed: Tensor, filled: Tensor) -> Tensor:
        noise = standard_normal(N_DRAWS, self.members.shape.n_components, x)
        return self.members.means(x, observed, filled, noise)

    def draw(self, x: Tensor, observed: Tensor, random: np.random.RandomState) -> Tensor:
        """Return rows with missing entries drawn, given the observed ones, from what the fill is the mean of.

        A row is drawn from a member with the probability of the members' share, else from one of the Gaussians.
        Which member, and the parameters of the Gaussians, are drawn once for all rows, so that several calls
        differ by what is uncertain in the model too.
        """
        *by_model, by_member = torch.from_numpy(random.uniform(size=(3, len(x))))
        whole = self._draw_parameters(random)
        result = whole.draw(x, observed, self.shares.choose(torch.stack(by_model)), random)
        number = random.randint(self.members.shape.n_members)
        chosen = (by_member < self.network_share).nonzero()[:, 0]
        if len(chosen):
            rows, seen = x[chosen], observed[chosen]
            filled = self.shares.blend(self.of_members[number].fills(rows, seen))
            drawn = self.members.one(number).draw(rows, seen[None], filled[None], N_DRAWS, random)
            result[chosen] = torch.where(seen, rows, drawn)
        return result

    def _draw_parameters(self, random: np.random.RandomState) -> Parametric:
        whole, mixture = self.whole, self.whole.mixture
        columns, scores = (draw_gaussian(one, self.n_rows, random) for one in (whole.columns, whole.scores))
        if mixture is not None:
            n_rows = self.n_rows * mixture.log_weights.exp()
            parts = zip(mixture.components, n_rows.tolist(), strict=True)
            weights = torch.from_numpy(random.dirichlet(1 + n_rows.numpy()))
            drawn = tuple(draw_gaussian(one, max(1.0, n), random) for one, n in parts)
            mixture = Mixture(drawn, weights.clamp_min(1e-12).log())
        return Parametric(columns, scores, whole.maps, mixture)


def work(x: Tensor) -> int:
    """Return the multiply-adds of a Gaussian's pass over rows (n, d), which go through it at once."""
    return len(x) * x.shape[1] ** 2


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

    whole = fit_parametric(x, observed, shrinkage)
    of_members = tuple(fit_parametric(x, one, shrinkage) for one in seen)
    fills = torch.stack([models.fills(x, one) for models, one in zip(of_members, seen, strict=True)], 1)
    shares = Shares.of(fills, x, held_out)
    filled = shares.blend(fills)

    trained = train(shape, Cells(x, seen, held_out, filled), settings, streams, report)
    n_rows = float(observed.sum()) / x.shape[1]
    fitted = Imputation(whole, of_members, shares, trained.members, 1.0, n_rows)
    corrections = fitted._means(x, seen, filled) - filled
    of_one = share(corrections[held_out], (x - filled)[held_out])
    network_share = share_of_mean(of_one, _corrections_of_all(fitted, x, seen[0]))

    rows, columns = held_out.any(0).nonzero(as_tuple=True)
    member = fold[rows, columns]
    judged = (filled + of_one * corrections)[member, rows, columns]
    squares = x.new_zeros(x.shape[1]).index_add_(0, columns, (judged - x[rows, columns]).square())
    error = (squares / torch.bincount(columns, minlength=x.shape[1])).sqrt()
    return Outcome(fitted._replace(network_share=network_share), error, shrinkage, *trained[1:])


def share_of_mean(share_of_one: float, corrections: Tensor) -> float:
    """Turn the share of single members' corrections into that of their mean.

    Averaging removes what is noise of the members. What it leaves deserves a larger share, by the ratio of the
    mean squares.

    Parameters
    ----------
    share_of_one : float
    corrections : Tensor of shape (n_members, n)
        Of the same entries, by each member.
    """
    power = float(corrections.mean(0).square().sum())
    ratio = float(corrections.square().mean(0).sum()) / power if power > 0 else 1.0
    return min(1.0, share_of_one * ratio)


def _corrections_of_all(fitted: Imputation, x: Tensor, observed: Tensor) -> Tensor:
    """Return every member's correction of the entries that are not observed, (n_members, n_entries)."""
    part = slice(MOST_ROWS_COMPARED)
    x, observed = x[part], observed[part]
    patterns = Patterns(observed)
    filled = fitted._filled_by_members(x, observed, patterns)
    return (fitted._means(x, observed[None], filled) - filled)[:, ~observed]


# Saving: plain values and arrays -----------------------------------------------------------------------------


def to_plain(imputation: Imputation) -> dict[str, Any]:
    """Return an imputation as plain values and NumPy arrays."""
    members = imputation.members
    return {
        "parametric": [_plain_parametric(one) for one in (imputation.whole, *imputation.of_members)],
        "members": {"shape": tuple(members.shape), "parameters": members.flat.cpu().numpy()},
        "shares": (*imputation.shares, imputation.network_share, imputation.n_rows),
    }


def from_plain(state: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Imputation:
    """Undo `to_plain`, with the members on a device and of a dtype."""
    whole, *of_members = (_parametric_of(one) for one in state["parametric"])
    flat = as_tensor(state["members"]["parameters"]).to(device, dtype)
    members = Members(Shape(*state["members"]["shape"]), flat)
    *shares, network_share, n_rows = state["shares"]
    return Imputation(whole, tuple(of_members), Shares(*shares), members, network_share, n_rows)


def _plain_parametric(models: Parametric) -> dict[str, Any]:
    arrays: dict[str, Any] = {name: _plain_gaussian(getattr(models, name)) for name in ("columns", "scores")}
    arrays["knots"] = [models.maps.values, models.maps.knots]
    if models.mixture is not None:
        components = [_plain_gaussian(one) for one in models.mixture.components]
        arrays["mixture"] = {"components": components, "log_weights": models.mixture.log_weights.numpy()}
    return arrays


def _plain_gaussian(gaussian: Gaussian) -> list[np.ndarray]:
    return [part.numpy() for part in gaussian]


def _parametric_of(state: dict[str, Any]) -> Parametric:
    columns, scores = (_gaussian_of(state[name]) for name in ("columns", "scores"))
    mixture = None
    if "mixture" in state:
        components = tuple(_gaussian_of(one) for one in state["mixture"]["components"])
        mixture = Mixture(components, as_tensor(state["mixture"]["log_weights"]))
    return Parametric(columns, scores, NormalScores(*state["knots"]), mixture)


def _gaussian_of(arrays: list[np.ndarray]) -> Gaussian:
    return Gaussian(*map(as_tensor, arrays))
