"""The numbers that classes and configurations take: whether one is what it may be, in the same words for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from custom_components.user_errors import exit_on_user_error


def check_number(
    value: object, name: str, low: float = -math.inf, high: float = math.inf, *, whole: bool = False
) -> None:
    """Refuse what is no finite number, or out of range.

    Args:
        value: what to look at.
        name: of the option, for the message.
        low: smallest value.
        high: largest value.
        whole: whether it must be a whole number.

    Raises:
        ValueError: one line with name, value and what is expected.

    Example:
        >>> check_number(0.5, "uncertainty", 0, 1)
        >>> check_number(1.5, "interval", 1, whole=True)
        Traceback (most recent call last):
        ValueError: interval is 1.5, expected a whole number of at least 1
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high or (whole and value != int(value)):  # type: ignore[operator, call-overload]
        kind = "whole number" if whole else "number"
        bounds = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
        expected = f"a {kind} {bounds}" if math.isfinite(low) else f"a finite {kind}"
        raise ValueError(f"{name} is {value!r}, expected {expected}")


def check_numbers(value: object, name: str, count: int, low: float = -math.inf) -> None:
    """Refuse what is no list of so many numbers, as `check_number` does.

    Raises:
        ValueError: one line with name, value and what is expected.
    """
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"{name} is {value!r}, expected {count} numbers")
    for one in value:
        check_number(one, name, low)


def check_flag(value: object, name: str) -> None:
    """Refuse what is neither true nor false.

    Raises:
        ValueError: one line with name, value and what is expected.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, expected true or false")


@exit_on_user_error
def number(
    value: float | str | None,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    whole: bool = False,
    optional: bool = False,
) -> float | None:
    """Read a number of a configuration; on the command line of `monai.bundle`, what is none arrives as a text.

    Args:
        value: a number, or one as a text, such as `1e-4`, which YAML takes for a text.
        name: of the option, for the message.
        low: smallest value.
        high: largest value.
        whole: whether it must be a whole number, which then is an int.
        optional: whether it may be None, `null` or `none`.

    Raises:
        SystemExit: it is something else; one line, and exit code 1.

    Example:
        >>> number("1e-4", "learning_rate", 0), number("null", "qa_floor", optional=True)
        (0.0001, None)
    """
    if optional and str(value).lower() in ("null", "none"):
        return None
    found: object = value
    if isinstance(value, str):
        with suppress(ValueError):
            found = float(value)
    check_number(found, name, low, high, whole=whole)
    return int(found) if whole else found  # type: ignore[call-overload, return-value]


@exit_on_user_error
def numbers(value: Sequence[float], name: str, count: int, low: float = -math.inf, *, whole: bool = False) -> list:
    """Read a list of so many numbers of a configuration.

    Args:
        value: the list.
        name: of the option, for the message.
        count: how many there must be.
        low: smallest value of each.
        whole: whether they must be whole numbers.

    Raises:
        SystemExit: it is something else; one line, and exit code 1.

    Example:
        >>> numbers((256, 256), "montage_size", 2, 1, whole=True)
        [256, 256]
    """
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"{name} is {value!r}, expected {count} numbers")
    return [number(one, name, low, whole=whole) for one in value]


def words(value: str | Sequence[str] | None) -> list[str]:
    """Read an option that is a list, or text with commas between its entries, as a command line gives it.

    Example:
        >>> words("a.csv, b.csv"), words(["a.csv"]), words(None)
        (['a.csv', 'b.csv'], ['a.csv'], [])
    """
    entries = value.split(",") if isinstance(value, str) else value or []
    return [text for entry in entries if (text := str(entry).strip())]


@exit_on_user_error
def flag(value: bool | str, name: str) -> bool:
    """Read a switch of a configuration; on the command line of `monai.bundle`, `true` and `false` arrive as texts.

    Args:
        value: True, False, or one of them as a text, in whatever case of letters.
        name: of the switch, for the message.

    Raises:
        SystemExit: it is something else; one line, and exit code 1.

    Example:
        >>> flag("false", "resume"), flag(True, "resume")
        (False, True)
    """
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise ValueError(f"{name} is {value!r}, expected true or false")
    return known[str(value).lower()]
