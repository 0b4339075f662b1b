"""Parameters as annotated fields of a class: its constructor, and their order and names."""

import dataclasses
from typing import Any

# Parameters that several classes share, in the order of signatures: architecture, optimization, bookkeeping.
SHARED_ORDER = (
    *("hidden_layer_sizes", "decoder_hidden_layer_sizes", "activation", "code_activation", "output_activation"),
    *("tied_weights", "encoder", "decoder", "normalization"),
    *("image_shape", "kernel_size", "downsampling", "downsampling_factor", "code_layer"),
    *("loss", "alpha", "solver", "learning_rate", "momentum", "batch_size", "max_iter", "shuffle"),
    *("tol", "n_iter_no_change", "early_stopping", "validation_fraction", "warm_start"),
    *("device", "dtype", "random_state", "verbose"),
)


def give_constructor(cls: Any) -> Any:
    """Give a class an explicit ``__init__`` that stores each of its parameters, as scikit-learn asks.

    A parameter is an annotated field of the class or of a parent; an annotation ``ClassVar`` takes one away. Where
    several classes declare it, the first in the order of method resolution counts, so that of two parents neither
    brings back a default that it has inherited itself. Parameters that may be positional come first, then a class's
    own, then the shared ones.
    """
    own: dict[str, Any] = {}
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if "ClassVar" in str(annotation):
            own[name] = None
            continue
        default = vars(cls)[name]
        field = (
            default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default, kw_only=True)
        )
        own[name] = annotation, field.default, bool(field.kw_only)
        setattr(cls, name, field.default)
    cls._own_parameters = own

    declared: dict[str, Any] = {}
    for parent in reversed(cls.__mro__):
        declared |= vars(parent).get("_own_parameters", {})
    parameters = {name: found for name, found in declared.items() if found is not None}

    def place(name: str) -> tuple[bool, int]:
        return parameters[name][2], SHARED_ORDER.index(name) if name in SHARED_ORDER else -1

    cls._parameter_names = tuple(sorted(parameters, key=place))
    fields = [
        (name, parameters[name][0], dataclasses.field(default=parameters[name][1], kw_only=parameters[name][2]))
        for name in cls._parameter_names
    ]
    cls.__init__ = dataclasses.make_dataclass(cls.__name__, fields, eq=False, repr=False).__init__
    return cls
