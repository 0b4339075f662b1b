"""Rows beside their reconstructions."""

import numpy as np
import torch

from .._data import arrays
from .._data.corruption import Corruption, Fills
from .._support import random
from ._drawing import Style, draw_grid, limits_of, require_matplotlib
from ._model import Model, check_image_shape, first_rows, to_numpy


class ReconstructionDisplay:
    """Rows and their reconstructions, one above the other.

    Between them stand the corrupted rows which a denoising autoencoder was given to restore, where there are any.
    Use `from_estimator` or `from_arrays` to make one.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_features)
        Rows.
    reconstructions : ndarray of shape (n_samples, n_features)
        Their reconstructions.
    corrupted : ndarray of shape (n_samples, n_features) or None, default=None
        What was reconstructed, where it is not the rows themselves.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) of rows that are images, flattened in C order. None draws bars
        or lines.
    feature_names : array-like of str or None, default=None
        Names of the features, written under bars and lines of at most twenty features.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (2, n_samples) or (3, n_samples)
        Panels: inputs, corrupted inputs where there are any, reconstructions.

    See Also
    --------
    LatentDisplay : Codes, and what they stand for.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> from skae.inspection import ReconstructionDisplay
    >>> X = load_digits().data
    >>> model = DenoisingAutoencoder(max_iter=20, tol=None, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(model, X, image_shape=(8, 8), random_state=0)
    >>> display.axes_.shape
    (3, 8)
    """

    def __init__(self, inputs, reconstructions, *, corrupted=None, image_shape=None, feature_names=None):
        self.inputs = inputs
        self.reconstructions = reconstructions
        self.corrupted = corrupted
        self.image_shape = image_shape
        self.feature_names = feature_names

    def plot(self, ax=None, *, kind="auto", cmap="gray_r", im_kw=None, bar_kw=None, line_kw=None):
        """Draw the rows.

        All panels have one scale: for images, from the smallest value of the inputs to the largest.

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
        display : ReconstructionDisplay
            The display itself.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        inputs, reconstructions = to_numpy(self.inputs), to_numpy(self.reconstructions)
        limits = limits_of(inputs, reconstructions if self.image_shape is None else None)
        shape = check_image_shape(self.image_shape, inputs.shape[1])
        style = Style(shape, kind, cmap, limits, self.feature_names, im_kw, bar_kw, line_kw)
        table = {"input": inputs, "corrupted": self.corrupted, "reconstruction": reconstructions}
        table = {label: to_numpy(rows) for label, rows in table.items() if rows is not None}
        self.figure_, axes = draw_grid(ax, [[*rows] for rows in table.values()], style, row_labels=[*table])
        self.axes_ = axes.reshape(len(table), -1)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        X_corrupted=None,
        corrupt="auto",
        n_samples=8,
        image_shape=None,
        random_state=None,
        ax=None,
        kind="auto",
        cmap="gray_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw rows and what an estimator makes of them.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder, or a fitted :class:`~sklearn.pipeline.Pipeline` with one among its steps. Any other
            transformer with an ``inverse_transform`` will do too, such as PCA to compare with.
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Rows, as the estimator takes them; the first ``n_samples`` are drawn.
        X_corrupted : {array-like, sparse matrix} of shape (n_samples_X, n_features), default=None
            A corrupted version of each row, to be reconstructed instead.
        corrupt : bool or 'auto', default='auto'
            Whether to reconstruct rows with the estimator's own noise on them, as in its training. 'auto' does so
            where it was trained with noise of its own and ``X_corrupted`` is None.
        n_samples : int, default=8
            Number of rows.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) of rows that are images, flattened in C order. None is the
            autoencoder's own ``image_shape``, where it has one that fits; else rows are bars or lines.
        random_state : int, RandomState instance or None, default=None
            Seed of the noise.
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
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator, or a step before it, has no ``inverse_transform``.
        ValueError
            If ``image_shape`` does not fit, or ``corrupt=True`` and the estimator has no noise.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        model = Model(estimator)
        rows = first_rows(X, n_samples)
        corrupted = None
        if X_corrupted is not None:
            corrupted = first_rows(X_corrupted, n_samples)
            if np.shape(X_corrupted) != np.shape(X):
                raise ValueError(
                    f"X_corrupted has shape {np.shape(X_corrupted)}, but X has shape {np.shape(X)}: X_corrupted "
                    "must hold a version of each row in X."
                )
            prepared = model.prepare(corrupted)
        else:
            prepared = model.prepare(rows)
            if corrupt is True or (corrupt == "auto" and _has_noise(model.autoencoder)):
                prepared = _corrupted(model.autoencoder, prepared, random_state)
                corrupted = model.restore(prepared)
        reconstructions = model.reconstruct(prepared)
        rows = to_numpy(rows)
        display = cls(
            rows,
            reconstructions,
            corrupted=None if corrupted is None else to_numpy(corrupted),
            image_shape=model.image_shape(image_shape, rows.shape[1]),
            feature_names=model.feature_names,
        )
        return display.plot(ax, kind=kind, cmap=cmap, im_kw=im_kw, bar_kw=bar_kw, line_kw=line_kw)

    @classmethod
    def from_arrays(
        cls,
        inputs,
        reconstructions,
        *,
        corrupted=None,
        image_shape=None,
        ax=None,
        kind="auto",
        cmap="gray_r",
        im_kw=None,
        bar_kw=None,
        line_kw=None,
    ):
        """Draw rows and reconstructions that are there already.

        Parameters
        ----------
        inputs : array-like of shape (n_samples, n_features)
            Rows.
        reconstructions : array-like of shape (n_samples, n_features)
            Their reconstructions.
        corrupted : array-like of shape (n_samples, n_features) or None, default=None
            What was reconstructed, where it is not the rows themselves.
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
        display : ReconstructionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the arrays differ in shape, or ``image_shape`` does not fit.
        """
        require_matplotlib(f"{cls.__name__}.from_arrays")
        names = getattr(inputs, "columns", None)
        arrays_ = [None if a is None else to_numpy(a) for a in (inputs, reconstructions, corrupted)]
        shapes = {a.shape for a in arrays_ if a is not None}
        if len(shapes) > 1:
            raise ValueError(f"The arrays differ in shape: {sorted(shapes)}. Pass a reconstruction of each row.")
        display = cls(*arrays_[:2], corrupted=arrays_[2], image_shape=image_shape, feature_names=names)
        return display.plot(ax, kind=kind, cmap=cmap, im_kw=im_kw, bar_kw=bar_kw, line_kw=line_kw)


def _has_noise(autoencoder) -> bool:
    return getattr(autoencoder, "noise", None) is not None and autoencoder._column_statistics is not None


def _corrupted(autoencoder, prepared, random_state):
    """Put an autoencoder's own noise on rows."""
    if not _has_noise(autoencoder):
        raise ValueError(
            f"corrupt=True, but this {type(autoencoder).__name__} was not trained with noise of its own. Use "
            "corrupt='auto', or pass corrupted rows as X_corrupted."
        )
    rows = arrays.check_rows(autoencoder, prepared, reset=False)
    x = torch.as_tensor(to_numpy(rows))
    fills = Fills.of(autoencoder._column_statistics, x)  # rows are as they are in the data
    noise = Corruption(
        autoencoder.noise,
        autoencoder.noise_level,
        autoencoder._column_statistics,
        fills,
        torch.Generator().manual_seed(random.seed(random_state)),
    )
    return arrays.to_namespace_of(rows, noise(x).numpy())
