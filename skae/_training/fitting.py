"""One fit: from an estimator's parameters and rows to trained networks and fitted attributes."""

import copy
import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from .._data import arrays
from .._data.corruption import Corruption
from .._data.rows import Rows, index_chunks
from .._data.training_data import TrainingData
from .._networks.building import build, initialize
from .._networks.custom import Linked, dry_run, load_weights
from .._networks.networks import Decoder, compression, n_parameters
from .._objectives.losses import Loss, loss_by
from .._support import devices
from .architecture import architecture
from .averaging import Averaged
from .loop import History
from .monitoring import Monitor
from .optimizers import Optimizer
from .run import Run
from .steps import torch_modes

Carried = Optimizer | Averaged  # what has a state beside the weights
C = TypeVar("C", Optimizer, Averaged)


class Fit(Run):
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
        device = devices.resolve(estimator.device)
        super().__init__(estimator, device, self._dtype(estimator.dtype, device, X), estimator.dtype == "bfloat16")
        self.start, self.one_pass = start, one_pass
        self._noise: torch.Generator | None = None
        self._carried: dict[str, Carried] = {}
        self.y = X
        self.data = TrainingData(X, dtype=self.dtype, device=self.device, **data)
        self.architecture = estimator._adapt(architecture(estimator, X.shape[1], estimator._code_width(self)))
        if estimator.loss is not None:
            loss_by(estimator.loss).check(self.data)
        if estimator.early_stopping and not one_pass:
            self.data.split(estimator.validation_fraction, self.streams.split)
        self._centre()
        self._make_networks()
        self.layer_loss_curves: list[list[float]] = []  # of training layers one at a time

    # From parameters to pieces ----------------------------------------------------------------------------

    @staticmethod
    def _dtype(name: str, device: torch.device, X) -> torch.dtype:
        if name == "auto":
            exact = device.type == "cpu" and arrays.torch_dtype(X) == torch.float64
            name = "float64" if exact and X.shape[0] * X.shape[1] <= 100_000 else "float32"
        if name == "float64" and device.type == "mps":
            raise ValueError("dtype='float64' is not supported on device 'mps'; use dtype='float32'.")
        return torch.float64 if name == "float64" else torch.float32  # bfloat16 keeps float32 parameters

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

    def _make_networks(self) -> None:
        """Build, or copy, both networks and give them their first weights."""
        estimator, start = self.estimator, self.start
        encoder, decoder = build(self.architecture)
        initialize((encoder, decoder), self.streams.weights)
        # Copied together, so that modules which share parameters still do.
        own = copy.deepcopy((estimator.encoder, estimator.decoder))
        encoder = encoder if own[0] is None else own[0]
        decoder = decoder if own[1] is None else own[1]
        encoder, decoder = encoder.to(self.device, self.dtype), decoder.to(self.device, self.dtype)
        self.encoder, self.decoder = encoder, decoder
        if start is None:
            estimator._initialize(self, encoder, decoder)
        else:
            load_weights(encoder, start.encoder_)
            load_weights(decoder, getattr(start.decoder_, "unlinked", start.decoder_))
            estimator._resume(self, encoder, decoder)
        if self.data.offset is not None:  # these stay in the precision of the data
            encoder.offset = self.data.offset.to(self.device)
            decoder.offset = self.data.target_offset.to(self.device)  # type: ignore[union-attr]
        if own != (None, None):
            dry_run(encoder, decoder, self.architecture, torch.empty(0, dtype=self.dtype, device=self.device))

    def noise_generator(self) -> torch.Generator:
        """Return the generator of noise on the networks' device, always the same one."""
        if self._noise is None:
            self._noise = torch.Generator(self.device).manual_seed(self.streams.noise.initial_seed())
            state = self._state_before()
            if state is not None and state["noise"] is not None and state["noise_device"] == self.device.type:
                self._noise.set_state(state["noise"])
        return self._noise

    def corruption(self, noise: str | Callable, level: float) -> Corruption:
        """Return a noise for the inputs of the whole."""
        # Statistics stay those of the first fit, so that chunks given to partial_fit get the same noise.
        statistics = getattr(self.start, "_column_statistics", None) or self.data.statistics()
        return Corruption(noise, level, statistics, self.data.fills(statistics), self.noise_generator())

    @property
    def learning_rate(self) -> float:
        return self.estimator._learning_rate(self)

    def make_optimizer(self, parameters: Tensor, gradient: Tensor, is_weight: Tensor) -> Optimizer:
        optimizer = super().make_optimizer(parameters, gradient, is_weight)
        optimizer.weights_only = self._is_pca()
        state = self._state_before()
        if state is not None:
            self.streams.order.set_state(state["order"])
            self.streams.noise.set_state(state["modes"])
        return self.carried_on("networks", optimizer)

    def carried_on(self, name: str, part: C) -> C:
        """Give a part of the training the state that the last pass left under this name, and keep its own."""
        state = self._state_before()
        kind, saved = (None, None) if state is None else state["parts"].get(name, (None, None))
        if saved is not None and kind == _kind(part):
            part.load(saved)
        self._carried[name] = part
        return part

    def _state_before(self) -> dict[str, Any] | None:
        """Return what the last pass left for this one; None for a fit that starts afresh."""
        return getattr(self.start, "_training_state", None) if self.one_pass else None

    def _is_pca(self) -> bool:
        """Tell whether the best biases are zeros: in a linear network on data centred by their own mean.

        What their gradients hold then is noise, rounding noise on a full batch, and Adam makes full steps of it.
        """
        a, data = self.architecture, self.data
        whole = self.start is None and data.validation_rows is None and not self.one_pass
        plain = self.corrupt is None and self.bridge is None and self.estimator.sparsity is None
        return a.centred and a.linear and whole and plain and self.estimator.loss == "squared_error"

    # Running ----------------------------------------------------------------------------------------------

    def run(self, context) -> History:
        """Train all there is to train; ``context`` is the callbacks', or None."""
        if self.one_pass:
            return self.train(self.step, Monitor(self.estimator, self, None), max_iter=1, tol=None)
        return self.estimator._train(self, context)

    @functools.cached_property
    def corrupt(self) -> Corruption | None:
        """The noise on the inputs of the whole."""
        return self.estimator._corruption(self)

    @functools.cached_property
    def bridge(self) -> Any:
        """What stands between encoder and decoder: a `Bridge`, or None."""
        return self.estimator._bridge(self)

    @functools.cached_property
    def loss(self) -> Loss:
        """The loss of the whole."""
        return self.estimator._reconstruction_loss(self)

    @functools.cached_property
    def inputs(self) -> Rows:
        """The rows as the encoder's first block takes them."""
        return self.data.inputs(compression(self.encoder))

    @functools.cached_property
    def step(self):
        """The step that trains both networks as a whole; it takes over the weights they have when it is made."""
        step = self.make_step(
            self.encoder,
            self.decoder,
            self.inputs,
            loss=self.loss,
            targets=self.data.targets() if self.inputs.change is None else self.data.inputs(),
            corrupt=self.corrupt,
            bridge=self.bridge,
            penalty=self.estimator._regularizer(self),
            constrain=self.estimator._constraint(self),
        )
        if not self.estimator._averages(self):
            return step
        return self.carried_on("mean", Averaged(step, trained=self.start is not None))

    def measure(self) -> float:
        """Return the loss of the training rows under the weights as they are."""
        rows, row_bytes = self.data.train_rows, self.data.n_features * self.dtype.itemsize
        with torch_modes(self.step, self.device, self.streams.noise):
            losses = [self.step.evaluate(index) for index in index_chunks(rows, row_bytes, 1000)]
            return float(torch.stack(losses).sum()) / len(rows)

    # Afterwards -------------------------------------------------------------------------------------------

    def _column_statistics(self) -> tuple | None:
        """Return what the noise knows of the columns: of this fit, or of those that it carries on."""
        return getattr(self.start, "_column_statistics", None) if self.corrupt is None else self.corrupt.statistics

    def curve(self, name: str, epochs: list[float]) -> list[float]:
        """Return a curve of this run, after the passes before it where it is one more of them."""
        carried_on = self.one_pass and self.start is not None
        return [*getattr(self.start, name), *epochs] if carried_on else [*epochs]

    def attributes(self, history: History, *, final: bool = True) -> dict[str, Any]:
        """Return the fitted attributes; before the end (``final=False``), with copies of the networks."""
        networks = (self.encoder, self.decoder)
        if final:
            self.step.release()
        else:
            self.current.publish()
            with torch.inference_mode(False):
                networks = copy.deepcopy(networks)
        encoder, decoder = (network.eval() for network in networks)
        if self.architecture.link != "identity" and not isinstance(decoder, Decoder):
            decoder = Linked(decoder, self.architecture.link)
        curve = self.curve("loss_curve_", history.loss_curve)
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
            "loss_": curve[-1] if curve else history.loss,
            "best_loss_": min(watched, default=history.loss),
            "n_iter_": len(curve),
            "_architecture": self.architecture._asdict(),
            "_column_statistics": self._column_statistics(),
            "_training_state": None,
        }
        if self.data.validation_rows is not None:
            fitted["validation_loss_curve_"] = history.validation_loss_curve
        if self.one_pass:
            fitted["_training_state"] = {
                "parts": {name: (_kind(part), part.state()) for name, part in self._carried.items()},
                "order": self.streams.order.get_state(),
                "noise": None if self._noise is None else self._noise.get_state(),
                "noise_device": self.device.type,
                "modes": self.streams.noise.get_state(),
            }
        return fitted | self.estimator._own_attributes(self, encoder, decoder)


def _kind(part: Carried) -> tuple[str, int]:
    return type(part).__name__, len(part.parameters)
