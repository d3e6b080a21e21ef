"""Numbers of a report as people read them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share as percent.

    Example:
        >>> percent(606 / 2027), percent(None)
        ('29.9 %', 'not defined')
    """
    return "not defined" if _is_missing(share) else f"{100 * share:.{digits}f} %"  # type: ignore[operator]


def number(value: float | None, digits: int = 2) -> str:
    """Write a number; what is not defined is said to be so.

    Example:
        >>> number(-0.066), number(float("nan"))
        ('-0.07', 'not defined')
    """
    return "not defined" if _is_missing(value) else f"{value:.{digits}f}"


def signed(value: float | None, low: float | None, high: float | None, *, scale: float = 1, digits: int = 1) -> str:
    """Write a difference with its interval, both with their signs.

    Args:
        value: the difference.
        low: lower end.
        high: upper end.
        scale: 100 for points of percent.
        digits: after the point.

    Example:
        >>> signed(-0.1006, -0.127, -0.0741, scale=100)
        '-10.1 [-12.7, -7.4]'
    """
    if _is_missing(value):
        return "not defined"
    ends = ["?" if _is_missing(end) else f"{scale * end:+.{digits}f}" for end in (low, high)]  # type: ignore[operator]
    return f"{scale * value:+.{digits}f} [{ends[0]}, {ends[1]}]"  # type: ignore[operator]


def p_text(test: Mapping[str, Any]) -> str:
    """Write the p of a test, or why it has none.

    Args:
        test: `p_value` and `note`, see `custom_components.report.comparison.Significance`.

    Example:
        >>> p_text({"p_value": 1e-13, "note": ""}), p_text({"p_value": 0.0312, "note": ""})
        ('p < 0.0001', 'p = 0.031')
        >>> p_text({"p_value": None, "note": "no case changed"})
        'not defined: no case changed'
    """
    p, note = test["p_value"], test["note"]
    if _is_missing(p):
        return f"not defined: {note}" if note else "not defined"
    shown = "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}" if p < 0.01 else f"p = {p:.3f}"
    return f"{shown} ({note})" if note else shown


def some_of(names: Collection[str], show: int = 5) -> str:
    """List the first names, and say how many more there are.

    Example:
        >>> some_of(["a", "b", "c"], show=2)
        'a, b and 1 more'
    """
    shown = list(names)[:show]
    more = len(names) - len(shown)
    return f"{', '.join(shown)} and {more} more" if more else ", ".join(shown)


def counted(count: int, singular: str, plural: str = "") -> str:
    """Write a number with its noun.

    Example:
        >>> counted(1, "case"), counted(0, "gross failure")
        ('1 case', '0 gross failures')
    """
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
