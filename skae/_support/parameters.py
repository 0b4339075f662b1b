"""Parameters as annotated fields of a class: its constructor, their order, names and constraints."""

import dataclasses
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, dataclass_transform

import numpy as np
from sklearn.utils._param_validation import Interval

from .variants import (
    check_constrained,
    check_hooks,
    constraints_of_own,
    explaining,
    signature_of_own,
    written_constructor,
)

# Parameters that several classes share, in the order of signatures; the documentation shows these groups.
GROUPS: dict[str, tuple[str, ...]] = {
    "Data": ("missing_values",),
    "Architecture": (
        *("hidden_layer_sizes", "decoder_hidden_layer_sizes", "activation", "code_activation"),
        *("output_activation", "tied_weights", "encoder", "decoder", "reset_parameters", "normalization"),
    ),
    "Images": ("image_shape", "kernel_size", "downsampling", "downsampling_factor", "code_layer"),
    "Training": (
        *("loss", "alpha", "dropout", "init", "solver", "learning_rate", "learning_rate_schedule", "momentum"),
        *("max_grad_norm", "batch_size", "max_iter", "n_init", "shuffle"),
        *("tol", "n_iter_no_change", "early_stopping", "validation_fraction", "warm_start"),
    ),
    "Bookkeeping": ("device", "dtype", "random_state", "verbose"),
}
SHARED_ORDER = tuple(name for group in GROUPS.values() for name in group)

# Frequent constraints.
AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
AT_LEAST_ZERO = Interval(Integral, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
SHARE = Interval(Real, 0, 1, closed="left")
FRACTION = Interval(Real, 0, 1, closed="neither")


class _Parameter(NamedTuple):
    constraints: tuple[Any, ...] | None
    default: Any
    positional: bool = False
    annotation: Any = None


def parameter(*constraints: Any, default: Any, positional: bool = False) -> Any:
    """Declare a parameter: scikit-learn's constraints, of which it has to meet one, and its default."""
    return _Parameter(constraints, default, positional)


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(parameter,))
class Parameters:
    """Base of classes whose parameters are annotated fields.

    A parameter is a field with `parameter`, or with a plain default; an annotation ``ClassVar`` takes one away.
    Where several classes declare it, the first in the order of method resolution counts, so that of two parents
    neither brings back a default that it has inherited itself. Constraints may be given in
    ``_parameter_constraints``, as scikit-learn has them; a class names its own. Parameters that may be positional
    come first, then a class's own, then the shared ones.

    A class with an ``__init__`` in its body keeps it: its parameters are those of the signature, as elsewhere in
    scikit-learn.
    """

    _parameter_names: ClassVar[tuple[str, ...]] = ()
    _parameter_constraints: ClassVar[dict] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _give_constructor(cls)
        check_hooks(cls)
        if cls.__module__.startswith("skae."):
            cls.__module__ = "skae"  # files name classes by it: where a class lives inside may change


def _give_constructor(cls: Any) -> None:
    """Give a class an explicit ``__init__`` that stores each of its parameters, as scikit-learn asks."""
    author = written_constructor(cls)
    _declare(cls, keeps=author is cls)
    declared: dict[str, Any] = {}
    constraints: dict[str, Any] = {}
    for parent in reversed(cls.__mro__):
        for name, found in vars(parent).get("_own_parameters", {}).items():
            is_default = found is not None and found.constraints is None and name in declared
            declared[name] = declared[name]._replace(default=found.default) if is_default else found
        constraints |= vars(parent).get("_own_constraints", {})

    def place(name: str) -> tuple[bool, int]:
        return not declared[name].positional, SHARED_ORDER.index(name) if name in SHARED_ORDER else -1

    names = tuple(sorted((name for name, p in declared.items() if p is not None), key=place))
    if author is not None:
        names = tuple(dict.fromkeys([*signature_of_own(cls, author), *names]))
    check_constrained(cls, names)
    cls._parameter_names = names
    cls._parameter_constraints = {name: constraints[name] for name in names if name in constraints}
    if author is not None:
        return
    fields = []
    for name in names:
        p = declared[name]
        fields.append((name, p.annotation, dataclasses.field(default=p.default, kw_only=not p.positional)))
    made = dataclasses.make_dataclass(cls.__name__, fields, eq=False, repr=False)
    cls.__init__ = cls._made_constructor = explaining(made.__init__, Parameters)  # type: ignore[misc]


