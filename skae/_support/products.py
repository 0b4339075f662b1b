"""Products of matrices, each by the faster of the two libraries that torch carries for them.

`torch.mm` multiplies float32 matrices on x86 processors by MKL, which on those that are not Intel's leaves AVX-512
unused. oneDNN, which torch has for convolutions and for bfloat16, uses it: on an AMD EPYC of the fifth generation
it takes half of the time (230 to 250 thousand million operations a second and core, for 110). Earlier ones take
AVX-512 in two halves: a fit of 784-256-32 gains 1 % there, for 12 MB of oneDNN's code and work space.

`torch.backends.mkldnn.set_flags(False)` leaves all to `torch.mm`.
"""

import functools
import platform
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

# Where one side is narrower or there is less to do, reordering the operands and setting out take longer.
LEAST_WIDTH = 64
LEAST_MULTIPLY_ADDS = 2_000_000
FIRST_WIDE_FAMILY = 26  # "Zen 5"


def product_into(left: Tensor, right: Tensor, out: Tensor) -> Callable[[], object]:
    """Return the call that puts ``left @ right`` into ``out``, as often as it is made, whatever they hold then.

    Parameters
    ----------
    left : Tensor of shape (n, k) or (n_models, n, k)
    right : Tensor of shape (k, m) or (n_models, k, m)
    out : Tensor of shape (n, m) or (n_models, n, m)
    """
    if left.ndim == 2:
        by_onednn = is_for_onednn(left, right)
        return partial(_by_onednn, left, right, out) if by_onednn else partial(torch.mm, left, right, out=out)
    if is_for_onednn(left[0], right[0]):
        return partial(_each_by_onednn, left, right, out)
    return partial(torch.bmm, left, right, out=out)


def add_product(bias: Tensor, left: Tensor, right: Tensor, out: Tensor) -> Tensor:
    """Put ``bias + left @ right`` into ``out``, with one bias for each of its columns; return it."""
    if is_for_onednn(left, right):
        return _by_onednn(left, right, out, bias)
    return torch.addmm(bias, left, right, out=out)


def is_for_onednn(left: Tensor, right: Tensor) -> bool:
    """Tell whether oneDNN multiplies these two matrices, rather than `torch.mm`."""
    sides = *left.shape, right.shape[1]
    return (
        _is_faster()
        and left.dtype == torch.float32
        and left.device.type == "cpu"
        and min(sides) >= LEAST_WIDTH
        and sides[0] * sides[1] * sides[2] >= LEAST_MULTIPLY_ADDS
        # With gaps between its rows, the right one meets a plain loop that takes a thousand times as long.
        and (right.is_contiguous() or right.mT.is_contiguous())
        and bool(torch.backends.mkldnn.enabled)
    )


def _by_onednn(left: Tensor, right: Tensor, out: Tensor, bias: Tensor | None = None) -> Tensor:
    # torch has no other way to oneDNN's product of float32 matrices; `torch.compile` calls the same one.
    return out.copy_(torch.ops.mkldnn._linear_pointwise(left, right.t(), bias, "none", [], ""))


def _each_by_onednn(left: Tensor, right: Tensor, out: Tensor) -> None:
    for matrices in zip(left, right, out, strict=True):
        _by_onednn(*matrices)


@functools.cache
def _is_faster() -> bool:
    """Tell whether oneDNN is there, and MKL is slow here."""
    return (
        torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and _is_wide_amd()
    )


def _is_wide_amd() -> bool:
    """Tell whether this is a processor of AMD's with units of 512 bits: family 26, of 2024, or later."""
    try:
        described = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        described = platform.processor()
    family = re.search(r"family\s*:?\s*(\d+)", described, re.IGNORECASE)
    return "AuthenticAMD" in described and family is not None and int(family[1]) >= FIRST_WIDE_FAMILY
