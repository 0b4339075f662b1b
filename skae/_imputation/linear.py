"""The linear part of imputation: a Gaussian of the columns, blended with a Gaussian of their normal scores."""

from typing import NamedTuple

import torch
from torch import Tensor

from . import gaussian
from .gaussian import Gaussian, Patterns, fit_gaussian, moments
from .normal_scores import NormalScores

SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FIRST = 2  # where the search starts
STANDARD_ERRORS = 2.0  # beyond which a difference of means is not by chance


class Linear(NamedTuple):
    """Two Gaussians: of the columns, and of their normal scores."""

    columns: Gaussian
    scores: Gaussian
    maps: NormalScores

    def fills(self, x: Tensor, observed: Tensor, patterns: Patterns | None = None) -> Tensor:
        """Return rows (n, d) filled by conditional means of either Gaussian: (2, n, d)."""
        patterns = Patterns(observed) if patterns is None else patterns
        by_columns = gaussian.fill(self.columns, x, observed, patterns)
        mean, variance = moments(self.scores, self.maps.to_scores(x), observed, patterns)
        return torch.stack([by_columns, torch.where(observed, x, self.maps.expectation(mean, variance))])

    def draw(self, x: Tensor, observed: Tensor, scores: Tensor, noise: Tensor) -> Tensor:
        """Draw missing entries by the Gaussian of scores for rows that ``scores`` (n,) tells, else by columns."""
        by_columns = gaussian.draw(self.columns, x, observed, noise)
        drawn = self.maps.to_values(gaussian.draw(self.scores, self.maps.to_scores(x), observed, noise))
        return torch.where(observed, x, torch.where(scores[:, None], drawn, by_columns))


def fit_linear(x: Tensor, observed: Tensor, shrinkage: float) -> Linear:
    """Fit both Gaussians to the observed entries of standardised rows."""
    patterns = Patterns(observed)
    columns = fit_gaussian(x, observed, shrinkage=shrinkage, patterns=patterns)
    maps = NormalScores.of(x, observed, missing_by_others(columns, x, observed))
    scores = fit_gaussian(maps.to_scores(x), observed, shrinkage=shrinkage, patterns=patterns)
    return Linear(columns, scores, maps)


def missing_by_others(fitted: Gaussian, x: Tensor, observed: Tensor) -> Tensor:
    """Tell of which columns the observed entries are no fair sample: those missing depend on other columns.

    EM corrects means for that. Where it does so by more than chance, the distribution of the observed entries is
    not that of all, and scores by it would fill wrongly.
    """
    n_seen = observed.sum(0).clamp_min(1)
    mean = torch.where(observed, x, 0.0).sum(0) / n_seen
    chance = fitted.covariance.diagonal() * (1 / n_seen - 1 / len(x))
    return (fitted.mean - mean).square() > STANDARD_ERRORS**2 * chance + 1e-9


def best_shrinkage(x: Tensor, seen: Tensor, held_out: Tensor) -> float:
    """Choose the shrinkage of covariances by which held-out entries are filled best.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    seen, held_out : bool Tensors of shape (n_folds, n, d)
        Which entries are fitted to, and judged by, in each fold.
    """
    patterns = [Patterns(one) for one in seen]
    fitted: list[Gaussian | None] = [None] * len(seen)  # each search step starts from the one before
    errors: dict[int, float] = {}

    def error(place: int) -> float:
        if place not in errors:
            total = 0.0
            for e, (one, out, groups) in enumerate(zip(seen, held_out, patterns, strict=True)):
                last = fit_gaussian(x, one, shrinkage=SHRINKAGES[place], start=fitted[e], patterns=groups)
                fitted[e] = last
                total += float((gaussian.fill(last, x, one, groups) - x)[out].square().sum())
            errors[place] = total
        return errors[place]

    place = FIRST
    for direction in (1, -1):
        error(place)
        while 0 <= place + direction < len(SHRINKAGES) and error(place + direction) < error(place):
            place += direction
        if place != FIRST:
            break
    return SHRINKAGES[place]
