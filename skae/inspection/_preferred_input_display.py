"""The inputs that maximize the activation of units."""

from ._activation import maximize_activation, top_activating_samples
from ._drawing import PanelDisplay, Style, with_parameters_of
from ._model import Model
from ._units import Units


class PreferredInputDisplay(PanelDisplay):
    """The preferred input of each unit: the one that maximizes its activation, found by gradient ascent.

    Use `from_estimator` to make one.

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

    def __init__(self, inputs, activations, best_activations, units, *, image_shape=None, feature_names=None):
        super().__init__(image_shape, feature_names)
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
            makes a new figure.
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
            titles = [f"{title}\n{best:.3g} \u2192 {reached:.3g}" for title, best, reached in rises]
        return self._draw(ax, self.inputs, Style(kind, cmap, im_kw, bar_kw, line_kw), titles=titles)

    @classmethod
    @with_parameters_of(plot)
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        layer=None,
        units=None,
        norm="best",
        bounded=True,
        alpha=0.0,
        n_init=4,
        learning_rate=0.1,
        max_iter=200,
        random_state=None,
        image_shape=None,
        **drawing,
    ):
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
            Units of that layer, counted from zero. None is the first 25, or all if there are fewer.
        norm : {'best', 'mean'}, float or None, default='best'
            The largest Euclidean distance from the mean of X, in units of the autoencoder's input: 'best' is
            that of the sample with the unit's highest activation, 'mean' the mean over samples; or a number
            (Erhan et al. 2009). None is no limit.
        bounded : bool, default=True
            Whether each feature stays between its minimum and maximum in X.
        alpha : float, default=0.0
            Strength of an L2 penalty on the distance from the mean, see :func:`maximize_activation`.
        n_init : int, default=4
            Number of starts for each unit: the sample with its highest activation, and random samples.
        learning_rate : float, default=0.1
            Length of the first step, as a fraction of the largest distance. It decreases linearly to zero.
        max_iter : int, default=200
            Number of steps.
        random_state : int, RandomState instance or None, default=None
            Seed of the random starts.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images, flattened in C order. None is the
            autoencoder's own ``image_shape`` if it has one that fits; else rows are drawn as bars or lines.
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
        _, best = top_activating_samples(estimator, X, n_samples=1, **options)
        options |= {"norm": norm, "bounded": bounded, "alpha": alpha, "n_init": n_init, "max_iter": max_iter}
        options |= {"learning_rate": learning_rate, "random_state": random_state}
        inputs, activations = maximize_activation(estimator, X, **options)
        panels = model.panel_options(image_shape, inputs.shape[1])
        return cls(inputs, activations, best[:, 0], units, **panels).plot(**drawing)
