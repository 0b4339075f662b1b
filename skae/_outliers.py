"""An outlier detector: an ensemble of autoencoders with p-values, and reasons by column."""

import contextlib
import math
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.ensemble._base import _set_random_states
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._param_validation import HasMethods, Interval, InvalidParameterError, StrOptions
from sklearn.utils.sparsefuncs import min_max_axis
from sklearn.utils.validation import _num_samples, check_is_fitted, validate_data

from ._autoencoder import AutoencoderTransformer
from ._base import as_one_of
from ._data import arrays
from ._data.copies import without_copies
from ._data.empty import empty_rows
from ._data.fingerprint import fingerprint
from ._data.magnitude import fits_single, magnitude_error
from ._data.markers import unmasked
from ._data.remedies import refuse_doubled, refuse_lazy
from ._data.split import subsets
from ._data.standardization import Standardization
from ._data.tables.codec import UNKNOWN
from ._data.tables.frames import is_missing
from ._data.usual import usual_values
from ._fitted import conformal
from ._fitted.distances import Gaussian
from ._fitted.members import DistanceMember, ScoreMember, mean_of, mean_of_unseen
from ._fitted.rows_of_fit import RowsOfFit
from ._fitted.verdicts import Verdicts
from ._networks.units import to_units
from ._objectives.losses import Loss, loss_by
from ._objectives.trimming import trimmed
from ._support import threads
from ._support.devices import random_streams, resolve, sum_dtype
from ._support.parameters import AT_LEAST_ONE, FRACTION, NON_NEGATIVE, Parameters, parameter
from ._support.ranks import refuse
from ._support.warnings import one_for_each_cause, warn
from ._training.advice import is_default
from ._training.fitting import restore_on_failure
from ._training.setup import Setup
from ._training.together import fit_together

N_STEPS, BATCH_SIZE = 300, 128
# Fitted attributes: what scoring needs beside the members.
_PRIVATE = ("_scale", "_gaussians", "_usual", "_rows_of_fit", "_copies", "_range")
# Parameters of the members of autoencoder=None. So is n_components, which scikit-learn's checks set anywhere.
_OF_RECIPE = ("trim", "code_weight", "device")


