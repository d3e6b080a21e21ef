"""What keeps strangers out of the rating page: checks before, and headers after, every answer."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

LARGEST_BODY = 64 * 1024
LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of an imported CSV."""

READING = frozenset({"GET", "HEAD"})


class TooLarge(Exception):  # noqa: N818 - an answer, no error of the program
    """A request is larger than it may be; the application reads that when it reads the body."""


class Guard:
    """ASGI middleware: a request of another host or origin is refused, and so is one that is too large.

    The host is checked because a page of another site can have its own name point to this server (DNS rebinding). What
    changes something must come from a script of this very origin, which says so in `Origin`; no form of another site
    can send `application/json` or `text/csv` without being asked first.

    Args:
        app: what is guarded.
        hosts: names under which the server may be asked, with the port.
        scheme: `http` or `https`.
        large_paths: where a file may be sent.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], scheme: str, large_paths: Collection[str] = ()) -> None:
        self.app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts)
        self._large_paths = large_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        limit = LARGEST_FILE if scope["path"] in self._large_paths else LARGEST_BODY
        refusal = self._refusal(scope, Headers(scope=scope), limit)
        if refusal:
            status, text = refusal
            return await JSONResponse({"error": text}, status)(scope, receive, guarded_send)
        read = 0

        async def bounded_receive() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise TooLarge(f"more than {limit} bytes")
            return message

        await self.app(scope, bounded_receive, guarded_send)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> tuple[HTTPStatus, str] | None:
        if headers.get("host", "").lower() not in self._hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, "this server has another name"
        if scope["method"] in READING:
            return None
        if scope["method"] != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or POST"
        if headers.get("origin", "").lower() not in self._origins:
            return HTTPStatus.FORBIDDEN, "the request comes from another origin"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return HTTPStatus.FORBIDDEN, "the request comes from another site"
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("application/json", "text/csv"):
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json"
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > limit:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {limit} bytes"
        return None
