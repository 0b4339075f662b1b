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
from .._networks.blocks import Block, Linear
from .._networks.building import Architecture, build
from .._networks.networks import Decoder, Encoder
from .._support import devices, plain
from .._support.warnings import warn
from .._training.fine_tuning import to_fine_tune

FORMAT = 2  # 2: the solver of `partial_fit` is saved
NETWORKS = ("encoder", "decoder", "head")
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
    ongoing = state.pop("_ongoing", None)
    if ongoing is not None:
        state["_left_by_partial_fit"] = plain_tensors(ongoing.state())
    own = [name for name in ("encoder", "decoder") if isinstance(state.get(name), nn.Module)]
    state.update(zip(own, _freeze(*(state[name] for name in own)), strict=True))
    if "encoder_" not in state:
        return state
    networks = {name: state.pop(f"{name}_") for name in NETWORKS if f"{name}_" in state}
    saved: dict[str, Any] = {"format": FORMAT}
    if "head" in networks or all(_is_built(network) for network in networks.values()):
        for name, network in networks.items():
            saved[name] = {part: plain.of_tensor(tensor) for part, tensor in network.state_dict().items()}
    else:
        saved["modules"] = _freeze(*networks.values())
    state["_networks"] = saved
    state["device_"] = str(state["device_"])
    for key, value in state.items():
        if isinstance(value, Tensor):
            state[key] = {"array": plain.of_tensor(value), "device": str(value.device)}
    return state


def from_plain(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Undo `to_plain`; ``name`` is the estimator's, for messages."""
    state = _renamed(state, FORMER_ATTRIBUTES)
    own = [name for name in ("encoder", "decoder") if isinstance(state.get(name), dict)]
    state.update(zip(own, _thaw([state[name] for name in own]), strict=True))
    if "_networks" not in state:
        return state
    saved = state.pop("_networks")
    if saved["format"] > FORMAT:
        raise ValueError(
            f"This {name} was saved in format {saved['format']} by a newer version of skae; this version reads "
            f"formats up to {FORMAT}. Upgrade skae to load it."
        )
    if "head" in saved:  # a classifier's, whose ``autoencoder_`` has saved itself
        device = state["autoencoder_"].device_
        head = Linear(*saved["head"]["weight"].shape[::-1])
        networks = {"encoder": to_fine_tune(state["autoencoder_"].encoder_), "head": head}
    else:
        device = _device(state["device_"], name)
        pair = _thaw(saved["modules"]) if "modules" in saved else build(Architecture(**state["_architecture"]))
        networks = dict(zip(("encoder", "decoder"), pair, strict=True))
    for key, network in networks.items():
        if key in saved:
            _load(network, saved[key])
        state[f"{key}_"] = network.to(device).eval()
    state["device_"] = device
    for key, value in state.items():
        if isinstance(value, dict) and value.keys() == {"array", "device"}:
            kept = value["device"] in (str(device), "cpu")
            state[key] = plain.to_tensor(value["array"], value["device"] if kept else device)
    return state


def plain_tensors(state: Any) -> Any:
    """Copy a nested state with an array, which says that it was one, in the place of each tensor."""
    if isinstance(state, dict):
        return {name: plain_tensors(part) for name, part in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(map(plain_tensors, state))
    return {"tensor": plain.of_tensor(state)} if isinstance(state, Tensor) else state


def _is_built(network: nn.Module) -> bool:
    """Tell whether skae has built a network, and can build it again."""
    return isinstance(network, Encoder | Decoder) and network.own is None


def _load(network: Any, arrays: dict[str, Any]) -> None:
    tensors = {name: plain.to_tensor(array) for name, array in _renamed(arrays, FORMER_NAMES).items()}
    if "offset" in tensors and network.offset is None:
        network.offset = tensors["offset"]
    network.load_state_dict(tensors, assign=True)


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
            memo[id(parameter)] = ("parameter", plain.of_tensor(parameter), parameter.requires_grad)
        for buffer in module.buffers():
            memo[id(buffer)] = ("buffer", plain.of_tensor(buffer), False)
    return [{"module": copy.deepcopy(module, memo)} for module in modules]


def _thaw(frozen: list[dict[str, Any]]) -> list[nn.Module]:
    """Copy modules with tensors in the place of the arrays that `_freeze` left."""
    modules: list[nn.Module] = [entry["module"] for entry in frozen]
    memo: dict[int, Any] = {}
    for module in (m for network in modules for m in network.modules()):
        for entry in (*module._parameters.values(), *module._buffers.values()):
            if isinstance(entry, tuple) and id(entry) not in memo:
                kind, array, requires_grad = entry
                tensor = plain.to_tensor(array)
                memo[id(entry)] = nn.Parameter(tensor, requires_grad) if kind == "parameter" else tensor
    thawed = copy.deepcopy(modules, memo)
    for encoder in (m for network in thawed for m in network.modules() if isinstance(m, Encoder)):
        encoder._buffers = _renamed(encoder._buffers, FORMER_NAMES)
    return thawed
