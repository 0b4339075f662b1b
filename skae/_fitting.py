"""One fit: from an estimator's parameters and rows to trained networks and fitted attributes."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from . import _arrays as arrays
from . import _devices as devices
from . import _random as random
from ._custom import Linked, dry_run, load_weights
from ._data import TrainingData
from ._losses import ROUNDING
from ._monitoring import Monitor
from ._networks import Decoder, build, initialize, n_parameters
from ._optimizers import OPTIMIZERS
from ._rows import Rows
from ._steps import make_step, torch_modes
from ._training import DivergedError, History, Schedule, train


def atomic(method: Callable) -> Callable:
    """Make a method that fails leave the estimator as it found it."""

    @functools.wraps(method)
    def guarded(estimator, *args, **kwargs):
        before = dict(vars(estimator))
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return guarded


class Fit:
    """Everything between validated rows and fitted attributes; lives no longer than the call to ``fit``.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Read only.
    X : validated rows
    start : BaseAutoencoder or None
        The fitted estimator whose weights to start from; None draws new ones.
    one_pass : bool
        Take one pass over all rows, with the solver's state carried on from the last one.
    **data
        What else `TrainingData` takes: ``X_clean``, ``sample_weight``.
    """

    def __init__(self, estimator, X, *, start=None, one_pass: bool = False, **data) -> None:
        self.estimator, self.start, self.one_pass = estimator, start, one_pass
        self.device = devices.resolve(estimator.device)
        self.dtype = self._dtype(X)
        self.streams = random.streams(estimator.random_state)
        self._noise: torch.Generator | None = None
        self.architecture = estimator._describe_networks(X.shape[1])
        self.data = TrainingData(X, dtype=self.dtype, device=self.device, **data)
        self._check_range()
        if estimator.early_stopping and not one_pass:
            self.data.split(estimator.validation_fraction, self.streams.split)
        self._centre()
        self.encoder, self.decoder = self._networks()
        estimator._prepare_networks(self)
        self.bridge = estimator._bridge(self)
        self.loss = estimator._reconstruction_loss(self)

    # From parameters to pieces ----------------------------------------------------------------------------

    def _dtype(self, X) -> torch.dtype:
        name = self.estimator.dtype
        if name == "auto":
            exact = self.device.type == "cpu" and arrays.torch_dtype(X) == torch.float64
            name = "float64" if exact and X.shape[0] * X.shape[1] <= 100_000 else "float32"
        if name == "float64" and self.device.type == "mps":
            raise ValueError("dtype='float64' is not supported on device 'mps'; use dtype='float32'.")
        return torch.float64 if name == "float64" else torch.float32  # bfloat16 keeps float32 parameters

    def _check_range(self) -> None:
        if self.estimator.loss != "binary_cross_entropy":
            return
        lowest, highest = self.data.target_range()
        if lowest < -ROUNDING or highest > 1 + ROUNDING:
            raise ValueError(
                f"loss='binary_cross_entropy' needs X in [0, 1], but its minimum is {lowest:g} and its maximum "
                f"{highest:g}. Scale X with sklearn.preprocessing.MinMaxScaler, or use loss='squared_error'."
            )

    def _centre(self) -> None:
        if self.start is None:
            if self.architecture.centred:
                self.data.centre(uncentred=self.architecture.uncentred)
            return
        offset = getattr(self.start.encoder_, "offset", None)
        if offset is not None and not self.architecture.centred:
            raise ValueError(
                "warm_start and partial_fit continue networks that were fitted to centred data, which loss="
                f"{self.estimator.loss!r} with output_activation={self.estimator.output_activation!r} does not "
                "take. Fit with warm_start=False, or set these parameters back."
            )
        if offset is not None:
            self.data.centre(offset, self.start.decoder_.offset)

    def _networks(self) -> tuple[nn.Module, nn.Module]:
        """Build, or copy, both networks and give them their first weights."""
        estimator, start = self.estimator, self.start
        encoder, decoder = build(self.architecture)
        initialize((encoder, decoder), self.streams.weights)
        # Copied together, so that modules which share parameters still do.
        own = copy.deepcopy((estimator.encoder, estimator.decoder))
        encoder = encoder if own[0] is None else own[0]
        decoder = decoder if own[1] is None else own[1]
        encoder, decoder = encoder.to(self.device, self.dtype), decoder.to(self.device, self.dtype)
        if start is not None:
            load_weights(encoder, start.encoder_)
            load_weights(decoder, getattr(start.decoder_, "unlinked", start.decoder_))
        if self.data.offset is not None:  # these stay in the precision of the data
            encoder.offset = self.data.offset.to(self.device)
            decoder.offset = self.data.target_offset.to(self.device)  # type: ignore[union-attr]
        if own != (None, None):
            dry_run(encoder, decoder, self.architecture, torch.empty(0, dtype=self.dtype, device=self.device))
        return encoder, decoder

    def noise_generator(self) -> torch.Generator:
        """Return the generator of noise on the networks' device, always the same one."""
        if self._noise is None:
            self._noise = torch.Generator(self.device).manual_seed(self.streams.noise.initial_seed())
            state = getattr(self.start, "_training_state", None) if self.one_pass else None
            if state is not None and state["noise"] is not None and state["noise_device"] == self.device.type:
                self._noise.set_state(state["noise"])
        return self._noise

    def _make_optimizer(self, parameters: Tensor, gradient: Tensor, is_weight: Tensor):
        e = self.estimator
        optimizer = OPTIMIZERS[e.solver](
            parameters,
            gradient,
            is_weight,
            learning_rate=e.learning_rate,
            alpha=e.alpha,
            momentum=e.momentum,
            weights_only=self._is_pca(),
        )
        state = getattr(self.start, "_training_state", None) if self.one_pass else None
        if state is not None:
            self.streams.order.set_state(state["order"])
            if state["kind"] == (e.solver, len(parameters)):
                optimizer.load(state["optimizer"])
        return optimizer

    def _is_pca(self) -> bool:
        """Tell whether the best biases are zeros: in a linear network on data centred by their own mean.

        What their gradients hold then is noise, rounding noise on a full batch, and Adam makes full steps of it.
        """
        a, data = self.architecture, self.data
        whole = self.start is None and data.validation_rows is None and not self.one_pass
        linear = {a.code_activation, a.output_activation, a.link} == {"identity"} and (
            a.activation == "identity" or len(a.encoder_layer_sizes) == len(a.decoder_layer_sizes) == 1
        )
        noisy = self.estimator._corruption(self) is not None or self.bridge is not None
        return a.centred and linear and whole and not noisy and self.estimator.loss == "squared_error"

    # Running ----------------------------------------------------------------------------------------------

    def run(self, context) -> History:
        """Train all there is to train; ``context`` is the callbacks', or None."""
        e = self.estimator
        if self.start is None and not self.one_pass:
            e._pretrain(self, context)
        if self.one_pass:
            return self.train(self.step, Monitor(e, self, None), max_iter=1, tol=None)
        return self.train(self.step, Monitor(e, self, e._phase(context)), max_iter=e.max_iter)

    @functools.cached_property
    def step(self):
        """The step that trains both networks as a whole; it takes over the weights they have when it is made."""
        return self.make_step(
            self.encoder,
            self.decoder,
            self.data.inputs(),
            loss=self.loss,
            targets=self.data.targets(),
            corrupt=self.estimator._corruption(self),
            bridge=self.bridge,
            penalty=self.estimator._regularizer(self),
        )

    def make_step(self, encoder, decoder, rows: Rows, *, loss, **settings):
        """Make a step for two networks on these rows, with the estimator's solver and precision."""
        return make_step(
            encoder,
            decoder,
            loss,
            rows,
            self._make_optimizer,
            row_weight=self.data.row_weight(),
            low_precision=self.estimator.dtype == "bfloat16",
            **settings,
        )

    def train(self, step, monitor: Monitor, *, max_iter: int, tol="the estimator's") -> History:
        """Run the training loop on a step.

        Raises
        ------
        ValueError
            If the loss, or a weight, stops being finite.
        """
        e, n = self.estimator, len(self.data.train_rows)
        schedule = Schedule(
            max_iter=max_iter,
            batch_size=min(n, 200 if e.batch_size == "auto" else e.batch_size),
            shuffle=e.shuffle,
            tol=e.tol if tol == "the estimator's" else tol,
            n_iter_no_change=e.n_iter_no_change,
            warm_up=e._warm_up_epochs(),
            merge_single=step.needs_two_rows,
        )
        multiply_adds = 3 * schedule.batch_size * len(step.parameters)
        seed = self.streams.noise.initial_seed()
        try:
            with devices.cpu_settings(multiply_adds), torch_modes(step, self.device, seed):
                return train(
                    step,
                    self.data.train_rows,
                    schedule,
                    self.streams.order,
                    validation=self.data.validation_rows,
                    monitor=monitor,
                )
        except DivergedError as error:
            raise ValueError(
                f"Training diverged: the loss was no longer finite in epoch {error.epoch}. The largest magnitude "
                f"in X is {self.data.largest_magnitude():.4g} and learning_rate={e.learning_rate:g}. Scale X, for "
                "instance with sklearn.preprocessing.StandardScaler, or lower learning_rate."
            ) from None

    # Afterwards -------------------------------------------------------------------------------------------

    def attributes(self, history: History, *, final: bool = True) -> dict[str, Any]:
        """Return the fitted attributes; before the end (``final=False``), with copies of the networks."""
        networks = (self.encoder, self.decoder)
        if final:
            self.step.release()
        else:
            self.step.publish()
            with torch.inference_mode(False):
                networks = copy.deepcopy(networks)
        encoder, decoder = (network.eval() for network in networks)
        if self.architecture.link != "identity" and not isinstance(decoder, Decoder):
            decoder = Linked(decoder, self.architecture.link)
        earlier = [] if not self.one_pass or self.start is None else self.start.loss_curve_
        curve = [*earlier, *history.loss_curve]
        watched = history.validation_loss_curve or curve
        X, offset = self.data.X, self.data.offset
        if offset is None:
            offset = torch.zeros(X.shape[1], dtype=arrays.torch_dtype(X))
        fitted = {
            "encoder_": encoder,
            "decoder_": decoder,
            "offset_": arrays.to_namespace_of(X, offset.cpu().numpy()),
            "device_": self.device,
            "n_parameters_": n_parameters(networks),
            "loss_curve_": curve,
            "loss_": curve[-1] if curve else float("nan"),
            "best_loss_": min(watched, default=float("nan")),
            "n_iter_": len(curve),
            "_architecture": self.architecture._asdict(),
            "_training_state": None,
        }
        if self.data.validation_rows is not None:
            fitted["validation_loss_curve_"] = history.validation_loss_curve
        if self.one_pass:
            fitted["_training_state"] = {
                "kind": (self.estimator.solver, len(self.step.parameters)),
                "optimizer": self.step.optimizer.state(),
                "order": self.streams.order.get_state(),
                "noise": None if self._noise is None else self._noise.get_state(),
                "noise_device": self.device.type,
            }
        return fitted | self.estimator._own_attributes(self, encoder, decoder)
