"""What rows and losses show to be wrong with a fit: units, the order of channels, a loss above the means'."""

from typing import Any

from .._objectives.baseline import baseline
from .._support.warnings import warn
from .setup import Setup

_POWERS = {"squared_error": 2, "absolute_error": 1, "huber": 1}  # of a column's unit that a loss grows with
_MOST_NAMES = 5
_MARGIN = 1e-3  # of a loss that is no worse than the means' but for rounding, and for noise


def warn_of_rows(setup: Setup) -> None:
    """Warn where columns are in units of their own, and where images are in another order than was said."""
    estimator, data = setup.estimator, setup.data
    if estimator.image_shape is not None:
        shape = (*estimator.image_shape, 1)[:3]
        if data.looks_channels_first(shape):
            height, width, channels = shape
            warn(
                f"The rows of X seem to be images of shape ({channels}, {height}, {width}), channels first, but "
                f"image_shape={tuple(estimator.image_shape)} takes them for (height, width, channels). Pass "
                f"X.reshape(-1, {channels}, {height}, {width}).transpose(0, 2, 3, 1).reshape(len(X), -1)."
            )
        return
    power = _POWERS.get(estimator.loss) if isinstance(estimator.loss, str) else None
    columns = data.dominant_columns(power) if power else []
    if columns:
        names = getattr(estimator, "feature_names_in_", None)
        called = [repr(str(names[column])) if names is not None else str(column) for column in columns]
        more = f" and {len(called) - _MOST_NAMES} more" if len(called) > _MOST_NAMES else ""
        subject = f"Column{'s' * (len(called) > 1)} {', '.join(called[:_MOST_NAMES])}{more} of {data.X.shape[1]}"
        warn(
            f"{subject} carr{'ies' if len(called) == 1 else 'y'} nearly all of the loss, since the values are so "
            "much larger than those of the others, which will hardly be reconstructed, whatever the score. Scale "
            "X, for instance with sklearn.preprocessing.StandardScaler."
        )


def loss_above_means(fit: Any) -> str | None:
    """Return what to say of a fit that has ended worse than the column means reconstruct rows, or None.

    Likelihoods are left out: they start at the means and say themselves if their codes carry nothing.
    """
    setup, history = fit.setup, fit.history
    estimator, data = setup.estimator, setup.data
    if estimator.loss is None:
        return None
    means = baseline(fit.objective.loss, data)
    curve = history.loss_curve or [history.loss]
    if curve[-1] <= means.loss or means.deviation <= data.precision * data.largest_magnitude():
        return None
    loss = fit.measure()  # without penalties, of the weights that are kept
    if loss <= (1 + _MARGIN) * means.loss:
        return None
    falling = len(curve) < 2 or curve[-1] <= min(curve[:-1])
    advice = "Train longer (max_iter) or faster (learning_rate)" if falling else "Lower learning_rate"
    return (
        f"Training ended with a loss of {loss:.4g}, above the {means.loss:.4g} of reconstructing each row as the "
        f"column means: the model is worse than none. {advice}, or scale X, for instance with "
        "sklearn.preprocessing.StandardScaler."
    )
