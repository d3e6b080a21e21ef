"""What the server answers where it does not do what it is asked."""

from __future__ import annotations

import sqlite3
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from custom_components.review.guard import TooLarge
from custom_components.review.ratings import Conflict


class Refused(Exception):  # noqa: N818 - an answer, no error of the program
    """A request that gets no answer but this one.

    Args:
        status: of HTTP.
        text: one line for people.
        conflict: what it does not fit, a word for the page.
    """

    def __init__(self, status: HTTPStatus, text: str, conflict: str = "") -> None:
        super().__init__(text)
        self.status, self.conflict = status, conflict


async def _refused(request: Request, error: Refused) -> Response:
    return JSONResponse({"error": str(error)} | ({"conflict": error.conflict} if error.conflict else {}), error.status)


async def _conflict(request: Request, error: Conflict) -> Response:
    return JSONResponse({"error": str(error), "conflict": str(error)}, HTTPStatus.CONFLICT)


async def _not_stored(request: Request, error: sqlite3.Error) -> Response:
    return JSONResponse({"error": f"the server cannot store it: {error}"}, HTTPStatus.SERVICE_UNAVAILABLE)


async def _not_read(request: Request, error: OSError) -> Response:
    return JSONResponse({"error": f"the server cannot do it: {error.strerror}"}, HTTPStatus.SERVICE_UNAVAILABLE)


async def _broken(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the server has made a mistake; its terminal shows which"}, 500)


async def _too_large(request: Request, error: TooLarge) -> Response:
    return JSONResponse({"error": str(error)}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


async def _gone(request: Request, error: ClientDisconnect) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it


async def _bad_value(request: Request, error: ValueError) -> Response:
    return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)


async def _not_there(request: Request, error: LookupError) -> Response:
    text = "nothing is there" if isinstance(error, KeyError) else str(error)
    return JSONResponse({"error": text}, HTTPStatus.NOT_FOUND)


HANDLERS = {
    Refused: _refused, Conflict: _conflict, ValueError: _bad_value, LookupError: _not_there,
    TooLarge: _too_large, ClientDisconnect: _gone, sqlite3.Error: _not_stored, OSError: _not_read,
    Exception: _broken,
}  # fmt: skip
"""For Starlette: by the kind of an exception what is answered."""
