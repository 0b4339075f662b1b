"""One pass of `partial_fit`: the networks, their step and its solver stay between passes, in an ongoing fit."""

import contextlib
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .._data import arrays
from .._data.training_data import TrainingData
from .._networks.centring import recentre, recentre_statistics
from .._networks.networks import preparation
from .._objectives.support import check_support
from .._support import plain, threads
from .._support.ranks import refuse
from .._support.warnings import warn
from .advice import complaints_of
from .fitting import Fit, fitted_attributes, prepare, restore_on_failure
from .monitoring import Monitor
from .problem import Served
from .seen import centre
from .setup import Mode


def update_networks(estimator, X, **data):
    """Take one pass over rows, from the weights and the solver's state that there are."""
    refuse("partial_fit")
    with restore_on_failure(estimator), threads.for_work(0):
        X = arrays.check_rows(estimator, X, reset=not hasattr(estimator, "encoder_"))
        ongoing, saved = vars(estimator).get("_ongoing"), vars(estimator).get("_left_by_partial_fit")
        if ongoing is None or not ongoing.goes_on_with(estimator, data.get("X_clean") is not None):
            state = saved if ongoing is None else ongoing.state()
            ongoing = OngoingFit(prepare(estimator, X, Mode.INCREMENTAL, **data), estimator, state)
        else:
            ongoing.serve(X, data)
        found = complaints_of(ongoing.fit)
        with ongoing.restored_on_failure():
            ongoing.follow_centre()
            vars(estimator).update(ongoing.take_pass())
        for name in ("validation_loss_curve_", "_left_by_partial_fit"):
            vars(estimator).pop(name, None)
        estimator._ongoing = ongoing
        for complaint in found:
            warn(complaint)
        ongoing.fit.setup.seen.warn_after_pass()
    return estimator


class OngoingFit:
    """A fit that goes on from call to call. What is saved of it with the estimator is its `state`.

    Parameters
    ----------
    fit : Fit
    estimator : BaseAutoencoder
    state : dict or None
        What the ongoing fit before this one left; see `state`.
    """

    def __init__(self, fit: Fit, estimator, state: dict[str, Any] | None) -> None:
        self.fit, self._parameters, self._trained = fit, _parameters(estimator), _weights(fit)
        self._paired = fit.setup.data.paired
        step = fit.step
        if state is not None and tuple(state["kind"]) == self._kind:
            state = _on(fit.setup.device, state)
            self._load(state)
            step.take_over(state["reached"])
        elif fit.setup.goes_on:
            step.optimizer.begin_slowly()

    @property
    def _kind(self) -> tuple[str, int]:
        return type(self.fit.step.optimizer).__name__, len(self.fit.step.parameters)

    def goes_on_with(self, estimator, paired: bool) -> bool:
        """Tell whether the estimator still has the parameters and the networks of this fit, and rows are alike."""
        if paired != self._paired:  # noise is added to clean rows alone
            return False
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
        if fit.objective.corruption is not None:
            fit.objective.corruption.describe(setup.seen.column_statistics(setup.data), setup.data.offset)
        fit.inputs = setup.data.inputs(preparation(fit.encoder))
        fit.step.served = fit.served
        fit.step.resume()

    def follow_centre(self) -> None:
        """Write the networks for the centre that the rows have now: they stay the same maps."""
        fit, shift, data = self.fit, self.fit.setup.seen.shift, self.fit.setup.data
        if shift is None:
            return
        recentre_statistics(fit.encoder, shift[0])
        fit.step.rewrite(lambda: recentre(fit.encoder, fit.decoder, *shift))
        for network, offset in ((fit.encoder, data.offset), (fit.decoder, data.target_offset)):
            network.offset = offset.to(fit.setup.device)  # type: ignore[union-attr]

    def take_pass(self) -> dict[str, Any]:
        """Take a pass over the rows; return the fitted attributes."""
        fit, setup = self.fit, self.fit.setup
        passes: Any = setup.seen.passes
        settings = {"tol": None, "first_epoch": passes.n_epochs, "length": passes.length}
        schedule = setup.schedule(fit.step, 1)._replace(**settings)
        verbose = Monitor(setup.estimator, None, None, None, lambda history: {})
        monitor = verbose if setup.estimator.verbose else None
        with setup.training(fit.step, schedule, monitor) as (fit.history, batches):
            for index, losses in batches:
                losses.append(fit.step(index))
        return fitted_attributes(fit)

    @contextlib.contextmanager
    def restored_on_failure(self) -> Iterator[None]:
        """Leave networks and solver as they were where what is done inside fails; let go of the rows."""
        fit, step = self.fit, self.fit.step
        before, state = step.snapshot(), _copied(self.state())
        offsets = [getattr(network, "offset", None) for network in (fit.encoder, fit.decoder)]
        buffers = [(b, b.clone()) for network in (fit.encoder, fit.decoder) for b in network.buffers()]
        try:
            yield
        except BaseException:
            step.restore(before)
            step.take_sums()
            self._load(state)
            step.give_back()
            for network, offset in zip((fit.encoder, fit.decoder), offsets, strict=True):
                if offset is not None:
                    network.offset = offset
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
        own = {"kind": self._kind, "device": setup.device.type, "reached": self.fit.step.reached()}
        return {**own, "step": self.fit.step.state(), "generators": states}

    def _load(self, state: dict[str, Any]) -> None:
        setup = self.fit.setup
        self.fit.step.load_state(state["step"])
        for generator, saved in zip((setup.streams.order, setup.streams.noise), state["generators"], strict=False):
            generator.set_state(saved.cpu())
        if state["device"] == setup.device.type:
            setup.generator.set_state(state["generators"][2].cpu())


def _weights(fit: Fit) -> list[nn.Parameter]:
    return [*fit.encoder.parameters(), *fit.decoder.parameters()]


def _on(device: torch.device, state: Any) -> Any:
    """Return a state with its tensors on a device; they may be arrays, as `plain_tensors` makes them."""
    if isinstance(state, list | tuple):
        return type(state)(_on(device, part) for part in state)
    if not isinstance(state, dict):
        return state.to(device) if isinstance(state, Tensor) else state
    if state.keys() == {"tensor"}:
        return plain.to_tensor(state["tensor"], device)
    return {name: _on(device, part) for name, part in state.items()}


def _copied(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: _copied(part) for name, part in state.items()}
    return state.clone() if isinstance(state, Tensor) else state


def _parameters(estimator) -> list[Any]:
    """Return the values whose change ends an ongoing fit."""
    return [getattr(estimator, name) for name in estimator._parameter_names if name != "verbose"]


def _same(one: Any, other: Any) -> bool:
    plain = isinstance(one, str | float | int | tuple) and type(one) is type(other)
    return one is other or (plain and one == other)
