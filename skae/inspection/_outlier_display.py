"""Outliers: scores with the threshold, p-values, and the reasons of single rows."""

from numbers import Integral

import numpy as np

from ._drawing import Display, with_parameters_of
from ._model import detector_and_rows, row_numbers, take, to_numpy

_PANEL = 3.0, 2.4  # inches


class OutlierDisplay(Display):
    """What an outlier detector says of rows: scores, p-values, and which features make single rows odd.

    The first panel has a histogram of the scores, with the threshold; the second one of the p-values, which would
    be flat if all rows were normal. Then comes a panel for each row that is explained: bars of the features that
    contribute most. Use `from_estimator` to make one.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Scores, higher for more normal rows.
    threshold : float
        Rows that score less are outliers.
    p_values : ndarray of shape (n_samples,)
        P-values.
    rows : list of int
        Numbers of the rows to explain.
    reasons : ndarray of shape (len(rows), n_features)
        Contribution of each feature to how odd these rows are.
    feature_names : sequence of str
        Names of the features.
    labels : ndarray of shape (n_samples,) or None, default=None
        Labels of the rows, each with a histogram of its own.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes
        One for the scores, one for the p-values, and one for each row that is explained.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skae import AutoencoderOutlierDetector
    >>> from skae.inspection import OutlierDisplay
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> detector = AutoencoderOutlierDetector(random_state=0).fit(X[y == 1][:200])
    >>> display = OutlierDisplay.from_estimator(detector, X[200:], y[200:])
    >>> len(display.axes_)
    5
    """

    def __init__(self, scores, threshold, p_values, rows, reasons, feature_names, labels=None):
        self.scores, self.threshold, self.p_values = scores, threshold, p_values
        self.rows, self.reasons, self.feature_names = rows, reasons, feature_names
        self.labels = labels

    def plot(self, ax=None, *, n_features=8, bins=20, hist_kw=None, bar_kw=None):
        """Draw scores, p-values and reasons.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes to be subdivided, or one for each panel. None makes a new figure.
        n_features : int, default=8
            Number of features in the panel of a row, those that contribute most.
        bins : int, default=20
            Number of bins of the histograms.
        hist_kw : dict or None, default=None
            Keyword arguments for the histograms, passed to :meth:`matplotlib.axes.Axes.hist`.
        bar_kw : dict or None, default=None
            Keyword arguments for the bars, passed to :meth:`matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : OutlierDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n_panels = 2 + len(self.rows)
        n_columns = min(3, n_panels)
        n_rows = -(-n_panels // n_columns)
        self.axes_ = self._make_axes(ax, n_rows, n_columns, (n_columns * _PANEL[0], n_rows * _PANEL[1]), n_panels)
        finite = self.scores[np.isfinite(self.scores)]
        shown = finite[finite >= np.quantile(finite, 0.02)] if len(finite) else finite
        low, high = min([*shown, self.threshold]), max([*shown, self.threshold])
        scores = np.clip(self.scores, low, high)  # a few that are far away would hide all others
        self._histogram(self.axes_[0], scores, np.linspace(low, high, bins + 1), hist_kw)
        self.axes_[0].axvline(self.threshold, color="k", linestyle="--", linewidth=1)
        self.axes_[0].set(xlabel="score", ylabel="rows")
        self._histogram(self.axes_[1], self.p_values, np.linspace(0, 1, bins + 1), hist_kw)
        self.axes_[1].set(xlabel="p-value", ylabel="rows", xlim=(0, 1))
        if self.labels is not None:
            self.axes_[0].legend(frameon=False, fontsize="small")
        for panel, row, reasons in zip(self.axes_[2:], self.rows, self.reasons, strict=True):
            most = np.argsort(-reasons, kind="stable")[:n_features][::-1]
            names = [str(self.feature_names[column]) for column in most]
            panel.barh(np.arange(len(most)), reasons[most], **{"color": "C3", **(bar_kw or {})})
            panel.set_yticks(np.arange(len(most)), names, fontsize="x-small")
            panel.set_title(f"row {row}, p = {self.p_values[row]:.2g}", fontsize="small")
        return self

    def _histogram(self, ax, values: np.ndarray, edges: np.ndarray, hist_kw: dict | None) -> None:
        names = [None] if self.labels is None else list(np.unique(self.labels))
        groups = [values if name is None else values[self.labels == name] for name in names]
        labels = None if self.labels is None else [str(name) for name in names]
        ax.hist(groups, edges, **{"stacked": True, "label": labels, **(hist_kw or {})})

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(cls, estimator, X, y=None, *, rows=3, drawing):
        """Score rows, compute their p-values, and draw both, with the reasons of some.

        Parameters
        ----------
        estimator : estimator instance
            Fitted :class:`~skae.AutoencoderOutlierDetector`, or a fitted :class:`~sklearn.pipeline.Pipeline` that
            ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to judge: not those of `fit`, since p-values are not valid for them.
        y : array-like of shape (n_samples,) or None, default=None
            Labels, to draw a histogram for each.
        rows : int or array-like of int or bool, default=3
            Rows to explain: so many, the oddest; or their numbers, from 0; or a mask of all rows.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : OutlierDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator has no p-values.
        ValueError
            If X has no row of a number in ``rows``, or a mask has another length than X.
        """
        detector, prepared, names = detector_and_rows(estimator, X)
        scores = to_numpy(detector.score_samples(prepared))
        oddest = np.argsort(scores, kind="stable")
        numbers = oddest[:rows] if isinstance(rows, Integral) else row_numbers(rows, len(scores))
        reasons = np.empty((0, len(names)))
        if len(numbers):
            reasons = to_numpy(detector.score_features(take(prepared, numbers)))
        labels = None if y is None else np.asarray(y)
        p = to_numpy(detector.p_values(prepared))
        return cls(scores, detector.offset_, p, numbers.tolist(), reasons, names, labels).plot(**drawing)
