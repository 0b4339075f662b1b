"""Saving: estimators as plain values and NumPy arrays, which any reader of pickles or skops can take apart.

The networks of skae are saved as their `Architecture` and a dictionary of arrays, and built again on loading.
A user's own modules keep their class, with arrays in the place of tensors.
"""

import copy
import sys
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .. import _networks
from .._networks import convolutions, custom, nested
from .._networks.building import Architecture, build
from .._networks.networks import Block, Decoder, Encoder, Linear
from .._support import devices
from .._support.warnings import warn
from .._training.fine_tuning import to_fine_tune

FORMAT = 1
# Other names in files of version 0.1.0.dev0: buffers of an encoder, and attributes of an estimator.
FORMER_NAMES = {"typical": "log_scale"}
FORMER_ATTRIBUTES = {"sparsity_warmup": "sparsity_warm_up", "_silent_units": "_dead_unit_numbers"}
# Where these files, of models with a module of the user's own, look for the classes that stand beside it.
FORMER_PLACES: dict[str, Any] = {
    "skae._custom": custom,
    "skae._convolutions": convolutions,
    "skae._prefixes": SimpleNamespace(Parallel=nested.Parallel, PrefixDecoder=nested.NestedDecoder),
}
sys.modules.update(FORMER_PLACES)
for _cls in (Block, Decoder, Encoder, Linear):
    setattr(_networks, _cls.__name__, _cls)


def to_plain(state: dict[str, Any]) -> dict[str, Any]:
    """Replace whatever belongs to torch in an estimator's state; ``state`` itself is the caller's copy."""
    state.pop("_ongoing", None)  # of partial_fit, which starts its solver afresh after loading
    own = [name for name in ("encoder", "decoder") if isinstance(state.get(name), nn.Module)]
    state.update(zip(own, _freeze(*(state[name] for name in own)), strict=True))
    if "encoder_" not in state:
        return state
    encoder, decoder = state.pop("encoder_"), state.pop("decoder_")
    saved: dict[str, Any] = {"format": FORMAT}
    if isinstance(encoder, Encoder) and isinstance(decoder, Decoder):
        saved["encoder"] = {name: _array(t) for name, t in encoder.state_dict().items()}
        saved["decoder"] = {name: _array(t) for name, t in decoder.state_dict().items()}
    else:
        saved["modules"] = _freeze(encoder, decoder)
    state["_networks"] = saved
    state["device_"] = str(state["device_"])
    for key, value in state.items():
        if isinstance(value, Tensor):
            state[key] = {"array": _array(value), "device": str(value.device)}
    return state


def from_plain(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Undo `to_plain`; ``name`` is the estimator's, for messages."""
    state = _renamed(state, FORMER_ATTRIBUTES)
    own = [name for name in ("encoder", "decoder") if isinstance(state.get(name), dict)]
    state.update(zip(own, _thaw([state[name] for name in own]), strict=True))
    if "_networks" not in state:
        return state
    saved = state.pop("_networks")
    _check_format(saved, name)
    device = _device(state["device_"], name)
    if "modules" in saved:
        encoder, decoder = _thaw(saved["modules"])
    else:
        arrays = {key: _tensors(saved[key]) for key in ("encoder", "decoder")}
        encoder, decoder = build(Architecture(**state["_architecture"]))
        for network, tensors in ((encoder, arrays["encoder"]), (decoder, arrays["decoder"])):
            network.offset = tensors.get("offset")
            network.load_state_dict(tensors, assign=True)
            for parameter in network.parameters():
                parameter.requires_grad_(True)
    state["encoder_"], state["decoder_"] = encoder.to(device).eval(), decoder.to(device).eval()
    state["device_"] = device
    for key, value in state.items():
        if isinstance(value, dict) and value.keys() == {"array", "device"}:
            kept = value["device"] in (str(device), "cpu")
            state[key] = torch.tensor(value["array"], device=value["device"] if kept else device)
    return state


def classifier_to_plain(state: dict[str, Any]) -> dict[str, Any]:
    """Do as `to_plain` for a classifier, whose ``autoencoder_`` saves itself."""
    if "encoder_" in state:
        encoder, head = state.pop("encoder_"), state.pop("head_")
        arrays = [{name: _array(t) for name, t in m.state_dict().items()} for m in (encoder, head)]
        state["_networks"] = {"format": FORMAT, "encoder": arrays[0], "head": arrays[1]}
        del state["device_"]
    return state


def classifier_from_plain(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Undo `classifier_to_plain`; ``name`` is the estimator's, for messages."""
    if "_networks" in state:
        saved, autoencoder = state.pop("_networks"), state["autoencoder_"]
        _check_format(saved, name)
        encoder = to_fine_tune(autoencoder.encoder_)
        encoder.load_state_dict(_tensors(saved["encoder"]))
        head = Linear(*saved["head"]["weight"].shape[::-1])
        head.load_state_dict(_tensors(saved["head"]), assign=True)
        device = state["device_"] = autoencoder.device_
        state["encoder_"], state["head_"] = encoder.to(device).eval(), head.to(device).eval()
    return state


def _check_format(saved: dict[str, Any], name: str) -> None:
    if saved["format"] > FORMAT:
        raise ValueError(
            f"This {name} was saved in format {saved['format']} by a newer version of skae; this version reads "
            f"formats up to {FORMAT}. Upgrade skae to load it."
        )


def _array(tensor: Tensor):
    return tensor.detach().cpu().numpy().copy()


def _tensors(arrays: dict[str, Any]) -> dict[str, Tensor]:
    return {name: torch.tensor(array) for name, array in _renamed(arrays, FORMER_NAMES).items()}


def _renamed(state: dict[str, Any], former: dict[str, str]) -> dict[str, Any]:
    return {former.get(name, name): value for name, value in state.items()}


def _device(saved: str, name: str) -> torch.device:
    try:
        return devices.resolve(saved)
    except (RuntimeError, ValueError):
        warn(f"This {name} was fitted on device {saved!r}, which is not available here; it is loaded on 'cpu'.")
        return torch.device("cpu")


def _freeze(*modules: nn.Module) -> list[dict[str, Any]]:
    """Copy modules with each parameter and buffer replaced by an array; shared ones stay shared."""
    memo: dict[int, Any] = {}
    for module in modules:
        for parameter in module.parameters():
            memo[id(parameter)] = ("parameter", _array(parameter), parameter.requires_grad)
        for buffer in module.buffers():
            memo[id(buffer)] = ("buffer", _array(buffer), False)
    return [{"module": copy.deepcopy(module, memo)} for module in modules]


def _thaw(frozen: list[dict[str, Any]]) -> list[nn.Module]:
    """Put tensors back where `_freeze` left arrays, in copies of the modules."""
    tensors: dict[int, Tensor] = {}

    def tensor(entry: Any) -> Any:
        if not isinstance(entry, tuple):
            return entry
        kind, array, requires_grad = entry
        if id(entry) not in tensors:
            value = torch.tensor(array)
            tensors[id(entry)] = nn.Parameter(value, requires_grad) if kind == "parameter" else value
        return tensors[id(entry)]

    thawed = copy.deepcopy([entry["module"] for entry in frozen])
    for module in (m for network in thawed for m in network.modules()):
        if isinstance(module, Encoder):
            module._buffers = _renamed(module._buffers, FORMER_NAMES)
        for registry in (module._parameters, module._buffers):
            for key, entry in registry.items():
                registry[key] = tensor(entry)
    return thawed
