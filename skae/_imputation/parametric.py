"""The parametric part of imputation: a Gaussian of the columns, one of their normal scores, and a mixture."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._data.chunks import spread
from . import gaussian
from .gaussian import Gaussian, Patterns, fit_gaussian, moments
from .mixture import Mixture, fit_mixture
from .normal_scores import NormalScores

SHRINKAGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FIRST = 2  # where the search starts
MOST_ROWS_OF_MIXTURE = 2000
MOST_WORK_OF_MIXTURE = 1e7  # multiply-adds of a pass over rows
LEAST_ROWS_OF_MIXTURE = 20
STANDARD_ERRORS = 2.0  # beyond which a difference of means is not by chance


class Parametric(NamedTuple):
    """Three models of rows: a Gaussian, a Gaussian of normal scores (a copula), and a mixture of Gaussians.

    The mixture is None where it would take too long.
    """

    columns: Gaussian
    scores: Gaussian
    maps: NormalScores
    mixture: Mixture | None

    def fills(self, x: Tensor, observed: Tensor, patterns: Patterns | None = None) -> Tensor:
        """Return rows (n, d) filled by conditional means of each model: (3, n, d)."""
        patterns = Patterns(observed) if patterns is None else patterns
        by_columns = gaussian.fill(self.columns, x, observed, patterns)
        mean, variance = moments(self.scores, self.maps.to_scores(x), observed, patterns)
        by_scores = torch.where(observed, x, self.maps.expectation(mean, variance))
        by_mixture = by_columns if self.mixture is None else self.mixture.fill(x, observed, patterns)
        return torch.stack([by_columns, by_scores, by_mixture])

    def draw(self, x: Tensor, observed: Tensor, model: Tensor, random: np.random.RandomState) -> Tensor:
        """Draw missing entries of each row by the model that ``model`` (n,) numbers, in the order of `fills`."""
        uniform = torch.from_numpy(random.uniform(size=len(x)))
        noise = torch.from_numpy(random.standard_normal(x.shape))
        drawn = [gaussian.draw(self.columns, x, observed, noise)]
        drawn.append(self.maps.to_values(gaussian.draw(self.scores, self.maps.to_scores(x), observed, noise)))
        drawn.append(drawn[0] if self.mixture is None else self.mixture.draw(x, observed, uniform, noise))
        return torch.where(observed, x, torch.stack(drawn)[model, torch.arange(len(x))])


def fit_parametric(x: Tensor, observed: Tensor, shrinkage: float) -> Parametric:
    """Fit all models to the observed entries of standardised rows."""
    patterns = Patterns(observed)
    columns = fit_gaussian(x, observed, shrinkage=shrinkage, patterns=patterns)
    maps = NormalScores.of(x, observed, missing_by_others(columns, x, observed))
    scores = fit_gaussian(maps.to_scores(x), observed, shrinkage=shrinkage, patterns=patterns)
    some = spread(torch.arange(len(x)), MOST_ROWS_OF_MIXTURE)
    work = float((~observed[some]).sum(1).double().pow(3).sum()) + x.shape[1] ** 3
    fits = work <= MOST_WORK_OF_MIXTURE and len(some) >= LEAST_ROWS_OF_MIXTURE
    mixture = fit_mixture(x[some], observed[some], columns, shrinkage) if fits else None
    return Parametric(columns, scores, maps, mixture)


def share(correction: Tensor, residual: Tensor) -> float:
    """Return the multiple in [0, 1] of a correction that comes closest to the residuals, by least squares."""
    power = float(correction.square().sum())
    return min(1.0, max(0.0, float((correction * residual).sum()) / power)) if power > 0 else 0.0


class Shares(NamedTuple):
    """How much of the copula is taken instead of the Gaussian, and of the mixture instead of both, from 0 to 1."""

    copula: float
    mixture: float

    @classmethod
    def of(cls, fills: Tensor, x: Tensor, held_out: Tensor) -> "Shares":
        """Choose them by entries of x that the models have not seen."""
        by_columns, by_scores, by_mixture = fills
        copula = share((by_scores - by_columns)[held_out], (x - by_columns)[held_out])
        if torch.equal(by_mixture, by_columns):  # there is none
            return cls(copula, 0.0)
        both = by_columns.lerp(by_scores, copula)
        return cls(copula, share((by_mixture - both)[held_out], (x - both)[held_out]))

    def blend(self, fills: Tensor) -> Tensor:
        """Return the fill that is made of what each model fills in, (3, n, d)."""
        by_columns, by_scores, by_mixture = fills
        return by_columns.lerp(by_scores, self.copula).lerp(by_mixture, self.mixture)

    def choose(self, uniform: Tensor) -> Tensor:
        """Return the number of a model for each row, by its share; ``uniform`` is (2, n)."""
        by_gaussians = (uniform[0] < self.copula).long()
        return torch.where(uniform[1] < self.mixture, 2, by_gaussians)


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
