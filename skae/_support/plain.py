"""Tensors as arrays, which any reader of pickles or skops can take apart, and back."""

from typing import Any

import torch
from torch import Tensor


def of_tensor(tensor: Tensor) -> Any:
    """Copy a tensor to an array; of a dtype that NumPy lacks to one in float32, with the dtype's name."""
    own = tensor.detach().cpu()
    try:
        return own.numpy().copy()
    except TypeError:  # bfloat16, or one of fewer bits
        return {"dtype": str(own.dtype).removeprefix("torch."), "values": own.float().numpy()}


def to_tensor(plain: Any, device: torch.device | str | None = None) -> Tensor:
    """Return the tensor that `of_tensor` was given, on a device."""
    if isinstance(plain, dict):
        return torch.tensor(plain["values"], dtype=getattr(torch, plain["dtype"]), device=device)
    return torch.tensor(plain, device=device)
