"""The imputer: missing entries filled by Gaussians, a mixture of them, and an ensemble of autoencoders."""

import math
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.impute import MissingIndicator
from sklearn.utils._missing import is_pandas_na
from sklearn.utils._param_validation import MissingValues, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from ._data import arrays
from ._data.magnitude import check_columns
from ._data.markers import in_rows, without_na
from ._imputation.imputation import Outcome, fit_imputation, from_plain, to_plain, work
from ._imputation.members import Shape
from ._imputation.plausible import Range, plausible_range
from ._imputation.training import STEPS_PER_REVIEW, Review, Settings
from ._networks.activations import ACTIVATIONS
from ._support import devices, threads
from ._support.parameters import AT_LEAST_ONE, NON_NEGATIVE, POSITIVE, Parameters, layer_sizes, parameter
from ._support.ranks import refuse
from ._support.warnings import warn
from ._training.fitting import restore_on_failure
from ._training.problem import DivergedError

N_STEPS = 800
BATCH_SIZE = 128
MOST_ROWS = 10_000
MOST_NAMED = 5  # columns, in a warning
MOST_WORK = 5e10  # multiply-adds of an iteration of EM


class AutoencoderImputer(CallbackSupportMixin, Parameters, TransformerMixin, BaseEstimator):
    """Imputer of missing numbers: Gaussian models, corrected by an ensemble of autoencoders.

    Missing entries get their expected values given the observed entries of their row. Four models say what these
    are: a Gaussian with a full covariance, fitted by EM [1]_; a Gaussian copula, which is the same for normal
    scores of the columns; a mixture of three Gaussians, for rows that come in groups; and an ensemble of
    importance-weighted autoencoders for incomplete rows [2]_. How much each counts is decided by observed entries
    that are held out. On tables that are nearly Gaussian the result is the Gaussian's.

    Rows that were not seen in `fit` are filled in the same way, each by itself. Columns need no scaling.

    Parameters
    ----------
    n_estimators : int, default=8
        Number of networks in the ensemble. Each observed entry is held out from at most one of them.
    add_indicator : bool, default=False
        Whether to append the columns of a :class:`~sklearn.impute.MissingIndicator` to the output.
    keep_empty_features : bool, default=False
        Whether to keep columns without any observed value in `fit`, filled with 0, instead of leaving them out.
    sample_posterior : bool, default=False
        Whether `transform` draws missing entries from their distribution given the observed ones, instead of
        filling in its mean. Each call draws anew; see the Notes.
    min_value : float or array-like of shape (n_features,), default=-np.inf
        Smallest value to fill in, of all columns or of each.
    max_value : float or array-like of shape (n_features,), default=np.inf
        Largest value to fill in, of all columns or of each.
    n_components : int, default=4
        Width of the networks' code.
    missing_values : int, float or pandas.NA, default=np.nan
        What marks a missing entry. ``np.nan`` and ``pandas.NA`` both cover missing entries of pandas' nullable
        columns, and NaN.
    hidden_layer_sizes : int or array-like of int, default=(64, 64)
        Widths of the encoders' hidden layers, from the input to the code; the decoders' are the same in
        opposite order. An int is a single layer; ``()`` is no hidden layer.
    activation : str, default='silu'
        Activation of the hidden layers: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu', 'silu', 'tanh' or
        'sigmoid' (also called 'logistic').
    alpha : float, default=0.01
        Weight decay of the networks, by AdamW (Loshchilov and Hutter 2019). Biases do not decay.
    learning_rate : float, default=2e-3
        First learning rate of AdamW. It falls to zero along a cosine.
    batch_size : int or 'auto', default='auto'
        Number of rows in each network's batches. 'auto' is ``min(128, n_samples)``.
    max_iter : int or 'auto', default='auto'
        Maximum number of epochs, that is, of steps that together take in as many rows as there are. 'auto' makes
        it 800 steps. The networks are those of the step at which held-out entries were filled best; 250 steps
        without a smaller error end training.
    device : str or torch.device, default='cpu'
        Device of the networks: 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or 'auto' for the first accelerator
        available, else the CPU. Asking for a device that is not available is an error.
    dtype : {'float32', 'float64'}, default='float32'
        Precision in which networks are trained.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the held-out rows, the order of the rows and the noise. With an int, fits on
        the CPU of one machine are reproducible bit for bit. The global generators of NumPy and torch are neither
        read nor changed.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.

    Attributes
    ----------
    imputation_error_ : ndarray of shape (n_features,)
        Root mean squared error of held-out entries of each column, in the column's unit; NaN for columns without
        any. It estimates the error of filling entries that are missing at random, and is slightly too large,
        since each entry is filled by one network, without help of the others.
    network_share_ : float
        Share of the networks' mean correction that is added to what the others fill in, from 0 to 1.
    mixture_share_ : float
        Share of the mixture in what the others fill in, from 0 to 1. The rest is the Gaussian's and the copula's.
    copula_share_ : float
        Share of the copula in that rest.
    shrinkage_ : float
        How much the off-diagonal entries of covariances are shrunk in each iteration of EM, chosen by held-out
        entries.
    error_curve_ : list of float
        Root mean squared error of held-out entries, filled by the networks alone, every 50 steps: in standard
        deviations of the columns.
    n_iter_ : int
        Number of epochs of the networks.
    batch_size_ : int
        Number of rows in each network's batches that was used.
    max_iter_ : int
        Largest number of epochs: what ``n_iter_`` is if held-out entries are filled better until the end.
    n_parameters_ : int
        Number of parameters of all networks.
    n_set_aside_ : ndarray of shape (n_features,)
        Number of values of each column in `fit` that are too far from all others to be learnt from; see the Notes.
    indicator_ : :class:`~sklearn.impute.MissingIndicator` or None
        Indicator whose columns are appended; None without ``add_indicator``.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that are all strings.

    See Also
    --------
    VAESampler : A single variational autoencoder.
    sklearn.impute.IterativeImputer : A regression of each column on the others, in turns.
    sklearn.impute.KNNImputer : Means over the nearest rows.

    Notes
    -----
    *What is assumed.* Entries may be missing completely at random, or depending on what is observed of their row.
    If whether an entry is missing depends on its own value, no imputer can know by how much to correct; and
    ``imputation_error_`` is then that of the entries that were observed.

    *Multiple imputation.* With ``sample_posterior=True``, each call of `transform` is one imputation: a row is
    drawn from one of the networks with probability ``network_share_``, else from one of the other models by their
    shares. The parameters of all Gaussians, and which network it is, are drawn anew for each call. Fit
    whatever is wanted to several such tables, and combine by Rubin's rules [3]_.

    *Precision.* The Gaussians are always fitted on the CPU in float64; in `transform` the networks use float64
    too, on devices that have it. ``random_state`` also decides which entries are held out, and what is drawn.

    *Gross values.* One value of 99999 in a column of tens would decide on the mean, the scale and all errors of
    the column. So values far beyond what the bulk of their column lets expect are treated as missing: in `fit`,
    which warns of them, and in `transform`, where they say nothing of the rest of their row. They come back as
    they are. How far tails reach is told by the column itself, with logarithms of distances from the median, so
    that skewed columns, those of mostly zeros and heavy tails keep theirs. Values that are only doubtful are set
    aside if the others of their row contradict. No more than 2% of a column are set aside: more are a part of it.
    ``imputation_error_`` does not count them.

    *Integers.* Filled entries are expected values: round them where only integers make sense.

    *Large tables.* The model is fitted to at most 10,000 rows, drawn at random, and to fewer if rows have hundreds
    of missing entries: for a row with m of them, EM takes m³ multiply-adds in each of its 20 iterations.
    `transform` takes them too, once for each network. Rows with the same entries missing share them. The mixture
    is fitted to at most 2,000 rows, and left out where these have dozens of missing entries each, or where there
    are hundreds of columns.

    *More columns than rows.* Covariances are shrunk towards independent columns, as much as held-out entries say.

    References
    ----------
    .. [1] A. P. Dempster, N. M. Laird and D. B. Rubin (1977). Maximum likelihood from incomplete data via the EM
       algorithm. Journal of the Royal Statistical Society B 39, 1-38.
    .. [2] P.-A. Mattei and J. Frellsen (2019). MIWAE: deep generative modelling and imputation of incomplete data
       sets. International Conference on Machine Learning.
    .. [3] D. B. Rubin (1987).
       Multiple imputation for nonresponse in surveys. Wiley.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderImputer
    >>> X = load_iris().data
    >>> holes = X.copy()
    >>> holes[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    >>> imputer = AutoencoderImputer(random_state=0)
    >>> filled = imputer.fit_transform(holes)
    >>> hidden = np.isnan(holes)
    >>> bool(np.abs(filled - X)[hidden].mean() < 0.4 * np.abs(np.nanmean(holes, 0) - X)[hidden].mean())
    True
    """

    missing_values: Any = parameter(MissingValues(numeric_only=True), default=np.nan)
    n_estimators: int = parameter(AT_LEAST_ONE, default=8)
    add_indicator: bool = parameter("boolean", default=False)
    keep_empty_features: bool = parameter("boolean", default=False)
    sample_posterior: bool = parameter("boolean", default=False)
    min_value: Any = parameter(None, "array-like", Real, default=-np.inf)
    max_value: Any = parameter(None, "array-like", Real, default=np.inf)
    n_components: int = parameter(AT_LEAST_ONE, default=4)
    hidden_layer_sizes: Any = parameter("array-like", AT_LEAST_ONE, default=(64, 64))
    activation: str = parameter(StrOptions(set(ACTIVATIONS)), default="silu")
    alpha: float = parameter(NON_NEGATIVE, default=0.01)
    learning_rate: float = parameter(POSITIVE, default=2e-3)
    batch_size: Any = parameter(StrOptions({"auto"}), AT_LEAST_ONE, default="auto")
    max_iter: Any = parameter(StrOptions({"auto"}), AT_LEAST_ONE, default="auto")
    device: Any = parameter(str, torch.device, default="cpu")
    dtype: str = parameter(StrOptions({"float32", "float64"}), default="float32")
    random_state: Any = parameter("random_state", default=None)
    verbose: Any = parameter("verbose", default=False)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Fit the imputer on X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data, with missing entries or without.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted imputer.

        Raises
        ------
        TypeError
            If X is sparse.
        ValueError
            If X is not two-dimensional, or contains infinity, or NaN that do not mark missing entries; if limits
            are not below one another or not as many as there are columns; or if training diverges.
        RuntimeError
            If ``device`` is not available.
        """
        refuse("AutoencoderImputer.fit")
        with restore_on_failure(self):
            given, X = X, self._check(X, reset=True)
            missing = self._missing(X, given)
            self._limits = _limits(self.min_value, self.max_value, X.shape[1])
            self._empty = missing.all(axis=0)
            self.indicator_ = self._indicator(missing) if self.add_indicator else None
            self._device = str(devices.resolve(self.device))  # a name, which any reader of files knows
            self._fit_model(X, missing)
        return self

    def _fit_model(self, X: np.ndarray, missing: np.ndarray) -> None:
        streams = devices.random_streams(self.random_state)
        self._seed, self._n_calls = streams.noise.initial_seed(), 0
        kept = ~self._empty
        values = self._set_aside(np.where(missing, np.nan, X).astype(np.float64))[:, kept]
        self._mean, self._scale = _standardization(values, np.flatnonzero(kept))
        observed = torch.from_numpy(~np.isnan(values))
        chosen = _rows_to_fit(observed, streams.split)
        x, observed = self._standardized(X[:, kept], observed)[chosen], observed[chosen]
        settings = self._settings(len(x))
        context = self._init_callback_context(max_subtasks=-(-settings.n_steps // STEPS_PER_REVIEW))
        context.call_on_fit_task_begin(estimator=self, X=X)

        def report(review: Review) -> bool:
            if self.verbose:
                print(f"Step {review.n_steps}, bound = {review.bound:.4f}, held-out error = {review.error:.4f}")
            task = context.subcontext(task_name="review")
            task.call_on_fit_task_begin(estimator=self, X=X)
            return task.call_on_fit_task_end(estimator=self, X=X)

        sizes = layer_sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        shape = Shape(int(self.n_estimators), x.shape[1], self.n_components, sizes, self.activation)
        try:
            with threads.for_work(work(x)):
                outcome = fit_imputation(x, observed, shape, settings, streams, report) if x.numel() else None
        except DivergedError as error:
            epoch = max(1, math.ceil(error.epoch * settings.batch_size / len(x)))
            largest = np.nanmax(np.abs(values))
            raise ValueError(
                f"Training diverged: the bound was no longer finite in epoch {epoch}. The largest magnitude in X "
                f"is {largest:.4g} and learning_rate={self.learning_rate:g}. Lower learning_rate: columns need no "
                "scaling."
            ) from None
        self._keep(outcome, settings, len(x))
        context.call_on_fit_task_end(estimator=self, X=X)

    def _set_aside(self, values: np.ndarray) -> np.ndarray:
        """Return rows (n, n_features) with NaN for entries that are not plausible, and say how many these are."""
        kept = ~self._empty
        with threads.for_work(0):  # one: their number decides how sums round
            plausible = plausible_range(values[:, kept])
        self._range = tuple(plausible)
        beyond = np.zeros(values.shape, dtype=bool)
        beyond[:, kept] = ~plausible.holds(values[:, kept]) & ~np.isnan(values[:, kept])
        self.n_set_aside_ = beyond.sum(axis=0)
        result = np.where(beyond, np.nan, values)
        _warn_of_slips(values, beyond, result, getattr(self, "feature_names_in_", None))
        return result

    def _settings(self, n_rows: int) -> Settings:
        batch_size = min(max(n_rows, 1), BATCH_SIZE if self.batch_size == "auto" else self.batch_size)
        n_steps = N_STEPS if self.max_iter == "auto" else max(1, -(-self.max_iter * n_rows // batch_size))
        dtype = torch.float64 if self.dtype == "float64" else torch.float32
        return Settings(n_steps, batch_size, self.learning_rate, self.alpha, dtype, torch.device(self._device))

    def _keep(self, outcome: Outcome | None, settings: Settings, n_rows: int) -> None:
        def epochs(n_steps: int) -> int:
            return max(1, round(n_steps * settings.batch_size / max(n_rows, 1)))

        self.batch_size_ = settings.batch_size
        self.max_iter_ = epochs(settings.n_steps) if self.max_iter == "auto" else self.max_iter
        self.imputation_error_ = np.full(len(self._empty), np.nan)
        self._model: dict[str, Any] | None = None
        self.network_share_, self.copula_share_, self.mixture_share_, self.shrinkage_ = 0.0, 0.0, 0.0, 0.0
        self.error_curve_: list[float] = []
        self.n_iter_, self.n_parameters_ = 0, 0
        if outcome is None:  # nothing is observed
            return
        imputation, reviews = outcome.imputation, outcome.reviews
        self._model = to_plain(imputation)
        self.imputation_error_[~self._empty] = outcome.error.numpy() * self._scale
        self.network_share_, (self.copula_share_, self.mixture_share_) = (
            imputation.network_share,
            imputation.shares,
        )
        self.shrinkage_ = outcome.shrinkage
        self.error_curve_ = [review.error for review in reviews]
        self.n_iter_ = min(self.max_iter_, epochs(reviews[-1].n_steps))
        self.n_parameters_ = len(imputation.members.flat)
        if outcome.interrupted:
            n_steps = reviews[-1].n_steps
            warn(f"Training was interrupted after {n_steps} steps; the best networks until then are kept.")

    def transform(self, X):
        """Fill the missing entries of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fill, seen in `fit` or not.

        Returns
        -------
        X_filled : ndarray of shape (n_samples, n_features_out)
            Rows without missing entries, of X's floating dtype; observed entries are those of X. Columns that were
            empty in `fit` are left out unless ``keep_empty_features``, and those of the indicator come last. What
            is filled in does not depend on the other rows, except for draws with ``sample_posterior``.
        """
        check_is_fitted(self)
        given, X = X, self._check(X, reset=False)
        missing = self._missing(X, given)
        kept = ~self._empty
        filled = np.where(missing, 0, X).astype(X.dtype)
        if missing[:, kept].any():
            lowest, highest = (limit[kept] for limit in self._limits)
            values = np.clip(self._fill(filled[:, kept], ~missing[:, kept]), lowest, highest)
            filled[:, kept] = np.where(missing[:, kept], values, X[:, kept])
        if not self.keep_empty_features:
            filled = filled[:, kept]
        if self.indicator_ is not None:
            filled = np.hstack([filled, self.indicator_.transform(_marks(missing))])
        return arrays.to_namespace_of(given, filled)

    def _fill(self, X: np.ndarray, observed: np.ndarray) -> np.ndarray:
        device = torch.device(self._device)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        assert self._model is not None
        model = from_plain(self._model, device, dtype)
        incomplete = torch.from_numpy(~observed.all(axis=1))
        limits = getattr(self, "_range", None)  # imputers of earlier versions have none
        seen = torch.from_numpy(observed if limits is None else observed & Range(*limits).holds(X))
        x = self._standardized(X, seen)
        rows = x[incomplete], seen[incomplete]
        with threads.for_work(work(rows[0])):
            if self.sample_posterior:
                seeds = np.random.SeedSequence([self._seed, self._n_calls]).generate_state(4)
                self._n_calls += 1
                x[incomplete] = model.draw(*rows, np.random.RandomState(seeds))
            else:
                x[incomplete] = model.fill(*rows)
        return x.numpy() * self._scale + self._mean

    def get_feature_names_out(self, input_features=None):
        """Get the names of the output's columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input's columns. None is ``feature_names_in_`` if that is defined, else ``x0``, ``x1``...

        Returns
        -------
        names : ndarray of str objects
            Names of the columns that are kept, then those of the indicator.
        """
        check_is_fitted(self)
        input_features = _check_feature_names_in(self, input_features)
        names = input_features if self.keep_empty_features else input_features[~self._empty]
        if self.indicator_ is None:
            return names
        return np.concatenate([names, self.indicator_.get_feature_names_out(input_features)])

    @property
    def _marker(self) -> Any:
        """What marks missing entries in an array, which pandas.NA becomes NaN in."""
        return np.nan if is_pandas_na(self.missing_values) else self.missing_values

    def _check(self, X, *, reset: bool) -> np.ndarray:
        finite = "allow-nan" if np.isnan(self._marker) else True
        X = without_na(X, dense=True)
        with arrays.with_remedy(X, self._marker):
            X = arrays.to_numpy(X.detach()) if isinstance(X, torch.Tensor) else X
            return validate_data(self, X, dtype=arrays.float_dtypes(X), ensure_all_finite=finite, reset=reset)

    def _standardized(self, X: np.ndarray, observed: torch.Tensor) -> torch.Tensor:
        """Return rows in standard deviations of their columns, float64, zero where an entry is missing."""
        scale = np.where(self._scale > 0, self._scale, 1.0)
        return torch.from_numpy(np.where(observed, (X.astype(np.float64) - self._mean) / scale, 0.0))

    def _missing(self, X: np.ndarray, given: Any) -> np.ndarray:
        """Tell which entries of validated rows, which were ``given`` before, are missing."""
        return np.isnan(X) if np.isnan(self._marker) else in_rows(self._marker, given) == X

    def _indicator(self, missing: np.ndarray) -> MissingIndicator:
        return MissingIndicator(error_on_new=False).fit(_marks(missing))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = bool(np.isnan(self._marker))
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = self.sample_posterior
        return tags


def _marks(missing: np.ndarray) -> np.ndarray:
    """Return rows that a MissingIndicator finds these entries missing in."""
    return np.where(missing, np.nan, 0.0)


def _standardization(values: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the observed entries of each column, zero for a constant column.

    Raises
    ------
    ValueError
        If a column, which ``numbers`` tells, has numbers whose squares cannot be represented.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    lowest, highest = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    check_columns(deviation, lowest, highest, numbers)
    rounding = 1e-12 * np.maximum(np.abs(lowest), np.abs(highest))
    return mean, np.where(deviation > rounding, deviation, 0.0)


def _warn_of_slips(values: np.ndarray, beyond: np.ndarray, rest: np.ndarray, names: np.ndarray | None) -> None:
    """Warn of entries that are set aside, save for the only other value of a column that is otherwise constant."""
    columns = np.flatnonzero(beyond.any(axis=0)).tolist()
    told = [j for j in columns if np.nanmin(rest[:, j]) < np.nanmax(rest[:, j])]
    if not told:
        return

    def described(j: int) -> str:
        odd = values[beyond[:, j], j]
        name, largest = j if names is None else repr(names[j]), odd[np.abs(odd).argmax()]
        return f"column {name} ({len(odd)} cell{'s' * (len(odd) > 1)}, the largest {largest:g})"

    listed = "; ".join(described(j) for j in told[:MOST_NAMED])
    more = f"; and {len(told) - MOST_NAMED} columns more" if len(told) > MOST_NAMED else ""
    warn(
        f"Some values are so far from all others of their column that they look like slips: {listed}{more}. They "
        "come back as they are, but nothing is learnt from them. Correct them in X, or make them missing, to have "
        "them filled."
    )


def _rows_to_fit(observed: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Choose the rows to fit to: of those with an observed entry, as many as can be afforded."""
    rows = observed.any(1).nonzero()[:, 0]
    n_missing = (~observed[rows]).sum(1).double()
    work = float(n_missing.pow(3).mean()) if len(rows) else 0.0
    most = int(min(MOST_ROWS, max(200, MOST_WORK / max(work, 1.0))))
    if len(rows) <= most:
        return rows
    return rows[torch.randperm(len(rows), generator=generator)[:most].sort().values]


def _limits(lowest: Any, highest: Any, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Check the limits of what is filled in, and return them for each column."""
    limits = []
    for name, limit, default in (("min_value", lowest, -np.inf), ("max_value", highest, np.inf)):
        values = np.asarray(default if limit is None else limit, dtype=np.float64)
        if values.ndim > 1 or (values.ndim == 1 and len(values) != n_features):
            raise ValueError(
                f"{name} has shape {values.shape}, but must be a number or have shape ({n_features},), one for "
                "each column of X."
            )
        limits.append(np.broadcast_to(values, n_features).copy())
    if not (limits[0] < limits[1]).all():
        column = int(np.flatnonzero(~(limits[0] < limits[1]))[0])
        raise ValueError(
            f"One (or more) features have min_value >= max_value: column {column} has min_value="
            f"{limits[0][column]:g} and max_value={limits[1][column]:g}. Give it a smaller min_value."
        )
    return limits[0], limits[1]
