"""Parameters of training, which all estimators have."""

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from .._support.parameters import AT_LEAST_ONE, FRACTION, NON_NEGATIVE, POSITIVE, Parameters, parameter
from .optimizers import OPTIMIZERS


class TrainingParameters(Parameters):
    """The solver, its schedule, what is held out, and what is said meanwhile."""

    alpha: float = parameter(NON_NEGATIVE, default=0.0)
    solver: str = parameter(StrOptions(set(OPTIMIZERS)), default="adam")
    learning_rate: float = parameter(POSITIVE, default=1e-3)
    momentum: float = parameter(Interval(Real, 0, 1, closed="left"), default=0.9)
    batch_size: Any = parameter(StrOptions({"auto"}), AT_LEAST_ONE, default="auto")
    max_iter: int = parameter(AT_LEAST_ONE, default=200)
    shuffle: bool = parameter("boolean", default=True)
    tol: float | None = parameter(NON_NEGATIVE, None, default=1e-4)
    n_iter_no_change: int = parameter(AT_LEAST_ONE, default=10)
    early_stopping: bool = parameter("boolean", default=False)
    validation_fraction: float = parameter(FRACTION, default=0.1)
    random_state: Any = parameter("random_state", default=None)
    verbose: Any = parameter("verbose", default=False)
