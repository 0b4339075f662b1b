"""PCA's solution as a start: written into the networks, kept as a candidate, and taken where it is as good."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from .._data.rows import Rows
from .._networks.networks import Network
from .._support import devices
from .._support.ranks import current
from . import principal_axes
from .setup import Mode, Setup


class PrincipalStart:
    """PCA's solution for the rows of a fit; networks whose weights have been drawn start at it.

    Networks too narrow to carry the components in pairs start as they were drawn. They can still be PCA, with
    units that are never rectified, from which nothing could be learnt.

    Parameters
    ----------
    setup : Setup
    encoder, decoder : Network
    """

    def __init__(self, setup: Setup, encoder: Network, decoder: Network) -> None:
        self._data, self._n_axes = setup.data, principal_axes.n_carried(setup.architecture)
        self._pca = self._of(setup.data.train_rows)
        if principal_axes.too_narrow(setup.architecture) is None:
            principal_axes.start_at(self._pca, encoder, decoder)

    @classmethod
    def of(cls, setup: Setup, encoder: Network, decoder: Network) -> "PrincipalStart | None":
        """Return PCA's solution where the parameters ask for it, and networks can be it.

        Raises
        ------
        ValueError
            If ``init='pca'`` asks for what is impossible.
        """
        estimator, architecture = setup.estimator, setup.architecture
        reason = "targets differ from inputs" if setup.data.paired else None
        reason = reason or principal_axes.obstacle(estimator, architecture)
        if estimator.init == "pca":
            reason = reason or principal_axes.too_narrow(architecture)
            if reason is not None:
                raise ValueError(f"init='pca' is impossible: {reason}. Use init='auto', 'glorot' or 'he'.")
        elif reason is not None or setup.mode is Mode.INCREMENTAL:  # a portion may be one row
            return None
        return cls(setup, encoder, decoder)

    def _of(self, index: Tensor) -> principal_axes.PrincipalAxes:
        data = self._data
        with devices.cpu_settings(0):  # the number of threads changes no bit
            return principal_axes.principal_axes(data.inputs(), index, data.sample_weight, self._n_axes)

    def is_as_good(self, encoder: Network, decoder: Network) -> bool:
        """Tell whether the networks gain less over PCA than a standard error, on the rows held out."""
        if self._held_out is None:
            return False
        rows, index, weight = self._held_out

        def error(x: Tensor) -> Tensor:
            return (x - decoder.forward_centred(encoder.forward_centred(x))).square().mean(1)

        return not principal_axes.is_better(_errors(rows, index, error), self._errors_of_pca, weight)

    @functools.cached_property
    def held_out_loss(self) -> float | None:
        """PCA's error of the rows held out; None if there are none."""
        if self._held_out is None:
            return None
        baseline, (_, _, weight), ranks = self._errors_of_pca, self._held_out, current()
        share = torch.ones_like(baseline) if weight is None else weight.to(baseline)
        return float(ranks.sum(torch.dot(baseline, share)) / ranks.sum(share.sum()))

    @functools.cached_property
    def _held_out(self) -> tuple[Rows, Tensor, Tensor | None] | None:
        """The rows held out, their numbers, and their weights."""
        data = self._data
        watched = data.to_watch()
        if watched is not None:
            return watched.inputs(), watched.train_rows, None
        if data.validation_rows is None:
            return None
        weight = None if data.sample_weight is None else data.sample_weight[data.validation_rows]
        return data.inputs(), data.validation_rows, weight

    @functools.cached_property
    def _errors_of_pca(self) -> Tensor:
        rows, index, _ = self._held_out  # type: ignore[misc]
        return _errors(rows, index, functools.partial(principal_axes.squared_errors, self._pca))

    def restore(self, encoder: Network, decoder: Network) -> None:
        """Make the networks PCA, of all rows that were given to the fit."""
        data = self._data
        index = data.train_rows
        if data.validation_rows is not None:
            index = torch.cat([index, data.validation_rows]).sort().values
        principal_axes.start_at(self._of(index), encoder, decoder, outgoing=0.0)


def _errors(rows: Rows, index: Tensor, error: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the squared error of each row."""
    parts = [torch.empty(0, dtype=rows.dtype, device=rows.device)]
    with torch.no_grad():
        parts += [error(x) for _, x in rows.chunks(index)]
    return torch.cat(parts)
