"""Texts from files and people, as they may stand in a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""A text in one line, without what a terminal would take for a command.

    Example:
        >>> print(printable("case 7"), printable("a\x1b[31m\nb"))
        case 7 'a\x1b[31m\nb'
    """
    return text if text.isprintable() else repr(text)
