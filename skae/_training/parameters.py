"""Parameters of training, which all estimators have."""

from numbers import Real
from typing import Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from .._support.parameters import AT_LEAST_ONE, FRACTION, NON_NEGATIVE, POSITIVE, Parameters, parameter
from .automatic import Automatic
from .optimizers import OPTIMIZERS
from .rates import SCHEDULES

_AUTO = StrOptions({"auto"})


class TrainingParameters(Parameters):
    """The solver, its schedule, what is held out, and what is said meanwhile."""

    alpha: float = parameter(NON_NEGATIVE, default=0.0)
    solver: str = parameter(StrOptions(set(OPTIMIZERS)), default="adam")
    learning_rate: Any = parameter(_AUTO, POSITIVE, default="auto")
    learning_rate_schedule: str = parameter(StrOptions({"auto", "constant", *SCHEDULES}), default="auto")
    momentum: float = parameter(Interval(Real, 0, 1, closed="left"), default=0.9)
    max_grad_norm: float | None = parameter(POSITIVE, None, default=None)
    batch_size: Any = parameter(_AUTO, AT_LEAST_ONE, default="auto")
    max_iter: Any = parameter(_AUTO, AT_LEAST_ONE, default="auto")
    shuffle: bool = parameter("boolean", default=True)
    tol: float | None = parameter(NON_NEGATIVE, None, default=None)
    n_iter_no_change: int = parameter(AT_LEAST_ONE, default=10)
    early_stopping: Any = parameter("boolean", _AUTO, default="auto")
    validation_fraction: float = parameter(FRACTION, default=0.1)
    random_state: Any = parameter("random_state", default=None)
    verbose: Any = parameter("verbose", default=False)

    _automatic: ClassVar[Automatic] = Automatic()  # what "auto" stands for
    _holds_out_extremes = True  # whether epochs are judged by rows far beyond the others, too
