"""One pass of `partial_fit`: the networks, their step and its solver stay between passes, in an ongoing fit."""

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from .._data import arrays
from .._data.rows import TrainingData
from .._networks.networks import preparation
from .._objectives.support import check_support
from .._support.data_parallel import refuse
from .._support.warnings import warn
from .advice import complaints_of_rows
from .fitting import Fit, fitted_attributes, prepare, restore_on_failure
from .loop import drive
from .monitoring import Monitor
from .problem import Served
from .setup import Mode, centre


def update_networks(estimator, X, **data):
    """Take one pass over rows, from the weights and the solver's state that there are."""
    refuse("partial_fit")
    with restore_on_failure(estimator):
        X = arrays.check_rows(estimator, X, reset=not hasattr(estimator, "encoder_"))
        ongoing = vars(estimator).get("_ongoing")
        if ongoing is None or not ongoing.goes_on_with(estimator):
            state = None if ongoing is None else ongoing.state()
            ongoing = OngoingFit(prepare(estimator, X, Mode.INCREMENTAL, **data), estimator, state)
        else:
            ongoing.serve(X, data)
        found = [] if ongoing.fit.setup.previous is not None else complaints_of_rows(ongoing.fit.setup)
        with ongoing.restored_on_failure():
            vars(estimator).update(ongoing.take_pass())
        vars(estimator).pop("validation_loss_curve_", None)
        estimator._ongoing = ongoing
        for complaint in found:
            warn(complaint)
    return estimator


class OngoingFit:
    """A fit that goes on from call to call. It is not saved with the estimator.

    Parameters
    ----------
    fit : Fit
    estimator : BaseAutoencoder
    state : dict or None
        What the ongoing fit before this one left; see `state`.
    """

    def __init__(self, fit: Fit, estimator, state: dict[str, Any] | None) -> None:
        self.fit, self._parameters, self._trained = fit, _parameters(estimator), _weights(fit)
        if state is not None and state["kind"] == self._kind:
            self._load(state)

    @property
    def _kind(self) -> tuple[str, int]:
        return type(self.fit.step.optimizer).__name__, len(self.fit.step.parameters)

    def goes_on_with(self, estimator) -> bool:
        """Tell whether the estimator still has the parameters and the networks of this fit."""
        decoder = getattr(estimator.decoder_, "unlinked", estimator.decoder_)
        networks = self.fit.encoder is estimator.encoder_ and self.fit.decoder is decoder
        kept = networks and all(map(operator.is_, _weights(self.fit), self._trained))
        return kept and all(map(_same, _parameters(estimator), self._parameters))

    def serve(self, X, data: dict[str, Any]) -> None:
        """Take other rows."""
        fit, setup = self.fit, self.fit.setup
        setup.previous = setup.estimator
        missing = setup.estimator._takes_missing
        setup.data = TrainingData(X, missing=missing, dtype=setup.dtype, device=setup.device, **data)
        centre(setup)
        check_support(fit.objective.loss.supports, setup.data)
        fit.inputs = setup.data.inputs(preparation(fit.encoder))
        fit.step.served = fit.served
        fit.step.resume()

    def take_pass(self) -> dict[str, Any]:
        """Take a pass over the rows; return the fitted attributes."""
        fit, setup = self.fit, self.fit.setup
        schedule = setup.schedule(fit.step, 1)._replace(tol=None, first_epoch=setup.n_epochs_before)
        verbose = Monitor(setup.estimator, None, None, None, lambda history: {})
        epochs = setup.epochs(fit.step, schedule, verbose if setup.estimator.verbose else None)
        with setup.training(fit.step, schedule):
            fit.history = drive(fit.step, epochs)
        return fitted_attributes(fit)

    @contextlib.contextmanager
    def restored_on_failure(self) -> Iterator[None]:
        """Leave networks and solver as they were where what is done inside fails; let go of the rows."""
        fit, step = self.fit, self.fit.step
        before, state = step.snapshot(), _copied(self.state())
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
            fit.setup.data = fit.inputs = None  # type: ignore[assignment]
            step.served = Served(None)  # type: ignore[arg-type]

    def state(self) -> dict[str, Any]:
        """Return what the next pass depends on beside the networks."""
        setup = self.fit.setup
        generators = (setup.streams.order, setup.streams.noise, setup.generator)
        states = [generator.get_state() for generator in generators]
        own = {"kind": self._kind, "device": setup.device.type}
        return {**own, "step": self.fit.step.state(), "generators": states}

    def _load(self, state: dict[str, Any]) -> None:
        setup = self.fit.setup
        self.fit.step.load_state(state["step"])
        for generator, saved in zip((setup.streams.order, setup.streams.noise), state["generators"], strict=False):
            generator.set_state(saved)
        if state["device"] == setup.device.type:
            setup.generator.set_state(state["generators"][2])


def _weights(fit: Fit) -> list[nn.Parameter]:
    return [*fit.encoder.parameters(), *fit.decoder.parameters()]


def _copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _copied(part) for name, part in state.items()}
    return state.clone() if isinstance(state, Tensor) else state


def _parameters(estimator) -> list[Any]:
    """Return the values whose change ends an ongoing fit."""
    return [vars(estimator)[name] for name in estimator._parameter_names if name != "verbose"]


def _same(one: Any, other: Any) -> bool:
    plain = isinstance(one, str | float | int | tuple) and type(one) is type(other)
    return one is other or (plain and one == other)
