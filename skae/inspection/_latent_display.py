"""Codes in the plane, and what they stand for."""

import numpy as np
from scipy import sparse

from ._drawing import Style, draw, limits_of, make_axes, require_matplotlib, tile
from ._latent_grid import check_components, grid_codes
from ._model import Model, check_image_shape, to_numpy

_MOST_CLASSES = 20


class LatentDisplay:
    """Codes of rows in the plane of two components, and beside them a grid of codes, decoded.

    Use `from_estimator` to make one.

    Parameters
    ----------
    codes : ndarray of shape (n_samples, 2)
        The two components of the rows' codes, the horizontal one first.
    y : ndarray of shape (n_samples,) or None, default=None
        Classes or values to colour the codes by.
    grid : ndarray of shape (n_points, n_points, n_features) or None, default=None
        Decoded rows, see :func:`latent_grid`. None draws the codes alone.
    grid_values : tuple of two ndarrays of shape (n_points,) or None, default=None
        Values of the horizontal and of the vertical component in the grid.
    components : (int, int), default=(0, 1)
        Numbers of the components.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of rows that are images, flattened in C order. None draws bars
        or lines.
    limits : (float, float) or None, default=None
        Values that get the ends of the images' colour scale. None is the smallest and the largest in the grid.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (2,) or (1,)
        Panels: the codes, and the grid if there is one.
    scatter_ : list of PathCollection
        The codes' points, one collection for each class.
    cells_ : ndarray of Axes of shape (n_points, n_points) or None
        Where rows are no images, the grid's cells; else it is a single image in ``axes_[1]``.

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
        self, codes, *, y=None, grid=None, grid_values=None, components=(0, 1), image_shape=None, limits=None
    ):
        self.codes = codes
        self.y = y
        self.grid = grid
        self.grid_values = grid_values
        self.components = components
        self.image_shape = image_shape
        self.limits = limits

    def plot(
        self,
        ax=None,
        *,
        kind="auto",
        cmap="gray_r",
        scatter_kw=None,
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw the codes and the grid.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a decoded row. 'auto' is an image where there is an image shape, else bars for up to 40
            features and a line for more.
        cmap : str or Colormap, default='gray_r'
            Colours of images with one channel.
        scatter_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.scatter`, which replace those that are set here.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which replace those that are set here.

        Returns
        -------
        display : LatentDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        n_panels = 1 if self.grid is None else 2
        self.figure_, self.axes_ = make_axes(ax, 1, n_panels, (5.0, 4.4))
        self.cells_ = None
        labels = [f"component {c}" for c in self.components]
        self._draw_codes(self.axes_[0], scatter_kw or {})
        if self.grid is not None:
            shape = check_image_shape(self.image_shape, self.grid.shape[2])
            image = shape is not None and kind in ("auto", "image")
            limits = self.limits if image and self.limits is not None else limits_of(self.grid)
            style = Style(shape, kind, cmap, limits, None, im_kw, bar_kw, line_kw)
            self._draw_grid(self.axes_[1], style)
        for panel, title in zip(self.axes_, ("codes", "decoded codes"), strict=False):
            panel.set(xlabel=labels[0], ylabel=labels[1], title=title)
        return self

    def _draw_codes(self, ax, scatter_kw: dict) -> None:
        options = {"s": 8, "linewidths": 0, "alpha": 0.8, **scatter_kw}
        x, y = self.codes.T
        if self.y is None:
            self.scatter_ = [ax.scatter(x, y, **options)]
            return
        classes, numbers = np.unique(self.y), self.y.dtype.kind in "iuf"
        whole = not numbers or bool((classes == np.round(classes)).all())
        if whole and (not numbers or len(classes) <= _MOST_CLASSES):
            from matplotlib import colormaps

            palette = colormaps["tab10" if len(classes) <= 10 else "tab20"]
            self.scatter_ = [
                ax.scatter(
                    x[self.y == c], y[self.y == c], **{"color": palette(i % palette.N), "label": str(c), **options}
                )
                for i, c in enumerate(classes)
            ]
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=2, fontsize="small", frameon=False)
        else:
            self.scatter_ = [ax.scatter(x, y, c=self.y, **options)]
            ax.figure.colorbar(self.scatter_[0], ax=ax)

    def _draw_grid(self, ax, style: Style) -> None:
        n_points = len(self.grid)
        kind = style.resolved(self.grid[0, 0])
        if kind == "image":
            tiles = [[tile(row, style.image_shape, style.limits) for row in line] for line in self.grid[::-1]]
            sheet = np.concatenate([np.concatenate([_apart(t) for t in line], axis=1) for line in tiles])
            low, high = style.limits
            options = {"cmap": style.cmap, "vmin": low, "vmax": high, "interpolation": "nearest"}
            extent = (0, n_points, 0, n_points * sheet.shape[0] / sheet.shape[1])
            ax.imshow(sheet, extent=extent, **{**options, **(style.im_kw or {})})
            height = extent[3] / n_points
        else:
            height = 1.0
            ax.set(xlim=(0, n_points), ylim=(0, n_points))
            self.cells_ = np.empty((n_points, n_points), dtype=object)
            for i, j in np.ndindex(n_points, n_points):
                cell = ax.inset_axes((j + 0.05, i + 0.05, 0.9, 0.9), transform=ax.transData)
                draw(cell, self.grid[i, j], style)
                cell.set(xticks=[], yticks=[])
                for spine in cell.spines.values():
                    spine.set_visible(False)
                self.cells_[i, j] = cell
        shown = np.arange(0, n_points, -(-n_points // 6))
        horizontal, vertical = ([f"{values[i]:.2g}" for i in shown] for values in self.grid_values)
        ax.set_xticks(shown + 0.5, horizontal)
        ax.set_yticks((shown + 0.5) * height, vertical)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        components=(0, 1),
        n_points=10,
        spacing="linear",
        coverage=0.95,
        extent=None,
        at=None,
        image_shape=None,
        ax=None,
        kind="auto",
        cmap="gray_r",
        scatter_kw=None,
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw the codes of rows, and a grid of codes decoded.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder, or a fitted :class:`~sklearn.pipeline.Pipeline` with one among its steps. With
            ``n_points=None``, also an :class:`~skae.AutoencoderClassifier`.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, as the estimator takes them.
        y : array-like of shape (n_samples,), default=None
            Classes or values to colour the codes by.
        components : (int, int), default=(0, 1)
            The two components of the code to draw, the horizontal one first.
        n_points : int or None, default=10
            Number of the grid's values of each component. None draws the codes alone.
        spacing : {'linear', 'quantile', 'normal'}, default='linear'
            Where the grid's values lie, see :func:`latent_grid`.
        coverage : float, default=0.95
            Fraction of the codes, or of the normal distribution, between the first value and the last.
        extent : (float, float, float, float) or None, default=None
            First and last value of the horizontal component and of the vertical one, for ``spacing='linear'``.
        at : array-like of shape (n_components,) or None, default=None
            Values of the components that do not vary in the grid. None is their mean.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images, flattened in C order. None is the
            autoencoder's own ``image_shape``, where it has one that fits; else rows are bars or lines.
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a decoded row. 'auto' is an image where there is an image shape, else bars for up to 40
            features and a line for more.
        cmap : str or Colormap, default='gray_r'
            Colours of images with one channel.
        scatter_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.scatter`, which replace those that are set here.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which replace those that are set here.

        Returns
        -------
        display : LatentDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator, or a step before it, has no ``inverse_transform`` to decode the grid with.
        ValueError
            If a component is not there, ``y`` has another length than X, or ``image_shape`` does not fit.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        model = Model(estimator)
        Z = model.encode(model.prepare(X))
        columns = check_components(components, Z.shape[1])
        y = None if y is None else to_numpy(y).ravel()
        if y is not None and len(y) != len(Z):
            raise ValueError(f"y has {len(y)} entries, but X has {len(Z)} rows: pass one for each.")
        grid = values = shape = limits = None
        if n_points is not None:
            codes = grid_codes(model, Z, columns, n_points, spacing, coverage, extent, at)
            flat = model.decode(codes.reshape(-1, codes.shape[2]))
            grid = flat.reshape(n_points, n_points, -1)
            values = codes[0, :, columns[0]], codes[:, 0, columns[1]]
            shape = model.image_shape(image_shape, grid.shape[2])
            limits = None if shape is None else limits_of(X.data if sparse.issparse(X) else to_numpy(X))
        display = cls(
            Z[:, columns],
            y=y,
            grid=grid,
            grid_values=values,
            components=tuple(columns),
            image_shape=shape,
            limits=limits,
        )
        return display.plot(
            ax, kind=kind, cmap=cmap, scatter_kw=scatter_kw, im_kw=im_kw, bar_kw=bar_kw, line_kw=line_kw
        )


def _apart(image: np.ndarray) -> np.ndarray:
    """Leave a row and a column of pixels free above an image and to its left."""
    blank = np.nan if image.ndim == 2 else 1.0
    return np.pad(image, [(1, 0), (1, 0)] + [(0, 0)] * (image.ndim - 2), constant_values=blank)
