"""The inputs that units prefer, drawn."""

from ._activation import maximize_activation, top_activating_samples
from ._drawing import Style, draw_grid, limits_of, require_matplotlib, square_shape
from ._model import Model, check_image_shape
from ._top_activation_display import first_units


class PreferredInputDisplay:
    """The input that each unit prefers, found by gradient ascent on its activation.

    Use `from_estimator` to make one.

    Parameters
    ----------
    inputs : ndarray of shape (n_units, n_features)
        The preferred inputs.
    activations : ndarray of shape (n_units,)
        The units' activations for them.
    best_activations : ndarray of shape (n_units,)
        Their activations for the samples that excite them most.
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

    See Also
    --------
    maximize_activation : The computation behind it.
    TopActivationDisplay : The samples that excite units most.

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
        self.inputs = inputs
        self.activations = activations
        self.best_activations = best_activations
        self.units = units
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(
        self, ax=None, *, show_activations=True, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None
    ):
        """Draw the inputs.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        show_activations : bool, default=True
            Whether to write beneath each unit's number its activation for the best sample and for this input.
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
        display : PreferredInputDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        shape = check_image_shape(self.image_shape, self.inputs.shape[1])
        style = Style(shape, kind, cmap, limits_of(self.inputs), self.feature_names, im_kw, bar_kw, line_kw)
        rises = zip(self.units, self.best_activations, self.activations, strict=True)
        texts = [f"unit {u}\n{b:.3g} \u2192 {a:.3g}" if show_activations else f"unit {u}" for u, b, a in rises]
        n_rows, n_columns = square_shape(len(self.units))
        parts = [slice(i * n_columns, (i + 1) * n_columns) for i in range(n_rows)]
        table, titles = [[*self.inputs[part]] for part in parts], [texts[part] for part in parts]
        self.figure_, self.axes_ = draw_grid(ax, table, style, titles=titles, n_panels=len(self.units))
        return self

    @classmethod
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
        ax=None,
        show_activations=True,
        kind="auto",
        cmap="gray_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw the inputs that the units of a fitted autoencoder prefer.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` with one among its steps.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples to begin at, and to take the mean, distances and ranges from: the training data, or some.
        layer : int, str or None, default=None
            Layer of the encoder. None is the code: what `transform` returns. An integer counts layers from the
            input, activations included, or from the code if negative; a string is a name in
            ``encoder_.named_modules()``, such as ``'0.0'`` for what enters the first layer's activation.
        units : int, array-like of int or None, default=None
            Units of that layer, counted from zero. None is the first 25, or all if there are fewer.
        norm : {'best', 'mean'}, float or None, default='best'
            The largest Euclidean distance from the mean of X, in units of the autoencoder's input: that of the
            sample which excites the unit most, the mean over samples, or a number (Erhan et al. 2009). None is no
            limit.
        bounded : bool, default=True
            Whether each feature stays between its minimum and maximum in X.
        alpha : float, default=0.0
            Strength of an L2 penalty on the distance from the mean, see :func:`maximize_activation`.
        n_init : int, default=4
            Number of starts for each unit: the sample that excites it most, and others at random.
        learning_rate : float, default=0.1
            Length of the first step, as a fraction of the largest distance. Later ones are shorter.
        max_iter : int, default=200
            Number of steps.
        random_state : int, RandomState instance or None, default=None
            Seed of the starts at random samples.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images, flattened in C order. None is the
            autoencoder's own ``image_shape``, where it has one that fits; else rows are bars or lines.
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
        show_activations : bool, default=True
            Whether to write beneath each unit's number its activation for the best sample and for this input.
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
        display : PreferredInputDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If there is no encoder in the estimator, or a step before it has no ``inverse_transform``.
        ValueError
            If there is no such layer or unit, nothing limits the search, or ``image_shape`` does not fit.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        model = Model(estimator)
        chosen = first_units(model, layer, units, 25)
        _, best = top_activating_samples(
            estimator, X, layer=layer, units=chosen, n_samples=1, return_activations=True
        )
        inputs, activations = maximize_activation(
            estimator,
            X,
            layer=layer,
            units=chosen,
            norm=norm,
            bounded=bounded,
            alpha=alpha,
            n_init=n_init,
            learning_rate=learning_rate,
            max_iter=max_iter,
            random_state=random_state,
            return_activations=True,
        )
        display = cls(
            inputs,
            activations,
            best[:, 0],
            chosen,
            image_shape=model.image_shape(image_shape, inputs.shape[1]),
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
