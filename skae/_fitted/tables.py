"""Tables by a fitted model of their matrices: draws, draws under conditions, scores of columns, filled cells."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._data import arrays
from .._data.chunks import slices
from .._data.empty import is_empty
from .._data.tables.codec import TableCodec
from .._networks.inference import forward
from .._support.devices import Streams
from .mixture import Mixture
from .sampling import Densities

POOL = 8192  # codes that are weighted at a time, where rows are drawn under conditions
MOST_POOLS = 32
FEWEST_CODES = 20  # that weights may come down to


class TableModel:
    """A variational autoencoder of a table's matrix, with the codec of the table and the prior of the codes."""

    def __init__(self, vae: Any, codec: TableCodec, prior: Mixture) -> None:
        self.vae, self.codec, self.prior = vae, codec, prior

    # Scores ---------------------------------------------------------------------------------------------------

    def log_likelihood(self, matrix: np.ndarray) -> np.ndarray:
        """Return log p(x) of each row, (n,): exactly zero of one without any value."""
        marginal = self._densities(matrix).marginal

        def log_likelihood(x: Tensor, out: Tensor) -> Tensor:
            return marginal(x, out).masked_fill_(is_empty(x), 0)

        return self.vae._stream(matrix, log_likelihood, 1)[:, 0]

    def log_conditionals(self, matrix: np.ndarray) -> np.ndarray:
        """Return log p(x_j | all others) of each variable, (n, n_variables); zero where it is missing."""
        densities, groups = self._densities(matrix), [list(v.columns) for v in self.codec.variables]

        def conditionals(x: Tensor, out: Tensor) -> Tensor:
            for number, group in enumerate(groups):
                others, own = x.clone(), torch.full_like(x, torch.nan)
                others[:, group], own[:, group] = torch.nan, x[:, group]
                densities.conditional(others, own, out[:, number : number + 1])
            return out

        return self.vae._stream(matrix, conditionals, len(groups))

    # Cells that are missing -------------------------------------------------------------------------------------

    def expected(self, matrix: np.ndarray) -> np.ndarray:
        """Return the expectations of all entries, given those that are there: probabilities, and scores."""
        densities, decode = self._densities(matrix), forward(self.vae.decoder_, arrays.torch_dtype(matrix))
        return self.vae._stream(
            matrix, lambda x, out: densities.expectation(x, lambda z: decode(z, None), out), matrix.shape[1]
        )

    def drawn_given(self, matrix: np.ndarray, streams: Streams) -> np.ndarray:
        """Return a draw of all entries, given those that are there."""
        densities, dtype = self._densities(matrix), arrays.torch_dtype(matrix)
        decode = forward(self.vae.decoder_, dtype, linked=False)

        def drawn(x: Tensor, out: Tensor) -> Tensor:
            output = decode(densities.codes(x, streams.weights), None).cpu()
            return out.copy_(self.vae._draw_rows(output, streams.noise))

        return self.vae._stream(matrix, drawn, matrix.shape[1])

    def _densities(self, matrix: np.ndarray) -> Densities:
        dtype = arrays.torch_dtype(matrix)
        like = torch.empty(0, dtype=dtype, device=self.vae.device_)
        densities = self.vae._densities(dtype, self.vae.n_importance_samples)
        densities.log_prior, densities.draw_prior = self.prior.log_density(like), self.prior.draw
        densities.width = max(densities.width, self.prior.means.size)
        return densities

    # New rows -------------------------------------------------------------------------------------------------

    def draw(self, n: int, streams: Streams) -> np.ndarray:
        """Return the matrix of ``n`` new rows, (n, width)."""
        like = torch.empty(0, dtype=torch.float64, device="cpu")
        return self._decoded(self.prior.draw(n, like, streams.weights), streams)

    def draw_given(self, n: int, given: Mapping[Any, Any], streams: Streams) -> np.ndarray:
        """Return the matrix of new rows whose columns have the values ``given``.

        Codes are drawn from the prior and weighted by how probable they make what is given; rows are drawn from
        some of them, by their weights.

        Raises
        ------
        TypeError, ValueError
            If there are no such columns or values, or if too few codes remain.
        """
        fixed = self.codec.row_of(given)
        like = torch.empty(0, dtype=torch.float64)
        target = torch.as_tensor(fixed)[None]
        codes, weights = [], []
        for _ in range(MOST_POOLS):
            z = self.prior.draw(POOL, like, streams.weights)
            codes.append(z)
            weights.append(self._log_likelihood_of(z, target))
            share = torch.softmax(torch.cat(weights), 0)
            effective = float(1 / share.square().sum())
            if effective >= max(n, FEWEST_CODES):
                break
        if effective < FEWEST_CODES:
            raise ValueError(
                f"given={dict(given)!r} is too rare: of {MOST_POOLS * POOL:,} draws, only about {effective:.1f} "
                f"agree with it, and at least {FEWEST_CODES} must. Give fewer columns, or more frequent values."
            )
        chosen = torch.multinomial(share, n, replacement=True, generator=streams.split)
        drawn = self._decoded(torch.cat(codes)[chosen], streams)
        held = ~np.isnan(fixed)
        drawn[:, held] = fixed[held]
        return drawn

    def _log_likelihood_of(self, z: Tensor, target: Tensor) -> Tensor:
        """Return log p(target | z) of each code, (n,)."""
        decode = forward(self.vae.decoder_, z.dtype, linked=False)

        def log_likelihood(codes: Tensor) -> Tensor:
            output = decode(codes.to(self.vae.device_), None)
            return -self.vae._loss_of_observed(output, target.to(output.device).expand(len(output), -1)).cpu()

        return self._in_chunks(z, log_likelihood)

    def _decoded(self, z: Tensor, streams: Streams) -> np.ndarray:
        decode = forward(self.vae.decoder_, z.dtype, linked=False)

        def rows(codes: Tensor) -> Tensor:
            return self.vae._draw_rows(decode(codes.to(self.vae.device_), None).cpu(), streams.noise)

        return self._in_chunks(z, rows).numpy()

    def _in_chunks(self, z: Tensor, apply: Callable[[Tensor], Tensor]) -> Tensor:
        with self.vae._inference(len(z)):
            return torch.cat([apply(z[part]) for part in slices(len(z), self.vae._widest * z.itemsize)])
