"""Parameters as annotated fields of a class: its constructor, and their order and names."""

import dataclasses
from typing import Any, ClassVar, dataclass_transform

# Parameters that several classes share, in the order of signatures: architecture, optimization, bookkeeping.
SHARED_ORDER = (
    *("hidden_layer_sizes", "decoder_hidden_layer_sizes", "activation", "code_activation", "output_activation"),
    *("tied_weights", "encoder", "decoder", "normalization"),
    *("image_shape", "kernel_size", "downsampling", "downsampling_factor", "code_layer"),
    *("loss", "alpha", "solver", "learning_rate", "momentum", "batch_size", "max_iter", "shuffle"),
    *("tol", "n_iter_no_change", "early_stopping", "validation_fraction", "warm_start"),
    *("device", "dtype", "random_state", "verbose"),
)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
class Parameters:
    """Base of classes whose parameters are annotated fields; see `give_constructor`."""

    _parameter_names: ClassVar[tuple[str, ...]] = ()
    _parameter_constraints: ClassVar[dict] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        give_constructor(cls)
        if cls.__module__.startswith("skae."):
            cls.__module__ = "skae"  # files name classes by it: where a class lives inside may change


def give_constructor(cls: Any) -> None:
    """Give a class an explicit ``__init__`` that stores each of its parameters, as scikit-learn asks.

    A parameter is an annotated field of the class or of a parent; an annotation ``ClassVar`` takes one away. Where
    several classes declare it, the first in the order of method resolution counts, so that of two parents neither
    brings back a default that it has inherited itself; and so it is with ``_parameter_constraints``, of which a
    class names its own. Parameters that may be positional come first, then a class's own, then the shared ones.
    """
    cls._own_parameters = _own_parameters(cls)
    inherited = [vars(parent).get("_parameter_constraints", {}) for parent in cls.__mro__[1:]]
    cls._own_constraints = {
        name: constraint
        for name, constraint in vars(cls).get("_parameter_constraints", {}).items()
        if not any(constraint is others.get(name) for others in inherited)
    }
    declared: dict[str, Any] = {}
    constraints: dict[str, Any] = {}
    for parent in reversed(cls.__mro__):
        declared |= vars(parent).get("_own_parameters", {})
        constraints |= vars(parent).get("_own_constraints", {})
    parameters = {name: found for name, found in declared.items() if found is not None}
    cls._parameter_constraints = {name: constraints[name] for name in parameters if name in constraints}

    def place(name: str) -> tuple[bool, int]:
        return parameters[name][2], SHARED_ORDER.index(name) if name in SHARED_ORDER else -1

    cls._parameter_names = tuple(sorted(parameters, key=place))
    fields = [
        (name, parameters[name][0], dataclasses.field(default=parameters[name][1], kw_only=parameters[name][2]))
        for name in cls._parameter_names
    ]
    made = dataclasses.make_dataclass(cls.__name__, fields, eq=False, repr=False)
    cls.__init__ = made.__init__  # type: ignore[misc]


def _own_parameters(cls: Any) -> dict[str, Any]:
    """Return annotation, default and whether it is keyword-only of each field; None for a `ClassVar`."""
    own: dict[str, Any] = {}
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if "ClassVar" in str(annotation):
            own[name] = None
            continue
        default: Any = vars(cls)[name]
        keyword_only = True
        if isinstance(default, dataclasses.Field):
            default, keyword_only = default.default, bool(default.kw_only)
            setattr(cls, name, default)
        own[name] = annotation, default, keyword_only
    return own
