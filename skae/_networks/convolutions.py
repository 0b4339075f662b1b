"""Convolutions: what blocks of images are made of, rows in and rows out.

Between blocks an image is a row of numbers in C order, (height, width, channels), as it is in the data. torch
calls that memory "channels last", so that a row becomes an image, and an image a row, without a copy; it is also
the order in which processors convolve fastest.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Images(NamedTuple):
    """What the convolution blocks of an `Architecture` are like: plain values.

    Attributes
    ----------
    shape : (height, width, channels)
    kernel_size : int, odd
    factors : tuple of int
        What each convolution block of the encoder divides the sides by; they are rounded up.
    pools : bool
        Whether by maxima over neighbours after the convolution, instead of by the stride of the convolution.
    has_dense_code : bool
        Whether the code is a dense layer on top of the convolution blocks, instead of the last of these.
    """

    shape: tuple[int, int, int]
    kernel_size: int
    factors: tuple[int, ...]
    pools: bool
    has_dense_code: bool

    def sides(self) -> list[tuple[int, int]]:
        """Return the height and width of the data and after each convolution block."""
        sides = [self.shape[:2]]
        for factor in self.factors:
            sides.append((-(-sides[-1][0] // factor), -(-sides[-1][1] // factor)))
        return sides


class Layers(NamedTuple):
    """The layers of a block, all but its activation, which follows the normalization.

    Attributes
    ----------
    linear : torch.nn.Module
        The convolution.
    before, after : tuples of torch.nn.Module
        What the block begins and ends with.
    n_places : int
        How often the kernel is applied to an image.
    widest : int
        The most numbers that an image has inside.
    """

    linear: nn.Module
    before: tuple[nn.Module, ...] = ()
    after: tuple[nn.Module, ...] = ()
    n_places: int = 1
    widest: int = 0


class ToImages(nn.Module):
    """Rows (n, height * width * channels) to images (n, channels, height, width), channels last in memory."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        super().__init__()
        self.shape = (height, width, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.shape).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return "height={}, width={}, channels={}".format(*self.shape)


class ToRows(nn.Module):
    """Images (n, heads * channels, height, width) to rows, one head after the other."""

    def __init__(self, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, -1)).permute(0, 1, 3, 4, 2).flatten(1)


class Undrawn:
    """A layer that leaves drawing its weights to `initialize`, off the global generator."""

    def reset_parameters(self) -> None:
        """Draw nothing."""


class Convolution(Undrawn, nn.Conv2d):
    """`torch.nn.Conv2d` that leaves drawing its weights to `initialize`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_as_torch_needs(x))


class TransposedConvolution(Undrawn, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` that leaves drawing its weights to `initialize`."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(_as_torch_needs(x), output_size)


def _as_torch_needs(x: Tensor) -> Tensor:
    """Return images with channels first in memory where oneDNN needs it.

    Some processors' gradient of weights in bfloat16 holds whatever is in memory if images are one number wide,
    strides are two, and channels are last (torch 2.13 on an AMD EPYC of the fourth generation).
    """
    return x.contiguous() if x.dtype == torch.bfloat16 and x.shape[3] == 1 else x


class Tied(nn.Module):
    """The transpose of another layer, with a bias of its own.

    Parameters
    ----------
    partner : torch.nn.Module
        The layer whose weight this one uses, transposed.
    n_units : int
        How many biases there are.
    """

    def __init__(self, partner: nn.Module, n_units: int) -> None:
        super().__init__()
        # Inside a tuple the partner is no submodule: its weight is counted, saved and penalised once.
        self._partner = (partner,)
        self.bias = nn.Parameter(torch.empty(n_units))

    @property
    def partner(self) -> Any:
        return self._partner[0]

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self.partner._apply(*args, **kwargs)  # where a copy changes its dtype, that of its partner does too
        return super()._apply(*args, **kwargs)


class TiedConvolution(Tied):
    """The transpose of another layer's convolution; see `Tied`.

    Parameters
    ----------
    partner : Convolution
    sides : (height, width)
        Of the images that come out.
    """

    def __init__(self, partner: nn.Conv2d, sides: tuple[int, int]) -> None:
        super().__init__(partner, partner.in_channels)
        self.output_padding = _output_padding(sides, partner.stride[0])

    @property
    def weight(self) -> Tensor:
        return self.partner.weight

    def forward(self, x: Tensor) -> Tensor:
        p = self.partner
        x = _as_torch_needs(x)
        return F.conv_transpose2d(x, self.weight, self.bias, p.stride, p.padding, self.output_padding)

    def extra_repr(self) -> str:
        return f"{self.partner.out_channels}, {self.partner.in_channels}, stride={self.partner.stride}"


def _output_padding(sides: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return what a transposed convolution adds at the end of each side, so that odd sides come back."""
    return (sides[0] - 1) % stride, (sides[1] - 1) % stride


