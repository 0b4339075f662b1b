"""Greedy layer-wise pretraining: shallow autoencoders, each on the codings of the one before."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from .._data.arrays import as_tensor
from .._data.chunks import column_statistics
from .._data.corruption import Corruption
from .._data.rows import Rows, codings
from .._objectives.losses import LOSSES
from .fitting import Fit
from .problem import Objective, Served
from .step import Step


class Pretraining:
    """Trains pairs of blocks, the first of the encoder with the last of the decoder, and so on inwards.

    Parameters
    ----------
    fit : Fit
    pairs : sequence of (Block, Block)
        Of the encoder and of the decoder, from the data to the code.
    """

    def __init__(self, fit: Fit, pairs: Sequence[tuple[Any, Any]]) -> None:
        self.fit, self.pairs = fit, pairs
        self._rows = fit.setup.data.inputs()
        self._watched = None if fit.watched is None else fit.watched.rows

    def step(self, number: int) -> Step:
        """Return the step of a pair, once those before it are trained.

        Data are reconstructed under the estimator's loss. Codings that are probabilities (logistic units) are
        reconstructed under cross-entropy, as in Vincent et al. (2010), all others under squared error.
        """
        setup, (encode, decode) = self.fit.setup, self.pairs[number]
        loss, corruption = self.fit.objective.loss, self.fit.objective.corruption
        loss_unit = self.fit.objective.loss_unit
        if number > 0:
            self._rows = codings(self.pairs[number - 1][0], self._rows)
            if self._watched is not None:
                self._watched = codings(self.pairs[number - 1][0], self._watched)
            loss, loss_unit = LOSSES["squared_error"], 1.0
            if decode.activation == "sigmoid":
                loss, decode = LOSSES["binary_cross_entropy"], decode.with_activation("identity")
            corruption = self._corruption_of(self._rows)
        served = Served(self._rows, None, setup.data.row_weight())
        watched = None if self._watched is None else Served(self._watched)
        pair = nn.Sequential(encode), nn.Sequential(decode)
        objective = Objective(loss, corruption, loss_unit=loss_unit)
        return setup.make_step(*pair, served, objective, watched=watched)

    def _corruption_of(self, rows: Rows) -> Corruption | None:
        """Return the estimator's noise for codings, whose unit is not that of the data."""
        setup, noise, of_data = self.fit.setup, self.fit.setup.estimator.noise, self.fit.objective.corruption
        if noise is None or of_data is None:
            return None
        level, clean = setup.estimator.noise_level, setup.estimator.clean_fraction
        if noise == "white":
            deviation = float(as_tensor(of_data.statistics[0]).square().mean().sqrt())
            noise, level = "isotropic", level / deviation if deviation else 0.0  # without any, codings have none
        statistics = column_statistics(rows[:])
        return Corruption(noise, level, statistics, setup.generator, setup.dtype, clean_fraction=clean)
