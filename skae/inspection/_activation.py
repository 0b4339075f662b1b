"""What excites units: the rows that do so most, and the inputs that do so more than any row."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from .._data import arrays
from .._data.chunks import slices
from .._data.statistics import column_means, column_statistics
from .._support import random
from ._ascent import Region, ascend, distance
from ._model import Model
from ._units import Units, choose_units, top_rows

UNIT_CONSTRAINTS: dict = {
    "layer": [Integral, str, None],
    "units": ["array-like", Interval(Integral, 0, None, closed="left"), None],
}


@validate_params(
    {
        **UNIT_CONSTRAINTS,
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "return_activations": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def top_activating_samples(estimator, X, *, layer=None, units=None, n_samples=9, return_activations=False):
    """Find the samples that excite each unit most.

    Parameters
    ----------
    estimator : estimator instance
        Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
        :class:`~sklearn.pipeline.Pipeline` with one among its steps.
    X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
        Rows to choose from, as the estimator takes them.
    layer : int, str or None, default=None
        Layer of the encoder. None is the code: what `transform` returns. An integer counts layers from the input,
        activations included, or from the code if negative; a string is a name in ``encoder_.named_modules()``,
        such as ``'0.0'`` for what enters the first layer's activation.
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
        Row numbers in X, the most exciting first; of equal ones, the first in X comes first.
    activations : ndarray of shape (n_units, n_samples)
        The units' activations for these rows. Only if ``return_activations=True``.

    Raises
    ------
    TypeError
        If there is no encoder in the estimator.
    ValueError
        If there is no such layer or unit.

    See Also
    --------
    TopActivationDisplay : The samples, drawn.
    maximize_activation : Inputs that excite a unit more than any sample.

    Notes
    -----
    The code of a variational encoder is its mean. In its last layer, ``layer=-1``, the units of the means come
    first, those of the log-variances after them. A hasher's bits count by their logits.

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
    rows = arrays.to_torch(model.prepared_rows(X))
    layer_units = Units(model.network("encoder"), layer, rows.shape[1])
    chosen = choose_units(units, layer_units.n_units)
    index, activations = top_rows(layer_units, rows, chosen, n_samples)
    return (index.numpy(), activations.numpy()) if return_activations else index.numpy()