def _declare(cls: Any, keeps: bool) -> None:
    """Note what a class itself says of parameters, and leave their defaults in its body.

    ``keeps`` says that it has an ``__init__`` of its own, beside which an annotation alone is no more than that.
    """
    cls._own_parameters, cls._own_constraints = {}, constraints_of_own(cls)
    for name, annotation in vars(cls).get("__annotations__", {}).items():
        if "ClassVar" in str(annotation) or name == "_parameter_constraints":
            cls._own_parameters[name] = None
            continue
        if name not in vars(cls):
            if keeps:
                continue
            raise TypeError(
                f"{cls.__name__} declares the parameter {name!r} without a default, but each parameter needs one: "
                f"write '{name}: <type> = <default>'. If fit sets it, it is no parameter: leave the annotation "
                "away, or make it a typing.ClassVar."
            )
        given = vars(cls)[name]
        found = given if isinstance(given, _Parameter) else _Parameter(None, given)
        _check_default(cls, name, found.default)
        if found.constraints is not None:
            cls._own_constraints[name] = list(found.constraints)
        setattr(cls, name, found.default)
        cls._own_parameters[name] = found._replace(annotation=annotation)


def _check_default(cls: Any, name: str, default: Any) -> None:
    """Check the default of a parameter, which all objects of the class share."""
    rule = f"{cls.__name__} declares the parameter {name!r} with the default"
    remedy = f"Use an immutable one, such as a tuple or None: '{name}: <type> = ()'."
    if isinstance(default, dataclasses.Field):
        raise TypeError(
            f"{rule} field(...) of dataclasses, but defaults are values: get_params, clone and pickle know of no "
            f"default_factory. {remedy}"
        )
    if type(default).__hash__ is None:  # as dataclasses tell
        raise TypeError(
            f"{rule} {default!r}, a {type(default).__name__}, which is mutable: all estimators of the class would "
            f"share it. {remedy}"
        )


# Values ----------------------------------------------------------------------------------------------------


def suspects(estimator: Any) -> str:
    """Return a sentence on values that nothing checks and that are of another kind than the defaults, or ''."""
    cls, parameters = type(estimator), signature(type(estimator)).parameters
    unchecked = [name for name in parameters if name not in cls._parameter_constraints]
    odd = [name for name in unchecked if _kind(getattr(estimator, name)) is not _kind(parameters[name].default)]
    if not odd:
        return ""
    given = " or ".join(f"{name}={getattr(estimator, name)!r}" for name in odd)
    numbers = ", ".join(f"{name!r}: [Real]" for name in odd)
    return (
        f"The cause may be {given}, which {cls.__name__} takes unchecked. Say in "
        f"{cls.__name__}._parameter_constraints what is allowed, such as {{{numbers}}} for numbers "
        "(numbers.Real), and fit refuses anything else by name. "
    )


def not_finite(estimator: Any) -> str:
    """Return a sentence on a class's own parameters that are NaN or infinite, unlike their defaults, or ''."""
    odd = []
    for name, parameter_ in signature(type(estimator)).parameters.items():
        value = getattr(estimator, name)
        numbers = np.asarray(value) if isinstance(value, Real | tuple | list | np.ndarray) else np.zeros(0)
        if name not in SHARED_ORDER and value is not parameter_.default and numbers.dtype.kind == "f":
            odd += [] if np.isfinite(numbers).all() else [f"{name}={value!r}"]
    return f"The cause seems to be {' and '.join(odd)}: give finite numbers." if odd else ""


def _kind(value: Any) -> type:
    return Real if isinstance(value, Real) or value is Parameter.empty else type(value)


def layer_sizes(sizes: Any, name: str) -> tuple[int, ...]:
    """Turn an integer or a sequence of integers into a tuple of widths.

    Raises
    ------
    ValueError
        If a width is no positive integer.
    """
    sizes = (sizes,) if isinstance(sizes, Integral) else tuple(sizes)
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name}={sizes!r} holds {size!r}, but every width must be an integer of at least 1.")
    return tuple(int(size) for size in sizes)
