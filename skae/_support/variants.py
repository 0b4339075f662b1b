"""What is told of a subclass as it is defined, and of keywords that a constructor does not have."""

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any

from .warnings import warn

# What hooks are called with. Those that `docs/extending.md` describes are looked for under names like theirs.
HOOKS: dict[str, tuple[str, ...]] = {
    "_penalty": ("x", "code"),
    "_fitted_attributes": ("fit", "encoder", "decoder"),
    "_warn_after_fit": ("history",),
    "_adapt_architecture": ("architecture", "mode"),
    "_initialize_weights": ("setup", "encoder", "decoder"),
    "_reconstruction_loss": ("setup", "decoder"),
    "_bottleneck": ("setup",),
    "_penalties": ("setup",),
    "_projections": ("setup",),
    "_phases": ("fit",),
    "_finalize_networks": ("fit", "encoder", "decoder", "architecture"),
}
_DOCUMENTED = ("_penalty", "_fitted_attributes", "_warn_after_fit")
_ALIKE = 0.85  # of `difflib`: "_penality" is like a hook, "_penalty_weight" is not


def own_settings(estimator: Any) -> dict[str, Real]:
    """Return the numbers among the parameters that a user's class has beside those of skae's."""
    ours = next((c for c in type(estimator).__mro__ if c.__module__.partition(".")[0] == "skae"), None)
    names = getattr(ours, "_parameter_names", ())
    given = {name: value for name, value in estimator.get_params(deep=False).items() if name not in names}
    return {
        name: value for name, value in given.items() if isinstance(value, Real) and not isinstance(value, bool)
    }


# Constructors ----------------------------------------------------------------------------------------------


def written_constructor(cls: Any) -> Any:
    """Return the class whose own ``__init__`` makes objects of ``cls``; None where it is made of fields.

    Raises
    ------
    TypeError
        If one made of fields would pass over one that was written.
    """
    authors = [parent for parent in cls.__mro__[:-1] if "__init__" in vars(parent)]
    written = [each for each in authors if vars(each)["__init__"] is not vars(each).get("_made_constructor")]
    if not written or authors[0] is written[0]:
        return written[0] if written else None
    own = next((each for each in written if hasattr(each, "_own_parameters")), None)
    if own is not None:
        raise TypeError(
            f"{cls.__name__} has the constructor of {authors[0].__name__}, made of its parameters, which "
            f"passes over {own.__name__}.__init__. Name {own.__name__} first among the parents, or declare its "
            "parameters as fields, such as 'strength: float = 0.1', in place of its __init__."
        )
    return None


def signature_of_own(cls: Any, author: Any) -> list[str]:
    """Return the parameters of the ``__init__`` that the class ``author`` has written.

    Raises
    ------
    TypeError
        If it does not name all parameters, which scikit-learn reads from it.
    """
    _, *taken = inspect.signature(vars(author)["__init__"]).parameters.values()
    for p in taken:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            stars = "*" if p.kind is p.VAR_POSITIONAL else "**"
            raise TypeError(
                f"{author.__name__}.__init__ takes {stars}{p.name}, but scikit-learn reads the parameters of an "
                "estimator from the signature of __init__: clone and get_params would lose them. Name each "
                "parameter in it, and pass those of the parent on by super().__init__(...); or leave __init__ "
                "away, and declare your own parameters as fields of the class, such as 'strength: float = 0.1'."
            )
    names = [p.name for p in taken]
    for name, found in vars(cls)["_own_parameters"].items():
        if found is not None and name not in names:
            raise TypeError(
                f"{cls.__name__} declares the parameter {name!r} as a field, but {author.__name__}.__init__ does "
                f"not take it. Write an __init__ in {cls.__name__} that takes {name}, stores it and passes the "
                "parent's parameters on by super().__init__(...), or declare all parameters as fields, without an "
                "__init__."
            )
    return names


