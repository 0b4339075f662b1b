"""The two networks: an encoder and a decoder, sequences of equally many blocks.

A block is a linear map or a convolution, with its normalization and its activation; rows go in, rows come out.
Since both networks have equally many of them, the pair (first block of the encoder, last block of the decoder) is
a shallow autoencoder, and so is every pair inwards.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._data.chunks import chunk_rows
from .activations import ACTIVATIONS, Link, bounded, degrees_of_freedom, link_activation
from .blocks import Block
from .selection import Selection


class Network(nn.Sequential):
    """Blocks one after the other: what the encoder and the decoder have in common.

    Attributes
    ----------
    offset : Tensor of shape (n_features,) or None
        What the rows of the data were centred by.
    unit : float
        What they were divided by then; each network has that of its own end.
    """

    offset: Tensor | None
    unit: float = 1.0

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__(*blocks)
        self.register_buffer("offset", None)
        # The most numbers that convolution blocks make of a row; 0 where all blocks are dense.
        self._widest = max((getattr(block, "widest", 0) for block in blocks), default=0)

    @property
    def blocks(self) -> list[Block]:
        return [block for block in self if isinstance(block, Block)]

    @property
    def own(self) -> nn.Sequential | None:
        """A user's modules in the place of blocks, or None."""
        modules = [module for module in self if not isinstance(module, Selection)]
        if any(hasattr(module, "is_dense") for module in modules):
            return None
        is_sequence = len(modules) == 1 and type(modules[0]) is nn.Sequential
        return modules[0] if is_sequence else nn.Sequential(*modules)  # type: ignore[return-value]

    def forward_centred(self, x: Tensor) -> Tensor:
        """Map what the first block takes, of the weights' dtype, to what the last block returns.

        Where nothing is kept for a gradient, a few images at a time pass through convolutions. What these make of
        an image is many times as large: all images at once would need much memory, and leave the processor's
        cache. Accelerators want many at once.
        """
        n_rows = len(x)
        if self._widest and not torch.is_grad_enabled() and not self.training and x.device.type == "cpu":
            n_rows = chunk_rows(self._widest * x.itemsize)
        return self._map(x) if len(x) <= n_rows else torch.cat([self._map(part) for part in x.split(n_rows)])

    def _map(self, x: Tensor) -> Tensor:
        for module in self:
            x = x if isinstance(module, Selection) else module(x)
        return x

    def _cast(self, x: Tensor) -> Tensor:
        return x.to(next(self.parameters()).dtype)


class Encoder(Network):
    """Blocks from the data to the code: float (n, n_features) -> (n, n_components).

    The training data's mean is subtracted in the precision that it comes in, and the result divided by their
    unit; only then is the input cast to the weights' dtype, so that a column like 1e9 + N(0, 1) keeps its
    information.

    Parameters
    ----------
    blocks : sequence of Block
    selection : Selection or None
        What follows them.
    n_compressed : int
        0, or the number of features: centred rows x of those with a positive ``log_scale`` s enter as
        log(1 + x / s), with a negative one as arsinh(x / -s).
    compresses_tails : bool
        Whether there are negative ones.
    marks_missing : bool
        Whether entries may be missing: NaN, which enter as zeros of the centred data. The first block then takes
        as many more inputs, which are 1 where an entry is missing and 0 elsewhere.
    """

    log_scale: Tensor | None
    selection: Selection | None
    compresses_tails = marks_missing = False  # of files from before there were such things

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        selection: Selection | None = None,
        n_compressed: int = 0,
        compresses_tails: bool = False,
        marks_missing: bool = False,
    ) -> None:
        super().__init__(blocks)
        self.marks_missing = marks_missing
        self.register_buffer("log_scale", torch.zeros(n_compressed) if n_compressed else None)
        self.selection, self.compresses_tails = selection, compresses_tails

    def compress(self, x: Tensor) -> Tensor:
        """Bring counts, other positive values and heavy tails to the scale that networks learn at."""
        if self.log_scale is None:
            return x
        log_scale = self.log_scale.to(x.dtype)
        compressed = torch.where(log_scale > 0, torch.log1p(x.clamp_min(0) / log_scale), x)
        if not self.compresses_tails:
            return compressed
        return torch.where(log_scale < 0, torch.asinh(x / log_scale.abs()), compressed)

    def mark(self, x: Tensor) -> Tensor:
        """Mark what is missing in rows that are centred and compressed."""
        if not self.marks_missing:
            return x
        missing = x.isnan()
        return torch.cat([x.masked_fill(missing, 0), missing.to(x.dtype)], 1)

    def encode(self, x: Tensor) -> Tensor:
        """Map what the first block takes, of the weights' dtype, to codes."""
        code = self.forward_centred(x)
        return code if self.selection is None else self.selection(code)

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.offset is None else x - self.offset
        x = self.compress(x if self.unit == 1 else x / self.unit)
        return self.encode(self.mark(self._cast(x)))

    def to_fine_tune(self) -> "Encoder":
        """Return a copy that ends in a code to be trained further: bits become a logistic code again."""
        if self.selection is None or self.selection.smooth is None:
            return copy.deepcopy(self)
        if self.own is not None:
            return self._with_blocks([*self.own, ACTIVATIONS[self.selection.smooth].module()])
        *hidden, code = self.blocks
        return self._with_blocks([*hidden, code.with_activation(self.selection.smooth)])

    def _with_blocks(self, blocks: Sequence[nn.Module]) -> "Encoder":
        """Return a copy that returns what other blocks do."""
        encoder = Encoder(blocks, compresses_tails=self.compresses_tails, marks_missing=self.marks_missing)
        encoder.offset, encoder.unit, encoder.log_scale = self.offset, self.unit, self.log_scale
        return copy.deepcopy(encoder)


