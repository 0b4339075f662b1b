"""What every estimator shares: parameters, validation, the fit, and the methods on the fitted networks."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any, cast

import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._data import arrays
from ._data.chunks import chunk_rows, chunks
from ._data.empty import is_empty
from ._fitted import persistence
from ._fitted.explained import r2
from ._networks.activations import ACTIVATIONS
from ._networks.building import Architecture, mark_missing
from ._networks.convolutions import NORMALIZATIONS
from ._networks.dictionary import dictionary
from ._networks.inference import forward
from ._networks.networks import multiply_adds
from ._objectives.losses import LOSSES, Loss, supports_of
from ._objectives.penalties import Penalty
from ._objectives.support import Support, SupportWatch
from ._support import threads
from ._support.default_device import cpu_by_default
from ._support.parameters import AT_LEAST_ONE, SHARE, parameter
from ._support.warnings import warn
from ._training.advice import warn_of_the_end
from ._training.bottleneck import Bottleneck
from ._training.fitting import Fit, Phase, fit_networks
from ._training.history import History
from ._training.incremental import update_networks
from ._training.parameters import TrainingParameters
from ._training.setup import Mode, Setup

_ACTIVATION = StrOptions(set(ACTIVATIONS))


class UsesEncoder(
    TrainingParameters, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """What autoencoders share with the classifier: a fitted encoder for validated rows, and how it is saved."""

    def _encode(self, X, method: str | None = None):
        X = self._check(X, method)
        encode, watch = forward(self.encoder_, arrays.torch_dtype(X)), SupportWatch(self._supports_of_inputs)
        return self._stream(X, encode, self._n_features_out, watch=watch)

    def _check(self, X, method: str | None = None):
        """Validate rows, all but whether they are finite: `arrays.finite_check` tells, chunk by chunk."""
        check_is_fitted(self)
        return arrays.check_rows(self, X, reset=False, method=method, all_finite=False)

    def _stream(
        self,
        X,
        apply,
        width: int,
        dtype: torch.dtype | None = None,
        watch: SupportWatch | None = None,
        n_passes: int = 1,
    ):
        """Apply a function of dense chunks to validated rows, into one preallocated array of ``width`` columns.

        ``watch`` marks, and warns of, rows outside the support of the loss; None is for codes. ``n_passes`` is how
        often a row passes through the networks.
        """
        output, check = arrays.Output(X, (X.shape[0], width), dtype), arrays.finite_check(self, X)
        here, widest = output.tensor.device == self.device_, max(width, X.shape[1], self._widest)
        with self._inference(X.shape[0] * n_passes):
            for part, rows in chunks(arrays.to_torch(X), arrays.torch_dtype(X).itemsize * widest):
                check(rows)
                x, out = rows.to(self.device_), output.tensor[part]
                if here:
                    apply(x, out)
                else:
                    out.copy_(apply(x, torch.empty_like(out, device=self.device_)))
                if watch is not None:
                    watch.see(x, out)
        if watch is not None:
            watch.warn()
        return output.array()

    @contextlib.contextmanager
    def _inference(self, n_rows: int) -> Iterator[None]:
        """Set torch up for so many rows, each chunk of which passes at once."""
        networks = [vars(self)[name] for name in ("encoder_", "decoder_", "head_") if name in vars(self)]
        at_once = min(n_rows, chunk_rows(4 * self._widest))
        with torch.inference_mode(), threads.for_work(at_once * multiply_adds(networks)):
            yield

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return persistence.to_plain(dict(super().__getstate__()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        with cpu_by_default():
            state = persistence.from_plain(dict(state), type(self).__name__)
        newer = {name: getattr(type(self), name) for name in self._parameter_names if name not in state}
        super().__setstate__({**newer, **state})  # a file may be older than a parameter


class BaseAutoencoder(UsesEncoder):
    """Autoencoder to derive your own from: a network of your own, a penalty of your own, or both.

    It is a whole autoencoder, with the parameters, attributes and methods of :class:`AutoencoderTransformer` but
    for ``contractive`` and ``ordered``. A subclass only says what is different:

    - a parameter is an annotated field with a default, and scikit-learn's constraint in
      ``_parameter_constraints``; or an ``__init__`` names all parameters, as elsewhere in scikit-learn;
    - ``_penalty(self, x, code)`` returns a term of each row's loss, of shape (n,), as a torch tensor;
    - other :doc:`hooks </extending>` add fitted attributes and warnings.

    Everything else follows: validation, centring, early stopping, `partial_fit`, saving, data frames, CSR rows,
    devices, and scikit-learn's ``clone``, pipelines and searches. The same hooks work in subclasses of every other
    estimator, such as a :class:`VAESampler` with a penalty.

    See Also
    --------
    AutoencoderTransformer : The plain autoencoder, with all parameters and attributes described.

    Examples
    --------
    Codes of about length one, for cosine similarity:

    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skae import BaseAutoencoder
    >>> class SphericalAutoencoder(BaseAutoencoder):
    ...     strength: float = 0.1
    ...
    ...     def _penalty(self, x, code):
    ...         return self.strength * (torch.linalg.vector_norm(code, dim=1) - 1).square()
    >>> X = load_iris().data
    >>> codes = SphericalAutoencoder(2, max_iter=50, random_state=0).fit_transform(X)
    >>> bool(abs((codes**2).sum(axis=1) ** 0.5 - 1).mean() < 0.3)
    True
    """

    # Think twice before adding a method here.

    n_components: int = parameter(AT_LEAST_ONE, default=16, positional=True)
    hidden_layer_sizes: Any = parameter("array-like", AT_LEAST_ONE, default=(128,))
    decoder_hidden_layer_sizes: Any = parameter("array-like", AT_LEAST_ONE, None, default=None)
    activation: str = parameter(_ACTIVATION, default="relu")
    code_activation: str = parameter(_ACTIVATION, default="identity")
    output_activation: str = parameter(_ACTIVATION, default="identity")
    tied_weights: bool = parameter("boolean", default=False)
    encoder: Any = parameter(nn.Module, None, default=None)
    decoder: Any = parameter(nn.Module, None, default=None)
    reset_parameters: bool = parameter("boolean", default=False)
    normalization: str | None = parameter(StrOptions(set(NORMALIZATIONS)), None, default=None)
    image_shape: Any = parameter("array-like", None, default=None)
    kernel_size: int = parameter(AT_LEAST_ONE, default=3)
    downsampling: str = parameter(StrOptions({"stride", "pool"}), default="stride")
    downsampling_factor: Any = parameter("array-like", AT_LEAST_ONE, default=2)
    code_layer: str = parameter(StrOptions({"dense", "convolution"}), default="dense")
    loss: Any = parameter(StrOptions(set(LOSSES)), callable, default="squared_error")
    dropout: float = parameter(SHARE, default=0.0)
    init: str = parameter(StrOptions({"auto", "pca", "glorot", "he"}), default="auto")
    n_init: int = parameter(AT_LEAST_ONE, default=1)
    warm_start: bool = parameter("boolean", default=False)
    device: Any = parameter(str, torch.device, default="cpu")
    dtype: str = parameter(StrOptions({"auto", "float32", "float64", "bfloat16"}), default="auto")

    # Parameters that only some of the estimators have; these are the others' values.
    noise = cast(Any, None)
    noise_level = 0.0
    hidden_groups = cast(Any, None)
    clean_fraction = cast(Any, 0.0)
    _width_parameter = "n_components"  # which of the parameters is the width of the code
    _score_unit = "minus the mean squared error"  # what `score_samples` is, as displays write it
    _code_may_be_wide = False  # whether codes wider than the rows are not warned of
    _starts_at_pca = False  # whether networks may start at PCA's solution
    _reads_code_activation = False  # whether `code_activation` says something of users' encoders, too
    _reads_by_choice = cast(Any, MappingProxyType({}))  # parameter: {value: what it reads}

    # Fitting ----------------------------------------------------------------------------------------------

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_val=None):
        """Train the networks on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Rows to watch for ``early_stopping``, instead of a share of X.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or has values outside the range of the loss; if
            parameters contradict each other; if ``early_stopping`` has too few rows to hold some out; or if
            training diverges.
        RuntimeError
            If ``device`` is not available.
        """
        return fit_networks(self, X, X_val=X_val)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Take one pass over X, from the current weights and the current solver state.

        Call it repeatedly for data that come in chunks. No rows are held out for ``early_stopping``, and there is
        no :class:`~sklearn.exceptions.ConvergenceWarning`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return update_networks(self, X)

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
            Codes, of X's floating dtype. The code of a row does not depend on the other rows.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or differs from the data of `fit` in the number
            or the names of its features.
        """
        return self._encode(X, "transform")

    def inverse_transform(self, Z):
        """Map codes to rows.

        Parameters
        ----------
        Z : {array-like, sparse matrix} of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : {ndarray, data frame} of shape (n_samples, n_features)
            Reconstructions, in units of X and of Z's floating dtype; probabilities for binary cross-entropy and
            the Bernoulli and categorical likelihoods. A data frame with the names of the features if `set_output`
            asks for one.
        """
        check_is_fitted(self)
        checked = self._check_codes(Z)
        decode = forward(self.decoder_, arrays.torch_dtype(checked))
        return arrays.framed(self, self._stream(checked, decode, self.n_features_in_), Z)

    def _check_codes(self, Z):
        """Validate codes."""
        return arrays.check_codes(self, Z, self._n_features_out)

    def reconstruct(self, X):
        """Encode and decode rows, as ``inverse_transform(transform(X))``, in chunks of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.

        Returns
        -------
        X_reconstructed : {ndarray, data frame} of shape (n_samples, n_features)
            Reconstructions, dense, in units of X and of X's floating dtype. A data frame if `set_output` asks for
            one.
        """
        rows = self._check(X, "reconstruct")
        reconstruct, watch = self._reconstruction(arrays.torch_dtype(rows)), SupportWatch(self._supports_of_inputs)
        return arrays.framed(self, self._stream(rows, reconstruct, self.n_features_in_, watch=watch), X)

    def reconstruction_error(self, X, per_feature=False):
        """Compute the squared error between rows and their reconstructions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to reconstruct.
        per_feature : bool, default=False
            Whether to return the error of each feature instead of the mean over features.

        Returns
        -------
        error : ndarray of shape (n_samples,) or (n_samples, n_features)
            Squared errors, in squared units of X, of X's floating dtype. Where the estimator takes missing values,
            NaN where one is missing; means are those of the others, and 0 for a row without any.
        """
        X = self._check(X, "reconstruction_error")
        return self._squared_errors(X, per_feature, SupportWatch(self._supports_of_inputs))

    def _squared_errors(self, X, per_feature: bool, watch: SupportWatch):
        reconstruct = self._reconstruction(arrays.torch_dtype(X))

        def squared_error(x, out):
            error = reconstruct(x, None).sub_(x).square_()
            if per_feature:
                return out.copy_(error)
            if self._takes_missing:
                return out.copy_(torch.nanmean(error, 1, keepdim=True).masked_fill_(is_empty(x), 0))
            return torch.mean(error, 1, keepdim=True, out=out)

        result = self._stream(X, squared_error, self.n_features_in_ if per_feature else 1, watch=watch)
        return result if per_feature else result[:, 0]

    def score_samples(self, X):
        """Score rows for anomaly detection, by minus their reconstruction error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the mean squared error of each row, in squared units of X, of X's floating dtype. Higher is more
            normal. Rows with values that the loss does not take, such as outside [0, 1] for binary cross-entropy,
            score -inf, with a warning.
        """
        X = self._check(X, "score_samples")
        return -self._squared_errors(X, False, SupportWatch(self._supports, math.inf))

    def score(self, X, y=None, sample_weight=None):
        """Compute the R² of the reconstruction: the fraction of the variance of X that it explains.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows, in the residuals, the means and the variance. None is equal weights.

        Returns
        -------
        score : float
            R², with features weighted by their variance in X: 1 is perfect, 0 is as good as the mean of X. It
            does not depend on the units of X. For a single row it is undefined: NaN, with a warning.
        """
        return self._r2(self._check(X, "score"), None, sample_weight)

    def _r2(self, X, X_clean, sample_weight) -> float:
        """Compute the R^2 of what validated rows are reconstructed as: of themselves, or of clean ones."""
        rows, weight = arrays.to_torch(X), arrays.check_weights(sample_weight, X)
        check = arrays.finite_check(self, X)
        if rows.shape[0] < 2:
            check(rows)
            warn("R^2 is not defined for fewer than two rows.", UndefinedMetricWarning)
            return float("nan")
        reconstruct, watch = self._reconstruction(arrays.torch_dtype(X)), SupportWatch(self._supports)

        def restore(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            check(x)
            watch.see(target)
            return reconstruct(x.to(self.device_))

        clean, row_bytes = None if X_clean is None else arrays.to_torch(X_clean), 8 * self._widest
        with self._inference(rows.shape[0]):
            explained = r2(restore, rows, clean, weight, missing=self._takes_missing, row_bytes=row_bytes)
        watch.warn("X" if X_clean is None else "X_clean")
        return explained

    def _reconstruction(self, dtype: torch.dtype):
        encode, decode = forward(self.encoder_, dtype), forward(self.decoder_, dtype)
        return lambda x, out=None: decode(encode(x, None), out)

    @property
    def components_(self):
        components = dictionary(self.decoder_) if hasattr(self, "decoder_") else None
        if components is None:
            raise AttributeError(
                f"This {type(self).__name__} has no components_: only a fitted decoder of one dense layer, or of "
                "several without an activation between them, is a dictionary. Use hidden_layer_sizes=()."
            )
        return arrays.array_like(self.offset_, components)

    @property
    def _takes_missing(self) -> bool:
        """Whether X may have missing values."""
        return getattr(self, "missing_values", None) is not None

    @property
    def _n_features_out(self) -> int:
        return self._architecture["encoder_layer_sizes"][-1]

    @property
    def _supports(self) -> Sequence[Support]:
        """Which rows the loss takes."""
        return supports_of(self._architecture["link"])

    @property
    def _supports_of_inputs(self) -> Sequence[Support]:
        """Which rows the encoder can have seen; noise may have led them anywhere."""
        return self._supports if self.noise is None else ()

    @property
    def _widest(self) -> int:
        """The width of the widest layer, which bounds how many rows pass through at once."""
        return max(*self._architecture["encoder_layer_sizes"], *self._architecture["decoder_layer_sizes"])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.allow_nan = self._takes_missing
        tags.input_tags.sparse = not self._takes_missing
        return tags

    def __sklearn_clone__(self):
        clone = super().__sklearn_clone__()
        if isinstance(self.encoder, nn.Module) and isinstance(self.decoder, nn.Module):
            # Copied together, so that modules which share parameters still do.
            clone.encoder, clone.decoder = copy.deepcopy((self.encoder, self.decoder))
        return clone

    # Hooks for variants. Each is called for every class that defines it: none of them calls ``super()``. -----

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        """Return the networks' description, changed where the variant's differ."""
        return architecture

    def _initialize_weights(self, setup: Setup, encoder: Any, decoder: Any) -> None:
        """Change the first weights, which have been drawn, in place."""

    def _reconstruction_loss(self, setup: Setup, decoder: Any) -> Loss | None:
        """Return the reconstruction loss; None leaves it to ``loss``. There can be one only."""
        return None

    def _bottleneck(self, setup: Setup) -> Bottleneck | None:
        """Return what stands between the code layer and the decoder, or None. There can be one only."""
        return None

    def _penalties(self, setup: Setup) -> Sequence[Penalty]:
        """Return terms to add to the objective, with their closed forms where they have one.

        A variant may define ``_penalty(self, x, code)`` instead, which returns a term to add to each row's loss,
        shape (n,), differentiable by autograd. ``x`` is (n, n_features), rows minus ``offset_`` in units of X,
        with the noise if there is any, and takes a gradient; ``offset_`` is zero where networks are not centred,
        as those of one's own are not. ``code`` is (n, n_components).
        """
        return ()

    def _projections(self, setup: Setup) -> Sequence[Callable[[torch.Tensor], object]]:
        """Return what changes the decoder's weights of each code unit in place after each update."""
        return ()

    def _phases(self, fit: Fit) -> Sequence[Phase] | None:
        """Return what is trained one after the other; None trains both networks as a whole."""
        return None

    def _finalize_networks(self, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple:
        """Return both networks and their architecture as they are to be kept, once they are trained."""
        return encoder, decoder, architecture

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        """Return fitted attributes beside those that all estimators have; change nothing."""
        return {}

    def _warn_after_fit(self, history: History) -> None:
        """Warn of how a fit went, at its end."""
        for complaint in history.complaints:
            warn(complaint)
        warn_of_the_end(self, history)


class TakesSampleWeight(BaseAutoencoder):
    """Base class of autoencoders whose rows may have weights."""

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, X_val=None):
        """Train the networks on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows. Where no noise is drawn, an integer weight is equivalent to repeating
            the row, zero to leaving it out. Of weights that are less than one on average, only ratios matter.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Rows to watch for ``early_stopping``, instead of a share of X.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or has values outside the range of the loss; if
            parameters contradict each other; if ``early_stopping`` has too few rows to hold some out; or if
            training diverges.
        RuntimeError
            If ``device`` is not available.
        """
        return fit_networks(self, X, sample_weight=sample_weight, X_val=X_val)


def as_one_of(kind: Any, fitted: Any) -> Any:
    """Return a fitted autoencoder of a subclass of ``kind`` as one of ``kind``, which has fewer parameters."""
    own = set(fitted._parameter_names) - set(kind._parameter_names)
    result = kind.__new__(kind)
    vars(result).update({name: value for name, value in vars(fitted).items() if name not in own})
    return result


class TakesMissingValues(BaseAutoencoder):
    """Base class of autoencoders whose rows may have missing values."""

    missing_values: Any = parameter(Real, None, default=None)

    @available_if(lambda self: self._takes_missing)
    def impute(self, X):
        """Fill missing values by what the model expects there, given the other values of their row.

        Only with ``missing_values``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data with missing values.

        Returns
        -------
        X_filled : {ndarray, data frame} of shape (n_samples, n_features)
            Data, of X's floating dtype: the values that are not missing are those of X. A data frame if
            `set_output` asks for one.
        """
        rows = self._check(X, "impute")
        expect = self._expectation(arrays.torch_dtype(rows))

        def fill(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            return torch.where(x.isnan(), expect(x, torch.empty_like(out)), x, out=out)

        watch = SupportWatch(self._supports_of_inputs)
        return arrays.framed(self, self._stream(rows, fill, self.n_features_in_, watch=watch), X)

    def _expectation(self, dtype: torch.dtype) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return what maps rows with missing values to expected ones, of all entries."""
        return self._reconstruction(dtype)

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        return mark_missing(self, architecture)
