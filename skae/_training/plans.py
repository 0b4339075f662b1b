"""What a batch passes through in the explicit step: memory that stays where it is, and the calls on it."""

from collections.abc import Callable, Sequence

from torch import Tensor

from .bottleneck import Bottleneck
from .layers import Layer, LayerBuffers


class BufferPool:
    """Tensors by name, for batches of any size: a small batch uses the first rows of a large one's."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._tensors: dict[object, Tensor] = {}

    def empty(self, name: object, n: int, width: int) -> Tensor:
        """Return memory of shape (n, width)."""
        return self._get(name, n, lambda: self._like.new_empty(n, width))

    def with_ones(self, name: object, n: int, width: int) -> Tensor:
        """Return memory of shape (n, width + 1) whose last column is ones."""
        # Rows start 64 bytes apart or a multiple of it: matrix products read them faster.
        stride = -(-(width + 1) // 16) * 16
        return self._get(name, n, lambda: self._like.new_ones(n, stride))[:, : width + 1]

    def _get(self, name: object, n: int, allocate: Callable[[], Tensor]) -> Tensor:
        if name not in self._tensors or len(self._tensors[name]) < n:
            self._tensors[name] = allocate()
        return self._tensors[name][:n]


class StepPlan:
    """All that a batch of ``n`` rows passes through, and the calls that take it there and back.

    Attributes
    ----------
    n, n_passes : int
        Rows of the batch, and how often each passes through the decoder.
    x, target : Tensor of shape (n, d)
        The first layer's input without its ones; the rows to reconstruct. One memory unless the two differ.
    code, dcode : Tensor
        The code layer's output and the derivative with respect to it.
    z, dz : Tensor
        The decoder's input and the derivative with respect to it: the same two without a bottleneck.
    output, doutput : Tensor
        The decoder's output and the derivative with respect to it: one memory where the output is linear.
    encode, decode, decode_back, encode_back : lists of callables
        The passes, in the order of a step.
    """

    def __init__(
        self,
        n: int,
        encoder: Sequence[Layer],
        decoder: Sequence[Layer],
        bottleneck: Bottleneck | None,
        pool: BufferPool,
        has_target: bool,
    ) -> None:
        self.n, self.n_passes = n, 1 if bottleneck is None else bottleneck.n_passes
        h = pool.with_ones("x", n, encoder[0].fan_in)
        self.x = h[:, :-1]
        self.target = pool.empty("target", n, decoder[-1].fan_out) if has_target else self.x
        width = encoder[-1].fan_out
        self.dcode = pool.empty("dcode", n, width)
        if bottleneck is None:
            z = pool.with_ones("z", n, width)
            self.code, self.dz = z[:, :-1], self.dcode
        else:
            rows, z_width = self.n_passes * n, bottleneck.decoder_width(width)
            z = pool.with_ones("z", rows, z_width)
            self.code, self.dz = pool.empty("code", n, width), pool.empty("dz", rows, z_width)
        self.z = z[:, :-1]
        self.output = pool.empty("output", len(z), decoder[-1].fan_out)
        linear = decoder[-1].activation.forward is None
        self.doutput = self.output if linear else pool.empty("doutput", len(z), decoder[-1].fan_out)
        up = Chain(encoder, h, None, self.code, self.dcode, pool)
        down = Chain(decoder, z, self.dz, self.output, self.doutput, pool)
        self.encoder = up.buffers
        self.encode, self.decode = up.forward, down.forward
        self.decode_back, self.encode_back = down.backward, up.backward
        self._passes: list[tuple[Tensor, Tensor]] | None = None

    def passes(self) -> list[tuple[Tensor, Tensor]]:
        """Return output and doutput of each pass through the decoder, n rows each."""
        if self._passes is None:
            self._passes = [*zip(self.output.split(self.n), self.doutput.split(self.n), strict=True)]
        return self._passes


class Chain:
    """A stack of layers with its memory, from the input ``h`` to ``output``, and the calls of its passes."""

    def __init__(
        self,
        layers: Sequence[Layer],
        h: Tensor,
        dh: Tensor | None,
        output: Tensor,
        doutput: Tensor,
        pool: BufferPool,
    ) -> None:
        n, hidden = len(h), layers[:-1]
        inputs = [h, *(pool.with_ones(("h", id(layer)), n, layer.fan_out) for layer in hidden)]
        outputs = [*(above[:, :-1] for above in inputs[1:]), output]
        da = [*(pool.empty(("dz", id(layer)), n, layer.fan_out) for layer in hidden), doutput]
        dh_ = [dh, *da[:-1]]
        self.buffers: list[LayerBuffers] = []
        for i, (layer, a) in enumerate(zip(layers, outputs, strict=True)):
            z = pool.empty(("z", id(layer)), n, layer.fan_out) if layer.activation.saves_input else a
            self.buffers.append(LayerBuffers(inputs[i], z, a, da[i], dh_[i]))
        pairs = [*zip(layers, self.buffers, strict=True)]
        self.forward = [call for layer, p in pairs for call in layer.forward(p)]
        self.backward = [call for layer, p in reversed(pairs) for call in layer.backward(p)]
