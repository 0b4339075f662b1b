"""The samples that excite each unit most, drawn."""

from ._activation import top_activating_samples
from ._drawing import Style, draw_grid, limits_of, require_matplotlib
from ._model import Model, check_image_shape, take, to_numpy
from ._units import Units, choose_units


class TopActivationDisplay:
    """The samples that excite each unit most: a row of panels for each unit, the most exciting first.

    Use `from_estimator` to make one.

    Parameters
    ----------
    samples : ndarray of shape (n_units, n_samples, n_features)
        The samples.
    activations : ndarray of shape (n_units, n_samples)
        The units' activations for them.
    indices : ndarray of shape (n_units, n_samples)
        Their row numbers in the data.
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
    axes_ : ndarray of Axes of shape (n_units, n_samples)
        Panels.

    See Also
    --------
    top_activating_samples : The computation behind it.
    PreferredInputDisplay : Inputs that excite units more than any sample.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoencoder
    >>> from skae.inspection import TopActivationDisplay
    >>> X = load_digits().data / 16
    >>> model = SparseAutoencoder(20, max_iter=20, tol=None, random_state=0).fit(X)
    >>> display = TopActivationDisplay.from_estimator(model, X, units=range(5), image_shape=(8, 8))
    >>> display.samples.shape
    (5, 8, 64)
    """

    def __init__(self, samples, activations, indices, units, *, image_shape=None, feature_names=None):
        self.samples = samples
        self.activations = activations
        self.indices = indices
        self.units = units
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(
        self, ax=None, *, show_activations=True, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None
    ):
        """Draw the samples.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        show_activations : bool, default=True
            Whether to write the activation above each sample.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a row. 'auto' is an image where there is an image shape, else bars for up to 40 features
            and a line for more.
        cmap : str or Colormap, default='gray_r'
            Colours of images with one channel.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which replace those that are set here.

        Returns
        -------
        display : TopActivationDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        shape = check_image_shape(self.image_shape, self.samples.shape[2])
        style = Style(shape, kind, cmap, limits_of(self.samples), self.feature_names, im_kw, bar_kw, line_kw)
        titles = [[f"{a:.3g}" for a in row] for row in self.activations] if show_activations else None
        labels = [f"unit {unit}" for unit in self.units]
        self.figure_, axes = draw_grid(
            ax, [[*row] for row in self.samples], style, row_labels=labels, titles=titles
        )
        self.axes_ = axes.reshape(self.activations.shape)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        layer=None,
        units=None,
        n_samples=8,
        image_shape=None,
        ax=None,
        show_activations=True,
        kind="auto",
        cmap="gray_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw the samples that excite the units of a fitted autoencoder most.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` with one among its steps.
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Rows to choose from, as the estimator takes them. They are drawn as they are here.
        layer : int, str or None, default=None
            Layer of the encoder. None is the code: what `transform` returns. An integer counts layers from the
            input, activations included, or from the code if negative; a string is a name in
            ``encoder_.named_modules()``, such as ``'0.0'`` for what enters the first layer's activation.
        units : int, array-like of int or None, default=None
            Units of that layer, counted from zero. None is the first 10, or all if there are fewer.
        n_samples : int, default=8
            Number of samples for each unit.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images, flattened in C order. None is the
            autoencoder's own ``image_shape``, where it has one that fits; else rows are bars or lines.
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        show_activations : bool, default=True
            Whether to write the activation above each sample.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a row. 'auto' is an image where there is an image shape, else bars for up to 40 features
            and a line for more.
        cmap : str or Colormap, default='gray_r'
            Colours of images with one channel.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which replace those that are set here.

        Returns
        -------
        display : TopActivationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If there is no encoder in the estimator.
        ValueError
            If there is no such layer or unit, or ``image_shape`` does not fit.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        model = Model(estimator)
        chosen = first_units(model, layer, units, 10)
        indices, activations = top_activating_samples(
            estimator, X, layer=layer, units=chosen, n_samples=n_samples, return_activations=True
        )
        samples = to_numpy(take(X, indices.ravel())).reshape(*indices.shape, -1)
        display = cls(
            samples,
            activations,
            indices,
            chosen,
            image_shape=model.image_shape(image_shape, samples.shape[2]),
            feature_names=model.feature_names,
        )
        return display.plot(
            ax,
            show_activations=show_activations,
            kind=kind,
            cmap=cmap,
            im_kw=im_kw,
            bar_kw=bar_kw,
            line_kw=line_kw,
        )


def first_units(model: Model, layer, units, at_most: int) -> list[int]:
    """Return the units to draw."""
    n_units = Units(model.network("encoder"), layer, model.autoencoder.n_features_in_).n_units
    return choose_units(units, n_units, at_most)
