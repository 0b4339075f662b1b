"""A grid of codes in latent space, decoded; and what its axes say."""

import math
from numbers import Integral, Real

import numpy as np
from scipy.special import ndtri
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._fitted.activity import ACTIVE_VARIANCE
from .._support.warnings import warn
from ._model import Model

_LETTER, _MOST_TICKS = 0.1, 6  # inches: the width of a letter of a number on an axis; numbers on it


@validate_params(
    {
        "components": ["array-like"],
        "n_points": [Interval(Integral, 2, None, closed="left")],
        "spacing": [StrOptions({"linear", "quantile", "normal"})],
        "coverage": [Interval(Real, 0, 1, closed="neither")],
        "extent": ["array-like", None],
        "at": ["array-like", None],
        "return_codes": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def latent_grid(
    estimator,
    X=None,
    *,
    components=(0, 1),
    n_points=10,
    spacing="linear",
    coverage=0.95,
    extent=None,
    at=None,
    return_codes=False,
):
    """Decode a grid of codes in a plane of latent space.

    Such grids show what the units of a variational autoencoder have learned [1]_.

    Parameters
    ----------
    estimator : estimator instance
        Fitted autoencoder, or a fitted :class:`~sklearn.pipeline.Pipeline` that contains one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows whose codes determine where the grid lies. Not needed with ``extent`` or ``spacing='normal'``.
    components : (int, int), default=(0, 1)
        The two components of the code that vary, the horizontal one first.
    n_points : int, default=10
        Number of values of each.
    spacing : {'linear', 'quantile', 'normal'}, default='linear'
        Spacing of the values. 'linear': evenly spaced. 'quantile': at evenly spaced quantiles of the codes of X,
        so that they are dense where codes are. 'normal': at evenly spaced quantiles of the standard normal
        distribution, the prior of a variational autoencoder; X is not used.
    coverage : float, default=0.95
        Fraction of the distribution between the first value and the last, for each component.
    extent : (float, float, float, float) or None, default=None
        First and last value of the horizontal component and of the vertical one, for ``spacing='linear'``. None
        uses quantiles of the codes of X.
    at : array-like of shape (n_components,) or None, default=None
        Values of the components that do not vary. None is their mean over X; without X, zero.
    return_codes : bool, default=False
        Whether to return the grid's codes too.

    Returns
    -------
    X_grid : ndarray of shape (n_points, n_points, n_features)
        Decoded rows, the vertical component along the first axis and the horizontal one along the second, both
        increasing. In a pipeline they are brought back to its input.
    Z_grid : ndarray of shape (n_points, n_points, n_components)
        Their codes. Only if ``return_codes=True``.

    Raises
    ------
    TypeError
        If the estimator, or a step before it, has no ``inverse_transform``.
    ValueError
        If a component does not exist, or nothing determines where the grid lies.

    See Also
    --------
    LatentDisplay : The grid, drawn beside the codes of rows.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling (2014). Auto-encoding variational Bayes. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.inspection import latent_grid
    >>> X = load_digits().data
    >>> model = AutoencoderTransformer(2, max_iter=20, tol=None, random_state=0).fit(X)
    >>> grid, codes = latent_grid(model, X, n_points=5, return_codes=True)
    >>> grid.shape, codes.shape
    ((5, 5, 64), (5, 5, 2))
    """
    if X is None and extent is None and spacing != "normal":
        raise ValueError(
            f"spacing={spacing!r} places the grid by the codes of rows, but X is None. Pass X or extent, or use "
            "spacing='normal'."
        )
    model = Model(estimator)
    Z = np.zeros((1, model.autoencoder._n_features_out)) if X is None else model.encode(X)
    width = Z.shape[1]
    columns = check_components(components, width)
    axes = _grid_axes(Z[:, columns], n_points, spacing, coverage, extent)
    if at is not None and np.shape(at) != (width,):
        raise ValueError(f"at has shape {np.shape(at)}, but codes have {width} components: pass a value for each.")
    codes = np.tile(np.asarray(Z.mean(axis=0) if at is None else at, dtype=Z.dtype), (n_points, n_points, 1))
    codes[..., columns] = np.stack(np.meshgrid(*axes), axis=-1)
    grid = model.decode(codes.reshape(-1, width)).reshape(n_points, n_points, -1)
    return (grid, codes) if return_codes else grid


def _grid_axes(plane, n_points: int, spacing: str, coverage: float, extent) -> list[np.ndarray]:
    """Return the grid's values of the horizontal and of the vertical component; ``plane`` is those of rows."""
    if extent is not None and (len(extent) != 4 or spacing != "linear"):
        raise ValueError(
            f"extent={extent!r} with spacing={spacing!r}: extent is four numbers, the first and the last value of "
            "each component, and goes with spacing='linear'. Leave one of them at its default."
        )
    tail = (1 - coverage) / 2
    probabilities = np.linspace(tail, 1 - tail, n_points)
    if spacing == "normal":
        return [ndtri(probabilities)] * 2
    if spacing == "quantile":
        return [*np.quantile(plane, probabilities, axis=0).T]
    if extent is None:
        extent = np.quantile(plane, [tail, 1 - tail], axis=0).T
    return [np.linspace(first, last, n_points) for first, last in np.reshape(extent, (2, 2))]


def check_components(components, width: int) -> list[int]:
    """Check two components of codes of ``width`` components.

    Raises
    ------
    ValueError
        If there are no such two.
    """
    columns = [int(c) for c in components]
    if len(columns) != 2 or columns[0] == columns[1] or not all(0 <= c < width for c in columns):
        raise ValueError(
            f"components={tuple(columns)}, but it takes two different components of a code that has {width}, "
            f"counted from 0 to {width - 1}."
        )
    return columns


# Axes ------------------------------------------------------------------------------------------------------


def number_axes(ax, values, height: float) -> None:
    """Write values of components beside a grid whose cells are 1 wide, as many as there is room for."""
    ax.apply_aspect()
    longest = max(map(len, tick_labels(np.asarray(values[0]))))
    fit = ax.bbox.width / ax.figure.dpi / (_LETTER * longest)  # beside each other
    ways = (ax.xaxis, 1.0, min(fit, _MOST_TICKS)), (ax.yaxis, height, _MOST_TICKS)
    for of_axis, (axis, unit, most) in zip(values, ways, strict=True):
        shown = np.arange(0, len(of_axis), math.ceil(len(of_axis) / max(1, most)))
        axis.set_ticks((shown + 0.5) * unit, tick_labels(np.asarray(of_axis)[shown]))


def tick_labels(values: np.ndarray) -> list[str]:
    """Write values of a component, increasing ones, with the same number of decimals.

    These are as many as give the largest two significant digits, and more where values would look alike.
    """
    largest = np.abs(values).max()
    if not 1e-4 <= largest < 1e6:
        return [f"{value:.2g}" for value in values]
    decimals = max(0, 1 - int(np.floor(np.log10(largest))))
    while True:
        labels = [f"{value:.{decimals}f}" for value in np.round(values, decimals) + 0.0]  # no minus before zero
        if decimals >= 6 or len(set(labels)) == len(set(values)):
            return labels
        decimals += 1


def warn_of_inactive_axes(autoencoder, codes: np.ndarray, columns: list[int]) -> None:
    """Warn where a component that is drawn is a unit that a variational autoencoder leaves inactive."""
    active, width = getattr(autoencoder, "n_active_units_", None), codes.shape[1]
    inactive = codes.var(axis=0) <= ACTIVE_VARIANCE
    # Where more units look inactive than training left so, it is the rows that are alike.
    if active is None or inactive.sum() > width - active:
        return
    drawn = [
        f"component {column} (deviation {codes[:, column].std():.2g})" for column in columns if inactive[column]
    ]
    if drawn:
        others = ", or draw other components" if active > 1 else ""
        warn(
            "The map stretches what hardly differs from row to row, the codes of inactive units: "
            f"{' and '.join(drawn)}. Train longer (max_iter) or lower beta, which is {autoencoder.beta:g}{others}."
        )
