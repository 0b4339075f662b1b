"""Codes sorted by how much they explain: all that an estimator with ``ordered`` does otherwise than others."""

from numbers import Integral
from typing import Any

import torch

from .._bottleneck.nested_dropout import NestedDropout
from .._data import arrays
from .._networks.custom import forward_centred
from .._networks.networks import Architecture, Decoder
from .._support.warnings import warn
from .._training.fitting import Fit
from .._training.loop import History
from .._training.setup import Mode, Setup
from .ordered import Sample, explained_variance, linear_map, rotate_to_principal_axes, truncate_code


class OrderedCodes:
    """Hooks of estimators with a parameter ``ordered``; ``n_components`` may be a share of the variance to keep.

    Networks are trained for all prefixes of the code at once (`NestedDropout`), but for linear ones, whose code is
    rotated to principal axes once they are trained.
    """

    def _adapt_architecture(self: Any, architecture: Architecture, mode: Mode) -> Architecture:
        if not isinstance(self.n_components, Integral):
            self._check_share(mode)
            sizes = architecture.encoder_layer_sizes
            width = self._most_components(architecture)
            if mode is not Mode.FRESH and hasattr(self, "n_components_"):
                width = self.n_components_
            architecture = architecture._replace(encoder_layer_sizes=(*sizes[:-1], width))
        convolved = architecture.images is not None and self.code_layer == "convolution"
        shared = self.tied_weights or self.decoder is not None or convolved
        return architecture._replace(prefixes=self.ordered and not shared and not self._is_linear(architecture))

    def _check_share(self: Any, mode: Mode) -> None:
        share = f"n_components={self.n_components} is a share of the variance to keep"
        if not self.ordered:
            raise ValueError(
                f"{share}, which needs codes that are sorted by explained variance. Set ordered=True, or "
                "n_components to an integer, the width of the code."
            )
        if self.encoder is not None or self.decoder is not None:
            raise ValueError(
                f"{share}, for which skae truncates the networks that it builds, but encoder or decoder is a "
                "custom module. Set n_components to an integer, the width of the code between them."
            )
        if self.image_shape is not None and self.code_layer == "convolution":
            raise ValueError(
                f"{share}, for which units of the code are removed, but with code_layer='convolution' they share "
                "their weights. Use code_layer='dense', or set n_components to an integer."
            )
        if mode is Mode.INCREMENTAL and not hasattr(self, "n_components_"):
            raise ValueError(
                f"{share}, which is found once training is over, but partial_fit does not know when that is. Call "
                "fit first, or set n_components to a whole number, the width of the code."
            )

    def _most_components(self, architecture: Architecture) -> int:
        if architecture.images is not None:
            return architecture.n_features
        hidden, after = architecture.encoder_layer_sizes[:-1], architecture.decoder_layer_sizes[:-1]
        return min((architecture.n_features, *hidden[-1:], *after[:1]))

    def _is_linear(self: Any, architecture: Architecture) -> bool:
        own = self.encoder is not None or self.decoder is not None
        return architecture.linear and self.loss == "squared_error" and not own

    def _bottleneck(self: Any, setup: Setup) -> NestedDropout | None:
        if not self.ordered or self._is_linear(setup.architecture):
            return None
        return NestedDropout(setup.architecture.encoder_layer_sizes[-1], setup.generator)

    def _finalize_networks(self: Any, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple:
        if not self.ordered:
            return encoder, decoder, architecture
        if self._is_linear(architecture):
            data = fit.setup.data
            trained = Sample(fit.inputs, data.train_rows, data.sample_weight)
            rotate_to_principal_axes(encoder, decoder, trained, only_rotate=self.tied_weights)
        if isinstance(self.n_components, Integral) or fit.setup.previous is not None:
            return encoder, decoder, architecture
        _, shares = self._explained(fit, encoder, decoder, architecture)
        enough = (shares.cumsum(0) >= self.n_components).nonzero()
        if not len(enough):
            return encoder, decoder, architecture
        return truncate_code(encoder, decoder, architecture, int(enough[0]) + 1)

    def _explained(self, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple[Any, Any]:
        """Return the variance that each unit explains, and its share, of rows held out if there are any."""
        data = fit.setup.data
        rows = data.train_rows if data.validation_rows is None else data.validation_rows
        sample = Sample(fit.inputs, rows, data.sample_weight)
        decode = decoder.reconstruct_centred if isinstance(decoder, Decoder) else decoder
        width = architecture.encoder_layer_sizes[-1]
        by_unit, total = explained_variance(forward_centred(encoder), decode, sample, width)
        return by_unit, by_unit / total if total > 0 else torch.zeros_like(by_unit)

    def _fitted_attributes(self: Any, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        own: dict[str, Any] = {"n_components_": fit.architecture.encoder_layer_sizes[-1]}
        if not self.ordered:
            return own

        def array(tensor: torch.Tensor):
            X = fit.setup.data.X
            return arrays.to_namespace_of(X, tensor.to("cpu", arrays.torch_dtype(X)).numpy())

        by_unit, shares = self._explained(fit, encoder, decoder, fit.architecture)
        if self._is_linear(fit.architecture):
            own["components_"] = array(linear_map(decoder).t())
        kept = float(shares.sum())
        is_short = not isinstance(self.n_components, Integral) and fit.setup.previous is None
        return own | {
            "explained_variance_": array(by_unit),
            "explained_variance_ratio_": array(shares),
            "_short_of": kept if is_short and kept < self.n_components - 1e-6 else None,
        }

    def _warn_after_fit(self: Any, history: History) -> None:
        if self.ordered and self._short_of is not None:
            warn(
                f"All {self.n_components_} units keep {self._short_of:.3g} of the variance, less than "
                f"n_components={self.n_components}: none was removed. Raise max_iter or learning_rate, widen the "
                "hidden layers, or lower n_components.",
            )
