"""What every estimator shares: parameters, validation, the fit, and the methods on the fitted networks."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar, dataclass_transform

import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._data import arrays
from ._data.corruption import Corruption
from ._data.rows import Densifier, slices
from ._documentation import LinkedMixin
from ._fitted import persistence
from ._networks.activations import ACTIVATIONS
from ._networks.convolutions import NORMALIZATIONS
from ._networks.inference import Forward, forward
from ._networks.networks import Architecture
from ._objectives.losses import LOSSES, Loss, loss_by
from ._objectives.penalties import Penalty
from ._support.warnings import warn
from ._training.fitting import Fit
from ._training.layers import Bridge
from ._training.loop import History
from ._training.monitoring import Monitor, warn_of_the_end
from ._training.optimizers import OPTIMIZERS
from ._training.run import atomic

_ACTIVATION = StrOptions(set(ACTIVATIONS))


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
@dataclass(kw_only=True, eq=False, repr=False)
class BaseAutoencoder(
    LinkedMixin, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Base of all autoencoders: a subclass holds only what makes it itself.

    Think twice before adding a method here. A variant is a class with annotated fields for its parameters,
    their `_parameter_constraints`, and an override of one of the hooks at the end of this class; see the
    documentation's page on extending.
    """

    n_components: int = field(default=16, kw_only=False)
    hidden_layer_sizes: Any = (128,)
    decoder_hidden_layer_sizes: Any = None
    activation: str = "relu"
    code_activation: str = "identity"
    output_activation: str = "identity"
    normalization: str | None = None
    image_shape: Any = None
    kernel_size: int = 3
    downsampling: str = "stride"
    downsampling_factor: Any = 2
    code_layer: str = "dense"
    loss: Any = "squared_error"
    alpha: float = 0.0
    solver: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    batch_size: Any = "auto"
    max_iter: int = 200
    shuffle: bool = True
    tol: float | None = 1e-4
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    warm_start: bool = False
    device: Any = "cpu"
    dtype: str = "auto"
    random_state: Any = None
    verbose: Any = False

    # Parameters that only some of the estimators have; these are the others' values.
    tied_weights = False
    encoder = None
    decoder = None
    sparsity = None
    _width_parameter = "n_components"  # its name, for messages

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "decoder_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), None],
        "activation": [_ACTIVATION],
        "code_activation": [_ACTIVATION],
        "output_activation": [_ACTIVATION],
        "normalization": [StrOptions(set(NORMALIZATIONS)), None],
        "image_shape": ["array-like", None],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "downsampling": [StrOptions({"stride", "pool"})],
        "downsampling_factor": ["array-like", Interval(Integral, 1, None, closed="left")],
        "code_layer": [StrOptions({"dense", "convolution"})],
        "loss": [StrOptions(set(LOSSES)), callable],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions(set(OPTIMIZERS))],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "dtype": [StrOptions({"auto", "float32", "float64", "bfloat16"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Gives the subclass an explicit __init__ that stores each parameter, as scikit-learn asks.
        dataclass(kw_only=True, eq=False, repr=False)(cls)

    # Fitting ----------------------------------------------------------------------------------------------

    @atomic
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the networks on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or lies outside the range of the loss; if
            parameters contradict each other; if ``early_stopping`` has too few rows to hold some out; or if
            training diverges.
        RuntimeError
            If the machine has no such ``device``.
        """
        return self._fit(X, y)

    def _fit(self, X, y=None, **data):
        warm = self.warm_start and hasattr(self, "encoder_")
        X = arrays.check_rows(self, X, reset=not warm)
        fit = Fit(self, X, start=self if warm else None, **data)
        context = self._init_callback_context(max_subtasks=self._n_tasks(warm))
        if hasattr(self, "_skl_callbacks"):
            context.call_on_fit_task_begin(estimator=self, X=X, y=X)
        history = fit.run(context)
        vars(self).pop("validation_loss_curve_", None)
        vars(self).update(fit.attributes(history))
        if hasattr(self, "_skl_callbacks"):
            context.call_on_fit_task_end(
                estimator=self, X=X, y=X, reconstruction_attributes=lambda: fit.attributes(history)
            )
        self._warn(history)
        return self

    @atomic
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Take one pass over X, from the current weights and the current state of the solver.

        Nothing is held out for ``early_stopping``, no warning says that training is not over, and there are no
        sample weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        return self._partial_fit(X)

    def _partial_fit(self, X, **data):
        first = not hasattr(self, "encoder_")
        X = arrays.check_rows(self, X, reset=first)
        fit = Fit(self, X, start=None if first else self, one_pass=True, **data)
        history = fit.run(None)
        vars(self).update(fit.attributes(history))
        return self

    # Using the networks -----------------------------------------------------------------------------------

    def transform(self, X):
        """Map rows to their codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, of X's floating dtype. Each row's depends on that row alone.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X, "transform")
        return self._stream(X, self._encoding(arrays.torch_dtype(X)), self._n_features_out)

    def inverse_transform(self, Z):
        """Map codes to the data's space.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Reconstructions, of Z's floating dtype; with a logistic link (binary cross-entropy) these are
            probabilities.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If Z is not of shape (n_samples, n_components), or holds NaN or infinity.
        """
        check_is_fitted(self)
        Z = arrays.check_codes(self, Z, self._n_features_out)
        decode = forward(self.decoder_, arrays.torch_dtype(Z))
        return self._stream(Z, decode, self.n_features_in_)

    def reconstruct(self, X):
        """Encode and decode rows: ``inverse_transform(transform(X))``, chunk by chunk.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.

        Returns
        -------
        X_reconstructed : ndarray of shape (n_samples, n_features)
            Reconstructions, dense, of X's floating dtype.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X, "reconstruct")
        return self._stream(X, self._reconstruction(arrays.torch_dtype(X)), self.n_features_in_)

    def reconstruction_error(self, X, per_feature=False):
        """Compute the squared error between rows and their reconstructions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.
        per_feature : bool, default=False
            Whether to return the error of each entry instead of each row's mean over features.

        Returns
        -------
        error : ndarray of shape (n_samples,) or (n_samples, n_features)
            Squared errors, in squared units of X, of X's floating dtype.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X, "reconstruction_error")
        reconstruct = self._reconstruction(arrays.torch_dtype(X))

        def squared_error(x, out):
            error = reconstruct(x, None).sub_(x).square_()
            return out.copy_(error) if per_feature else torch.mean(error, 1, keepdim=True, out=out)

        result = self._stream(X, squared_error, self.n_features_in_ if per_feature else 1)
        return result if per_feature else result[:, 0]

    def score_samples(self, X):
        """Score how normal rows look to the model: minus their reconstruction error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the mean squared error of each row, of X's floating dtype; higher is more normal.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        return -self.reconstruction_error(X)

    def score(self, X, y=None):
        """Compute how much of the variance in X survives encoding and decoding.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        y : None
            Ignored.

        Returns
        -------
        score : float
            R^2 of the reconstruction, features weighted by their variance in X: 1 is perfect, 0 is as good
            as X's own mean. It does not depend on the units of X. For a single row it is not defined: NaN, with
            a warning.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X, "score")
        rows = arrays.to_torch(X)
        if rows.shape[0] < 2:
            warn("R^2 is not defined for fewer than two rows.", UndefinedMetricWarning)
            return float("nan")
        mean = arrays.column_means(rows, None)
        reconstruct = self._reconstruction(arrays.torch_dtype(X))
        residual, total, densify = torch.zeros_like(mean), torch.zeros_like(mean), Densifier()
        with torch.inference_mode():
            for part in slices(rows.shape[0], self._widest * 8):
                x = densify(rows[part])
                restored = reconstruct(x.to(self.device_), None).to(x.device)
                residual += (restored.to(mean.dtype) - x).square().sum(0)
                total += (x - mean).square().sum(0)
        n = rows.shape[0]
        rounding = min(n * torch.finfo(mean.dtype).eps, 1e-6) * mean  # of the mean of a constant column
        varies = total > n * rounding.square()
        if not varies.any():
            return float(not residual.any())
        return 1.0 - float(residual[varies].sum() / total[varies].sum())

    def _reconstruction(self, dtype: torch.dtype):
        encode, decode = self._encoding(dtype), forward(self.decoder_, dtype)
        return lambda x, out=None: decode(encode(x, None), out)

    def _stream(self, X, apply, width: int, dtype: torch.dtype | None = None):
        return arrays.stream(X, apply, width, self.device_, dtype, self._widest)

    def _check(self, X, method: str):
        check_is_fitted(self)
        return arrays.check_rows(self, X, reset=False, method=method)

    @property
    def _n_features_out(self) -> int:
        return self._architecture["encoder_layer_sizes"][-1]

    @property
    def _widest(self) -> int:
        """The width of the widest layer, which bounds how many rows pass through at once."""
        return max(*self._architecture["encoder_layer_sizes"], *self._architecture["decoder_layer_sizes"])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __sklearn_clone__(self):
        clone = super().__sklearn_clone__()
        if isinstance(self.encoder, nn.Module) and isinstance(self.decoder, nn.Module):
            # Copied together, so that modules which share parameters still do.
            clone.encoder, clone.decoder = copy.deepcopy((self.encoder, self.decoder))
        return clone

    def __getstate__(self) -> dict[str, Any]:
        return persistence.to_plain(dict(super().__getstate__()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(persistence.from_plain(dict(state), type(self).__name__))

    # Hooks for variants -----------------------------------------------------------------------------------

    def _n_tasks(self, warm: bool) -> int:
        """Return how many subtasks a fit has for callbacks: epochs, or phases of epochs."""
        return self.max_iter

    def _code_width(self, fit: Fit) -> int:
        """Return the width of the code to train; of ``fit`` there are only the rows yet."""
        return int(self.n_components)

    def _encoding(self, dtype: torch.dtype) -> Forward:
        """Return ``f(x, out=None)``, which maps a dense chunk to its codes."""
        return forward(self.encoder_, dtype)

    def _adapt(self, architecture: Architecture) -> Architecture:
        """Return the networks' description, changed where the variant's differ."""
        return architecture

    def _initialize(self, fit: Fit, encoder: nn.Module, decoder: nn.Module) -> None:
        """Change the first weights, which have been drawn, in place."""

    def _resume(self, fit: Fit, encoder: nn.Module, decoder: nn.Module) -> None:
        """Change the weights that ``fit.start`` leaves, in place, before they are trained further."""

    def _train(self, fit: Fit, context) -> History:
        """Train the networks; callbacks are told through ``context``."""
        return fit.train(fit.step, Monitor(self, fit, context), max_iter=self.max_iter)

    def _warn(self, history: History) -> None:
        """Warn of how a fit went, at its end."""
        warn_of_the_end(self, history)

    def _own_encoder(self) -> nn.Module:
        """Return a copy of the fitted encoder that ends in the code, to be trained further."""
        return copy.deepcopy(self.encoder_)

    def _reconstruction_loss(self, fit: Fit) -> Loss:
        """Return the loss of the networks as a whole."""
        return loss_by(self.loss)

    def _corruption(self, fit: Fit) -> Corruption | None:
        """Return the noise to put on each batch's inputs, or None."""
        return None

    def _bridge(self, fit: Fit) -> Bridge | None:
        """Return what stands between the code layer and the decoder, or None."""
        return None

    def _penalty(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """Return a term to add to each row's loss, shape (n,), differentiable by autograd.

        ``x`` is (n, n_features) as it enters the encoder and takes a gradient; ``code`` is (n, n_components).
        Defining this is enough for a variant whose networks may train by autograd.
        """
        raise AssertionError("called only where a variant defines it")  # pragma: no cover

    def _regularizer(self, fit: Fit) -> Penalty | None:
        """Return the term to add to the objective, with its closed form if it has one, or None."""
        defined = type(self)._penalty is not BaseAutoencoder._penalty
        return Penalty.of_rows(self._penalty) if defined else None

    def _learning_rate(self, fit: Fit) -> float:
        """Return the learning rate of the networks' solver."""
        return self.learning_rate

    def _averages(self, fit: Fit) -> bool:
        """Return whether to keep a running mean of the weights instead of the last ones."""
        return False

    def _constraint(self, fit: Fit) -> Callable[[torch.Tensor], object] | None:
        """Return what changes the decoder's weights of each code unit in place after each update, or None."""
        return None

    def _own_attributes(self, fit: Fit, encoder: nn.Module, decoder: nn.Module) -> dict[str, Any]:
        """Return fitted attributes beside those that all estimators have."""
        return {}
