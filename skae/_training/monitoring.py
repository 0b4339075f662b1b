"""What the outside sees of a run: scikit-learn's callbacks and, when asked for, printed lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._support.ranks import alone, current
from .history import History


class Monitor:
    """Tells callbacks where a run stands, and the run whether they want it to stop.

    Parameters
    ----------
    estimator : BaseAutoencoder or AutoencoderClassifier
    X, y : validated rows, and what callbacks score against
    context : sklearn.callback context or None
        The task whose subtasks are the epochs; None calls nobody.
    attributes : callable (history) -> dict
        Makes the fitted attributes that callbacks may look at.
    """

    def __init__(self, estimator, X, y, context, attributes: Callable[[History], dict[str, Any]]) -> None:
        self.estimator, self.X, self.y, self.attributes = estimator, X, y, attributes
        self.context = context if hasattr(estimator, "_skl_callbacks") else None
        self._task: Any = None

    def begin_epoch(self) -> None:
        """Announce an epoch."""
        if self.context is not None:
            with alone():
                self._task = self.context.subcontext(task_name="epoch")
                self._task.call_on_fit_task_begin(estimator=self.estimator, X=self.X, y=self.y)

    def end_epoch(self, history: History) -> bool:
        """Report an epoch; return whether a callback asks to stop."""
        if self.estimator.verbose and not current().rank:
            print(self._line(history))
        if self.context is None:
            return False
        with alone():
            return self._task.call_on_fit_task_end(
                estimator=self.estimator,
                X=self.X,
                y=self.y,
                reconstruction_attributes=lambda: self.attributes(history),
            )

    @staticmethod
    def _line(history: History) -> str:
        line = f"Epoch {len(history.loss_curve)}, loss = {history.loss_curve[-1]:.8f}"
        if history.validation_loss_curve:
            line += f", validation loss = {history.validation_loss_curve[-1]:.8f}"
        return line


@contextmanager
def phase_task(estimator, X, y, context, name: str, n_epochs: int) -> Iterator[Any]:
    """Announce a phase of a run, whose subtasks are its epochs; yield its task."""
    with alone():
        task = context.subcontext(task_name=name, max_subtasks=n_epochs)
        task.call_on_fit_task_begin(estimator=estimator, X=X, y=y)
    yield task
    with alone():
        task.call_on_fit_task_end(estimator=estimator, X=X, y=y)
