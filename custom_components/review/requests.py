"""What the requests of the page carry, checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request


async def json_body(request: Request) -> Mapping[str, Any]:
    """The JSON object that a request carries.

    Raises:
        ValueError: it carries none.
    """
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("the request is no JSON") from None
    if not isinstance(body, dict):
        raise ValueError("the request is no JSON object")
    return body


def text_of(body: Mapping[str, Any], name: str, *, longest: int = 200, empty: bool = False) -> str:
    """A text of an object.

    Raises:
        ValueError: there is none, or it is too long.
    """
    value = body.get(name)
    if not isinstance(value, str) or len(value) > longest or not (value or empty) or "\0" in value:
        raise ValueError(f"{name} is {str(value)[:80]!r}, expected a text of at most {longest} letters")
    return value


def words_of(body: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts of an object; empty if there is none.

    Raises:
        ValueError: it is something else.
    """
    value = body.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} is {str(value)[:80]!r}, expected a list of texts")
    return value


def whole_number(body: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number of an object.

    Raises:
        ValueError: there is none, and no default.
    """
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**53:
        raise ValueError(f"{name} is {str(value)[:80]!r}, expected a whole number")
    return value


def seconds_of(body: Mapping[str, Any], name: str = "seconds") -> float:
    """A number of seconds of an object.

    Raises:
        ValueError: there is none.
    """
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise ValueError(f"{name} is {str(value)[:80]!r}, expected a number of seconds")
    return float(value)


def query_number(request: Request, name: str, default: int) -> int:
    """A whole number of an address.

    Raises:
        ValueError: it is something else.
    """
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError(f"{name} is {text[:80]!r}, expected a whole number")
    return int(text)
