"""An ensemble of importance-weighted autoencoders for rows with missing entries (Mattei and Frellsen 2019).

All members are run at once. A member's encoder gets a row with its missing entries filled, and which of them were
observed; its decoder gives each entry a normal distribution given the code. The bound, and the expected values of
missing entries, weight draws of the code by how well they explain the observed entries.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .._data.chunks import chunk_rows, slices
from .._networks import ensembles
from .._support import threads

LEAST_SCALE = 0.1  # standard deviation of an entry given the code, in those of its column
MOST_LOG_DEVIATION = 4.0


class _LogDensity(torch.autograd.Function):
    """Sum of the log-densities of observed entries, up to a constant, with the gradient in closed form.

    Of ``output`` (..., 2 d), means and raw scales side by side, at ``x`` (..., d), where ``observed`` is one. The
    softplus is that of the logarithm of a sigmoid, which takes a third of the time of torch's.
    """

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, observed: Tensor) -> Tensor:
        mean, raw = output.chunk(2, dim=-1)
        scale = _scale(raw)
        ratio = (x - mean).div_(scale)
        ctx.save_for_backward(raw, scale, ratio, observed)
        return ratio.square().mul_(0.5).add_(scale.log()).mul_(observed).sum(-1).neg_()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        raw, scale, ratio, observed = ctx.saved_tensors
        weight = (gradients[0].unsqueeze(-1) * observed).div_(scale)
        gradient = ratio.new_empty(*ratio.shape[:-1], 2 * ratio.shape[-1])
        of_mean, of_raw = gradient.chunk(2, dim=-1)
        torch.mul(weight, ratio, out=of_mean)
        torch.mul(ratio.square().sub_(1).mul_(weight), raw.sigmoid(), out=of_raw)
        return gradient, None, None


def _scale(raw: Tensor) -> Tensor:
    return raw.abs().sigmoid_().log_().neg_().add_(F.relu(raw)).add_(LEAST_SCALE)


class Shape(NamedTuple):
    """What is the same for all members; the decoder has the encoder's hidden layers in the opposite order."""

    n_members: int
    n_features: int
    n_components: int
    hidden_layer_sizes: tuple[int, ...]
    activation: str

    @property
    def widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The widths of the encoder's and of the decoder's layers, from input to output."""
        hidden, d, k = self.hidden_layer_sizes, self.n_features, self.n_components
        return (2 * d, *hidden, 2 * k), (k, *reversed(hidden), 2 * d)

    @property
    def n_parameters(self) -> tuple[int, int]:
        """The numbers of parameters of all encoders, and of all decoders."""
        down, up = (ensembles.n_parameters(self.n_members, widths) for widths in self.widths)
        return down, up


class Members:
    """Encoders and decoders of all members.

    Parameters
    ----------
    shape : Shape
    flat : Tensor
        All parameters, as one vector.
    """

    def __init__(self, shape: Shape, flat: Tensor) -> None:
        self.shape, self.flat = shape, flat
        self.encoder, self.decoder = (
            ensembles.layers_of(part, shape.n_members, widths)
            for part, widths in zip(flat.split(shape.n_parameters), shape.widths, strict=True)
        )

    def with_parameters(self, flat: Tensor) -> "Members":
        """Return members of the same shape with other parameters."""
        return Members(self.shape, flat)

    def weights(self) -> Tensor:
        """Tell which of the parameters are weights, not biases."""
        marked = self.with_parameters(torch.zeros_like(self.flat, dtype=torch.bool))
        for layer in (*marked.encoder, *marked.decoder):
            layer.weight.fill_(True)
        return marked.flat

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Map inputs (n_members, n, 2 n_features) to the means and log-deviations of q(z|x)."""
        mean, raw = ensembles.forward(self.encoder, inputs, self.shape.activation).chunk(2, dim=-1)
        return mean, MOST_LOG_DEVIATION * torch.tanh(raw * (0.5 / MOST_LOG_DEVIATION))

    def log_weights(self, inputs: Tensor, x: Tensor, observed: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(x|z) p(z) / q(z|x), up to a constant, of draws of the code; and what was decoded.

        Parameters
        ----------
        inputs : Tensor of shape (n_members, n, 2 n_features)
            Filled rows, then one where an entry was observed.
        x, observed : Tensors of shape (n_members or 1, n, n_features)
            Rows, and one where an entry counts.
        noise : Tensor of shape (n_members or 1, n_draws, n or 1, n_components)

        Returns
        -------
        log_weights : Tensor of shape (n_members, n_draws, n)
        output : Tensor of shape (n_members, n_draws, n, 2 n_features)
            Means and raw scales of the entries.
        """
        mean, log_deviation = self.encode(inputs)
        z = torch.addcmul(mean[:, None], log_deviation.exp()[:, None], noise)
        output = ensembles.forward(self.decoder, z.flatten(1, 2), self.shape.activation)
        output = output.view(*z.shape[:3], -1)
        density = _LogDensity.apply(output, x[:, None], observed[:, None])
        ratio = 0.5 * (noise.square() - z.square()).sum(-1) + log_deviation.sum(-1)[:, None]
        return density + ratio, output

    def bound(self, inputs: Tensor, x: Tensor, observed: Tensor, noise: Tensor) -> Tensor:
        """Return the importance-weighted bound of each row, up to a constant, in nats: (n_members, n)."""
        log_weights, _ = self.log_weights(inputs, x, observed, noise)
        return log_weights.logsumexp(1) - math.log(log_weights.shape[1])

    def means(self, x: Tensor, observed: Tensor, filled: Tensor, noise: Tensor) -> Tensor:
        """Return the importance-weighted mean of every entry, for each member.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
        observed : bool Tensor of shape (n_members or 1, n, n_features)
        filled : Tensor of shape (n_members, n, n_features)
        noise : Tensor of shape (n_draws, n_components)

        Returns
        -------
        means : Tensor of shape (n_members, n, n_features)
        """
        result = torch.empty_like(filled)
        with self._threads(len(x), len(noise)):
            draws = noise[None, :, None]
            for part, weights, output in self._weighted(x, observed, filled, len(noise), lambda n: draws):
                result[:, part] = torch.einsum("esn,esnd->end", weights, output.chunk(2, dim=-1)[0]).to(result)
        return result

    def tensors(self) -> list[Tensor]:
        """Return the weights and biases of all layers, each a view of the flat vector."""
        return [part for layer in (*self.encoder, *self.decoder) for part in layer]

    def one(self, number: int) -> "Members":
        """Return a single member, with parameters of its own."""
        flat = torch.cat([part[number].flatten() for part in self.tensors()])
        return Members(self.shape._replace(n_members=1), flat)

    def draw(
        self, x: Tensor, observed: Tensor, filled: Tensor, n_draws: int, random: np.random.RandomState
    ) -> Tensor:
        """Draw every entry given the observed ones: a code by its weight, then entries given the code.

        Each row has ``n_draws`` codes of its own to choose from: of those that all share, the best would come
        again and again. Other arguments are those of `means`, for a single member: the result is (n, n_features).
        """
        result, width = torch.empty_like(x), self.shape.n_components

        def noise(n: int) -> Tensor:
            return torch.from_numpy(random.standard_normal((1, n_draws, n, width)))

        with self._threads(len(x), n_draws):
            for part, weights, output in self._weighted(x, observed, filled, n_draws, noise):
                uniform = torch.from_numpy(random.uniform(size=weights.shape[2])).to(weights)
                chosen = (weights[0].cumsum(0) < uniform).sum(0).clamp_max(n_draws - 1)
                mean, raw = output[0][chosen, torch.arange(len(chosen), device=chosen.device)].chunk(2, dim=-1)
                normal = torch.from_numpy(random.standard_normal(mean.shape)).to(mean)
                result[part] = (mean + _scale(raw) * normal).to(result)
        return result

    def _row_bytes(self, n_draws: int) -> int:
        """Return what the widest layer takes for each row."""
        widest = max(width for widths in self.shape.widths for width in widths)
        return self.shape.n_members * n_draws * widest * self.flat.itemsize

    def _threads(self, n_rows: int, n_draws: int) -> AbstractContextManager[None]:
        """Give the decoders of a chunk of rows the threads that they are worth."""
        at_once = min(n_rows, chunk_rows(self._row_bytes(n_draws)))
        return threads.for_work(at_once * n_draws * len(self.flat))

    def _weighted(
        self, x: Tensor, observed: Tensor, filled: Tensor, n_draws: int, noise: Callable[[int], Tensor]
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield which rows, the weights of draws, and what they decode to; ``noise`` is of so many rows."""
        to = self.flat
        with torch.inference_mode():
            for part in slices(len(x), self._row_bytes(n_draws)):
                seen = observed[:, part].to(to)
                inputs = torch.cat([filled[:, part].to(to), seen.expand(self.shape.n_members, -1, -1)], -1)
                draws = noise(seen.shape[1]).to(to)
                log_weights, output = self.log_weights(inputs, x[None, part].to(to), seen, draws)
                yield part, log_weights.softmax(1), output
