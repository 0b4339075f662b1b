"""Drawn tables beside real ones: each column, and the associations between columns."""

import numpy as np

from .._data.tables import frames
from .._data.tables.association import associations
from .._data.tables.columns import sorted_values
from ._drawing import with_parameters_of
from ._histograms import edges_of
from ._legend import colour_bar_beside, legend_above
from ._panels import Block, Display, Layout
from ._texts import plain_text, short_names, shortened

_PANEL, _TIES = (3.0, 2.4), 3.4  # inches: width and height of a panel, height of those of associations
_LONGEST, _MOST_LETTERS = 24, 24  # letters of a name; of names beside each other below a panel
_LABELS = "real", "drawn"
_MOST_NAMED, _MOST_LARGE = 25, 16  # columns beside a picture of associations; of these, in larger letters


class TableDisplay(Display):
    """Columns of real and drawn rows of a table, and the associations between them.

    There is a panel for each column: a histogram of numbers, or bars for the most frequent categories. The last
    two panels show how strongly each two columns are associated, of the real rows and of the drawn ones: the
    magnitude of the rank correlation of numbers, the correlation ratio of a number's ranks and a category, and
    Cramer's V of categories. Use `from_estimator` or `from_tables` to make one.

    Parameters
    ----------
    real : {DataFrame, array-like} of shape (n_rows, n_columns)
        A table of the data.
    drawn : {DataFrame, array-like} of shape (n_rows, n_columns)
        A table that a model has drawn, with the same columns.

    Attributes
    ----------
    associations_ : ndarray of shape (2, n_columns, n_columns)
        Associations between columns, of the real rows and of the drawn ones, in [0, 1]; NaN where a column does
        not vary.
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes
        One for each column that is drawn, and two for the associations.

    See Also
    --------
    SampleDisplay : Samples drawn one by one, as images, bars or lines.

    Examples
    --------
    >>> import pandas as pd
    >>> from skae.inspection import TableDisplay
    >>> real = pd.DataFrame({"age": [3, 5, 8, 2], "pet": ["cat", "cat", "dog", "dog"]})
    >>> display = TableDisplay.from_tables(real, real[:3])
    >>> len(display.axes_)
    4
    """

    def __init__(self, real, drawn):
        self.real, self.drawn = real, drawn

    def plot(self, ax=None, *, n_columns=10, n_categories=8, bins=20, hist_kw=None, bar_kw=None, cmap="viridis"):
        """Draw the columns and the associations between them.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes to be subdivided, or one for each panel. None makes a new figure. In one of
            yours, ``layout="constrained"`` makes room for labels.
        n_columns : int, default=10
            Number of columns that get a panel, the first ones. If there are more, the last panel says so.
        n_categories : int, default=8
            Number of categories that get a bar, the most frequent ones of the real rows.
        bins : int, default=20
            Number of bins of the histograms.
        hist_kw : dict or None, default=None
            Keyword arguments for the histograms, passed to :meth:`matplotlib.axes.Axes.hist`.
        bar_kw : dict or None, default=None
            Keyword arguments for the bars, passed to :meth:`matplotlib.axes.Axes.bar`.
        cmap : str or Colormap, default='viridis'
            Colours of the associations.

        Returns
        -------
        display : TableDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        pair = [frames.read(table)[0] for table in (self.real, self.drawn)]
        self.associations_ = np.stack([associations(columns) for columns in pair])
        shown = [*zip(*pair, strict=True)][:n_columns]
        n_rows = -(-len(shown) // 4)
        width = max(2, -(-len(shown) // max(1, n_rows)))  # rows that are about equally full
        layout = Layout(Block(len(shown), width, _PANEL[1]), Block(2, 2, _TIES))
        self.axes_ = self._make_axes(ax, layout, (width * _PANEL[0], sum(layout.heights)))
        names = short_names([column.name for column in pair[0]], _LONGEST)
        for panel, columns, name in zip(self.axes_, shown, names, strict=False):
            if all(column.kind == frames.NUMBER for column in columns):
                _histograms(panel, columns, bins, hist_kw)
            else:
                _bars(panel, columns, n_categories, bar_kw)
            panel.set_xlabel(name, fontsize="small")
        if shown and len(shown) < len(pair[0]):
            told = f"the first {len(shown)} of {len(pair[0])} columns\n(n_columns draws more)"
            panel.set_xlabel(f"{panel.get_xlabel()}\n{told}", fontsize="small")
        legend_above(self.axes_[0])
        for panel, strengths, label in zip(self.axes_[-2:], self.associations_, _LABELS, strict=True):
            image = panel.imshow(strengths, cmap=cmap, vmin=0, vmax=1)
            panel.set_title(f"associations, {label}", fontsize="small")
            _name_ticks(panel, names)
        colour_bar_beside(panel, image, "strength")
        self._make_room(layout)
        return self

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(cls, estimator, X, *, random_state=None, drawing):
        """Draw as many rows as there are real ones, and show both.

        Parameters
        ----------
        estimator : TabularVAESampler
            Fitted sampler of tables.
        X : {DataFrame, array-like} of shape (n_rows, n_columns)
            Real rows, best those that the sampler has not seen.
        random_state : int, RandomState instance or None, default=None
            Seed of the drawn rows.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : TableDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not draw tables.
        """
        if not hasattr(estimator, "sample") or not hasattr(estimator, "categories_"):
            raise TypeError(f"{type(estimator).__name__} does not draw tables. Pass a fitted TabularVAESampler.")
        drawn = estimator.sample(len(X), random_state=random_state, with_missing=True)
        return cls(X, drawn).plot(**drawing)

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_tables(cls, real, drawn, *, drawing):
        """Show two tables beside each other.

        Parameters
        ----------
        real : {DataFrame, array-like} of shape (n_rows, n_columns)
            A table of the data.
        drawn : {DataFrame, array-like} of shape (n_rows, n_columns)
            A table that a model has drawn, with the same columns.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : TableDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return cls(real, drawn).plot(**drawing)


