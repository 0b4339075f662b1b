"""One pass of `partial_fit`: the networks, their step and its solver stay between passes, in a session."""

import contextlib
import copy
import operator
from collections.abc import Iterator
from typing import Any

from torch import nn

from .._data import arrays
from .._data.training_data import TrainingData
from .._networks.networks import compression
from .fitting import fitted_attributes, restore_on_failure
from .monitoring import Monitor
from .prepare import Fit, prepare
from .setup import Mode, centre


def update_networks(estimator, X, **data):
    """Take one pass over rows, from the weights and the solver's state that there are."""
    with restore_on_failure(estimator):
        X = arrays.check_rows(estimator, X, reset=not hasattr(estimator, "encoder_"))
        session = vars(estimator).get("_session")
        if session is None or not session.continues(estimator):
            state = None if session is None else session.state()
            session = Session(prepare(estimator, X, Mode.INCREMENTAL, **data), estimator, state)
        else:
            session.serve(X, data)
        with session.restored_on_failure():
            vars(estimator).update(session.pass_over(estimator))
        vars(estimator).pop("validation_loss_curve_", None)
        estimator._session = session
    return estimator


class Session:
    """A fit that goes on from call to call. It is not saved with the estimator.

    Parameters
    ----------
    fit : Fit
    estimator : BaseAutoencoder
    state : dict or None
        What the session before this one left; see `state`.
    """

    def __init__(self, fit: Fit, estimator, state: dict[str, Any] | None) -> None:
        self.fit = fit
        self._parameters, self._trained = _parameters(estimator), self._weights()
        if state is not None and state["kind"] == self._kind():
            self._load(state)

    def continues(self, estimator) -> bool:
        """Tell whether the estimator still has this session's parameters and networks."""
        decoder = getattr(estimator.decoder_, "unlinked", estimator.decoder_)
        networks = self.fit.encoder is estimator.encoder_ and self.fit.decoder is decoder
        kept = networks and all(map(operator.is_, self._weights(), self._trained))
        return kept and all(map(_same, _parameters(estimator), self._parameters))

    def _weights(self) -> list[nn.Parameter]:
        return [p for network in (self.fit.encoder, self.fit.decoder) for p in network.parameters()]

    def serve(self, X, data: dict[str, Any]) -> None:
        """Take other rows."""
        fit, setup = self.fit, self.fit.setup
        setup.previous = setup.estimator
        setup.data = TrainingData(X, dtype=setup.dtype, device=setup.device, **data)
        centre(setup)
        fit.objective.loss.check(setup.data)
        fit.inputs = setup.data.inputs(compression(fit.encoder))
        fit.step.served = fit.served
        fit.step.resume()

    def pass_over(self, estimator) -> dict[str, Any]:
        """Take the pass; return the fitted attributes."""
        fit, setup = self.fit, self.fit.setup
        schedule = setup.schedule(fit.step, 1)._replace(tol=None, first_epoch=setup.n_epochs_before)
        monitor = Monitor.of(estimator, setup.data.X, setup.data.X, None, dict)
        fit.history = setup.train(fit.step, schedule, monitor)
        return fitted_attributes(fit)

    @contextlib.contextmanager
    def restored_on_failure(self) -> Iterator[None]:
        """Leave networks and solver as they were where what is done inside fails; let go of the rows."""
        fit, step = self.fit, self.fit.step
        before, state = step.snapshot(), copy.deepcopy(self.state())
        buffers = [(b, b.clone()) for network in (fit.encoder, fit.decoder) for b in network.buffers()]
        try:
            yield
        except BaseException:
            step.restore(before)
            step.take_sums()
            self._load(state)
            step.give_back()
            for buffer, value in buffers:
                buffer.copy_(value)
            raise
        finally:
            self.fit.forget_rows()

    # State ------------------------------------------------------------------------------------------------

    def _kind(self) -> tuple[str, int]:
        step = self.fit.step
        return type(step.optimizer).__name__, len(step.parameters)

    def state(self) -> dict[str, Any]:
        """Return what the next pass depends on beside the networks."""
        setup = self.fit.setup
        return {
            "kind": self._kind(),
            "step": self.fit.step.state(),
            "order": setup.streams.order.get_state(),
            "modes": setup.streams.noise.get_state(),
            "noise": setup.generator.get_state(),
            "device": setup.device.type,
        }

    def _load(self, state: dict[str, Any]) -> None:
        setup = self.fit.setup
        self.fit.step.load_state(state["step"])
        setup.streams.order.set_state(state["order"])
        setup.streams.noise.set_state(state["modes"])
        if state["device"] == setup.device.type:
            setup.generator.set_state(state["noise"])


def _parameters(estimator) -> list[Any]:
    """Return the values whose change ends a session."""
    return [vars(estimator)[name] for name in estimator._parameter_names if name != "verbose"]


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        isinstance(one, str | float | int | tuple) and type(one) is type(other) and one == other
    )
