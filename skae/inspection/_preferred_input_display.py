"""The inputs that maximize the activation of units."""

import numpy as np

from ._activation import maximize_activation, top_activating_samples
from ._drawing import PanelDisplay, Style, with_parameters_of
from ._model import Model
from ._texts import with_equal_decimals
from ._units import Units


class PreferredInputDisplay(PanelDisplay):
    """The preferred input of each unit: the one that maximizes its activation, found by gradient ascent.

    Of all inputs of one norm, it is the one that a unit answers to most [1]_. Use `from_estimator` to make one.

    Parameters
    ----------
    inputs : ndarray of shape (n_units, n_features)
        The preferred inputs.
    activations : ndarray of shape (n_units,)
        The units' activations for these inputs.
    best_activations : ndarray of shape (n_units,)
        The units' highest activations for samples.
    units : sequence of int
        Numbers of the units.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) if rows are images, flattened in C order. None draws bars or
        lines.
    feature_names : array-like of str or None, default=None
        Names of the features, written below bars and lines of at most twenty features.
    scales : tuple of two ndarrays of shape (n_features,) or None, default=None
        Mean and standard deviation of each feature, if bars are to be deviations from the mean in standard
        deviations.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (n_units,)
        A panel for each unit.

    See Also
    --------
    maximize_activation : The computation behind it.
    TopActivationDisplay : The samples with the highest activations.

    References
    ----------
    .. [1] D. Erhan, Y. Bengio, A. Courville and P. Vincent (2009). Visualizing higher-layer features of a deep
       network. Technical report 1341, Universite de Montreal.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import StackedAutoencoder
    >>> from skae.inspection import PreferredInputDisplay
    >>> X = load_digits().data
    >>> model = StackedAutoencoder(9, pretrain_max_iter=5, max_iter=5, tol=None, random_state=0).fit(X)
    >>> display = PreferredInputDisplay.from_estimator(model, X, image_shape=(8, 8), random_state=0)
    >>> bool((display.activations > display.best_activations).all())
    True
    """

    _nothing = "no unit to draw"

    def __init__(
        self, inputs, activations, best_activations, units, *, image_shape=None, feature_names=None, scales=None
    ):
        super().__init__(image_shape, feature_names, scales)
        self.inputs = inputs
        self.activations = activations
        self.best_activations = best_activations
        self.units = units

    def plot(
        self, ax=None, *, show_activations=True, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None
    ):
        """Draw the inputs.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes for each panel, or a single one, which is turned off and subdivided. None
            makes a new figure. In one of yours, ``layout="constrained"`` makes room for labels.
        show_activations : bool, default=True
            Whether to write below each unit's number its highest activation for a sample and that for this
            input.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a row. 'auto' is an image if there is an image shape, else bars for up to 40 features and
            a line for more.
        cmap : str or Colormap, default='gray_r'
            Colours of images with one channel.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which override the defaults.

        Returns
        -------
        display : PreferredInputDisplay
            The display itself.
        """
        titles = [f"unit {unit}" for unit in self.units]
        if show_activations:
            rises = zip(titles, self.best_activations, self.activations, strict=True)
            titles = [title + "\n" + " \u2192 ".join(with_equal_decimals(rise)) for title, *rise in rises]
        return self._draw(ax, self.inputs, Style(kind, cmap, im_kw, bar_kw, line_kw), titles=titles)

    @classmethod
    @with_parameters_of(search=maximize_activation, drawing=plot)
    def from_estimator(cls, estimator, X, *, layer=None, units=None, image_shape=None, search, drawing):
        """Draw the preferred inputs of the units of a fitted autoencoder.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` that contains one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples to start from, which also give the mean, distances and ranges: the training data, or some of
            it.
        layer : int, str or None, default=None
            Layer of the encoder. None is the code, as returned by `transform`. An integer counts layers,
            activations included, from the input, or from the code if negative. A string is a name in
            ``encoder_.named_modules()``, such as ``'0.0'`` for the first layer before its activation.
        units : int, array-like of int or None, default=None
            Units of that layer, counted from zero. None is the first 25, or all if there are fewer. If there
            are none in it, such as no ``dead_units_``, a single panel says so.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images, flattened in C order. None is the
            autoencoder's own ``image_shape`` if it has one that fits; else rows are drawn as bars or lines.
        **search : dict
            Parameters of `maximize_activation`.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : PreferredInputDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator contains no encoder, or a step before it has no ``inverse_transform``.
        ValueError
            If a layer or unit does not exist, nothing limits the search, or ``image_shape`` does not fit.
        """
        model = Model(estimator)
        units = Units(model, layer, units, at_most=25).chosen
        options = {"layer": layer, "units": units, "return_activations": True}
        best, inputs, activations = np.empty((0, 1)), np.empty((0, np.shape(X)[1])), np.empty(0)
        if units:
            _, best = top_activating_samples(estimator, X, n_samples=1, **options)
            inputs, activations = maximize_activation(estimator, X, **options, **search)
        panels = model.panel_options(image_shape, inputs.shape[1], X)
        return cls(inputs, activations, best[:, 0], units, **panels).plot(**drawing)