def _name_ticks(ax, names: list[str]) -> None:
    """Write the names of columns beside a picture of associations, where these are not too many to be read."""
    ticks = range(len(names)) if len(names) <= _MOST_NAMED else []
    size = "x-small" if len(names) <= _MOST_LARGE else 4.5  # points
    ax.set_xticks(ticks, names[: len(ticks)], fontsize=size, rotation=90)
    ax.set_yticks(ticks, names[: len(ticks)], fontsize=size)


def _histograms(ax, columns, bins: int, hist_kw: dict | None) -> None:
    values = [column.values[~column.missing] for column in columns]
    together = np.concatenate(values)
    edges = edges_of(together, bins) if len(together) else np.linspace(0, 1, bins + 1)
    for one, label in zip(values, _LABELS, strict=True):
        ax.hist(one, edges, **{"density": True, "alpha": 0.5, "label": label, **(hist_kw or {})})


def _bars(ax, columns, n_categories: int, bar_kw: dict | None) -> None:
    shares = []
    for column in columns:
        seen = column.values[~column.missing].tolist()
        shares.append({value: seen.count(value) / max(len(seen), 1) for value in dict.fromkeys(seen)})
    most = sorted(shares[0], key=lambda value: -shares[0][value])[:n_categories]
    names = sorted_values(most)
    for number, (share, label) in enumerate(zip(shares, _LABELS, strict=True)):
        places = np.arange(len(names)) + 0.4 * number - 0.2
        heights = [share.get(name, 0.0) for name in names]
        ax.bar(places, heights, **{"width": 0.4, "alpha": 0.7, "label": label, **(bar_kw or {})})
    labels = [plain_text(shortened(str(name), 12)) for name in names]
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    is_narrow = len(labels) * max(map(len, labels), default=0) > _MOST_LETTERS
    ax.set_xticks(np.arange(len(names)), labels, fontsize="x-small", **(turned if is_narrow else {}))
