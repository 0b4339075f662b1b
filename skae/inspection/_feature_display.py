"""What the units of a layer look for: its weights."""

from ._drawing import Style, draw_grid, limits_of, require_matplotlib, square_shape, tile
from ._filters import filters
from ._model import Model, check_image_shape
from ._units import choose_units


class FeatureDisplay:
    """The weights of a layer, unit by unit: as images where they belong to pixels.

    A dense layer's weights next to the data have the shape of a row, a convolutional layer's that of its kernel.
    All units share one scale, symmetric about zero, so that weights can be compared. Use `from_estimator` to make
    one.

    Parameters
    ----------
    filters : ndarray of shape (n_units, width), (n_units, height, width) or (n_units, height, width, channels)
        Weights of each unit. Three channels are drawn as red, green and blue, of other numbers the channels stand
        side by side.
    units : sequence of int
        Numbers of the units.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of rows that are images, flattened in C order. None draws bars
        or lines.
    feature_names : array-like of str or None, default=None
        Names of the features, written under bars and lines of at most twenty features.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (n_units,)
        A panel for each unit.
    colorbar_ : matplotlib Colorbar or None
        The scale of images with one channel.

    See Also
    --------
    PreferredInputDisplay : What excites the units of any layer, also where weights are hard to read.

    References
    ----------
    .. [1] D. Erhan, Y. Bengio, A. Courville and P. Vincent (2009). Visualizing higher-layer features of a deep
       network. Technical report 1341, Universite de Montreal.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> from skae.inspection import FeatureDisplay
    >>> X = load_digits().data
    >>> model = DenoisingAutoencoder(hidden_layer_sizes=(30,), max_iter=20, tol=None, random_state=0).fit(X)
    >>> display = FeatureDisplay.from_estimator(model, image_shape=(8, 8))
    >>> display.filters.shape
    (25, 64)
    """

    def __init__(self, filters, units, *, image_shape=None, feature_names=None):
        self.filters = filters
        self.units = units
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(self, ax=None, *, colorbar=True, kind="auto", cmap="RdBu_r", im_kw=None, bar_kw=None, line_kw=None):
        """Draw the weights.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        colorbar : bool, default=True
            Whether to draw the scale of images with one channel beside them.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a row. 'auto' is an image where there is an image shape, else bars for up to 40 features
            and a line for more.
        cmap : str or Colormap, default='RdBu_r'
            Colours of images with one channel.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which replace those that are set here.

        Returns
        -------
        display : FeatureDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        shape = None if self.filters.ndim > 2 else check_image_shape(self.image_shape, self.filters.shape[1])
        limits = limits_of(self.filters, symmetric=True)
        style = Style(shape, kind, cmap, limits, self.feature_names, im_kw, bar_kw, line_kw)
        n_rows, n_columns = square_shape(len(self.units))
        table = [[*self.filters[i * n_columns : (i + 1) * n_columns]] for i in range(n_rows)]
        titles = [[str(u) for u in self.units[i * n_columns : (i + 1) * n_columns]] for i in range(n_rows)]
        first = self.filters[0]
        scaled = colorbar and style.resolved(first) == "image" and tile(first, shape, limits).ndim == 2
        beside = (0.9 if scaled else 0.0, 0.0)
        self.figure_, self.axes_ = draw_grid(
            ax, table, style, titles=titles, n_panels=len(self.units), beside=beside
        )
        self.colorbar_ = None
        if scaled:
            image, panels = self.axes_[0].images[-1], [*self.axes_]
            self.colorbar_ = self.figure_.colorbar(image, ax=panels, shrink=0.7, aspect=25, label="weight")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        network="encoder",
        layer=None,
        units=None,
        combined=False,
        image_shape=None,
        ax=None,
        colorbar=True,
        kind="auto",
        cmap="RdBu_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw the weights of a layer of a fitted autoencoder.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` with one among its steps.
        network : {'encoder', 'decoder'}, default='encoder'
            An encoder's units are a layer's outputs, and their weights those that come in; a decoder's are a
            layer's inputs, and their weights those that go out.
        layer : int, str or None, default=None
            None is the layer next to the data. An integer counts layers from the network's input, or from its
            output if negative; a string is a name in ``encoder_.named_modules()`` or ``decoder_``'s.
        units : int, array-like of int or None, default=None
            Units of that layer, counted from zero. None is the first 25, or all if there are fewer.
        combined : bool, default=False
            Whether to multiply the weights of a dense layer by those of the layers between it and the data, as if
            these were linear (Erhan et al. 2009), so that the products have the shape of a row.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images, flattened in C order. None is the
            autoencoder's own ``image_shape``, where it has one that fits; else rows are bars or lines.
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        colorbar : bool, default=True
            Whether to draw the scale of images with one channel beside them.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a row. 'auto' is an image where there is an image shape, else bars for up to 40 features
            and a line for more.
        cmap : str or Colormap, default='RdBu_r'
            Colours of images with one channel.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which replace those that are set here.

        Returns
        -------
        display : FeatureDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If there is no such network in the estimator.
        ValueError
            If there is no such layer or unit, the layer has no weights, or ``image_shape`` does not fit.

        Notes
        -----
        In a pipeline, weights are those on what enters the autoencoder: they are no rows, and no step before it
        changes them. In the last layer of a variational encoder, the units of the means come first, those of the
        log-variances after them.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        if network not in ("encoder", "decoder"):
            raise ValueError(f"network={network!r} is neither 'encoder' nor 'decoder'.")
        model, decoding = Model(estimator), network == "decoder"
        weights = filters(model.network(network), layer, decoding=decoding, combined=combined)
        if weights.ndim > 2:  # (n_units, channels, *kernel) to (n_units, height, width, channels)
            weights = weights.reshape(*weights.shape[:2], -1, weights.shape[-1]).permute(0, 2, 3, 1)
        chosen = choose_units(units, len(weights), 25)
        weights = weights[chosen].numpy()
        shape, names = None, None
        if weights.ndim == 2:
            shape = model.image_shape(image_shape, weights.shape[1])
            own = getattr(model.autoencoder, "feature_names_in_", None)
            names = own if own is not None or model.before else model.feature_names
        elif weights.shape[3] == 1:
            weights = weights[..., 0]
        display = cls(weights, chosen, image_shape=shape, feature_names=names)
        return display.plot(
            ax, colorbar=colorbar, kind=kind, cmap=cmap, im_kw=im_kw, bar_kw=bar_kw, line_kw=line_kw
        )
