"""The QA codes, and how files write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CODES = (0, 1, 2)
"""0 success, 1 errors consistent with published performance, 2 gross failure."""

ADJUDICATION = " (adjudication)"
"""End of the rater's name where a rating is the decision about a segmentation on which raters disagreed."""

UNRATED = frozenset({"", "unrated", "na", "n/a", "nan", "-"})
"""How files say that a case is not yet rated, in whatever case of letters."""


def parse_code(cell: str, *, values: Mapping[str, int | None] | None = None, soft: bool = False) -> float | None:
    """Read one cell; None is unrated.

    Raises:
        ValueError: it is no code.

    Example:
        >>> [parse_code(cell) for cell in ("0", "2.0", "", "unrated")]
        [0, 2, None, None]
        >>> parse_code("good", values={"good": 0})
        0
    """
    text = cell.strip().casefold()
    if values and text in values:
        return values[text]
    if text in UNRATED:
        return None
    if not values and re.fullmatch(r"[012](\.0*)?", text):
        return int(text[0])
    if not values and soft and re.fullmatch(r"\d*\.?\d+(e-\d+)?", text) and float(text) <= max(CODES):
        return float(text)
    raise ValueError(f"code is {cell!r}, expected {', '.join(map(str, values or CODES))} or empty")


def check_values(values: Mapping[Any, int | None] | None) -> dict[str, int | None]:
    """Return codes by what a file has for them, for `parse_code`.

    Raises:
        ValueError: a value is no code, or two keys differ only in the case of their letters.
    """
    for cell, code in (values or {}).items():
        if code is not None and (isinstance(code, bool) or code not in CODES):
            raise ValueError(f"values has {code!r} for {cell!r}, expected 0, 1, 2 or None")
    checked = {str(cell).strip().casefold(): code for cell, code in (values or {}).items()}
    if len(checked) < len(values or {}):
        raise ValueError(f"values has {', '.join(map(repr, values or {}))}, expected no two that differ only in case")
    return checked


def nearest_code(score: float) -> int:
    """Round a soft code or a QA score to a code; halfway to the worse one.

    Example:
        >>> [nearest_code(score) for score in (-0.2, 0.49, 0.5, 1.5, 2.7)]
        [0, 0, 1, 2, 2]
    """
    return min(max(int(score + 0.5), CODES[0]), CODES[-1])
