"""One fit: from an estimator's parameters and rows to trained networks and fitted attributes."""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from sklearn.utils.validation import _check_sample_weight
from torch import Tensor, nn

from . import _arrays as arrays
from . import _devices as devices
from . import _random as random
from ._architecture import architecture
from ._autograd import AutogradStep
from ._custom import Linked, checked_loss, core, dry_run, load_weights
from ._explicit import ExplicitStep
from ._losses import LOSSES
from ._monitoring import Monitor
from ._networks import Decoder, Encoder, build, initialize, n_parameters
from ._optimizers import OPTIMIZERS
from ._rows import Rows
from ._split import hold_out
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
    sample_weight : array-like of shape (n_samples,) or None
    start : BaseAutoencoder or None
        The fitted estimator whose weights to start from; None draws new ones.
    one_pass : bool
        Take one pass over all rows, with the solver's state carried on from the last one.
    """

    def __init__(self, estimator, X, sample_weight=None, *, start=None, one_pass: bool = False) -> None:
        self.estimator, self.X, self.start, self.one_pass = estimator, X, start, one_pass
        self.device = devices.resolve(estimator.device)
        self.dtype = self._dtype()
        self.streams = random.streams(estimator.random_state)
        self.loss = LOSSES.get(estimator.loss) if isinstance(estimator.loss, str) else None
        self.architecture = architecture(estimator, X.shape[1])
        self.X_torch = arrays.to_torch(X)
        weight = self._sample_weight(sample_weight)
        self.train_rows, self.validation_rows = self._split(weight)
        self._check_range()
        self.offset = self._offset(weight)
        self.encoder, self.decoder = self._networks()
        self.rows = Rows(self.X_torch, self.offset, self.dtype, self.device)
        self.step = self._step(weight)

    # From parameters to pieces ----------------------------------------------------------------------------

    def _dtype(self) -> torch.dtype:
        name, X = self.estimator.dtype, self.X
        if name == "auto":
            exact = self.device.type == "cpu" and arrays.torch_dtype(X) == torch.float64
            name = "float64" if exact and X.shape[0] * X.shape[1] <= 100_000 else "float32"
        if name == "float64" and self.device.type == "mps":
            raise ValueError("dtype='float64' is not supported on device 'mps'; use dtype='float32'.")
        return torch.float64 if name == "float64" else torch.float32  # bfloat16 keeps float32 parameters

    def _sample_weight(self, sample_weight) -> Tensor | None:
        if sample_weight is None:
            return None
        weight = _check_sample_weight(sample_weight, self.X, ensure_non_negative=True)
        return arrays.to_torch(weight).to(self.dtype)

    def _split(self, weight: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Number the rows to train on and to hold out; rows of weight zero are as good as absent."""
        weight = torch.ones(self.X.shape[0]) if weight is None else weight.cpu()
        used = weight > 0
        if not self.estimator.early_stopping or self.one_pass:
            return used.nonzero()[:, 0].to(self.device), None
        fraction = self.estimator.validation_fraction
        held_out = hold_out(self.X_torch, weight, fraction, self.streams.split)
        if not (used & ~held_out).any():
            raise ValueError(
                f"early_stopping=True cannot split n_samples={int(used.sum())} with validation_fraction="
                f"{fraction}: no row would be left to train on. Give fit more rows that differ, lower "
                "validation_fraction, or set early_stopping=False."
            )
        train_rows, validation_rows = (used & ~held_out).nonzero()[:, 0], held_out.nonzero()[:, 0]
        return train_rows.to(self.device), validation_rows.to(self.device)

    def _check_range(self) -> None:
        if self.estimator.loss != "binary_cross_entropy":
            return
        lowest, highest = arrays.extremes(self.X_torch)
        if lowest < 0 or highest > 1:
            raise ValueError(
                f"loss='binary_cross_entropy' needs X in [0, 1], but its minimum is {lowest:g} and its maximum "
                f"{highest:g}. Scale X with sklearn.preprocessing.MinMaxScaler, or use loss='squared_error'."
            )

    def _offset(self, weight: Tensor | None) -> Tensor | None:
        """Choose what is subtracted from each row: the mean, as in PCA, where the loss allows it.

        It is a bias by another name, in float64, and spares the first layers the work of finding it.
        """
        if not self.architecture.centred:
            return None
        if self.start is not None:
            return self.start.encoder_.offset
        dtype = arrays.torch_dtype(self.X)
        return arrays.column_means(self.X_torch, weight).to(dtype)

    def _networks(self) -> tuple[nn.Module, nn.Module]:
        """Build, or copy, both networks and give them their first weights."""
        estimator, start = self.estimator, self.start
        offset = None if self.offset is None else self.offset.clone()
        encoder, decoder = build(self.architecture, offset)
        initialize((encoder, decoder), self.streams.weights)
        # Copied together, so that modules which share parameters still do.
        own = copy.deepcopy((estimator.encoder, estimator.decoder))
        encoder, decoder = own[0] or encoder, own[1] or decoder
        if start is not None:
            load_weights(encoder, start.encoder_)
            load_weights(decoder, getattr(start.decoder_, "unlinked", start.decoder_))
        encoder, decoder = encoder.to(self.device, self.dtype), decoder.to(self.device, self.dtype)
        if self.offset is not None:  # stays in the precision of the data
            encoder.offset = decoder.offset = self.offset.to(self.device)
        if own != (None, None):
            dry_run(encoder, decoder, self.architecture, torch.empty(0, dtype=self.dtype, device=self.device))
        return encoder, decoder

    def _step(self, weight: Tensor | None):
        estimator = self.estimator
        if weight is not None:
            weight = weight.to(self.device, copy=True)
            for rows in (self.train_rows, self.validation_rows):
                if rows is not None:
                    weight[rows] /= weight[rows].mean()
        penalty = estimator._penalty()
        settings = {
            "row_weight": weight,
            "corrupt": estimator._corruption(self.streams.noise),
            "low_precision": estimator.dtype == "bfloat16",
        }
        encoder, decoder, loss = self.encoder, self.decoder, self.loss
        has_closed_form = penalty is None or penalty.closed_form is not None
        if isinstance(encoder, Encoder) and isinstance(decoder, Decoder) and loss and has_closed_form:
            settings["penalty"] = None if penalty is None else penalty.closed_form
            blocks = encoder.blocks, decoder.blocks
            return ExplicitStep(*blocks, loss, self.rows, self._make_optimizer, **settings)
        objective = self._objective(penalty)
        return AutogradStep(encoder, decoder, objective, self.rows, self._make_optimizer, **settings)

    def _make_optimizer(self, parameters: Tensor, gradient: Tensor, penalized: Tensor):
        e = self.estimator
        optimizer = OPTIMIZERS[e.solver](
            parameters,
            gradient,
            penalized,
            learning_rate=e.learning_rate,
            alpha=e.alpha,
            momentum=e.momentum,
        )
        state = getattr(self.start, "_training_state", None) if self.one_pass else None
        if state is not None:
            self.streams.order.set_state(state["order"])
            if state["kind"] == (e.solver, len(parameters)):
                optimizer.load(state["optimizer"])
        return optimizer

    def _objective(self, penalty):
        encode, decode = core(self.encoder), core(self.decoder)
        if self.loss is not None:
            entrywise = self.loss.entrywise

            def loss(output, target):
                return entrywise(output, target).mean(1)
        else:
            loss = checked_loss(self.estimator.loss)

        def objective(x, target, weight):
            penalized = penalty is not None and torch.is_grad_enabled()  # not when held-out rows are scored
            if penalized:
                x = x.detach().requires_grad_()
            code = encode(x)
            rows = loss(decode(code), target)
            return rows, penalty.value(x, code, weight) if penalized else None

        return objective

    # Running ----------------------------------------------------------------------------------------------

    def run(self, context) -> History:
        """Train; ``context`` is the callbacks', or None.

        Raises
        ------
        ValueError
            If the loss, or a weight, stops being finite.
        """
        e, n = self.estimator, len(self.train_rows)
        batch_size = min(n, 200 if e.batch_size == "auto" else e.batch_size)
        schedule = Schedule(
            max_iter=1 if self.one_pass else e.max_iter,
            batch_size=batch_size,
            shuffle=e.shuffle,
            tol=None if self.one_pass else e.tol,
            n_iter_no_change=e.n_iter_no_change,
        )
        monitor = Monitor(e, self, context)
        multiply_adds = 3 * batch_size * len(self.step.parameters)
        try:
            with devices.cpu_settings(multiply_adds), self._modes():
                return train(
                    self.step,
                    self.train_rows,
                    schedule,
                    self.streams.order,
                    validation=self.validation_rows,
                    monitor=monitor,
                )
        except DivergedError as error:
            largest = max(map(abs, arrays.extremes(self.X_torch)))
            raise ValueError(
                f"Training diverged: the loss was no longer finite in epoch {error.epoch}. The largest magnitude "
                f"in X is {largest:.4g} and learning_rate={e.learning_rate:g}. Scale X, for instance with "
                "sklearn.preprocessing.StandardScaler, or lower learning_rate."
            ) from None

    @contextlib.contextmanager
    def _modes(self) -> Iterator[None]:
        """Set torch up for the step; for autograd also its default generator, put back afterwards.

        Users' modules, such as dropout, can draw from no other.
        """
        if isinstance(self.step, ExplicitStep):
            with torch.inference_mode():
                yield
            return
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(cuda):
            torch.default_generator.manual_seed(self.streams.noise.initial_seed())
            if cuda:
                torch.cuda.manual_seed(self.streams.noise.initial_seed())
            yield

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
        offset = torch.zeros(self.X.shape[1], dtype=arrays.torch_dtype(self.X))
        if self.offset is not None:
            offset = self.offset.cpu()
        fitted = {
            "encoder_": encoder,
            "decoder_": decoder,
            "offset_": arrays.to_namespace_of(self.X, offset.numpy()),
            "device_": self.device,
            "n_parameters_": n_parameters(networks),
            "loss_curve_": curve,
            "loss_": curve[-1] if curve else float("nan"),
            "best_loss_": min(watched, default=float("nan")),
            "n_iter_": len(curve),
            "_architecture": self.architecture._asdict(),
            "_training_state": None,
        }
        if self.validation_rows is not None:
            fitted["validation_loss_curve_"] = history.validation_loss_curve
        if self.one_pass:
            fitted["_training_state"] = {
                "kind": (self.estimator.solver, len(self.step.parameters)),
                "optimizer": self.step.optimizer.state(),
                "order": self.streams.order.get_state(),
            }
        return fitted