@validate_params(
    {
        **UNIT_CONSTRAINTS,
        "norm": [StrOptions({"best", "mean"}), Interval(Real, 0, None, closed="neither"), None],
        "bounded": ["boolean"],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "return_activations": ["boolean"],
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
    r"""Find the input that each unit prefers, by gradient ascent on its activation.

    Without a limit, most units can be excited ever more by ever larger inputs. So the search keeps within a
    distance from the data's mean, as in [1]_, and within the range of each feature. It begins at samples, the
    one that excites the unit most among them. With ``norm='best'`` the input may be no farther from the mean than
    that sample is, so that what makes it more exciting is its direction, not its size.

    Parameters
    ----------
    estimator : estimator instance
        Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
        :class:`~sklearn.pipeline.Pipeline` with one among its steps.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Samples to begin at, and to take the mean, distances and ranges from: the training data, or some of them.
    layer : int, str or None, default=None
        Layer of the encoder. None is the code: what `transform` returns. An integer counts layers from the input,
        activations included, or from the code if negative; a string is a name in ``encoder_.named_modules()``,
        such as ``'0.0'`` for what enters the first layer's activation.
    units : int, array-like of int or None, default=None
        Units of that layer, counted from zero. None is all of them. The units of a convolutional layer are its
        feature maps, and their activations means over positions.
    norm : {'best', 'mean'}, float or None, default='best'
        The largest Euclidean distance from the mean of X, in units of the autoencoder's input: that of the sample
        which excites the unit most, the mean over the samples, or a number. None is no limit.
    bounded : bool, default=True
        Whether each feature stays between its minimum and maximum in X.
    alpha : float, default=0.0
        Strength of an L2 penalty: ``alpha / 2`` times the squared distance from the mean is subtracted from the
        activation.
    n_init : int, default=4
        Number of starts for each unit: the sample that excites it most, and others at random. The best result
        is kept.
    learning_rate : float, default=0.1
        Length of the first step, as a fraction of the largest distance. Later ones are shorter.
    max_iter : int, default=200
        Number of steps.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts at random samples. The global generators are neither read nor changed.
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
        If there is no encoder in the estimator, or a step before it has no ``inverse_transform``.
    ValueError
        If there is no such layer or unit, or if nothing limits the search.

    See Also
    --------
    PreferredInputDisplay : The inputs, drawn.
    top_activating_samples : The samples that excite units most.

    Notes
    -----
    Under ``norm='best'`` and ``alpha=0`` no sample of X excites the unit more than what is returned: the search
    begins there, and keeps the best input that it meets. Under another norm it begins at samples drawn in
    towards the mean, and may end below that sample.

    A unit that is silent for all starts, such as a dead one behind a relu, has no gradient to follow, and its
    most exciting sample comes back. Look at what enters its activation then, for instance with
    ``layer='1.0'``. The same input excites a unit as much in the pipeline only if the steps before the autoencoder
    lose nothing, as a scaler does not.

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
            "norm=None, bounded=False and alpha=0 leave nothing to limit the input, and most units can be excited "
            "ever more by larger ones. Set norm, bounded=True or a positive alpha."
        )
    model = Model(estimator)
    prepared = model.prepared_rows(X)
    rows = arrays.to_torch(prepared)
    layer_units = Units(model.network("encoder"), layer, rows.shape[1])
    chosen = choose_units(units, layer_units.n_units)
    best, _ = top_rows(layer_units, rows, chosen, 1)
    centre, lowest, highest = _ranges(layer_units, rows)

    # All starts of a unit one after the other, the best sample first.
    rng = np.random.default_rng(random.seed(random_state))
    others = rng.integers(rows.shape[0], size=(len(chosen), n_init - 1))
    starts = np.hstack([best.numpy(), others]).ravel()
    numbers = torch.tensor(chosen, device=layer_units.device).repeat_interleave(n_init)
    x, values = [], []
    for part in slices(len(starts), 64 * (rows.shape[1] + layer_units.n_units)):
        start = layer_units.load(rows[starts[part]])
        of_best = layer_units.load(rows[np.repeat(best.numpy()[:, 0], n_init)[part]])
        region = Region(
            centre,
            _radius(norm, of_best, centre, layer_units, rows),
            lowest if bounded else torch.full_like(lowest, -torch.inf),
            highest if bounded else torch.full_like(highest, torch.inf),
        )
        unit = numbers[part, None]
        found = ascend(
            lambda x, unit=unit: layer_units(x).gather(1, unit)[:, 0],
            start,
            region,
            alpha=alpha,
            learning_rate=learning_rate,
            max_iter=max_iter,
        )
        x.append(found[0])
        values.append(found[1])
    winner = torch.cat(values).reshape(len(chosen), n_init).argmax(1) + n_init * torch.arange(
        len(chosen), device=layer_units.device
    )
    preferred = torch.cat(x)[winner]
    own = preferred.to("cpu", arrays.torch_dtype(prepared)).numpy()
    result = model.restore(arrays.to_namespace_of(prepared, own))
    if not return_activations:
        return result
    with torch.no_grad():
        reached = layer_units(preferred).gather(1, numbers[::n_init, None])[:, 0]
    return result, reached.cpu().numpy()


def _ranges(units: Units, rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return each feature's mean, minimum and maximum, where the units are computed."""
    extremes = [torch.as_tensor(column) for column in column_statistics(rows)[1:3]]
    columns = [column_means(rows), *extremes]
    centre, lowest, highest = (column.to(units.dtype).to(units.device) for column in columns)
    return torch.minimum(torch.maximum(centre, lowest), highest), lowest, highest  # the mean is rounded


def _radius(norm, of_best: torch.Tensor, centre: torch.Tensor, units: Units, rows) -> torch.Tensor | None:
    """Return how far inputs may be from the centre, (n, 1)."""
    if norm is None:
        return None
    radius = distance(of_best - centre)
    if norm == "mean":
        total = sum(
            float(distance(units.load(rows[part]) - centre).sum())
            for part in slices(rows.shape[0], 8 * rows.shape[1])
        )
        return torch.full_like(radius, total / rows.shape[0])
    return radius if norm == "best" else torch.full_like(radius, float(norm))