class Decoder(Network):
    """Blocks from the code to the data's space: float (n, n_components) -> (n, n_features).

    Parameters
    ----------
    blocks : sequence of Block
    link : str or tuple of (str, tuple of int)
        What carries the blocks' output to the data's space.
    n_variances : int
        Columns whose likelihood has a variance (Student's: a squared scale): ``variance_floor +
        exp(log_variance)``, or ``variance_floor`` alone where it is not learned.
    learns_variances : bool
    n_features : int or None
        Where variances are conditional, how many columns there are: the blocks' output goes on with what is added
        to ``log_variance``, which is not learned, in each row.
    n_dof : int
        Columns with degrees of freedom.
    """

    variance_floor: Tensor | None
    log_variance: Tensor | None
    log_dof: nn.Parameter | None
    n_features: int | None = None  # of files from before there were conditional variances

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        link: Link,
        n_variances: int = 0,
        learns_variances: bool = False,
        n_features: int | None = None,
        n_dof: int = 0,
    ) -> None:
        super().__init__(blocks)
        self.link, self.n_features = link, n_features
        # Inside a tuple it is no submodule: blocks stay countable.
        self._link = (None if link == "identity" else link_activation(link).module(),)
        self.register_buffer("variance_floor", torch.ones(n_variances) if n_variances else None)
        if n_features is None:
            self.log_variance = nn.Parameter(torch.zeros(n_variances)) if learns_variances else None
        else:
            self.register_buffer("log_variance", torch.zeros(n_variances))
        self.log_dof = nn.Parameter(torch.zeros(n_dof)) if n_dof else None

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._parameters.setdefault("log_dof", None)  # of files from before there were degrees of freedom

    def reconstruct_centred(self, z: Tensor) -> Tensor:
        """Map codes to rows that are centred as those in training are."""
        (link,) = self._link
        x = self.forward_centred(self._cast(z))[:, : self.n_features]
        return x if link is None else link(x)

    def forward(self, z: Tensor) -> Tensor:
        return self._move(self.reconstruct_centred(z))

    def before_link(self, z: Tensor) -> Tensor:
        """Map codes to what the link takes: rows, or the likelihood's parameter; raw variances, if any, follow."""
        x = self.forward_centred(self._cast(z))
        if self.n_features is None:
            return self._move(x)
        return torch.cat([self._move(x[:, : self.n_features]), x[:, self.n_features :]], 1)

    def _move(self, x: Tensor) -> Tensor:
        x = x if self.unit == 1 else x * self.unit
        return x if self.offset is None else x + self.offset

    def initialize(self, generator: torch.Generator) -> None:
        """Change what `initialize` has drawn where that is not all."""

    @property
    def has_conditional_variances(self) -> bool:
        """Whether each row has variances of its own."""
        return self.n_features is not None

    @property
    def variance(self) -> Tensor | None:
        """The variance of each column that has a normal likelihood, the squared scale of Student's.

        None where there is no such column, and where each row has its own; see `variances`.
        """
        if self.variance_floor is None or self.has_conditional_variances:
            return None
        return self.variances_of(None)

    @property
    def degrees_of_freedom(self) -> Tensor | None:
        """Those of each column that has a Student likelihood, or None."""
        return None if self.log_dof is None else degrees_of_freedom(self.log_dof)

    def variances(self, z: Tensor) -> Tensor:
        """Map codes to the variances of these columns, (n, n_columns)."""
        if self.n_features is None:
            return self.variances_of(None).expand(len(z), -1)
        return self.variances_of(self.forward_centred(self._cast(z))[:, self.n_features :])

    def variances_of(self, raw: Tensor | None, columns: Any = slice(None)) -> Tensor:
        """Return variances of columns, of each row where ``raw``, (n, n_columns), is what is given for it."""
        assert self.variance_floor is not None
        floor = self.variance_floor[columns]
        if self.log_variance is None:
            return floor
        own = self.log_variance[columns]
        return floor + (own if raw is None or self.n_features is None else own + bounded(raw)).exp()


def preparation(encoder: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """Return what is done to rows, centred and cast, before an encoder's first block; None for nothing."""
    if not isinstance(encoder, Encoder) or (encoder.log_scale is None and not encoder.marks_missing):
        return None
    return lambda x: encoder.mark(encoder.compress(x))


def dense_blocks(network: nn.Module) -> list[Any]:
    """Return the blocks of a network made of dense ones, and of a selection at most; else an empty list."""
    blocks = [module for module in network.children() if not isinstance(module, Selection)]
    return blocks if all(getattr(block, "is_dense", False) for block in blocks) else []


def weights(networks: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Trainable parameters that the L2 penalty shrinks: all but biases and normalisations, each once."""
    return [p for p in nn.ModuleList(networks).parameters() if p.requires_grad and p.ndim > 1]


def n_parameters(networks: Sequence[nn.Module]) -> int:
    """Number of trainable parameters, a shared one counted once."""
    return sum(p.numel() for p in nn.ModuleList(networks).parameters() if p.requires_grad)


def multiply_adds(networks: Sequence[nn.Module]) -> int:
    """Number of multiply-adds that a row takes on its way through; of a user's layers, of their parameters."""
    unique = {id(p): p.numel() for network in networks for p in network.parameters()}
    blocks = (m for network in networks for m in network.modules() if isinstance(m, Block))
    return sum(unique.values()) + sum(m.linear.weight.numel() * (m.n_places - 1) for m in blocks if m.n_places > 1)
