"""Outliers: scores with the threshold, p-values, and the reasons of single rows."""

import numpy as np
from sklearn.utils.validation import check_consistent_length

from .._support.warnings import warn
from ._drawing import with_parameters_of
from ._histograms import edges_at, edges_of_p_values, histogram
from ._legend import legend_above
from ._panels import Block, Display, Layout
from ._rows import names_of_rows, rows_and_labels, rows_to_explain
from ._steps import find_detector, without_prefixes
from ._texts import expected_text, plain_text, short_names, written
from ._values import values_of
from ._verdicts import explain, told_of_panels, verdicts_of

_PANEL, _SCORES = (3.0, 2.4), 2.8  # inches: width and height of a panel; the height of those of scores
_BAR, _LETTER = 0.3, 0.055  # inches: the height of a bar, the width of a letter beside it
_LONGEST = 30  # letters of a name


class OutlierDisplay(Display):
    """What an outlier detector says of rows: scores, p-values, and which features make single rows odd.

    The first panel has a histogram of the scores, with the threshold; the second one of the p-values, which would
    be flat if all rows were normal, with the rate of false alarms. Then come panels of rows to explain: bars of
    the features that contribute most, with values found, expected and usual. Use `from_estimator` to make one.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
        Scores, higher for more normal rows.
    threshold : float
        Rows that score less are outliers; ``-inf`` if there can be none.
    p_values : ndarray of shape (n_samples,)
        P-values, NaN where there is none.
    rows : list of int
        Numbers of the rows to explain, from 0.
    reasons : ndarray of shape (len(rows), n_features)
        Contribution of each feature to how odd these rows are.
    feature_names : sequence of str
        Names of the features.
    labels : ndarray or Series of shape (n_samples,) or None, default=None
        Labels of the rows, for histograms as of ``y`` in `from_estimator`. The legend has a Series' name.
    values : ndarray of shape (len(rows), n_features) or None, default=None
        Values of the features in the rows to explain.
    usual_values : ndarray of shape (n_features,) or None, default=None
        What is usual of each feature: the median of the training rows, or the most frequent value.
    expected_values : ndarray of shape (len(rows), n_features) or None, default=None
        What each feature is expected to be, given the others of its row. Where it is NaN or infinite, "out of
        range" is written: a step before the detector has no way back there, such as ``PowerTransformer``. Where
        it is beyond ``bounds``, as after one gross value in a row, "below" the lower or "above" the upper one is.
    row_names : list of str or None, default=None
        What the rows to explain are called. None is by their numbers.
    score_unit : str, default=''
        What scores are, for the axis of the first panel.
    reason_unit : str, default='contribution'
        What ``reasons`` are, for the axes of the bars.
    false_alarm_rate : float or None, default=None
        Rows whose p-value is at most this are outliers; None where the threshold is none of p-values.
    transformed_by : str, default=''
        Which step returns the values, for the axes of the bars; empty if columns have the units of the data.
    bounds : ndarray of shape (2, n_features) or None, default=None
        The lowest and the highest value of each feature in the rows of `fit`, NaN where unknown.

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

    def __init__(
        self,
        scores,
        threshold,
        p_values,
        rows,
        reasons,
        feature_names,
        labels=None,
        *,
        values=None,
        usual_values=None,
        expected_values=None,
        row_names=None,
        score_unit="",
        reason_unit="contribution",
        false_alarm_rate=None,
        transformed_by="",
        bounds=None,
    ):
        self.scores, self.threshold, self.p_values, self.labels = scores, threshold, p_values, labels
        self.rows, self.reasons, self.feature_names = rows, reasons, feature_names
        self.values, self.usual_values, self.expected_values = values, usual_values, expected_values
        self.row_names = [f"row {row}" for row in rows] if row_names is None else row_names
        self.score_unit, self.reason_unit = score_unit, reason_unit
        self.false_alarm_rate, self.transformed_by, self.bounds = false_alarm_rate, transformed_by, bounds

    def plot(self, ax=None, *, n_features=8, max_rows=12, bins=20, hist_kw=None, bar_kw=None):
        """Draw scores, p-values and reasons.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes to be subdivided, or one for each panel. None makes a new figure. In one of
            yours, ``layout="constrained"`` makes room for labels and for the legend above the first panel.
        n_features : int, default=8
            Number of features in the panel of a row, those that contribute most.
        max_rows : int, default=12
            Number of rows to explain that get a panel at most. If there are more, these are the oddest of them,
            and a warning says so.
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

        Warns
        -----
        UserWarning
            If there are more rows to explain than ``max_rows``.
        """
        drawn, n_all = self._drawn(max_rows), len(self.feature_names)
        names = short_names(without_prefixes([str(name) for name in self.feature_names]), _LONGEST)
        bars = [self._bars(number, n_features, names) for number in drawn]
        longest = max((len(line) for _, names in bars for name in names for line in name.split("\n")), default=0)
        n_columns = min(3 if longest <= _LONGEST else 2, max(2, len(drawn)))  # to be read on a page
        width = max(_PANEL[0], 1.7 + _LETTER * longest)
        most = max((len(names) for _, names in bars), default=0)
        height = max(_PANEL[1], (1.05 if self.transformed_by else 0.9) + _BAR * most)
        layout = Layout(Block(2, 2, _SCORES), Block(len(drawn), n_columns, height))
        self.axes_ = self._make_axes(ax, layout, (n_columns * width, sum(layout.heights)))
        legend = self._draw_scores(self.axes_[0], bins, hist_kw)
        if ax is None:
            self._raise_first(layout, legend)
        self._draw_p_values(self.axes_[1], bins, hist_kw)
        self.axes_[1].set_title("" if len(self.rows) else "no row to explain", fontsize="small")
        for panel, number, (lengths, names) in zip(self.axes_[2:], drawn, bars, strict=True):
            places = np.arange(len(lengths))
            panel.barh(places, lengths, **{"color": "C3", **(bar_kw or {})})
            panel.set_yticks(places, names, fontsize="x-small")
            title, p = plain_text(self.row_names[number]), self.p_values[self.rows[number]]
            title += ", no p-value" if np.isnan(p) else f", p = {p:.2g}"
            panel.set_title(title, fontsize="small", loc="right")
            which = f"\nthe {len(lengths)} largest of {n_all} features" if len(lengths) < n_all else ""
            units = f"\nvalues as {self.transformed_by} returns them" if self.transformed_by else ""
            panel.set_xlabel(self.reason_unit + which + units, fontsize="small", loc="right")
        self._make_room(layout)
        return self

    def _drawn(self, max_rows: int) -> list[int]:
        """Return which of the rows to explain get a panel; warn if not all do."""
        if len(self.rows) <= max_rows:
            return [*range(len(self.rows))]
        warn(
            f"There are {len(self.rows)} rows to explain, of which the {max_rows} oddest are drawn; ``reasons`` "
            f"has all. Pass fewer as rows, or max_rows={len(self.rows)} to draw all of them."
        )
        return np.argsort(self.scores[self.rows], kind="stable")[:max_rows].tolist()

    def _bars(self, number: int, n_features: int, names: list[str]) -> tuple[np.ndarray, list[str]]:
        """Return the longest bars of a row to explain, and what is written beside them, from below."""
        reasons = self.reasons[number]
        most = np.argsort(-reasons, kind="stable")[:n_features][::-1]  # the longest at the top
        return reasons[most], [self._feature(number, column, names[column]) for column in most]

    def _feature(self, number: int, column: int, name: str) -> str:
        """Write the name of a feature, its value in a row to explain, and those to compare it with."""
        if self.values is None:
            return name
        others = {}
        if self.expected_values is not None:
            bounds = (np.nan, np.nan) if self.bounds is None else self.bounds[:, column]
            others["expected"] = expected_text(self.expected_values[number][column], bounds)
        if self.usual_values is not None:
            others["usual"] = written(self.usual_values[column])
        beside = f" ({', '.join(f'{key}: {text}' for key, text in others.items())})" if others else ""
        return f"{name}\n{written(self.values[number][column])}{beside}"

    def _draw_scores(self, ax, bins: int, hist_kw: dict | None) -> float:
        """Draw the scores; return how high the legend above them is, in inches."""
        has_threshold = np.isfinite(self.threshold)
        finite = self.scores[np.isfinite(self.scores)]
        shown = finite[finite >= np.quantile(finite, 0.02)] if len(finite) else finite
        ends = [*shown, self.threshold] if has_threshold else [*shown] or [0.0]
        low, high = min(ends), max(ends)
        if has_threshold and low == self.threshold and (finite < low).any():
            low -= (high - low) / bins or 1.0  # a bar for them on their side
        scores = np.clip(self.scores, low, high)  # a few that are far away would hide all others
        histogram(ax, scores, edges_at(low, high, bins, self.threshold), self.labels, hist_kw)
        if has_threshold:
            ax.axvline(self.threshold, color="k", linestyle="--", linewidth=1, label="threshold")
        name = str(getattr(self.labels, "name", None) or "")
        height = legend_above(ax, plain_text(name) if has_threshold else "no row can be an outlier")
        unit = f": {self.score_unit}" if self.score_unit else ""
        lower = "\n(the first bar has all that are lower)" if (self.scores < low).any() else ""
        ax.set_xlabel(f"score{unit}{lower}", fontsize="small")
        ax.set_ylabel("rows" if self.labels is None else "rows, stacked")
        return height

    def _draw_p_values(self, ax, bins: int, hist_kw: dict | None) -> None:
        histogram(ax, self.p_values, edges_of_p_values(bins, self.false_alarm_rate), self.labels, hist_kw)
        ax.set(ylabel="rows", xlim=(0, 1), xticks=[0, 0.5, 1])
        label = "p-value"
        if self.false_alarm_rate is not None:
            ax.axvline(self.false_alarm_rate, color="k", linestyle="--", linewidth=1)
            label += f"\n(line: false_alarm_rate={self.false_alarm_rate:g})"
        if n_without := int(np.isnan(self.p_values).sum()):
            label += f"\n({n_without} rows have none)"
        ax.set_xlabel(label, fontsize="small")

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
            Rows to judge: new ones, or rows of `fit`, see the notes.
        y : array-like of shape (n_samples,), str or None, default=None
            Labels, or the column of X that has them, a feature or not, for a histogram of each, grey if missing.
            Up to 20 different whole numbers are classes, other numbers values, which are put into four ranges of
            about as many rows. Of more than ten classes, all but the nine most frequent are one, "others".
        rows : int or array-like of int, str or bool, default=3
            Rows to explain: so many, the oddest; or their numbers, from 0, or strings in the index of a pandas
            frame, in the order to draw them; or a mask of all rows, such as ``estimator.predict(X) == -1`` or, of
            rows of `fit`, ``left_out_scores_ < offset_``, drawn oddest first. Titles have the index, too.
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
            If X has no row of a number in ``rows``, or a mask has another length.

        Notes
        -----
        Of rows of `fit`, scores are ``left_out_scores_``, p-values are at most ``false_alarm_rate`` where they are
        below ``offset_``, and all is by members that have not seen the row: where there are none, no p-value. With
        a number as ``contamination``, scores are by all members, as ``offset_`` is.

        Values are in the units of X where the steps before the detector keep the columns and have a way back, in
        a :class:`~sklearn.compose.ColumnTransformer` each of its transformers. Else they are as a step returns
        them, which is written below the bars. Prefixes of names are left out where names differ without them.
        """
        X, y = rows_and_labels(estimator, X, y)
        found = find_detector(estimator, X)
        verdicts = verdicts_of(found)
        check_consistent_length(verdicts.scores, y)
        numbers = rows_to_explain(rows, verdicts.scores, X)
        reasons, expected = explain(verdicts, numbers, len(found.names))
        return cls(
            verdicts.scores,
            found.estimator.offset_,
            verdicts.p_values,
            numbers.tolist(),
            reasons,
            found.names,
            y if y is None or hasattr(y, "name") else np.asarray(y),
            row_names=names_of_rows(X, numbers, _LONGEST),
            **values_of(found, X, numbers, expected)._asdict(),
            **told_of_panels(found.estimator),
        ).plot(**drawing)
