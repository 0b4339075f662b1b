"""Rows drawn from a generative model."""

from ._drawing import Style, draw_grid, limits_of, require_matplotlib, square_shape
from ._model import Model, check_image_shape, to_numpy


class SampleDisplay:
    """Rows that a model has made up.

    Use `from_estimator` or `from_samples` to make one.

    Parameters
    ----------
    samples : ndarray of shape (n_samples, n_features)
        The rows.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of rows that are images, flattened in C order. None draws bars
        or lines.
    feature_names : array-like of str or None, default=None
        Names of the features, written under bars and lines of at most twenty features.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (n_samples,)
        A panel for each row.

    See Also
    --------
    LatentDisplay : What codes stand for, in order.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.inspection import SampleDisplay
    >>> made_up = np.random.default_rng(0).uniform(size=(9, 64))
    >>> SampleDisplay.from_samples(made_up, image_shape=(8, 8)).axes_.shape
    (9,)
    """

    def __init__(self, samples, *, image_shape=None, feature_names=None):
        self.samples = samples
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(self, ax=None, *, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None):
        """Draw the rows.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
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
        display : SampleDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        shape = check_image_shape(self.image_shape, self.samples.shape[1])
        style = Style(shape, kind, cmap, limits_of(self.samples), self.feature_names, im_kw, bar_kw, line_kw)
        n_rows, n_columns = square_shape(len(self.samples))
        table = [[*self.samples[i * n_columns : (i + 1) * n_columns]] for i in range(n_rows)]
        self.figure_, self.axes_ = draw_grid(ax, table, style, n_panels=len(self.samples))
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        n_samples=25,
        mean=False,
        random_state=None,
        image_shape=None,
        ax=None,
        kind="auto",
        cmap="gray_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw samples of a fitted generative model.

        Parameters
        ----------
        estimator : estimator instance
            Fitted model with a method ``sample``, such as ``VAESampler``, or a fitted
            :class:`~sklearn.pipeline.Pipeline` with an autoencoder of that kind among its steps. Samples are
            brought back to the pipeline's input.
        n_samples : int, default=25
            Number of samples.
        mean : bool, default=False
            Whether to draw the mean of what each code may stand for, instead of a random one.
        random_state : int, RandomState instance or None, default=None
            Seed of the samples.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images, flattened in C order. None is the
            autoencoder's own ``image_shape``, where it has one that fits; else rows are bars or lines.
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
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
        display : SampleDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not sample, or a step before it has no ``inverse_transform``.
        ValueError
            If ``image_shape`` does not fit.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        model = Model(estimator)
        if not hasattr(model.autoencoder, "sample"):
            raise TypeError(
                f"{type(model.autoencoder).__name__} does not sample: codes of its own making would follow no "
                "known distribution. Pass a VAESampler, an AdversarialAutoencoder or a DenoisingAutoencoder."
            )
        options = {"mean": True} if mean else {}
        samples = model.autoencoder.sample(n_samples, random_state=random_state, **options)
        samples = model.restore(samples)
        display = cls(
            samples,
            image_shape=model.image_shape(image_shape, samples.shape[1]),
            feature_names=model.feature_names,
        )
        return display.plot(ax, kind=kind, cmap=cmap, im_kw=im_kw, bar_kw=bar_kw, line_kw=line_kw)

    @classmethod
    def from_samples(
        cls,
        samples,
        *,
        image_shape=None,
        ax=None,
        kind="auto",
        cmap="gray_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw rows that are there already.

        Parameters
        ----------
        samples : array-like of shape (n_samples, n_features)
            Rows.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images. None draws bars or lines.
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: as many axes as there are panels, or one that is divided among them and itself turned
            off. None makes a new figure.
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
        display : SampleDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If ``image_shape`` does not fit.
        """
        require_matplotlib(f"{cls.__name__}.from_samples")
        names = getattr(samples, "columns", None)
        display = cls(to_numpy(samples), image_shape=image_shape, feature_names=names)
        return display.plot(ax, kind=kind, cmap=cmap, im_kw=im_kw, bar_kw=bar_kw, line_kw=line_kw)
