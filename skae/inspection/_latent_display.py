"""Latent space: codes, and a grid of decoded codes."""

import numpy as np
from scipy import sparse
from sklearn.utils import check_consistent_length

from .._support.warnings import warn
from ._drawing import (
    GREY,
    IN_DEVIATIONS,
    MISSING,
    Style,
    are_numbers,
    limits_of,
    mosaic,
    with_parameters_of,
)
from ._groups import are_values, by_class
from ._latent_grid import check_components, latent_grid, number_axes, warn_of_inactive_axes
from ._legend import colour_bar_beside, legend_beside, widen_for_legends, with_named_bars
from ._model import Model, NoWayBackError
from ._panels import Block, Display, Layout
from ._rows import labels_of, rows_and_labels, to_numpy
from ._texts import plain_text

_FEW = 30  # codes whose points are larger
_PAD_ABOVE_LEGEND = 22.0  # points between a panel and its title, where a legend of one line is between them


class LatentDisplay(Display):
    """A scatter plot of two components of the codes, and beside it a grid of decoded codes.

    Use `from_estimator` to make one.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        Two components of the rows' codes, the horizontal one first.
    y : ndarray of shape (n_samples,) or None, default=None
        Classes or values that give the codes their colours: up to 20 different whole numbers are classes, other
        numbers values. Rows whose class or value is missing are grey. Of more than 20 classes, the most frequent
        have a colour each, and the others one.
    y_name : str or None, default=None
        What the legend of the classes, or the colour bar of the values, is titled.
    grid : ndarray of shape (n_points, n_points, n_features) or None, default=None
        Decoded rows, see :func:`latent_grid`. None draws the codes alone.
    grid_values : tuple of two ndarrays of shape (n_points,) or None, default=None
        Values of the horizontal and of the vertical component in the grid.
    components : (int, int), default=(0, 1)
        Numbers of the components.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) if rows are images, flattened in C order. None draws bars or
        lines.
    scales : tuple of two ndarrays of shape (n_features,) or None, default=None
        Mean and standard deviation of each feature, if bars are to be deviations from the mean in standard
        deviations.
    limits : (float, float) or None, default=None
        Values at the ends of the images' colour scale. None is the smallest and the largest in the grid.
    feature_names : array-like of str or None, default=None
        Names of the features. Bars of at most twenty features have a colour for each then, with a legend.
    n_components : int or None, default=None
        Number of components of the codes, which the axes tell where it is more than two.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (2,) or (1,)
        Panels: the codes, and the grid if there is one.
    scatter_ : list of PathCollection
        Points of the codes, one collection for each class, the last of them for rows without one, if there are
        any; a single one for values.
    cells_ : ndarray of Axes of shape (n_points, n_points) or None
        Cells of the grid if rows are not images; a grid of images is a single image in ``axes_[1]``.

    See Also
    --------
    latent_grid : The computation behind it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.inspection import LatentDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = AutoencoderTransformer(2, max_iter=20, tol=None, random_state=0).fit(X)
    >>> display = LatentDisplay.from_estimator(model, X, y, image_shape=(8, 8))
    >>> display.codes.shape, display.grid.shape
    ((1797, 2), (10, 10, 64))
    """

    def __init__(
        self,
        codes,
        *,
        y=None,
        y_name=None,
        grid=None,
        grid_values=None,
        components=(0, 1),
        image_shape=None,
        scales=None,
        limits=None,
        feature_names=None,
        n_components=None,
    ):
        self.codes, self.components, self.n_components = codes, components, n_components
        self.y, self.y_name = y, y_name
        self.grid, self.grid_values = grid, grid_values
        self.image_shape, self.feature_names = image_shape, feature_names
        self.scales, self.limits = scales, limits

    def plot(self, ax=None, *, kind="auto", cmap="gray_r", scatter_kw=None, im_kw=None, bar_kw=None, line_kw=None):
        """Draw the codes and the grid.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes for each panel, or a single one, which is turned off and subdivided. None
            makes a new figure. In one of yours, ``layout="constrained"`` makes room for labels.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a decoded row. 'auto' is an image if there is an image shape, else bars for up to 40
            features and a line for more.
        cmap : str or Colormap, default='gray_r'
            Colours of images with one channel.
        scatter_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.scatter`, which override the defaults.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which override the defaults.

        Returns
        -------
        display : LatentDisplay
            The display itself.
        """
        n_panels, titles = 1 if self.grid is None else 2, ["codes", "decoded codes"]
        layout = Layout(Block(n_panels, n_panels))
        self.axes_ = self._make_axes(ax, layout, (5.0 * n_panels, 4.4))
        self.cells_ = None
        size = 8 if len(self.codes) > _FEW else 20  # points squared
        pad = self._draw_codes(self.axes_[0], {"s": size, "linewidths": 0, "alpha": 0.8, **(scatter_kw or {})})
        if self.grid is not None:
            style = Style(kind, cmap, im_kw, bar_kw, line_kw)
            shown = self.image_shape, limits_of(self.grid), self.feature_names
            style, grid = style.of(self.grid[0, 0], *shown).scaled(self.grid, self.scales)
            height = self._draw_grid(self.axes_[1], grid, style)
            number_axes(self.axes_[1], self.grid_values, height)
            titles[1] += f", in\n{IN_DEVIATIONS}".replace("\nfrom", " from") * style.in_deviations
        of_all = f" of {self.n_components}" if (self.n_components or 2) > 2 else ""
        horizontal, vertical = (f"component {number}{of_all}" for number in self.components)
        for panel, title in zip(self.axes_, titles, strict=False):
            panel.set(xlabel=horizontal, ylabel=vertical)
            panel.set_title(title, pad=pad)
        if ax is None:
            widen_for_legends(self.figure_)
        self._make_room(layout)
        if self.grid is not None:
            number_axes(self.axes_[1], self.grid_values, height)  # it may have become smaller
        return self

    def _draw_codes(self, ax, options: dict) -> float | None:
        """Draw the codes; return how far from the panel titles have to be, or None for the usual."""
        if self.y is None:
            self.scatter_ = [ax.scatter(*self.codes.T, **options)]
            return None
        y, known = labels_of(self.y)
        if are_values(y, known):
            return self._draw_values(ax, np.ma.masked_array(y, ~known), options)
        self.scatter_, groups = [], by_class(y, known)
        for group in groups:
            style = {"color": group.colour, "label": group.name, "zorder": 0.9 if group.is_rest else 1.0}
            self.scatter_.append(ax.scatter(*self.codes[group.rows].T, **{**style, **options}))
        legend_beside(ax, self._title_of_y(), len(groups), markerscale=2)
        return None

    def _title_of_y(self) -> str:
        return "" if self.y_name is None else plain_text(str(self.y_name))

    def _draw_values(self, ax, values: np.ma.MaskedArray, options: dict) -> float | None:
        """Draw codes in the colours of numbers; those that have none, or an infinite one, are grey."""
        from matplotlib import pyplot as plt

        if "c" not in options:
            colours = plt.get_cmap(options.get("cmap")).with_extremes(bad=GREY)
            numbers = np.where(np.isfinite(values.data) & ~values.mask, values.data, np.nan)
            options |= {"c": numbers, "cmap": colours, "plotnonfinite": True}
        self.scatter_ = [ax.scatter(*self.codes.T, **options)]
        colour_bar_beside(ax, self.scatter_[0], self._title_of_y())
        infinite = not np.isfinite(values.compressed()).all()
        if not infinite and not values.mask.any():
            return None
        names = [MISSING] * bool(values.mask.any()) + ["infinite"] * infinite
        point = plt.Line2D([], [], linestyle="", marker="o", color=GREY, label=" or ".join(names))
        above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.0}
        ax.legend(handles=[point], fontsize="small", frameon=False, **above)
        return _PAD_ABOVE_LEGEND

    def _draw_grid(self, ax, grid: np.ndarray, style: Style) -> float:
        """Draw the grid; return the height of a cell."""
        n_points, height = len(grid), 1.0  # of a cell, whose width is 1
        if style.kind == "image":
            style = style._replace(limits=self.limits or style.limits)
            rows = grid[::-1].reshape(n_points**2, -1)
            sheet = mosaic(np.stack([style.tile(row) for row in rows]), n_points)
            height, half = sheet.shape[0] / sheet.shape[1], 0.5 * n_points / sheet.shape[1]  # of a pixel
            right, top = n_points, n_points * height
            style.show(ax, sheet, extent=(-half, right - half, half, top + half))
            ax.set(xlim=(-half, right + half), ylim=(-half, top + half))
        else:
            ax.set(xlim=(0, n_points), ylim=(0, n_points))
            style = with_named_bars(ax, style)._replace(names=())
            self.cells_ = np.empty((n_points, n_points), dtype=object)
            for i, j in np.ndindex(n_points, n_points):
                self.cells_[i, j] = ax.inset_axes((j + 0.05, i + 0.05, 0.9, 0.9), transform=ax.transData)
                style.draw(self.cells_[i, j], grid[i, j])
                self.cells_[i, j].set(xticks=[], yticks=[])
                self.cells_[i, j].spines[:].set_visible(False)
        return height

    @classmethod
    @with_parameters_of(place=latent_grid, drawing=plot)
    def from_estimator(
        cls, estimator, X, y=None, *, components=(0, 1), n_points=10, image_shape=None, place, drawing
    ):
        """Draw the codes of rows, and a grid of decoded codes.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder, or a fitted :class:`~sklearn.pipeline.Pipeline` that contains one. Where it cannot
            decode, such as an :class:`~skae.AutoencoderClassifier`, or a step before it has no
            ``inverse_transform``, the codes are drawn alone, with a warning.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, as the estimator takes them.
        y : array-like of shape (n_samples,) or str, default=None
            Classes or values that give the codes their colours, or the name of a column of X, a data frame, in
            which it need not have been in `fit`. Up to
            20 different whole numbers are classes, other numbers values; bins of counts, such as ``y // 5``, or
            ``y + 0.5`` for a colour bar, say what is meant. Rows whose class or value is missing are grey. Of
            more than 20 classes, the 19 most frequent have a colour each, and the others one. The name of the
            column, or that of a Series, is the title of the legend or of the colour bar.
        components : (int, int), default=(0, 1)
            The two components of the code to draw, the horizontal one first.
        n_points : int or None, default=10
            Number of values of each component in the grid. None draws the codes alone.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images, flattened in C order. None is the
            autoencoder's own ``image_shape`` if it has one that fits; else rows are drawn as bars or lines.
        **place : dict
            Parameters of `latent_grid`.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : LatentDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If a component or a column does not exist, ``y`` has another length than X, or ``image_shape`` does not
            fit.
        """
        model = Model(estimator)
        X, y = rows_and_labels(estimator, X, y)
        y_name = getattr(y, "name", None)
        Z, y = model.encode(X), None if y is None else np.ravel(to_numpy(y))
        columns = check_components(components, Z.shape[1])
        check_consistent_length(Z, y)
        warn_of_inactive_axes(model.autoencoder, Z, columns)
        options = {"y": y, "y_name": y_name, "components": tuple(columns), "n_components": Z.shape[1]}
        if n_points is not None:
            place |= {"components": components, "n_points": n_points}
            try:
                grid, codes = latent_grid(estimator, X, return_codes=True, **place)
            except NoWayBackError as error:
                warn(f"The codes are drawn alone, without a grid. {error} n_points=None asks for none.")
                return cls(Z[:, columns], **options).plot(**drawing)
            if not are_numbers(grid):
                warn(
                    "The codes are drawn alone, without a grid: decoded rows hold values that are not numbers, "
                    "such as categories. n_points=None asks for none."
                )
                return cls(Z[:, columns], **options).plot(**drawing)
            options |= model.panel_options(image_shape, grid.shape[2], X)
            has_limits = options["image_shape"] is not None
            limits = limits_of(X.data if sparse.issparse(X) else to_numpy(X)) if has_limits else None
            values = codes[0, :, columns[0]], codes[:, 0, columns[1]]
            options |= {"grid": grid, "grid_values": values, "limits": limits}
        return cls(Z[:, columns], **options).plot(**drawing)