def explaining(constructor: Callable[..., None], family: type) -> Callable[..., None]:
    """Return a constructor whose error for a keyword that it does not have says what was meant.

    ``family`` is the base class of all whose parameters may have been meant.
    """
    known = [p for p in inspect.signature(constructor).parameters.values() if p.name != "self"]

    @functools.wraps(constructor)
    def explained(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            constructor(self, *args, **kwargs)
        except TypeError:
            names = [p.name for p in known]
            unknown = next((name for name in kwargs if name not in names), None)
            if unknown is not None:
                raise TypeError(_unknown(type(self).__name__, unknown, names, family)) from None
            positional = [p.name for p in known if p.kind is p.POSITIONAL_OR_KEYWORD]
            if len(args) > len(positional):
                first = f"all parameters but {positional[0]}" if positional else "all parameters"
                raise TypeError(
                    f"{type(self).__name__} takes {first} by keyword, such as {names[len(positional)]}=..., but "
                    f"got {len(args)} by position."
                ) from None
            raise

    return explained


def _unknown(class_name: str, unknown: str, names: list[str], family: type) -> str:
    said = f"{class_name} has no parameter {unknown!r}"
    others = [cls.__name__ for cls in _public_classes(family) if unknown in getattr(cls, "_parameter_names", ())]
    if others:
        *first, last = others
        has = f"{', '.join(first)} and {last} have" if first else f"{last} has"
        return f"{said}; {has} one of that name."
    return f"{said}.{_meant(unknown, names) or ' Its parameters are ' + ', '.join(names) + '.'}"


def _meant(unknown: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(unknown, names, 1, 0.7)
    return f" Did you mean {near[0]!r}?" if near else ""


def _public_classes(family: type) -> list[type]:
    """Return the estimators of skae, in the order of their names."""
    public = getattr(sys.modules.get("skae"), "__all__", ())
    found = {cls.__name__: cls for cls in _subclasses(family) if cls.__module__ == "skae"}
    return [found[name] for name in sorted(public) if name in found]


def _subclasses(cls: Any) -> Iterator[type]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


# Constraints -----------------------------------------------------------------------------------------------


def constraints_of_own(cls: Any) -> dict[str, Any]:
    """Return the `_parameter_constraints` in the body of a class, without those taken over from its parents.

    Raises
    ------
    TypeError
        If they are not lists by name, as scikit-learn has them.
    """
    own = vars(cls).get("_parameter_constraints", {})
    rule = f"{cls.__name__}._parameter_constraints must be a dict of lists, of what each parameter may be"
    if not isinstance(own, dict):
        raise TypeError(f"{rule}, such as {{'strength': [Real]}}, but is {own!r}.")
    inherited = [vars(parent).get("_parameter_constraints", {}) for parent in cls.__mro__[1:]]
    own = {
        name: value
        for name, value in own.items()
        if not any(value is others.get(name, cls) for others in inherited)
    }
    for name, value in own.items():
        if not isinstance(value, list | tuple) and value != "no_validation":
            said = value.__name__ if isinstance(value, type) else repr(value)
            raise TypeError(f"{rule}, but that of {name!r} is {said}. Write {{{name!r}: [{said}]}}.")
    return own


def check_constrained(cls: Any, names: Sequence[str]) -> None:
    """Check that what a class constrains are parameters of it.

    Raises
    ------
    TypeError
        If one is not, and would be ignored.
    """
    for name in vars(cls)["_own_constraints"]:
        if name not in names:
            raise TypeError(
                f"{cls.__name__}._parameter_constraints has {name!r}, which is no parameter of the class."
                f"{_meant(name, names)} A parameter is declared as a field, such as '{name}: float = 0.1'."
            )


# Hooks -----------------------------------------------------------------------------------------------------


def check_hooks(cls: Any) -> None:
    """Check the hooks in the body of a user's class, and warn of what looks like one and is none.

    Raises
    ------
    TypeError
        If a hook does not take what it is called with.
    """
    if cls.__module__.partition(".")[0] == "skae":
        return
    own = vars(cls)
    if not hasattr(cls, "_penalties"):
        ignored = [hook for hook in _DOCUMENTED if hook in own]
        if ignored:
            warn(
                f"{cls.__name__}.{ignored[0]} is ignored: hooks are called of autoencoders, subclasses of "
                "skae.BaseAutoencoder, which this class is not."
            )
        return
    for hook, arguments in HOOKS.items():
        if hook in own:
            _check_arguments(cls, hook, arguments)
    defined = {hook for hook in HOOKS if any(hook in vars(c) for c in cls.__mro__ if c.__module__ != "skae")}
    for name, value in own.items():
        near = _hook_like(name)
        if near is None or near in defined or not inspect.isroutine(value) or _is_inherited(cls, name):
            continue
        warn(
            f"{cls.__name__}.{name} is never called by skae. If it is to be the hook {near}, which it is called "
            f"like, name it so: {_signature(near, HOOKS[near])}."
        )


def _hook_like(name: str) -> str | None:
    if name in HOOKS or name.startswith("__"):
        return None
    bare = {hook.strip("_"): hook for hook in _DOCUMENTED}
    near = difflib.get_close_matches(name.strip("_").lower(), bare, 1, _ALIKE)
    return bare[near[0]] if near else None


def _is_inherited(cls: Any, name: str) -> bool:
    return any(name in vars(parent) for parent in cls.__mro__[1:])


def _check_arguments(cls: Any, hook: str, arguments: tuple[str, ...]) -> None:
    value: Any = vars(cls)[hook]
    rule = f"{cls.__name__}.{hook} is called as {_signature(hook, arguments)}, but"
    is_method = inspect.isroutine(value) or isinstance(value, functools.partialmethod)
    if not is_method:
        raise TypeError(f"{rule} is {value!r}, which is no method.")
    taken = inspect.signature(value.__get__(object()))
    try:
        taken.bind(*arguments)
    except TypeError:
        other = " A term for each row is _penalty(self, x, code)." if hook == "_penalties" else ""
        raise TypeError(f"{rule} takes {taken} after self.{other}") from None
    names = tuple(taken.parameters)[: len(arguments)]
    if names != arguments and sorted(names) == sorted(arguments):
        raise TypeError(
            f"{rule} takes {', '.join(names)}: arguments go by their order, so that each would get the value of "
            "another. Put them in the order of the call."
        )


def _signature(hook: str, arguments: tuple[str, ...]) -> str:
    return f"{hook}(self, {', '.join(arguments)})"