def encoder_layers(images: Images, channels: Sequence[int], heads: int) -> list[Layers]:
    """Return the layers of the encoder's convolution blocks.

    Parameters
    ----------
    images : Images
    channels : sequence of int
        Of the feature maps that the blocks return, without counting heads.
    heads : int
        Of a code that is convolutional.
    """
    found = []
    sides, k = images.sides(), images.kernel_size
    for i, (n_in, n_out) in enumerate(pairwise((images.shape[2], *channels))):
        is_code = i == len(channels) - 1 and not images.has_dense_code
        n_heads, factor = heads if is_code else 1, images.factors[i]
        stride = 1 if images.pools else factor
        linear = Convolution(n_in, n_out * n_heads, k, stride, k // 2)
        pool = (nn.MaxPool2d(factor, ceil_mode=True),) if images.pools and factor > 1 else ()
        (h, w), n_places = sides[i], math.prod(sides[i] if images.pools else sides[i + 1])
        widest = max(h * w * n_in, n_places * n_out * n_heads)
        found.append(Layers(linear, (ToImages(h, w, n_in),), (*pool, ToRows(n_heads)), n_places, widest))
    return found


def decoder_layers(
    images: Images, channels: Sequence[int], tied: Sequence[nn.Conv2d] | None, heads: int = 1
) -> list[Layers]:
    """Return the layers of the decoder's convolution blocks, which take the encoder's back.

    Parameters
    ----------
    images : Images
    channels : sequence of int
        Of the feature maps that the blocks are given.
    tied : sequence of Convolution or None
        The encoder's convolutions, whose kernels to share.
    heads : int
        Images that come out, one after the other.
    """
    found = []
    sides, k = images.sides()[::-1], images.kernel_size
    for i, (n_in, n_out) in enumerate(pairwise((*channels, images.shape[2] * heads))):
        factor, small, large = images.factors[-1 - i], sides[i], sides[i + 1]
        grows = images.pools and factor > 1
        linear: nn.Module
        if tied is not None:
            linear = TiedConvolution(tied[-1 - i], large)
        elif images.pools or factor == 1:
            linear = Convolution(n_in, n_out, k, 1, k // 2)
        else:
            linear = TransposedConvolution(n_in, n_out, k, factor, k // 2, _output_padding(large, factor))
        upsample = (nn.Upsample(size=large),) if grows else ()
        n_places = math.prod(large if grows else small)
        widest = max(n_places * n_in, math.prod(large) * n_out)
        rows = ToRows(heads if i == len(channels) - 1 else 1)
        found.append(Layers(linear, (ToImages(*small, n_in), *upsample), (rows,), n_places, widest))
    return found


# What brings the activations of a hidden layer to mean zero and variance one, before two parameters of each unit
# or channel: over the rows of a batch (Ioffe and Szegedy 2015), or over each row (Ba, Kiros and Hinton 2016).
# For rows and for images.
NORMALIZATIONS: dict[str, tuple[Callable[[int], nn.Module], Callable[[int], nn.Module]]] = {
    "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
    "layer": (nn.LayerNorm, lambda channels: nn.GroupNorm(1, channels)),
}
