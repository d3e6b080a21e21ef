"""One clear line instead of a traceback for a user's mistake in a bundle command."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def exit_on_user_error(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that configs name: its `ValueError` or `OSError` ends the program with one line.

    So does one that MONAI's transforms have wrapped. `monai.bundle` turns ordinary exceptions of a config expression
    into long tracebacks, while `SystemExit` passes; the exit code is 1 and the line goes to standard error.

    Example:
        >>> @exit_on_user_error
        ... def positive(number):
        ...     if number <= 0:
        ...         raise ValueError(f"number is {number}, expected more than 0")
        >>> positive(-1)
        Traceback (most recent call last):
        SystemExit: error: number is -1, expected more than 0
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            cause = root_cause(error)
            if isinstance(cause, ValueError | OSError):
                raise SystemExit(f"error: {cause}") from None
            raise

    return wrapped


def root_cause(error: BaseException) -> BaseException:
    """Return the exception inside of those that MONAI wraps around it (`applying transform ...`)."""
    while type(error) is RuntimeError and str(error).startswith("applying transform") and error.__cause__:
        error = error.__cause__
    return error