class AutoencoderOutlierDetector(OutlierMixin, CallbackSupportMixin, Parameters, BaseEstimator):
    """Outlier detector: an ensemble of autoencoders, with p-values, and reasons by feature.

    Each member is an autoencoder that is trained on a part of the rows. What it makes of those that it was not
    trained on tells how odd normal rows look to it: the mean and the covariance of their residuals. A row is the
    odder the larger the Mahalanobis distance of its residual from them, and that of its code from the codes of
    most rows that were trained on. Members leave out different rows, so that nearly every training row is judged
    by some that have not seen it; against these scores new rows get conformal p-values [1]_.

    Parameters
    ----------
    autoencoder : estimator or None, default=None
        What members are: anything with ``fit`` and ``score_samples``, higher for more normal rows. It is cloned,
        and ``score_samples`` is the member's score. None is the autoencoder that the notes describe, on columns
        that are standardized inside.
    n_estimators : int, default=10
        Number of members. With fewer than three, some training rows are left out by none of them.
    max_samples : float, default=0.6
        Fraction of the rows that each member is trained on, drawn without replacement, in (0, 1).
    contamination : 'auto' or float, default='auto'
        What makes a row an outlier: 'auto', a p-value of at most ``false_alarm_rate``. A number in (0, 0.5]: so
        many of the training rows, the oddest, are outliers.
    false_alarm_rate : float, default=0.05
        The share of new normal rows that are called outliers, on average at most, in (0, 1). It takes
        ``1 / false_alarm_rate - 1`` training rows: with fewer, no row is an outlier, and `fit` warns. For another
        rate without another fit, compare `p_values` with it. Without effect if ``contamination`` is a number.
    trim : float, default=0.0
        Fraction of each batch, the rows with the largest errors, that members do not learn from once a fifth of
        the training is over, in [0, 0.5). It is for training rows with many outliers among them. Without effect
        on an ``autoencoder``, like the next three.
    code_weight : float, default=0.3
        Weight of the squared distance of the code; that of the residual has weight one.
    n_components : int or 'auto', default='auto'
        Width of the members' code. 'auto' is wide, see the notes. About ``2 * sqrt(n_features)`` gives slightly
        better reasons, and slightly worse scores.
    device : str or torch.device, default='cpu'
        Device of the networks: 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or 'auto' for the first accelerator
        available, else the CPU. Asking for a device that is not available is an error.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the held-out rows, the order of the rows and the noise. With an int, fits on
        the CPU of one machine are reproducible bit for bit. The global generators of NumPy and torch are neither
        read nor changed.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        What `predict` returns: -1 for outliers, 1 for inliers.
    estimators_ : list of estimators
        Fitted members: with ``autoencoder=None``, :class:`AutoencoderTransformer` of rows in the units of X; their
        losses are in standardized units.
    estimators_samples_ : list of ndarray
        Indices of the training rows that each member was given.
    left_out_scores_ : ndarray of shape (n_samples,)
        Score of each training row, by the members that were not given it: the honest counterpart of
        ``score_samples`` of the training rows. NaN for a row that all were given, and for a row without any value.
    offset_ : float
        Threshold: rows that score less are outliers. -inf where there are too few training rows for any.
    usual_values_ : ndarray of shape (`n_features_in_`,)
        What is usual of each feature, to compare odd rows with: the median of the training rows; of features that
        hold no numbers, the most frequent value. Of more than 10,000 rows, so many are looked at.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that are all strings.

    See Also
    --------
    skae.inspection.OutlierDisplay : Scores, p-values and reasons drawn.
    VAESampler : Scores rows by their likelihood; can be the ``autoencoder``.
    sklearn.ensemble.IsolationForest : Isolates outliers by random splits.
    sklearn.neighbors.LocalOutlierFactor : Compares densities of neighbours.

    Notes
    -----
    With d columns, a member is an autoencoder of layers d, w, w / 2, k, w / 2, w, d with rectified linear units
    (the code and the output are linear), where w is 2 d, at least 64, and 256 from 200 columns on; k is four
    times r, less than d, with r the square root of d, at least 4, or d / 2 below ten columns. It is trained for
    about 300 steps of 128 rows.

    Residuals are measured in standard deviations of the columns. Their covariance is shrunk (Ledoit and Wolf
    2004), and 0.02 is added to the variances; more than 2048 columns count one by one, without covariances. The
    mean and the covariance of codes are those of the three quarters of rows that lie closest together, found by
    the concentration steps of Rousseeuw and Van Driessen (1999), so that outliers among the training rows do not
    widen them. For p-values, a row that has helped to estimate means and covariances is measured by those of the
    others.

    Where ``autoencoder`` takes missing values, a row without any value is no outlier: nothing is known of it. It
    gets the highest of the ``left_out_scores_``, a p-value of 1 and no contributions of features, and is not among
    the rows that others are compared with.

    A training row that was entered more than once counts once: members, scores and p-values are what they would be
    without its copies, which share its score. Copies are equal rows that hold a value of their own, in a column
    most of whose values are those of a single row. Where columns are discrete, such as counts, equal rows are
    different things, and each of them counts; so are rows that are there more than three times as often as most.

    P-values are valid for rows that are exchangeable with the training rows: drawn from where these come from, in
    any order. They are not for rows of another time or place, nor for the training rows themselves, which most
    members have seen; of these, ``left_out_scores_`` tells more. :class:`~skae.inspection.OutlierDisplay` draws
    it, with p-values and reasons by the members that have not seen the row.

    References
    ----------
    .. [1] S. Bates, E. Candes, L. Lei, Y. Romano and M. Sesia (2023). Testing for outliers with conformal
       p-values. The Annals of Statistics 51, 149-178.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from skae import AutoencoderOutlierDetector
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> benign, new = train_test_split(X[y == 1], random_state=0)
    >>> detector = AutoencoderOutlierDetector(random_state=0).fit(benign)
    >>> malignant_found = (detector.predict(X[y == 0]) == -1).mean()
    >>> false_alarms = (detector.predict(new) == -1).mean()
    >>> bool(malignant_found > 0.6), bool(false_alarms < 0.05)
    (True, True)
    """

    autoencoder: Any = parameter(HasMethods(["fit", "score_samples"]), None, default=None, positional=True)
    n_estimators: int = parameter(AT_LEAST_ONE, default=10)
    max_samples: float = parameter(FRACTION, default=0.6)
    contamination: Any = parameter(StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right"), default="auto")
    false_alarm_rate: float = parameter(FRACTION, default=0.05)
    trim: float = parameter(Interval(Real, 0, 0.5, closed="left"), default=0.0)
    code_weight: float = parameter(NON_NEGATIVE, default=0.3)
    n_components: Any = parameter(StrOptions({"auto"}), AT_LEAST_ONE, default="auto")
    device: Any = parameter(str, torch.device, default="cpu")
    random_state: Any = parameter("random_state", default=None)

    # Fitting ----------------------------------------------------------------------------------------------

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Train the members, and learn from the rows that each has left out how odd normal rows are.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data: mostly normal rows. Real and finite, or what ``autoencoder`` takes.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or has too few rows; if a member cannot be
            fitted to its rows, or diverges.
        RuntimeError
            If ``device`` is not available.

        Warns
        -----
        UserWarning
            If there are too few rows for p-values of at most ``false_alarm_rate``, so that no row is an outlier;
            if parameters are set that have no effect beside an ``autoencoder``.
        """
        refuse("AutoencoderOutlierDetector.fit")
        with restore_on_failure(self), threads.for_work(0):
            resolve(self.device)
            self._tell_unread()
            X = self._check(X, reset=True)
            context = self._init_callback_context(max_subtasks=self.n_estimators)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            streams = random_streams(self.random_state)
            numbers, which = without_copies(X)
            rows = X if len(numbers) == len(which) else _safe_indexing(X, numbers)
            parts = subsets(*self._sizes(rows, len(which)), self.n_estimators, streams.split)
            fit_members = self._fit_distances if self.autoencoder is None else self._fit_scores
            with one_for_each_cause(UNKNOWN):  # some of which only rows left out have
                oddness = fit_members(rows, parts, streams.weights, context)
            scores = _mean_scores(len(numbers), [unseen.numpy() for _, unseen in parts], oddness)
            self.classes_ = np.array([-1, 1])
            # What is said of a row holds for its copies, too.
            self.estimators_samples_ = [np.flatnonzero(np.isin(which, seen.numpy())) for seen, _ in parts]
            self.left_out_scores_ = scores[which]
            self._copies = np.setdiff1d(np.arange(len(which)), numbers)
            self.usual_values_ = usual_values(rows)
            self._range = _range_of(X) if self.usual_values_.dtype != object else None
            self._rows_of_fit = fingerprint(X)
            with one_for_each_cause(UNKNOWN):
                self.offset_ = self._threshold(X)
            fitted = {name: value for name, value in vars(self).items() if name.endswith("_") or name in _PRIVATE}
            context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=lambda: fitted)
        return self

    # Using the members ------------------------------------------------------------------------------------

    def score_samples(self, X):
        """Score rows: higher is more normal.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Minus the mean over members of squared distances; with ``autoencoder``, the mean of the members'
            scores. Of X's floating dtype.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or differs from the data of `fit` in the number
            or the names of its features.
        """
        given, X = X, self._check(X)
        return _like(given, X, -self._oddness(X))

    def decision_function(self, X):
        """Score rows relative to the threshold: negative for outliers, positive for inliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.

        Returns
        -------
        decision : ndarray of shape (n_samples,)
            ``score_samples(X) - offset_``, of X's floating dtype; infinite where ``offset_`` is.
        """
        given, X = X, self._check(X)
        return _like(given, X, self._above_threshold(self._oddness(X)))

    def predict(self, X):
        """Tell outliers from inliers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to judge: new rows, or with a number as ``contamination`` those of `fit`, too.

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,)
            -1 for outliers, 1 for inliers.

        Warns
        -----
        UserWarning
            If there are rows of `fit` in X, and ``contamination="auto"`` misses outliers among them: at least
            five, or at least three and half of them. Members have learned these; those with
            ``left_out_scores_ < offset_`` are outliers to members that have not.
        """
        X = self._check(X)
        oddness = self._oddness(X)
        if self.contamination == "auto":
            self._known().tell_of_p_values(X, oddness)
        return arrays.to_namespace_of(X, np.where(self._above_threshold(oddness) < 0, -1, 1))

    def fit_predict(self, X, y=None, **kwargs):
        """Fit to rows and tell the outliers among them, as `fit` and then `predict` do.

        For outliers in one table, give ``contamination`` the share of rows to find. With "auto", few of the rows
        of `fit` are outliers, since members have learned them; ``left_out_scores_ < offset_`` tells which ones are
        to members that have not.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to find outliers in.
        y : None
            Ignored.
        **kwargs : dict
            Passed to `fit`.

        Returns
        -------
        is_inlier : ndarray of shape (n_samples,)
            -1 for outliers, 1 for inliers.

        Warns
        -----
        UserWarning
            As `predict` does.
        """
        return super().fit_predict(X, y, **kwargs)

    def p_values(self, X, *, left_out=False):
        """Compute how probable it is that a normal row is as odd as each row.

        Of a new row from where the training rows come from, the p-value is at most 0.05 with a probability of at
        most 0.05, and so for any other level. Rows that were trained on get larger p-values than that.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to judge.
        left_out : bool, default=False
            Whether rows of `fit` that are in X are judged by those members alone that have not seen them. Their
            p-values are then at most ``false_alarm_rate`` where ``left_out_scores_ < offset_``, with "auto".

        Returns
        -------
        p : ndarray of shape (n_samples,)
            Conformal p-values in (0, 1]. The smallest there can be is ``1 / (1 + n)`` with n rows to compare with:
            those trained on, or fewer if ``n_estimators`` is so small that not each is left out by some member.
            With ``left_out``, a row of `fit` that is left out by none has NaN.

        Warns
        -----
        UserWarning
            If there are rows of `fit` in X, whose p-values are too large, so that outliers among them are missed:
            at least five, or at least three and half of those by ``left_out_scores_``.
        """
        X = self._check(X)
        return arrays.to_namespace_of(X, self._p_values(X, left_out))

    def select(self, X, alpha=0.1):
        """Choose rows among which few are normal: at most a share ``alpha``, on average.

        The method is Benjamini and Hochberg's, on the p-values of all rows of X together, so that a row may be
        chosen in one X and not in another.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to choose from. Not rows of `fit`: among these, ranks are p-values, and none is small enough.
        alpha : float, default=0.1
            The share of normal rows among the chosen that is tolerated (the false discovery rate), in (0, 1).

        Returns
        -------
        chosen : ndarray of bool of shape (n_samples,)
            True for rows that are chosen.

        Raises
        ------
        ValueError
            If ``alpha`` is not in (0, 1).

        Warns
        -----
        UserWarning
            If no row is chosen and there are too few training rows for p-values that are small enough.
        """
        if not (isinstance(alpha, Real) and 0 < alpha < 1):
            raise ValueError(f"alpha={alpha!r} must be a number in (0, 1), the share of false discoveries.")
        X = self._check(X)
        oddness, reference = self._oddness(X), self._reference()
        self._known().tell_of_p_values(X, oddness)
        chosen = conformal.select(conformal.p_values(oddness, reference), alpha, len(reference), self._n_to_fit)
        return arrays.to_namespace_of(X, chosen)

    def score_features(self, X, *, left_out=False):
        """Compute what each feature contributes to how odd rows are.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to explain.
        left_out : bool, default=False
            Whether rows of `fit` that are in X are explained by those members alone that have not seen them.

        Returns
        -------
        contribution : ndarray of shape (n_samples, n_features)
            By how much the squared distance of a row would fall if the feature could take any value, to first
            order, its code and its reconstruction following; the mean over members, not negative, higher is odder.
            With more than 128 features, the distance is that of the residual, the reconstruction being what it is.
            `expected_values` are the values that would be least odd. With ``autoencoder``, by how much the
            member's ``score_features`` is below its mean over rows left out, or else the squared error of the
            feature.
            Contributions are conditional on the other features: the first reason may be a value near
            the usual one, where the others let expect another. Rows of `fit` get smaller ones, since most members
            have learned them: ``left_out=True`` asks the others. Of X's floating dtype.

        Raises
        ------
        AttributeError
            If ``autoencoder`` has neither ``score_features`` nor ``reconstruction_error``.

        Warns
        -----
        UserWarning
            If there are rows of `fit` in X that are odd to members that have not seen them, but not to all: at
            least five, or at least three and half of the odd ones, or half of X.
        """
        given, X = X, self._check(X)
        return _like(given, X, self._explained(X, left_out, self._contributions))

    def expected_values(self, X, *, left_out=False):
        """Compute what each feature is expected to be, given the other features of the row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to explain.
        left_out : bool, default=False
            Whether rows of `fit` that are in X are explained by those members alone that have not seen them.

        Returns
        -------
        expected : ndarray of shape (n_samples, n_features)
            The value of the feature at which the squared distance of the row is least, the other features being
            what they are; the mean over members. It is searched for feature by feature, so that a row costs as
            much as 18 d rows of d features. With more than 128 features, the distance is that of the residual, and
            a row costs 6 d rows; beyond 2048, the reconstruction stays that of the row. With ``autoencoder``, the
            mean of the members' reconstructions. For rows of `fit` it is too near to the value found, which
            members have learned: see `score_features`. In the units of X, of its floating dtype.

        Raises
        ------
        AttributeError
            If ``autoencoder`` has no ``reconstruct``.

        Warns
        -----
        UserWarning
            As `score_features` does, of rows of `fit`.
        """
        given, X = X, self._check(X)
        return _like(given, X, self._explained(X, left_out, self._expectations))

    # How it is done ---------------------------------------------------------------------------------------

    def _check(self, X, *, reset: bool = False):
        if not reset:
            check_is_fitted(self)
        if self.autoencoder is None:
            return arrays.check_rows(self, X, reset=reset)
        refuse_lazy(X)
        X = unmasked(X)
        if hasattr(X, "columns"):  # a data frame, whose columns may be of kinds that only the members know
            refuse_doubled(X.columns)
            validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        finite = "allow-nan" if _takes_missing(self.autoencoder) else True
        X = validate_data(self, X, accept_sparse="csr", dtype=None, ensure_all_finite=finite, reset=reset)
        return arrays.without_duplicates(X)

    def _tell_unread(self) -> None:
        """Warn of parameters of the recipe that were set beside an autoencoder, which has its own."""
        set_to = [f"{name}={getattr(self, name)!r}" for name in _OF_RECIPE if not is_default(self, name)]
        if self.autoencoder is not None and set_to:
            warn(
                f"Without effect beside an autoencoder: {', '.join(set_to)}. Such parameters are of the members "
                "that autoencoder=None makes. Leave them at their defaults, and set the autoencoder's own."
            )

    def _sizes(self, X, n_given: int) -> tuple[int, int]:
        """Return how many rows there are, without copies, and how many a member is trained on."""
        n = _num_samples(X)
        size = round(self.max_samples * n)
        if min(size, n - size) < 2:
            change = f", or {'raise' if size < 2 else 'lower'} max_samples" if n >= 4 else ""
            copies = ", without copies of rows," if n < n_given else ""
            raise ValueError(
                f"n_samples={n}{copies} and max_samples={self.max_samples} train a member on {size} rows and "
                f"leave out {n - size}, but it needs at least two of either. Give fit more rows{change}."
            )
        return n, size

    def _fit_distances(self, X, parts, generator: torch.Generator, context) -> list[np.ndarray]:
        """Fit the members of the recipe, all at once; return how odd the rows are that each has not seen."""
        tasks = [context.subcontext(task_name="member") for _ in parts]
        for task in tasks:
            task.call_on_fit_task_begin(estimator=self, X=X)
        standardization = Standardization.measure(X)
        parameters, n_rows = _recipe(X.shape[1], len(parts[0][0]), self.n_components)
        members = [
            _Member(**parameters, device=self.device, random_state=seed, trim=self.trim)
            for seed in _seeds(len(parts), generator)
        ]
        seen = [rows[torch.randperm(len(rows), generator=generator)[:n_rows]].sort().values for rows, _ in parts]
        fit_together(members, standardization(X), [rows.numpy() for rows in seen])
        scale, oddness = standardization.scale, []
        centre = np.zeros_like(scale) if sparse.issparse(X) else standardization.mean
        self._scale, self.estimators_, self._gaussians = scale, [], []
        for member, rows, (_, unseen), task in zip(members, seen, parts, tasks, strict=True):
            autoencoder = member.plain(centre, scale, X)
            numbers = rows.numpy(), unseen.numpy()
            measured = DistanceMember.measure(autoencoder, scale, self.code_weight, X, *numbers)
            self.estimators_.append(autoencoder)
            self._gaussians.append([measured.residuals._asdict(), measured.codes._asdict()])
            oddness.append(measured.unseen(X, numbers[1], standardization))
            task.call_on_fit_task_end(estimator=self, X=X)
        return oddness

    def _fit_scores(self, X, parts, generator: torch.Generator, context) -> list[np.ndarray]:
        """Fit members that score rows themselves; return how odd the rows are that each has not seen."""
        self.estimators_, self._usual, oddness, empty = [], [], [], self._empty(X)
        for seen, unseen in parts:
            member = clone(self.autoencoder)
            _set_random_states(member, np.random.RandomState(_seeds(1, generator)[0]))
            rows = _safe_indexing(X, seen.numpy())
            task = context.subcontext(task_name="member")
            with task.propagate_callback_context(member):
                task.call_on_fit_task_begin(estimator=self, X=rows)
                with self._telling_of_rows(len(seen), len(empty)):
                    if hasattr(member, "_fit_to_part"):
                        member._fit_to_part(rows, X)
                    else:
                        member.fit(rows)
                task.call_on_fit_task_end(estimator=self, X=rows)
            self.estimators_.append(member)
            others, nothing = _safe_indexing(X, unseen.numpy()), empty[unseen.numpy()]
            measured = ScoreMember.measure(member, others, nothing)
            self._usual.append(measured.usual)
            oddness.append(np.where(nothing, np.nan, measured.oddness(others)))
        if np.isnan(np.concatenate(oddness)).all() and not empty.all():
            raise ValueError(
                f"score_samples of {type(self.autoencoder).__name__} returned NaN for every row that a member had "
                "left out. Give autoencoder an estimator whose scores are numbers."
            )
        return oddness

    @contextlib.contextmanager
    def _telling_of_rows(self, n_rows: int, n_all: int) -> Iterator[None]:
        """Let an error of a member's fit tell that the member was given some of the rows only."""
        try:
            yield
        except InvalidParameterError:
            raise
        except ValueError as error:
            raise ValueError(
                f"A member that was fitted to {n_rows} of the {n_all} rows (max_samples={self.max_samples}) has "
                f"failed: {error} If {type(self.autoencoder).__name__} takes all rows together, these lack values "
                "that others have, such as those of a column that is nearly empty: drop this column, or raise "
                "max_samples."
            ) from error

    def _members(self) -> list[Any]:
        if self.autoencoder is not None:
            return [ScoreMember(*pair) for pair in zip(self.estimators_, self._usual, strict=True)]
        return [
            DistanceMember(model, self._scale, self.code_weight, *(Gaussian(**parts) for parts in gaussians))
            for model, gaussians in zip(self.estimators_, self._gaussians, strict=True)
        ]

    def _mean_of_members(self, method: str, X, unseen: np.ndarray | None = None) -> np.ndarray:
        """Return the mean over members of what a method of theirs returns, float64.

        ``unseen``, (n_members, n_rows), is of rows of `fit`: which of them are new to which members.
        """
        members = self._members()
        with one_for_each_cause():
            return mean_of(members, method, X) if unseen is None else mean_of_unseen(members, method, X, unseen)

    def _contributions(self, X, unseen: np.ndarray | None = None) -> np.ndarray:
        """Return what each column of validated rows contributes to their oddness, to members."""
        scores = "score_features", "reconstruction_error"
        if self.autoencoder is not None and not any(hasattr(self.estimators_[0], name) for name in scores):
            kind = type(self.estimators_[0]).__name__
            raise AttributeError(
                "score_features needs members that score features (score_features) or reconstruct rows "
                f"(reconstruction_error), which {kind} does not: leave autoencoder at None, or give one of skae's "
                "autoencoders."
            )
        contribution = self._mean_of_members("per_column", X, unseen)
        contribution[self._empty(X)] = 0
        return contribution

    def _expectations(self, X, unseen: np.ndarray | None = None) -> np.ndarray:
        """Return what each column of validated rows is expected to be, by members."""
        if self.autoencoder is not None and not hasattr(self.estimators_[0], "reconstruct"):
            kind = type(self.estimators_[0]).__name__
            raise AttributeError(
                f"expected_values needs members that reconstruct rows, which {kind} does not: leave autoencoder "
                "at None, or give one of skae's autoencoders of numbers."
            )
        return self._mean_of_members("expected", X, unseen)

    def _of_left_out(self, X) -> Verdicts:
        """Return what is said of rows, for displays: of rows of `fit` by members that have not seen them.

        A row of `fit` that all members have seen has no p-value; its reasons are by all, as those of others are.
        """
        X = self._check(X)
        by_all = self._oddness(X)
        oddness, unseen = self._unseen(X, by_all)
        # With a share as contamination, `offset_`, and so `predict`, is of the scores by all members.
        return Verdicts(
            -(oddness if self.contamination == "auto" else by_all),
            conformal.p_values(oddness, self._reference()),
            lambda numbers: self._contributions(_safe_indexing(X, numbers), unseen[:, numbers]),
            lambda numbers: self._expectations(_safe_indexing(X, numbers), unseen[:, numbers]),
        )

    def _unseen(self, X, by_all: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how odd rows are to members that have not seen them, others to all, and which have not."""
        known = self._known()
        which = known.places(X)
        oddness = np.where((which >= 0) & ~self._empty(X), known.oddness[which], by_all)
        return oddness, known.unseen(which, self.estimators_samples_)

    def _p_values(self, X, left_out: bool) -> np.ndarray:
        """Return p-values of validated rows, NaN of rows that each member has seen, where these are left out.

        Those of rows of `fit` are as of new rows with their scores: they count the row itself among the others.
        """
        oddness = self._oddness(X)
        if left_out:
            oddness, _ = self._unseen(X, oddness)
        else:
            self._known().tell_of_p_values(X, oddness, has_left_out=True)
        return conformal.p_values(oddness, self._reference())

    def _explained(self, X, left_out: bool, explain: Callable[..., np.ndarray]) -> np.ndarray:
        """Explain validated rows, those of `fit` by all members, which is told, or by those without them."""
        known = self._known()
        which = known.places(X)
        with one_for_each_cause():
            if left_out:
                return explain(X, known.unseen(which, self.estimators_samples_))
            if (which >= 0).any():
                known.tell_of_reasons(which, self._oddness(X))
            return explain(X)

    def _oddness(self, X) -> np.ndarray:
        """Return the mean over members of how odd validated rows are, (n,), float64.

        Rows without any value are as odd as the least odd one that there is to compare with: nothing speaks
        against them, and their p-value is 1.
        """
        total = self._mean_of_members("oddness", X)
        unknown, reference = self._empty(X), self._reference()
        n_odd = int((np.isnan(total) & ~unknown).sum())
        if n_odd:
            warn(
                f"The score of {n_odd} rows is NaN, from the members' score_samples: they count as the oddest. "
                "Give autoencoder an estimator whose scores are numbers."
            )
        total[unknown] = reference[0] if len(reference) else 0.0
        total[np.isnan(total)] = np.inf
        return total

    def _known(self) -> RowsOfFit:
        oddness, reference = -self.left_out_scores_, self._reference()
        return RowsOfFit(getattr(self, "_rows_of_fit", None), oddness, reference, self.false_alarm_rate)

    def _empty(self, X) -> np.ndarray:
        """Tell which validated rows have no value at all."""
        if self.autoencoder is None:
            return np.zeros(X.shape[0], dtype=bool)
        return empty_rows(X, _marker(self.autoencoder))

    def _above_threshold(self, oddness: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(-oddness - self.offset_, nan=0.0, posinf=np.inf, neginf=-np.inf)

    def _threshold(self, X) -> float:
        """Return the score below which rows are outliers; warn if there are too few training rows for any."""
        if self.contamination != "auto":
            return _threshold_of_share(-self._oddness(X), float(self.contamination))
        reference, rate = self._reference(), self.false_alarm_rate
        threshold = conformal.threshold(reference, rate)
        if math.isinf(threshold):
            warn(
                f"No row can be an outlier: with {len(reference)} rows to compare with, the smallest p-value is "
                f"{conformal.smallest(len(reference)):.3g}, which is more than false_alarm_rate={rate}. Fit to at "
                f"least {self._n_to_fit(conformal.rows_needed(rate))} rows, or raise false_alarm_rate."
            )
        return -threshold

    @property
    def _units(self) -> tuple[str, str]:
        """Return what scores and contributions of features are, as displays write it."""
        if self.autoencoder is None:
            return "minus the squared distance", "fall of the squared distance"
        member = self.estimators_[0]
        member = member[-1] if isinstance(member, Pipeline) else member
        unit = getattr(member, "_score_unit", "")
        if hasattr(member, "score_features"):
            return unit, f"below the usual score{', in nats' * unit.endswith('nats')}"
        return unit, "squared error"

    def _n_to_fit(self, n_reference: int) -> int:
        """Return how many training rows there have to be for so many that some member has not seen."""

        def n_unseen(n: int) -> int:
            return min(n, self.n_estimators * (n - round(self.max_samples * n)))

        return bisect_left(range(sys.maxsize), n_reference, key=n_unseen)

    def _reference(self) -> np.ndarray:
        """Return how odd the training rows are to those that have not seen them, sorted; without copies."""
        copies = getattr(self, "_copies", np.array([], dtype=np.int64))  # which older files do not know
        scores = np.delete(self.left_out_scores_, copies)
        return np.sort(-scores[~np.isnan(scores)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.autoencoder is None:
            tags.input_tags.sparse = True
        else:
            tags.input_tags = get_tags(self.autoencoder).input_tags
            tags.input_tags.allow_nan = _takes_missing(self.autoencoder)
        return tags


class _Member(AutoencoderTransformer):
    """A member of the recipe while it is trained, on standardized rows."""

    trim: float = parameter(Interval(Real, 0, 0.5, closed="left"), default=0.0)

    def _reconstruction_loss(self, setup: Setup, decoder: Any) -> Loss | None:
        if not self.trim:
            return None
        n_batches = self.max_iter * math.ceil(len(setup.data.train_rows) / self.batch_size)
        return trimmed(loss_by(self.loss), self.trim, n_batches // 5)

    def plain(self, mean: np.ndarray, scale: np.ndarray, X) -> AutoencoderTransformer:
        """Return the fitted autoencoder, for rows in the units of X."""
        result = as_one_of(AutoencoderTransformer, self)
        dtype = arrays.torch_dtype(X)
        if not fits_single(scale):
            if sum_dtype(result.device_) != torch.float64:
                raise magnitude_error(float(np.abs(mean).max() + scale.max()))
            dtype = torch.float64
            result.encoder_, result.decoder_ = result.encoder_.double(), result.decoder_.double()
        to_units(result.encoder_, result.decoder_, mean, scale, dtype)
        result.offset_ = result.encoder_.offset.cpu().numpy()
        return result


def _recipe(n_features: int, n_rows: int, n_components) -> tuple[dict[str, Any], int]:
    """Return the parameters of the members, and on how many rows of their own each is trained."""
    width = 256 if n_features >= 200 else max(64, 2 * n_features)
    rank = n_features // 2 if n_features < 10 else max(4, round(math.sqrt(n_features)))
    if n_components == "auto":
        n_components = max(1, min(n_features - 1, 4 * rank))
    n_rows = min(n_rows, N_STEPS * BATCH_SIZE)
    n_batches = math.ceil(n_rows / BATCH_SIZE)
    parameters = {
        "n_components": n_components,
        "hidden_layer_sizes": (width, width // 2),
        "alpha": 1e-5,
        "init": "glorot",
        "learning_rate": 2e-3,
        "learning_rate_schedule": "linear",
        "batch_size": BATCH_SIZE,
        "max_iter": max(1, round(N_STEPS / n_batches)),
        "tol": None,
        "early_stopping": False,
        "dtype": "float32",
    }
    return parameters, n_rows


def _mean_scores(n_rows: int, parts: list[np.ndarray], oddness: list[np.ndarray]) -> np.ndarray:
    """Return minus the mean oddness of each row over the parts that it is in; NaN if it is in none."""
    total, n_parts = np.zeros(n_rows), np.zeros(n_rows)
    for numbers, values in zip(parts, oddness, strict=True):
        total[numbers] -= values
        n_parts[numbers] += 1
    return np.divide(total, n_parts, out=np.full(n_rows, np.nan), where=n_parts > 0)


def _threshold_of_share(scores: np.ndarray, share: float) -> float:
    """Return what so large a share of scores is below: halfway between two that differ by more than rounding.

    With the place that a row has among others, and with the dtype, its score differs in the last bits.
    """
    at = float(np.percentile(scores, 100 * share))
    if not math.isfinite(at):
        return at
    slack = 1e-5 * max(abs(at), np.ptp(np.percentile(scores, [25, 75])))
    below, least = scores[scores < at - slack], float(scores[scores >= at - slack].min())
    return (float(below.max()) + least) / 2 if np.isfinite(below).any() else least - slack


def _range_of(X) -> np.ndarray:
    """Return the lowest and the highest number of each column, (2, n_columns); NaN where there is none."""
    if sparse.issparse(X):
        return np.stack(min_max_axis(X, axis=0, ignore_nan=True)).astype(np.float64)
    rows = None if hasattr(X, "columns") else arrays.to_numpy(X)
    if rows is not None and rows.dtype.kind in "biuf":
        return np.stack([np.fmin.reduce(rows, axis=0), np.fmax.reduce(rows, axis=0)]).astype(np.float64)
    ranges = []
    for number in range(X.shape[1]):
        column = X.iloc[:, number].to_numpy() if hasattr(X, "iloc") else np.asarray(X[:, number])
        if column.dtype.kind not in "iuf":
            seen = [np.nan if is_missing(value) else value for value in column.tolist()]
            column = np.array(seen, dtype=np.float64)
        ranges.append([np.fmin.reduce(column), np.fmax.reduce(column)])
    return np.array(ranges, dtype=np.float64).T


def _seeds(n: int, generator: torch.Generator) -> list[int]:
    return torch.randint(2**31 - 1, (n,), generator=generator).tolist()


def _takes_missing(first: Any, *others: Any) -> bool:
    """Tell whether an estimator, or one step after the other, takes NaN, which tags of pipelines do not say."""
    if isinstance(first, Pipeline):
        return _takes_missing(*[step for _, step in first.steps], *others)
    if first is not None and first != "passthrough":
        if hasattr(first, "transformers") or hasattr(first, "transformer_list"):
            return True  # perhaps: what is in it will say
        tags = get_tags(first)
        if not (tags.input_tags.allow_nan or tags.no_validation):
            return False
        if getattr(first, "missing_values", None) is not None:
            return True  # and no step behind it gets any
    return not others or _takes_missing(*others)


def _marker(autoencoder: Any) -> Any:
    """Return what stands for missing values where the estimator, or a step of it, says so; else NaN."""
    steps = [step for _, step in autoencoder.steps] if isinstance(autoencoder, Pipeline) else [autoencoder]
    markers = (getattr(step, "missing_values", None) for step in steps)
    marker = next((marker for marker in markers if marker is not None), np.nan)
    return marker.item() if isinstance(marker, np.generic) else marker  # compared in any column's precision


def _like(given, X, values: np.ndarray):
    """Return values in the floating dtype and array namespace of rows, as they were given and validated."""
    dtypes = [given.dtype] if hasattr(given, "dtype") else [*getattr(given, "dtypes", ())]
    is_single = bool(dtypes) and all(str(dtype).lower().endswith("float32") for dtype in dtypes)
    return arrays.to_namespace_of(X, _to_single(values) if is_single else values)


def _to_single(values: np.ndarray) -> np.ndarray:
    """Return numbers in single precision, finite ones as finite ones, which metrics need."""
    largest = np.finfo(np.float32).max
    return np.where(np.isfinite(values), values.clip(-largest, largest), values).astype(np.float32)
