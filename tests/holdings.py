"""What an estimator holds on to, and how much memory that takes."""

import gc
import types

import numpy as np
import torch

SHARED = type | types.ModuleType | types.BuiltinFunctionType | types.CodeType  # not an estimator's own


def reachable(model):
    """Everything that an estimator holds on to, through attributes, containers, tensors and closures."""
    todo, seen = [vars(model)], {}  # which keeps what it has seen, so that no id is used again
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, SHARED):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, types.FunctionType):  # its globals are everybody's
            todo += [thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
        else:
            todo += gc.get_referents(thing)
        if isinstance(thing, torch.Tensor) and thing.is_leaf:
            todo.append(thing.grad)
    return list(seen.values())


def n_bytes(things):
    """Memory behind tensors and arrays, shared memory counted once."""
    storages = [thing.untyped_storage() for thing in things if isinstance(thing, torch.Tensor)]
    found = {storage.data_ptr(): storage.nbytes() for storage in storages}
    arrays = [thing for thing in things if isinstance(thing, np.ndarray)]
    return sum(found.values()) + sum(a.nbytes for a in arrays if a.ctypes.data not in found)
