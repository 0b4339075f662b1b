"""Networks that were trained on standardized rows, taken to the units of the data."""

import numpy as np
import torch
from torch import nn

from .networks import Decoder, Encoder


def to_units(encoder: Encoder, decoder: Decoder, mean: np.ndarray, scale: np.ndarray, dtype: torch.dtype) -> None:
    """Change dense networks for rows z = (x - mean) / scale into networks for rows x, in place.

    Their offsets get ``dtype``, that of the data.
    """
    with torch.inference_mode(False), torch.no_grad():
        unit, centre = torch.from_numpy(scale), torch.from_numpy(mean)
        for network in (encoder, decoder):
            offset = 0 if network.offset is None else network.offset.to("cpu").double()
            network.offset = (centre + unit * offset).to(dtype).to(next(network.parameters()).device)
        first, last = encoder.blocks[0].linear, decoder.blocks[-1].linear
        for module, name, factor in (
            (first, "weight", 1 / unit),
            (last, "weight", unit[:, None]),
            (last, "bias", unit),
        ):
            parameter = getattr(module, name)
            changed = (parameter.to("cpu").double() * factor).to(parameter)
            setattr(module, name, nn.Parameter(changed))
