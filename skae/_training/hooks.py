"""How hooks compose: each is called for every class that defines it, whatever the order of the parents."""

from collections.abc import Callable, Iterator
from typing import Any


def definitions(estimator: Any, hook: str) -> Iterator[Callable[..., Any]]:
    """Yield the methods called ``hook``, bound, of each class that defines one, the most basic class first."""
    for cls in reversed(type(estimator).__mro__):
        if hook in vars(cls):
            yield vars(cls)[hook].__get__(estimator)


def the_one(estimator: Any, hook: str, *arguments: Any) -> Any:
    """Return what a hook returns of which there can be one only; None if no class gives one.

    A subclass's goes before its parents'.

    Raises
    ------
    TypeError
        If two classes give one of which neither is the other's subclass.
    """
    found: tuple[type, Any] | None = None
    for cls in type(estimator).__mro__:
        if hook not in vars(cls) or (found is not None and issubclass(found[0], cls)):
            continue
        value = vars(cls)[hook].__get__(estimator)(*arguments)
        if value is not None and found is not None:
            raise TypeError(
                f"{type(estimator).__name__} gets {hook} from {found[0].__name__} and from {cls.__name__}, but an "
                f"estimator can have one only. Name one of the two as its parent, or define {hook} in it."
            )
        if value is not None:
            found = cls, value
    return None if found is None else found[1]
