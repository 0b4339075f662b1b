"""What units respond to: the samples with the highest activation, and inputs that maximize it."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._support.devices import random_seed
from ._model import Model
from ._units import Region, Units, best_of_starts, top_rows

_POSITIVE = Interval(Real, 0, None, closed="neither")
_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_UNIT_CONSTRAINTS: dict = {
    "layer": [Integral, str, None],
    "units": ["array-like", Interval(Integral, 0, None, closed="left"), None],
    "return_activations": ["boolean"],
}


@validate_params(_UNIT_CONSTRAINTS | {"n_samples": [_AT_LEAST_ONE]}, prefer_skip_nested_validation=True)
def top_activating_samples(estimator, X, *, layer=None, units=None, n_samples=9, return_activations=False):
    """Find the samples with the highest activation of each unit.

    Parameters
    ----------
    estimator : estimator instance
        Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
        :class:`~sklearn.pipeline.Pipeline` that contains one.
    X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
        Rows to choose from, as the estimator takes them.
    layer : int, str or None, default=None
        Layer of the encoder. None is the code, as returned by `transform`. An integer counts layers, activations
        included, from the input, or from the code if negative. A string is a name in
        ``encoder_.named_modules()``, such as ``'0.0'`` for the first layer before its activation.
    units : int, array-like of int or None, default=None
        Units of that layer, counted from zero. None is all of them. The units of a convolutional layer are its
        feature maps, and their activations means over positions.
    n_samples : int, default=9
        Number of samples for each unit; all of them if there are fewer.
    return_activations : bool, default=False
        Whether to return the activations too.

    Returns
    -------
    indices : ndarray of shape (n_units, n_samples)
        Row numbers in X, the highest activation first; of equal ones, the first in X comes first.
    activations : ndarray of shape (n_units, n_samples)
        The units' activations for these rows. Only if ``return_activations=True``.

    Raises
    ------
    TypeError
        If the estimator contains no encoder.
    ValueError
        If a layer or unit does not exist.

    See Also
    --------
    TopActivationDisplay : The samples, drawn.
    maximize_activation : Inputs with a higher activation than any sample.

    Notes
    -----
    The code of a variational encoder is its mean. In its last layer, ``layer=-1``, the units of the means come
    first, those of the log-variances second. The activation of a hasher's bit is its logit.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoencoder
    >>> from skae.inspection import top_activating_samples
    >>> X = load_digits().data / 16
    >>> model = SparseAutoencoder(20, max_iter=20, tol=None, random_state=0).fit(X)
    >>> indices = top_activating_samples(model, X, n_samples=3)
    >>> indices.shape
    (20, 3)
    >>> bool((indices[:, 0] == model.transform(X).argmax(axis=0)).all())
    True
    """
    model = Model(estimator)
    rows = model.rows(X)
    index, activations = top_rows(_some_units(model, layer, units), rows, n_samples)
    return (index.numpy(), activations.numpy()) if return_activations else index.numpy()


@validate_params(
    _UNIT_CONSTRAINTS
    | {
        "norm": [StrOptions({"best", "mean"}), _POSITIVE, None],
        "bounded": ["boolean"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_init": [_AT_LEAST_ONE],
        "learning_rate": [_POSITIVE],
        "max_iter": [_AT_LEAST_ONE],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def maximize_activation(
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
    return_activations=False,
):
    r"""Find the preferred input of each unit by activation maximization: gradient ascent on the input.

    Without a limit, the activation of most units grows forever with the size of the input. The search therefore
    stays within a distance from the data's mean [1]_, and within the range of each feature. It starts from
    samples, one of them the sample with the unit's highest activation. With ``norm='best'`` the input may be no
    farther from the mean than that sample, so that its higher activation comes from its direction, not its size.

    Parameters
    ----------
    estimator : estimator instance
        Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
        :class:`~sklearn.pipeline.Pipeline` that contains one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples to start from, which also give the mean, distances and ranges: the training data, or some of it.
    layer : int, str or None, default=None
        Layer of the encoder. None is the code, as returned by `transform`. An integer counts layers, activations
        included, from the input, or from the code if negative. A string is a name in
        ``encoder_.named_modules()``, such as ``'0.0'`` for the first layer before its activation.
    units : int, array-like of int or None, default=None
        Units of that layer, counted from zero. None is all of them. The units of a convolutional layer are its
        feature maps, and their activations means over positions.
    norm : {'best', 'mean'}, float or None, default='best'
        The largest Euclidean distance from the mean of X, in units of the autoencoder's input: 'best' is that of
        the sample with the unit's highest activation, 'mean' the mean over samples; or a number. None is no
        limit.
    bounded : bool, default=True
        Whether each feature stays between its minimum and maximum in X.
    alpha : float, default=0.0
        Strength of an L2 penalty: ``alpha / 2`` times the squared distance from the mean is subtracted from the
        activation.
    n_init : int, default=4
        Number of starts for each unit: the sample with its highest activation, and random samples. The best
        result is kept.
    learning_rate : float, default=0.1
        Length of the first step, as a fraction of the largest distance. It decreases linearly to zero.
    max_iter : int, default=200
        Number of steps.
    random_state : int, RandomState instance or None, default=None
        Seed of the random starts. The global generators are neither read nor changed.
    return_activations : bool, default=False
        Whether to return the activations too.

    Returns
    -------
    X_preferred : ndarray of shape (n_units, n_features)
        An input for each unit, of X's floating dtype. In a pipeline it is brought back to the pipeline's input
        by the ``inverse_transform`` of the steps before the autoencoder.
    activations : ndarray of shape (n_units,)
        Activations of the units for these inputs. Only if ``return_activations=True``.

    Raises
    ------
    TypeError
        If the estimator contains no encoder, or a step before it has no ``inverse_transform``.
    ValueError
        If a layer or unit does not exist, or if nothing limits the search.

    See Also
    --------
    PreferredInputDisplay : The inputs, drawn.
    top_activating_samples : The samples with the highest activation of each unit.

    Notes
    -----
    With ``norm='best'`` and ``alpha=0`` the activation is at least as high as for every sample of X: the search
    starts from the best one, and keeps the best input that it meets. With another norm it starts from samples
    that are moved towards the mean until they are near enough, and may end below the best sample.

    A unit that is inactive for all starts, such as a dead one with a relu, has no gradient to follow, and its
    best sample is returned. Maximize its input before the activation then, for instance with ``layer='1.0'``. In
    a pipeline, the input that is returned has the same activation only if the steps before the autoencoder lose
    nothing, as a scaler does not.

    References
    ----------
    .. [1] D. Erhan, Y. Bengio, A. Courville and P. Vincent (2009). Visualizing higher-layer features of a deep
       network. Technical report 1341, Universite de Montreal.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.inspection import maximize_activation
    >>> X = load_digits().data
    >>> model = AutoencoderTransformer(8, max_iter=20, tol=None, random_state=0).fit(X)
    >>> preferred = maximize_activation(model, X, random_state=0)
    >>> preferred.shape
    (8, 64)
    >>> bool((model.transform(preferred).diagonal() > model.transform(X).max(axis=0)).all())
    True
    """
    if norm is None and not bounded and alpha == 0:
        raise ValueError(
            "norm=None, bounded=False and alpha=0 set no limit, without which most activations grow forever. "
            "Set norm, bounded=True or a positive alpha."
        )
    model = Model(estimator)
    rows = model.rows(X)
    selected = _some_units(model, layer, units)
    best = top_rows(selected, rows, 1)[0].numpy()
    region = Region.around(rows, selected, best[:, 0], norm, bounded)
    rng = np.random.default_rng(random_seed(random_state))
    starts = np.hstack([best, rng.integers(rows.shape[0], size=(len(best), n_init - 1))])
    settings = {"alpha": alpha, "learning_rate": learning_rate, "max_iter": max_iter}
    preferred = best_of_starts(selected, rows, starts, region, **settings)
    result = model.restore(preferred.cpu().numpy().astype(str(rows.dtype).removeprefix("torch.")))
    if not return_activations:
        return result
    with torch.no_grad():
        return result, selected(preferred).diagonal().cpu().numpy()


def _some_units(model: Model, layer, units) -> Units:
    """Return units of a layer, one at least."""
    some = Units(model, layer, units)
    if not some.chosen:
        raise ValueError("units is empty: pass at least one unit, or None.")
    return some
