"""Rows and their reconstructions."""

import numpy as np

from ._drawing import PanelDisplay, Style, limits_of, with_parameters_of
from ._model import Model
from ._rows import take, to_numpy
from ._scales import scales_of


class ReconstructionDisplay(PanelDisplay):
    """Rows and their reconstructions, one above the other.

    Rows are reconstructed as they are: noise is added only where ``corrupt=True`` asks for it, and is then drawn
    between them. Use `from_estimator` or `from_arrays` to make one.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_features)
        Rows.
    reconstructions : ndarray of shape (n_samples, n_features)
        Their reconstructions.
    corrupted : ndarray of shape (n_samples, n_features) or None, default=None
        The corrupted rows that were reconstructed, if not the rows themselves.
    corrupted_label : str, default='corrupted'
        What is written beside these.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) if rows are images, flattened in C order. None draws bars or
        lines.
    feature_names : array-like of str or None, default=None
        Names of the features, written below bars and lines of at most twenty features.
    scales : tuple of two ndarrays of shape (n_features,) or None, default=None
        Mean and standard deviation of each feature, if bars are to be deviations from the mean in standard
        deviations.
    limits : tuple of float or None, default=None
        (lowest, highest) value of the scale of images. None is the range of the inputs.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (2, n_samples) or (3, n_samples)
        Panels: inputs, corrupted inputs if there are any, reconstructions.

    See Also
    --------
    LatentDisplay : Codes, and a grid of decoded codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> from skae.inspection import ReconstructionDisplay
    >>> X = load_digits().data
    >>> model = DenoisingAutoencoder(max_iter=20, tol=None, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(model, X, image_shape=(8, 8))
    >>> display.axes_.shape
    (2, 8)

    The same rows behind noise as in training:

    >>> display = ReconstructionDisplay.from_estimator(
    ...     model, X, corrupt=True, image_shape=(8, 8), random_state=0
    ... )
    >>> [panel.get_ylabel() for panel in display.axes_[:, 0]]
    ['clean', 'noise added', 'reconstruction']
    """

    def __init__(
        self,
        inputs,
        reconstructions,
        *,
        corrupted=None,
        corrupted_label="corrupted",
        image_shape=None,
        feature_names=None,
        scales=None,
        limits=None,
    ):
        super().__init__(image_shape, feature_names, scales)
        self.inputs = inputs
        self.reconstructions = reconstructions
        self.corrupted = corrupted
        self.corrupted_label = corrupted_label
        self.limits = limits

    def plot(self, ax=None, *, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None):
        """Draw the rows.

        All panels have the same scale: for images, ``limits``, or the range of the inputs.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes for each panel, or a single one, which is turned off and subdivided. None
            makes a new figure. In one of yours, ``layout="constrained"`` makes room for labels.
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
        display : ReconstructionDisplay
            The display itself.
        """
        table = {
            "input" if self.corrupted is None else "clean": self.inputs,
            self.corrupted_label: self.corrupted,
            "reconstruction": self.reconstructions,
        }
        table = {label: rows for label, rows in table.items() if rows is not None}
        given = self.limits or limits_of(self.inputs)
        limits = limits_of(*table.values()) if self.image_shape is None else given
        rows, style = np.concatenate([*table.values()]), Style(kind, cmap, im_kw, bar_kw, line_kw)
        return self._draw(ax, rows, style, limits=limits, n_columns=len(self.inputs), row_labels=[*table])

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        X_corrupted=None,
        corrupt=False,
        n_samples=8,
        image_shape=None,
        random_state=None,
        drawing,
    ):
        """Draw rows and their reconstructions by an estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder, or a fitted :class:`~sklearn.pipeline.Pipeline` that contains one. Any other
            transformer with an ``inverse_transform`` works too, such as PCA for comparison.
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Rows, as the estimator takes them; the first ``n_samples`` are drawn. Noisy rows are denoised as they
            are; the scale of images then is where both ranges overlap.
        X_corrupted : {array-like, sparse matrix} of shape (n_samples_X, n_features), default=None
            A corrupted version of each row, to be reconstructed instead: X are then the clean rows.
        corrupt : bool, default=False
            Whether to add the estimator's own noise to the rows before they are reconstructed, as in its
            training. For clean rows only; not with ``X_corrupted``.
        n_samples : int, default=8
            Number of rows.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images, flattened in C order. None is the
            autoencoder's own ``image_shape`` if it has one that fits; else rows are drawn as bars or lines.
        random_state : int, RandomState instance or None, default=None
            Seed of the noise of ``corrupt=True``.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator, or a step before it, has no ``inverse_transform``.
        ValueError
            If ``image_shape`` does not fit, or with ``corrupt=True`` if the estimator has no noise, or
            ``X_corrupted`` are given.
        """
        model = Model(estimator)
        if not isinstance(corrupt, bool) or (corrupt and X_corrupted is not None):
            raise ValueError(
                f"corrupt={corrupt!r} must be True or False, and False with X_corrupted, which are reconstructed "
                "as they are."
            )
        if X_corrupted is not None and np.shape(X_corrupted) != np.shape(X):
            raise ValueError(
                f"X_corrupted has shape {np.shape(X_corrupted)}, but X has shape {np.shape(X)}: X_corrupted must "
                "hold a version of each row in X."
            )
        rows = take(X, slice(n_samples))
        corrupted = None if X_corrupted is None else take(X_corrupted, slice(n_samples))
        prepared = model.prepare(rows if corrupted is None else corrupted)
        if corrupt:
            prepared = model.corrupt(prepared, random_state)
            corrupted = model.restore(prepared)
        reconstructions = model.decode(model.autoencoder.transform(prepared))
        rows, corrupted = to_numpy(rows), to_numpy(corrupted)
        panels = model.panel_options(image_shape, rows.shape[1], X)
        panels["corrupted_label"] = "noise added" if corrupt else "corrupted"
        if corrupted is None and hasattr(model.autoencoder, "denoise"):
            ranges = limits_of(rows), limits_of(reconstructions)  # noise is no reason for grey pictures
            panels["limits"] = max(low for low, _ in ranges), min(high for _, high in ranges)
        return cls(rows, reconstructions, corrupted=corrupted, **panels).plot(**drawing)

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_arrays(cls, inputs, reconstructions, *, corrupted=None, image_shape=None, drawing):
        """Draw given rows and reconstructions.

        Parameters
        ----------
        inputs : array-like of shape (n_samples, n_features)
            Rows.
        reconstructions : array-like of shape (n_samples, n_features)
            Their reconstructions.
        corrupted : array-like of shape (n_samples, n_features) or None, default=None
            The corrupted rows that were reconstructed, if not the rows themselves.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images. None draws bars or lines.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the arrays differ in shape, or ``image_shape`` does not fit.
        """
        names = getattr(inputs, "columns", None)
        inputs, reconstructions, corrupted = map(to_numpy, (inputs, reconstructions, corrupted))
        shapes = {rows.shape for rows in (inputs, reconstructions, corrupted) if rows is not None}
        if len(shapes) > 1:
            raise ValueError(f"The arrays differ in shape: {sorted(shapes)}. Pass a reconstruction of each row.")
        panels = {"image_shape": image_shape, "feature_names": names, "scales": scales_of(inputs)}
        return cls(inputs, reconstructions, corrupted=corrupted, **panels).plot(**drawing)
