"""A variational autoencoder of tables: frames of numbers, categories and holes, in and out."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from ._base import BaseAutoencoder, as_one_of
from ._bottleneck.gaussian import GaussianBottleneck
from ._bottleneck.mixture import MixtureBottleneck
from ._data import arrays
from ._data.remedies import named, refuse_doubled
from ._data.tables.codec import TableCodec
from ._data.tables.frames import as_table
from ._data.tables.given import conditions
from ._fitted.mixture import MOST_ROWS, Mixture
from ._fitted.sampling import check_n_samples
from ._fitted.tables import TableModel
from ._support.devices import normal, random_streams
from ._support.parameters import AT_LEAST_ONE, NON_NEGATIVE, SHARE, parameter
from ._support.ranks import refuse
from ._training.automatic import Automatic, bearable
from ._training.fitting import restore_on_failure
from ._training.parameters import TrainingParameters
from ._training.setup import Setup
from ._vae import VAESampler

N_MIXTURE, ROWS_PER_COMPONENT = 20, 20  # of the prior while it is learnt
START = 0.2  # of the training, without a mixture
MANY_ROWS = 5000  # of so many, drawn rows are more useful with a standard normal prior in training, and after
N_STEPS_OF_MANY = 5000  # steps
_COPIED = (
    *("learning_rate_", "batch_size_", "max_iter_", "n_parameters_", "n_active_units_"),
    *("loss_curve_", "loss_", "validation_loss_curve_", "best_loss_", "n_iter_"),
)
_PRIVATE = ("_codec", "_prior", "_holes")  # fitted attributes


def _takes_whole_tables(self) -> bool:
    raise AttributeError(
        f"{type(self).__name__} has no partial_fit: quantiles and categories are of the whole table. Use fit."
    )


class TabularVAESampler(
    TrainingParameters, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Variational autoencoder of tables: synthetic rows, codes, likelihoods and filled cells, of data frames.

    Takes data frames of pandas and polars, and arrays, whose columns hold numbers or categories, with missing
    cells. `sample` draws new rows, under conditions if there are some, as a table of the same kind, columns and
    dtypes; `transform` gives codes for a pipeline; `score_samples` tells how probable a row is, and
    `score_features` which of its cells are not; `impute` fills missing cells [1]_ [2]_.

    Parameters
    ----------
    n_components : int, default=16
        Width of the code: the number of latent variables.
    categorical_features : 'from_dtype', array-like or None, default='from_dtype'
        Which columns hold categories: those with a categorical, boolean, string or object dtype; or a list of
        column names, of column numbers, or a boolean for each column. With None, no column does.
        Columns of numbers may be among them. Integers are always positions, as in
        :class:`~sklearn.ensemble.HistGradientBoostingClassifier`, also where columns are called by integers; names
        may be tuples, as those of a MultiIndex are.
    numeric_transform : {'quantile', 'standard'}, default='quantile'
        What the networks see of numbers: 'quantile', the normal scores of their ranks, so that drawn columns have
        the distributions of the real ones, whatever these are; or 'standard', standard deviations from the mean.
    atom_share : float, default=0.05
        A number that more than this share of the rows have, such as a gain of zero, is a category beside the
        numbers of the other rows. In (0, 1]; 1 is never.
    prior : {'mixture', 'normal'}, default='mixture'
        Distribution of the codes that rows are drawn and scored by: 'mixture', a mixture of normal distributions
        fitted to the codes of the training rows; or 'normal', the standard normal one.
    beta : float, default=1.0
        Weight of the KL divergence. Below 1, ties between columns are kept better, and drawn rows are more like
        those trained on.
    n_importance_samples : int, default=64
        Number of draws of the code for each row in `score_samples`, `score_features` and `impute`.
    hidden_layer_sizes : int or array-like of int, default=(256, 256)
        Widths of the encoder's hidden layers, from the input to the code. An int is a single layer; ``()`` is no
        hidden layer.
    activation : str, default='silu'
        Activation of the hidden layers of both networks: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu', 'silu',
        'tanh' or 'sigmoid' (also called 'logistic').
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * sum(w ** 2)`` on the weights. Biases are not penalised; tied
        weights count once.
    dropout : float, default=0.0
        Share of hidden units of both networks that are left out at random for each row, in training only
        (Srivastava et al. 2014), in [0, 1). The others are scaled up.
    solver : {'adam', 'adamw', 'sgd'}, default='adam'
        Optimiser: Adam (Kingma and Ba 2015), AdamW, in which ``alpha`` is a decoupled weight decay (Loshchilov and
        Hutter 2019), or stochastic gradient descent with Nesterov momentum.
    learning_rate : float or 'auto', default='auto'
        Highest learning rate of the solver. 'auto' is 0.004, or 1.28 divided by the units of the widest hidden
        layer if that is less.
    learning_rate_schedule : {'auto', 'constant', 'linear', 'cosine'}, default='auto'
        How the rate changes over the ``max_iter`` epochs. 'linear' and 'cosine' warm up over the first 5% and
        fall to zero at the end, 'linear' from the middle on. 'auto' is 'cosine' for ``learning_rate='auto'``, else
        'constant'.
    momentum : float, default=0.9
        Momentum of ``solver='sgd'``, in [0, 1). The other solvers ignore it.
    max_grad_norm : float or None, default=None
        Gradients of a larger Euclidean norm are scaled down to it.
    batch_size : int or 'auto', default='auto'
        Number of rows per batch. 'auto' is ``min(200, n_samples)``. The last batch of an epoch may be smaller.
    max_iter : int or 'auto', default='auto'
        Maximum number of epochs, that is, passes over the training rows. 'auto' is as many as make 3000 steps;
        with 5000 rows or more, 5000 steps.
    shuffle : bool, default=True
        Whether to shuffle the rows before each epoch.
    tol : float or None, default=None
        Tolerance for stopping early. Training stops once the monitored loss, averaged over its noise, has improved
        over ``n_iter_no_change`` epochs by less than ``tol`` times its whole improvement since the start; with a
        schedule, the rate then falls to zero first. If that does not happen within a given number of ``max_iter``
        epochs, there is a :class:`~sklearn.exceptions.ConvergenceWarning`. 0 stops once the loss no longer
        improves at all, and never warns. None always runs ``max_iter`` epochs.
    n_iter_no_change : int, default=10
        Number of epochs that improvements are measured over; see ``tol``. Where these are fewer than 50 steps, as
        many epochs as make 50 steps are compared.
    early_stopping : bool or 'auto', default='auto'
        Whether to hold out ``validation_fraction`` of the rows and to monitor their loss instead of the training
        loss. The weights of the best epoch are restored, however the fit ends. 'auto' is False.
    validation_fraction : float, default=0.1
        Fraction of the rows to hold out with ``early_stopping``, in (0, 1).
    device : str or torch.device, default='cpu'
        Device of the networks: 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or 'auto' for the first accelerator
        available, else the CPU. Asking for a device that is not available is an error.
    dtype : {'auto', 'float32', 'float64', 'bfloat16'}, default='auto'
        Precision of training. 'auto' is float32. 'bfloat16' is mixed precision, with float32 weights.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the held-out rows, the order of the rows and the noise. With an int, fits on
        the CPU of one machine are reproducible bit for bit. The global generators of NumPy and torch are neither
        read nor changed.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.

    Attributes
    ----------
    vae_ : VAESampler
        Fitted autoencoder of the encoded table: numbers as scores, categories as one-hot columns.
    categories_ : dict
        For each column of categories, by its name (its number, for arrays), the list of its categories.
    n_active_units_ : int
        Number of latent variables in use, as described for :class:`VAESampler`.
    n_parameters_ : int
        Number of trained parameters: biases, both heads of the encoder and learned variances included.
    learning_rate_ : float
        Highest learning rate that was used.
    batch_size_ : int
        Number of rows per batch that was used.
    max_iter_ : int
        Number of epochs that was aimed at.
    loss_curve_ : list of float
        Objective of each epoch, in nats per row: minus the ELBO, with ``beta=1``.
    loss_ : float
        Last entry of ``loss_curve_``. With ``early_stopping`` the weights that are kept are those of the best
        epoch, which need not be the last.
    validation_loss_curve_ : list of float
        Loss of the held-out rows after each epoch. Only with ``early_stopping`` or ``X_val``.
    best_loss_ : float
        Loss of the best weights for the held-out rows with ``early_stopping``; otherwise the smallest entry of
        ``loss_curve_``.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of columns seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns seen during `fit`. Defined only if X has column names that are all strings.

    See Also
    --------
    VAESampler : The autoencoder of matrices.
    AutoencoderImputer : Fills missing numbers only, more precisely.
    AutoencoderOutlierDetector : p-values for rows; takes this sampler as its ``autoencoder``.

    Notes
    -----
    *Encoding.* Each number is replaced by the standard normal quantile of its rank among the numbers seen; in
    training, rounded numbers are first spread over what was rounded to them. Drawn scores go back the same way:
    to numbers between the least and the largest of the column, rounded as these are. A number that many rows share
    is a category beside the others. A category column has a softmax over at most 255 categories. The decoder gives
    each number a normal distribution with a variance of its column.

    *Missing cells* contribute nothing to the loss; the encoder is told which there are. From a fifth of the rows
    of each batch, further columns are hidden, a share that is drawn evenly from [0, 1), so that rows with many
    holes get good codes, too. The loss of training is over what is not hidden.

    *Prior.* With fewer than 5000 rows to train on, a mixture of at most 20 normal distributions takes the place of
    the standard normal prior after a fifth of the training, and follows the codes by stochastic expectation
    maximisation [3]_. It lets codes form clusters, so that values that belong together are drawn together. With
    any number of rows, a mixture with full covariances is fitted to draws of the posteriors after training.

    *Conditions.* With ``given``, codes are drawn from the prior and weighted by the probability that they give to
    what is given; rows are drawn from codes that are chosen by their weights, with the given values in place. At
    most 262,144 codes are drawn; if their weights leave fewer than the equivalent of 20, there is an error.

    *Privacy.* Drawn rows are no copies, but they are no guarantee of privacy either.

    References
    ----------
    .. [1] L. Xu, M. Skoularidou, A. Cuesta-Infante and K. Veeramachaneni (2019). Modeling tabular data using
       conditional GAN. NeurIPS.
    .. [2] A. Nazabal, P. M. Olmos, Z. Ghahramani and I. Valera (2020). Handling incomplete heterogeneous data
       using VAEs. Pattern Recognition 107.
    .. [3] O. Cappe and E. Moulines (2009). On-line expectation-maximization algorithm for latent data models.
       Journal of the Royal Statistical Society B 71, 593-613.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skae import TabularVAESampler
    >>> rng = np.random.default_rng(0)
    >>> age = rng.integers(1, 25, 500)
    >>> animals = pd.DataFrame({"age": age, "weight": np.round(age + rng.normal(3, 1, 500), 1)})
    >>> animals["size"] = np.where(animals["weight"] > 15, "large", "small")
    >>> sampler = TabularVAESampler(4, hidden_layer_sizes=(32,), max_iter=300, random_state=0)
    >>> sampler = sampler.fit(animals)
    >>> new = sampler.sample(1000, random_state=0)
    >>> new.dtypes.equals(animals.dtypes)
    True
    >>> bool(new[new["size"] == "large"]["age"].mean() > new[new["size"] == "small"]["age"].mean() + 8)
    True
    >>> sampler.sample(2, random_state=0, given={"size": "large"})["size"].tolist()
    ['large', 'large']
    >>> odd = pd.DataFrame({"age": [20], "weight": [22.5], "size": ["small"]})
    >>> animals.columns[sampler.score_features(odd).argmin()]
    'size'
    """

    n_components: int = parameter(AT_LEAST_ONE, default=16, positional=True)
    categorical_features: Any = parameter("array-like", StrOptions({"from_dtype"}), None, default="from_dtype")
    numeric_transform: str = parameter(StrOptions({"quantile", "standard"}), default="quantile")
    atom_share: float = parameter(Interval(Real, 0, 1, closed="right"), default=0.05)
    prior: str = parameter(StrOptions({"mixture", "normal"}), default="mixture")
    beta: float = parameter(NON_NEGATIVE, default=1.0)
    n_importance_samples: int = parameter(AT_LEAST_ONE, default=64)
    hidden_layer_sizes: Any = parameter("array-like", AT_LEAST_ONE, default=(256, 256))
    activation: str = parameter(*BaseAutoencoder._parameter_constraints["activation"], default="silu")
    dropout: float = parameter(SHARE, default=0.0)
    device: Any = parameter(str, torch.device, default="cpu")
    dtype: str = parameter(StrOptions({"auto", "float32", "float64", "bfloat16"}), default="auto")

    _automatic = Automatic(
        4e-3, batch_sizes=(200, 200), n_steps=3000, epochs=(1, 100_000), holds_out=False, rates="cosine"
    )

    _score_unit = "log-likelihood in nats"

    # Fitting ----------------------------------------------------------------------------------------------

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_val=None):
        """Learn the distribution of a table's rows.

        Parameters
        ----------
        X : {DataFrame, array-like} of shape (n_samples, n_columns)
            A data frame of pandas or polars, or an array: numbers, categories and missing cells.
        y : None
            Ignored.
        X_val : {DataFrame, array-like} of shape (n_val_samples, n_columns), default=None
            Rows to watch for ``early_stopping``, instead of a share of X.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        TypeError
            If X is sparse, or a cell holds neither a number nor a category, or no new column can be made of the
            dtype of one.
        ValueError
            If a column holds dates, complex numbers, infinity, more than 255 categories, or no value at all: the
            message names it, and what to do; if ``categorical_features`` does not fit the columns; or if training
            diverges.
        RuntimeError
            If ``device`` is not available.
        """
        refuse("TabularVAESampler.fit")
        with restore_on_failure(self):
            self._check_columns(X, reset=True)
            streams = random_streams(self.random_state)
            generator = np.random.default_rng(streams.order.initial_seed())
            self._codec = TableCodec(self.categorical_features, self.numeric_transform, self.atom_share)
            self._codec.fit(X, generator, getattr(self, "_whole_table", None))
            matrix = self._codec.encode(X, generator).astype(self._matrix_dtype)
            with named("X_val"):
                watched = None if X_val is None else self._codec.encode(X_val).astype(self._matrix_dtype)
            self._holes = np.unique(self._codec.missing(matrix), axis=0, return_counts=True)
            self.categories_ = self._codec.categories
            vae = self._make_vae(len(matrix), streams.weights.initial_seed() % 2**31)
            context = self._init_callback_context(max_subtasks=vae.max_iter)
            context.call_on_fit_task_begin(estimator=self, X=X, y=X)
            if hasattr(self, "_skl_callbacks"):
                vae.set_callbacks(
                    _Epochs(self, X, context, lambda vae: self._attributes(vae, matrix, streams.noise))
                )
            for name in _COPIED:
                vars(self).pop(name, None)
            vars(self).update(self._attributes(vae.fit(matrix, X_val=watched), matrix, streams.noise))
            context.call_on_fit_task_end(
                estimator=self, X=X, y=X, reconstruction_attributes=lambda: _fitted_attributes(self)
            )
        return self

    def _fit_to_part(self, X, whole):
        """Fit to some rows of a table, so that categories of the others are known, and rare: to detectors, odd."""
        self._whole_table = whole
        try:
            return self.fit(X)
        finally:
            del self._whole_table

    def _make_vae(self, n_rows: int, seed: int) -> "_TableVAE":
        """Return the autoencoder that is to be trained."""
        names, auto = set(_TableVAE._parameter_names), self._automatic
        if n_rows >= MANY_ROWS:
            auto = auto._replace(n_steps=N_STEPS_OF_MANY)
        given = {name: value for name, value in self.get_params(deep=False).items() if name in names}
        batch_size = auto.batch_size(n_rows) if self.batch_size == "auto" else min(self.batch_size, n_rows)
        if self.learning_rate == "auto" and self.learning_rate_schedule == "auto":
            given["learning_rate_schedule"] = auto.rates
        given |= {
            "likelihood": self._codec.likelihood,
            "hidden_groups": self._codec.groups,
            "learnt_prior": self.prior,
            "prior": "normal",  # after training, too: the table's mixture is one of draws, for scores
            "missing_values": np.nan,
            "learning_rate": bearable(auto.learning_rate, self)
            if self.learning_rate == "auto"
            else self.learning_rate,
            "batch_size": batch_size,
            "max_iter": auto.max_iter(n_rows, batch_size) if self.max_iter == "auto" else self.max_iter,
            "early_stopping": auto.holds_out if self.early_stopping == "auto" else self.early_stopping,
            "dtype": "float32" if self.dtype == "auto" else self.dtype,
            "random_state": seed,
        }
        return _TableVAE(**given)

    def _attributes(self, vae: "_TableVAE", matrix: np.ndarray, generator: torch.Generator) -> dict[str, Any]:
        """Return the fitted attributes that follow from a trained autoencoder."""
        attributes = {name: getattr(vae, name) for name in _COPIED if hasattr(vae, name)}
        plain = vae.plain()
        return attributes | {"vae_": plain, "_prior": self._fitted_prior(plain, matrix, generator)}

    def _fitted_prior(self, vae: VAESampler, matrix: np.ndarray, generator: torch.Generator) -> Mixture:
        if self.prior == "normal":
            return Mixture.standard(self.n_components)
        some = torch.randperm(len(matrix), generator=generator, device="cpu")[:MOST_ROWS].numpy()
        mean, deviation = arrays.unframed(vae).transform(matrix[some], return_std=True)
        like = torch.empty(0, dtype=torch.float64, device="cpu")
        noise = normal(mean.shape, like, generator).numpy()
        return Mixture.fit(mean + deviation * noise, generator.initial_seed() % 2**31)

    @available_if(_takes_whole_tables)
    def partial_fit(self, X, y=None):
        """Not supported: categories and quantiles are those of the whole table. Use `fit`."""

    # Codes ------------------------------------------------------------------------------------------------

    def transform(self, X):
        """Map rows to codes: the means of their posteriors q(z|x).

        Parameters
        ----------
        X : {DataFrame, array-like} of shape (n_samples, n_columns)
            Rows to encode. Categories that `fit` did not see count as missing, with a warning.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes, float64; float32 for an array in float32. The code of a row does not depend on the other rows.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If X is not like the table that was given to `fit`; the message names the column.
        """
        matrix = self._encoded(X)
        return arrays.unframed(self.vae_).transform(matrix)

    def inverse_transform(self, Z):
        """Map codes to rows: the most probable categories, and medians of numbers.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : {DataFrame, ndarray} of shape (n_samples, n_columns)
            A table like the one that was given to `fit`: of its kind, with its columns, their order and dtypes.
            A frame of pandas has the index of Z, if that is one too.
        """
        check_is_fitted(self)
        return self._codec.decode(arrays.unframed(self.vae_).inverse_transform(Z), like=Z)

    # New rows ---------------------------------------------------------------------------------------------

    def sample(self, n_samples=1, random_state=None, *, given=None, with_missing=False):
        """Draw new rows.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws different rows each time.
        given : dict or None, default=None
            Values that columns are to have, by their names, such as ``{"sex": "Female"}``: the other columns are
            drawn as they are in rows with these. Integers are names here, too, where columns are called by them;
            those of arrays are called by their positions. Numbers come back as they are given; those of
            ``decimal`` and ``fractions`` count as floats. See Notes.
        with_missing : bool, default=False
            Whether to leave cells empty, together and as often as in the table that was given to `fit`, whatever
            the row holds.

        Returns
        -------
        X : {DataFrame, ndarray} of shape (n_samples, n_columns)
            A table like the one that was given to `fit`: of its kind, with its columns, their order and dtypes.

        Raises
        ------
        TypeError, ValueError
            If ``n_samples`` is not an integer, or is below 1; if ``given`` is no dict, names no column, or a
            category that there is none of, or has a missing value, or a fraction for a column of integers; or if
            what is given is so rare that too few draws agree with it.
        """
        check_is_fitted(self)
        n_samples, streams = check_n_samples(n_samples), random_streams(random_state)
        model, missing = self._model(), None
        if given is not None:
            given = conditions(given)
        matrix = model.draw(n_samples, streams) if given is None else model.draw_given(n_samples, given, streams)
        if with_missing:
            generator = np.random.default_rng(streams.order.initial_seed())
            missing = self._drawn_holes(n_samples, generator)
            missing[:, [self._codec.layout.names.index(name) for name in given or ()]] = False
        return self._codec.decode(matrix, missing, given=given)

    # Scores -----------------------------------------------------------------------------------------------

    def score_samples(self, X):
        """Estimate the log-likelihood log p(x) of each row, in nats.

        The estimate is importance-weighted, as that of :meth:`VAESampler.score_samples`, with the ``prior``.

        Parameters
        ----------
        X : {DataFrame, array-like} of shape (n_samples, n_columns)
            Rows to score.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Log-likelihoods in nats of the cells that are not missing, for numbers those of their normal scores; 0
            for a row without any. Higher is more normal, and never infinite. Repeatable, and the score of a row
            does not depend on the other rows. Categories that `fit` did not see count as missing, with a warning.
        """
        return self._model().log_likelihood(self._encoded(X))

    def score_features(self, X):
        """Compute how probable each cell of a row is, given its other cells: the reasons for its score.

        Parameters
        ----------
        X : {DataFrame, array-like} of shape (n_samples, n_columns)
            Rows to explain.

        Returns
        -------
        score : ndarray of shape (n_samples, n_columns)
            log p(x_j | the other cells of the row) in nats, for numbers that of their normal scores. The lower,
            the odder is the cell beside the others. 0 where a cell is missing.
        """
        return self._model().log_conditionals(self._encoded(X))

    def score(self, X, y=None, sample_weight=None):
        """Compute the mean log-likelihood of the rows.

        Parameters
        ----------
        X : {DataFrame, array-like} of shape (n_samples, n_columns)
            Rows to score.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows in the mean. None is equal weights.

        Returns
        -------
        score : float
            Mean of `score_samples`, in nats per row; higher is better.
        """
        scores = self.score_samples(X)
        weight = arrays.check_weights(sample_weight, scores)
        return float(np.average(scores, weights=None if weight is None else weight.numpy()))

    # Missing cells ----------------------------------------------------------------------------------------

    def impute(self, X, *, sample=False, random_state=None):
        """Fill missing cells, given the other cells of their row.

        Parameters
        ----------
        X : {DataFrame, array-like} of shape (n_samples, n_columns)
            Rows with missing cells. Categories that `fit` did not see count as missing, with a warning.
        sample : bool, default=False
            Whether to draw what is filled in, for multiple imputations, instead of taking the most probable
            category and the number that is expected on the scale of ``numeric_transform``. With normal scores,
            the default, this is about the median: totals of skewed columns come out too low, and are those of
            draws, or of ``numeric_transform="standard"``. What many rows have exactly, such as zero, is filled
            in where it is more probable than not.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws, where ``sample=True``.

        Returns
        -------
        X_filled : {DataFrame, ndarray} of shape (n_samples, n_columns)
            The table X, of its kind and with its dtypes, without missing cells; the other cells are those of X,
            bit for bit. A column whose dtype cannot hold what it is filled with gets another: an empty column
            where `fit` saw strings, say.

        Raises
        ------
        TypeError, ValueError
            If X is not like the table that was given to `fit`; the message names the column.
        """
        matrix = self._encoded(X)
        if sample:
            return self._codec.fill(X, self._model().drawn_given(matrix, random_streams(random_state)))
        return self._codec.fill(X, self._model().expected(matrix))

    # How it is done ---------------------------------------------------------------------------------------

    def _check_columns(self, X, *, reset: bool) -> None:
        """Note, or compare, the number and the names of columns."""
        if not reset:
            check_is_fitted(self)
        table = as_table(X)
        refuse_doubled(getattr(table, "columns", ()))
        validate_data(self, table, skip_check_array=True, reset=reset)

    def _encoded(self, X) -> np.ndarray:
        self._check_columns(X, reset=False)
        return self._codec.encode(X).astype(np.float32 if arrays.is_single(X) else np.float64)

    def _drawn_holes(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw which cells of new rows are empty, as rows of `fit` had them, (n, n_columns)."""
        patterns, counts = self._holes
        return patterns[generator.choice(len(patterns), size=n, p=counts / counts.sum())]

    def _model(self) -> TableModel:
        check_is_fitted(self)
        return TableModel(self._scoring_vae, self._codec, self._prior)

    @property
    def _scoring_vae(self) -> VAESampler:
        """The fitted autoencoder, with as many draws as are set now."""
        return self.vae_.set_params(n_importance_samples=self.n_importance_samples)

    @property
    def _matrix_dtype(self) -> type:
        return np.float64 if self.dtype == "float64" else np.float32

    @property
    def _n_features_out(self) -> int:
        return self.vae_.n_components

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.categorical = tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "_codec" in state:
            state.pop("categories_", None)  # told by the codec; as keys, some names are more than a file can hold
            state["_codec"] = self._codec.to_plain()
        if "_prior" in state:
            state["_prior"] = self._prior._asdict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        if "_codec" in state:
            state["_codec"] = TableCodec.from_plain(state["_codec"])
            state["categories_"] = state["_codec"].categories
        if "_prior" in state:
            state["_prior"] = Mixture(**state["_prior"])
        super().__setstate__(state)


def _fitted_attributes(sampler: TabularVAESampler) -> dict[str, Any]:
    return {name: value for name, value in vars(sampler).items() if name.endswith("_") or name in _PRIVATE}


class _Epochs:
    """Callback of the autoencoder: tells the sampler's own callbacks of its epochs.

    Parameters
    ----------
    sampler : TabularVAESampler
    X : table
    context : sklearn.callback context
        Of the sampler's fit.
    attributes : callable (vae) -> dict
        Makes the fitted attributes that follow from the autoencoder.
    """

    def __init__(self, sampler: TabularVAESampler, X, context, attributes: Callable) -> None:
        self._sampler, self._X, self._context, self._attributes = sampler, X, context, attributes
        self._epoch: Any = None

    def setup(self, estimator, context):
        """Do nothing at the start."""

    def teardown(self, estimator, context):
        """Do nothing at the end."""

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        """Announce an epoch."""
        if context.task_name == "epoch":
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._sampler, X=self._X, y=self._X)

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        """Report an epoch; return whether a callback asks to stop."""
        if context.task_name != "epoch":
            return False
        return self._epoch.call_on_fit_task_end(
            estimator=self._sampler,
            X=self._X,
            y=self._X,
            reconstruction_attributes=lambda: (
                _fitted_attributes(self._sampler) | self._attributes(fitted_estimator)
            ),
        )


class _TableVAE(VAESampler):
    """The autoencoder while it is trained: variables are hidden as wholes, and the prior may be a mixture."""

    _against_inactive_units = _fewer_columns = ""

    learnt_prior: str = parameter(StrOptions({"mixture", "normal"}), default="mixture")
    hidden_groups: Any = parameter("array-like", None, default=None)

    def _bottleneck(self, setup: Setup) -> GaussianBottleneck:
        n_rows = setup.data.n_train
        if self.learnt_prior == "normal" or n_rows >= MANY_ROWS:
            return VAESampler._bottleneck(self, setup)
        n_steps = self.max_iter * math.ceil(n_rows / setup.batch_size)
        return MixtureBottleneck(
            max(1, min(N_MIXTURE, n_rows // ROWS_PER_COMPONENT)),
            round(START * n_steps),
            beta=self.beta,
            warm_up=self.kl_warm_up,
            dtype=setup.dtype,
            generator=setup.generator,
        )

    def plain(self) -> VAESampler:
        """Return the fitted autoencoder as one of the public class, whom nobody watches any more."""
        plain = as_one_of(VAESampler, self)
        for name in [name for name in vars(plain) if "callback" in name]:  # which hold the table
            delattr(plain, name)
        return plain
