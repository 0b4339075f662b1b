"""The samples with the highest activation of each unit."""

import numpy as np

from ._activation import top_activating_samples
from ._drawing import PanelDisplay, Style, with_parameters_of
from ._model import Model
from ._rows import take, to_numpy
from ._texts import DEAD, with_equal_decimals
from ._units import Units


class TopActivationDisplay(PanelDisplay):
    """The samples with the highest activation of each unit: a row of panels for each unit, the highest first.

    Use `from_estimator` to make one.

    Parameters
    ----------
    samples : ndarray of shape (n_units, n_samples, n_features)
        The samples.
    activations : ndarray of shape (n_units, n_samples)
        The units' activations for these samples.
    indices : ndarray of shape (n_units, n_samples)
        Row numbers of the samples in the data.
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
    dead_units : sequence of int, default=()
        Those whose labels are to say that they are dead: no training row activates them. Labels of others that
        are zero for all rows to choose from say so. Panels of rows that do not activate a unit are blank.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (n_units, n_samples)
        Panels.

    See Also
    --------
    top_activating_samples : The computation behind it.
    PreferredInputDisplay : Inputs with a higher activation than any sample.

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

    _nothing = "no unit to draw"

    def __init__(
        self,
        samples,
        activations,
        indices,
        units,
        *,
        image_shape=None,
        feature_names=None,
        scales=None,
        dead_units=(),
    ):
        super().__init__(image_shape, feature_names, scales)
        self.dead_units = dead_units
        self.samples = samples
        self.activations = activations
        self.indices = indices
        self.units = units

    def plot(
        self, ax=None, *, show_activations=True, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None
    ):
        """Draw the samples.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes for each panel, or a single one, which is turned off and subdivided. None
            makes a new figure. In one of yours, ``layout="constrained"`` makes room for labels.
        show_activations : bool, default=True
            Whether to write the activation above each sample.
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
        display : TopActivationDisplay
            The display itself.
        """
        samples = self.samples.reshape(-1, self.samples.shape[2])
        titles = [title for row in self.activations for title in _written(row)] if show_activations else None
        silent = (self.activations == 0).all(axis=1).tolist()  # for all rows
        labels = [self._label(unit, is_silent) for unit, is_silent in zip(self.units, silent, strict=True)]
        style, n_columns = Style(kind, cmap, im_kw, bar_kw, line_kw), self.activations.shape[1]
        self._draw(ax, samples, style, n_columns=n_columns, titles=titles, row_labels=labels)
        for panel, activation in zip(self.axes_.flat, self.activations.flat, strict=False):  # or nothing to draw
            if activation == 0:
                _make_blank(panel, "" if show_activations else "not active")
        return self

    def _label(self, unit: int, is_silent: bool) -> str:
        """Return what is written beside the panels of a unit."""
        if unit in self.dead_units:
            return f"unit {unit}\n{DEAD}".replace("for ", "for\n")
        return f"unit {unit}" + "\nnot active\nfor these rows" * is_silent

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(cls, estimator, X, *, layer=None, units=None, n_samples=8, image_shape=None, drawing):
        """Draw the samples with the highest activation of the units of a fitted autoencoder.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` that contains one.
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Rows to choose from, as the estimator takes them. They are drawn as they are in X.
        layer : int, str or None, default=None
            Layer of the encoder. None is the code, as returned by `transform`. An integer counts layers,
            activations included, from the input, or from the code if negative. A string is a name in
            ``encoder_.named_modules()``, such as ``'0.0'`` for the first layer before its activation.
        units : int, array-like of int or None, default=None
            Units of that layer, counted from zero. None is the first 10, or all if there are fewer. If there
            are none in it, such as no ``dead_units_``, a single panel says so.
        n_samples : int, default=8
            Number of samples for each unit.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images, flattened in C order. None is the
            autoencoder's own ``image_shape`` if it has one that fits; else rows are drawn as bars or lines.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : TopActivationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator contains no encoder.
        ValueError
            If a layer or unit does not exist, or ``image_shape`` does not fit.
        """
        model = Model(estimator)
        units = Units(model, layer, units, at_most=10).chosen
        indices, activations = np.empty((0, n_samples), dtype=int), np.empty((0, n_samples))
        if units:
            indices, activations = top_activating_samples(
                estimator, X, layer=layer, units=units, n_samples=n_samples, return_activations=True
            )
        samples = to_numpy(take(X, indices.ravel())).reshape(*indices.shape, np.shape(X)[1])
        panels = model.panel_options(image_shape, samples.shape[2], X)
        panels["dead_units"] = getattr(model.autoencoder, "dead_units_", ()) if layer is None else ()
        return cls(samples, activations, indices, units, **panels).plot(**drawing)


def _written(activations) -> list[str]:
    """Write the activations of a unit with as many decimals each."""
    texts = with_equal_decimals(activations)
    return [text if a else "0, not active" for a, text in zip(activations, texts, strict=True)]


def _make_blank(panel, text: str) -> None:
    """Remove a row from its panel: one that does not activate a unit is any row, and says nothing of it."""
    for drawn in (*panel.images, *panel.patches, *panel.lines):
        drawn.remove()
    panel.text(0.5, 0.5, text, fontsize="x-small", ha="center", va="center", transform=panel.transAxes)
