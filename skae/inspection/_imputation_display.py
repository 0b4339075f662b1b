"""Imputation: what was filled in, beside what was observed, and the error of entries held out."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._missing import is_pandas_na

from .._data.markers import in_rows
from .._support.texts import first_of
from ._drawing import with_parameters_of
from ._panels import Block, Display, Layout
from ._rows import to_numpy
from ._steps import find_imputer
from ._texts import short_names

_PANEL = 2.6, 2.0  # inches
_BAR, _LONGEST = 0.15, 24  # inches: the height of a bar of errors; letters of a name


class ImputationDisplay(Display):
    """What an imputer filled in: distributions beside those of the observed values, and errors.

    A panel for each column has histograms of its observed and of its imputed values, each of area one. If the
    imputer has ``imputation_error_``, a last panel has it as bars: root mean squared errors of entries held out,
    in standard deviations of the observed values, so that 1 is as bad as the mean. Use `from_estimator` to make
    one.

    Imputed values that are expectations vary less than observed ones; draws, of
    ``AutoencoderImputer(sample_posterior=True)``, do not. If other columns tell which values are missing, the two
    distributions may well have different means.

    Parameters
    ----------
    observed : list of ndarray
        Observed values of each column that is shown.
    imputed : list of ndarray
        What was filled in there.
    feature_names : sequence of str
        Names of these columns.
    errors : ndarray of shape (n_columns,) or None, default=None
        Root mean squared error of each, in its unit.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes
        One for each column, and one for the errors.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from skae import AutoencoderImputer
    >>> from skae.inspection import ImputationDisplay
    >>> X = load_wine(as_frame=True).data
    >>> X = X.mask(np.random.default_rng(0).random(X.shape) < 0.2)
    >>> imputer = AutoencoderImputer(n_estimators=2, max_iter=20, random_state=0).fit(X)
    >>> display = ImputationDisplay.from_estimator(imputer, X, features=5)
    >>> len(display.axes_)
    6
    """

    def __init__(self, observed, imputed, feature_names, errors=None):
        self.observed, self.imputed, self.feature_names, self.errors = observed, imputed, feature_names, errors

    def plot(self, ax=None, *, bins=20, hist_kw=None, bar_kw=None):
        """Draw distributions and errors.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes to be subdivided, or one for each panel. None makes a new figure. In one of
            yours, ``layout="constrained"`` makes room for labels.
        bins : int, default=20
            Number of bins of the histograms.
        hist_kw : dict or None, default=None
            Keyword arguments for the histograms, passed to :meth:`matplotlib.axes.Axes.hist`.
        bar_kw : dict or None, default=None
            Keyword arguments for the bars, passed to :meth:`matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : ImputationDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n_panels = len(self.observed) + (self.errors is not None)
        n_columns = max(1, min(3, n_panels))
        n_last = n_panels - n_columns * max(0, (n_panels - 1) // n_columns)
        last = max(_PANEL[1], 0.7 + _BAR * len(self.errors)) if self.errors is not None else _PANEL[1]
        layout = Layout(Block(n_panels - n_last, n_columns, _PANEL[1]), Block(n_last, n_columns, last))
        self.axes_ = self._make_axes(ax, layout, (n_columns * _PANEL[0], sum(layout.heights)))
        names = short_names(self.feature_names, _LONGEST)
        panels = zip(self.axes_, names, self.observed, self.imputed, strict=False)
        for number, (panel, name, *groups) in enumerate(panels):
            self._distributions(panel, groups, bins, hist_kw or {})
            panel.set_xlabel(name, fontsize="small")
            panel.set_yticks([])
            if number == 0:
                panel.legend(frameon=False, fontsize="x-small")
        if self.errors is not None:
            self._draw_errors(self.axes_[-1], names, bar_kw or {})
        self._make_room(layout)
        return self

    def _distributions(self, panel, groups: list, bins: int, hist_kw: dict) -> None:
        finite = np.concatenate(groups)
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        for values, label, color in zip(groups, ("observed", "imputed"), ("C0", "C1"), strict=True):
            style = {"label": label, "color": color, "alpha": 0.6, "density": len(values) > 0}
            panel.hist(values, edges, **{**style, **hist_kw})

    def _draw_errors(self, panel, names: list[str], bar_kw: dict) -> None:
        deviations = np.array([values.std() if len(values) else np.nan for values in self.observed])
        relative = self.errors / np.where(deviations > 0, deviations, np.nan)
        places = np.arange(len(relative))[::-1]  # the first at the top
        panel.barh(places, relative, **{"color": "C3", **bar_kw})
        panel.set_yticks(places, names, fontsize="x-small")
        panel.axvline(1.0, color="k", linestyle="--", linewidth=1)
        panel.set_xlabel("error of entries held out,\nin standard deviations", fontsize="small")

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(cls, estimator, X, *, features=8, drawing):
        """Fill rows, and draw what was filled in beside what was observed.

        Parameters
        ----------
        estimator : estimator instance
            Fitted imputer, of skae or of scikit-learn, an autoencoder with ``missing_values``, or a fitted
            :class:`~sklearn.pipeline.Pipeline` that contains one of these.
        X : array-like of shape (n_samples, n_features)
            Rows with missing values, as the estimator takes them.
        features : int or array-like of {int, str}, default=8
            Columns to show: so many, those with the most missing values, or their numbers or names.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : ImputationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If there is no imputer in the estimator.
        ValueError
            If a column is not there, or was left out by the imputer; or if X has no missing values.
        """
        (imputer, _, prepared, names), kept = find_imputer(estimator, X)
        fill = imputer.impute if hasattr(imputer, "impute") else imputer.transform
        filled = to_numpy(np.asarray(fill(prepared)))[:, : len(kept)]
        values = check_array(prepared, dtype=np.float64, ensure_all_finite="allow-nan")
        marker = imputer.missing_values
        is_nan = marker is None or is_pandas_na(marker) or marker != marker
        missing = np.isnan(values) if is_nan else values == in_rows(marker, prepared)
        values, missing = values[:, kept], missing[:, kept]
        shown = _chosen(features, names, kept, missing)
        if not shown:
            raise ValueError(
                f"features={features!r} chooses none: X has no value that {type(imputer).__name__} takes for "
                f"missing, with missing_values={marker!r}. Pass rows with missing values, or names of columns."
            )
        observed = [values[~missing[:, place], place] for place in shown]
        imputed = [filled[missing[:, place], place].astype(np.float64) for place in shown]
        errors = getattr(imputer, "imputation_error_", None)
        errors = None if errors is None else to_numpy(errors)[kept][shown]
        return cls(observed, imputed, [names[kept[place]] for place in shown], errors).plot(**drawing)


def _chosen(features, names: list[str], kept: np.ndarray, missing: np.ndarray) -> list[int]:
    """Return places among the columns that are kept."""
    if isinstance(features, Integral):
        n_missing = missing.sum(axis=0)
        most = np.argsort(-n_missing, kind="stable")[:features]
        return sorted(int(place) for place in most if n_missing[place])
    places = {key: place for place, column in enumerate(kept) for key in (int(column), names[column])}
    absent = [feature for feature in features if feature not in places]
    if absent:
        raise ValueError(
            f"features={features!r} names {absent}, which are not among the {len(kept)} columns that the imputer "
            f"fills: {first_of([names[column] for column in kept], 20)}. Pass numbers or names of these."
        )
    return [places[feature] for feature in features]
