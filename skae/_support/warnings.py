"""Warnings that name the line of the user's own code they are about."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_given: ContextVar[set | None] = ContextVar("given", default=None)
_BETWEEN = {"skae", "sklearn", "joblib"}  # what may stand between that line and the warning


def warn(message: str, category: type[Warning] = UserWarning, *, cause: str | None = None) -> None:
    """Warn the caller of the public method that is at work.

    Decorators, overrides and pipelines put frames between the two, so that no fixed ``stacklevel`` is right; and a
    warning that names a line of the library is shown once, whichever model it is about. A ``cause`` is
    named where one has messages that differ in more than numbers.
    """
    frame, level = sys._getframe(), 1
    words = re.sub(r"-?\b\d\S*", "", message)  # the same cause has other numbers from model to model
    key, given = cause or (frame.f_back and frame.f_back.f_code, category, words), _given.get()
    if given is not None and key in given:
        return
    if given is not None:
        given.add(key)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def one_for_each_cause(*told: str) -> Iterator[None]:
    """Inside, of warnings about several models that differ in numbers alone, let the first be the only one.

    Causes that are ``told`` get no warning at all.
    """
    outer = _given.get()
    token = _given.set(set(told) if outer is None else outer)
    try:
        yield
    finally:
        _given.reset(token)
