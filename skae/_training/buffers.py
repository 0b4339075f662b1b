"""The memory that a batch passes through in the explicit step: allocated once, of one model or of several."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class LayerBuffers(NamedTuple):
    """The memory of one layer for one batch size; tensors share it where values pass unchanged.

    With several models at once there is a leading axis of models.
    """

    h: Tensor  # (n, fan_in + 1), the last column is ones
    z: Tensor  # (n, fan_out)
    a: Tensor  # (n, fan_out), the next layer's h without the ones
    dz: Tensor  # (n, fan_out), first da, then dz in place
    dh: Tensor | None  # (n, fan_in), the dz of the layer below; None for the first layer


class BufferPool:
    """Tensors by name, for batches of any size: a small batch uses the first rows of a large one's.

    Parameters
    ----------
    like : Tensor
        Its dtype and device are those of the memory.
    n_models : int or None
        The length of a leading axis of models; None for no such axis.
    """

    def __init__(self, like: Tensor, n_models: int | None = None) -> None:
        self._like, self._lead = like, () if n_models is None else (n_models,)
        # A model whose batch is smaller than the others' leaves some of its rows as they are: finite.
        self._new = like.new_empty if n_models is None else like.new_zeros
        self._tensors: dict[object, Tensor] = {}

    def empty(self, name: object, n: int, width: int) -> Tensor:
        """Return memory of shape (n, width)."""
        return self._get(name, n, lambda: self._new((*self._lead, n, width)))

    def with_ones(self, name: object, n: int, width: int) -> Tensor:
        """Return memory of shape (n, width + 1) whose last column is ones."""
        # Rows start 64 bytes apart or a multiple of it: matrix products read them faster.
        stride = -(-(width + 1) // 16) * 16
        return self._get(name, n, lambda: self._like.new_ones((*self._lead, n, stride)))[..., : width + 1]

    def _get(self, name: object, n: int, allocate: Callable[[], Tensor]) -> Tensor:
        if name not in self._tensors or self._tensors[name].shape[-2] < n:
            self._tensors[name] = allocate()
        return self._tensors[name][..., :n, :]

    def of_model(self, number: int) -> "BufferPool":
        """Return one model's part of the memory that there is; more of it must not be asked for."""
        part = BufferPool(self._like)
        part._tensors = {name: tensor[number] for name, tensor in self._tensors.items()}
        return part
