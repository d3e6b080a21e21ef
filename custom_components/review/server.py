"""The server of the rating page."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from custom_components.anatomy import JUDGED_ORGANS, ORGANS
from custom_components.data.code_values import CODES
from custom_components.review import ratings
from custom_components.review.guard import Guard
from custom_components.review.layers import EXAMPLE_PARTS, WINDOWS, example_path
from custom_components.review.niivue import niivue_module
from custom_components.review.refusals import HANDLERS, Refused
from custom_components.review.requests import (
    json_body,
    query_number,
    seconds_of,
    text_of,
    whole_number,
    words_of,
)
from custom_components.review.review import Review
from custom_components.review.sessions import DAYS, Sessions
from custom_components.review.turns import Turn

STATIC = Path(__file__).with_name("static")
IMPORT = "/api/import"

END = 10**15 - 1
"""A place after all others of a list, and outside of every picture."""

MOST_AHEAD = 8
"""Turns that a page may ask for at once."""


def make_app(
    review: Review, sessions: Sessions, *, hosts: Collection[str], scheme: str = "http", cookie: str = "review"
) -> ASGIApp:
    """Make the application.

    Args:
        review: what it is about.
        sessions: who may use it.
        hosts: names under which it may be asked, with the port, such as `127.0.0.1:8765`.
        scheme: `http` or `https`.
        cookie: name of the session's cookie; cookies do not tell ports apart, so two servers need two names.
    """
    api = _Api(review, sessions, cookie, is_secure=scheme == "https")
    page = {path.name: path for path in STATIC.iterdir() if path.is_file()}
    routes = [Route("/", partial(_static, page, "index.html"))]
    routes += [Route(f"/{name}", partial(_static, page, name)) for name in page if name != "index.html"]
    for path, function, methods in api.routes():
        routes.append(Route(path, function, methods=methods))
    app = Starlette(routes=routes, exception_handlers=HANDLERS)  # type: ignore[arg-type]
    return Guard(app, hosts=hosts, scheme=scheme, large_paths=(IMPORT,))


async def _static(page: Mapping[str, Path], name: str, request: Request) -> Response:
    return FileResponse(page[name], headers={"Cache-Control": "no-cache"})


class _Api:
    def __init__(self, review: Review, sessions: Sessions, cookie: str, is_secure: bool) -> None:
        self.review, self.sessions = review, sessions
        self._cookie, self._is_secure = cookie, is_secure

    def routes(self) -> list[tuple[str, Callable[[Request], Awaitable[Response]], list[str]]]:
        reading = {
            "/api/state": self.state,
            "/api/turn/{place:int}": self.turn,
            "/api/around": self.around,
            "/api/montage/{place:int}/{layer:str}": self.montage,
            "/api/planes/{place:int}": self.planes,
            "/api/planes/{place:int}/{plane:str}/{index:int}/{layer:str}": self.plane,
            "/api/volume/{place:int}/{layer:str}": self.volume,
            "/niivue.js": self.niivue,
            "/api/example/{code:int}/{part:str}": self.example,
            "/api/results": self.results,
            "/api/export.csv": self.export_csv,
            "/api/export.json": self.export_json,
        }
        changing = {
            "/api/enter": self.enter,
            "/api/leave": self.leave,
            "/api/invite": self.invite,
            "/api/next": self.next,
            "/api/rate": self.rate,
            "/api/flag": self.flag,
            "/api/undo": self.undo,
            "/api/adjudicate": self.adjudicate,
            IMPORT: self.take_over,
        }
        return [
            *((path, function, ["GET"]) for path, function in reading.items()),
            *((path, function, ["POST"]) for path, function in changing.items()),
        ]

    async def enter(self, request: Request) -> Response:
        body = await json_body(request)
        session = self.sessions.enter(text_of(body, "token"), text_of(body, "rater"))
        if session is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "this address was used before; the terminal shows a new one")
        response = JSONResponse({"rater": self.sessions.rater_of(session)})
        response.set_cookie(
            self._cookie, session, max_age=DAYS * 24 * 3600, httponly=True, samesite="strict", secure=self._is_secure
        )
        return response

    async def leave(self, request: Request) -> Response:
        self._rater(request)
        self.sessions.leave(request.cookies[self._cookie])
        response = JSONResponse({"token": self.sessions.new_token()})
        response.delete_cookie(self._cookie, httponly=True, samesite="strict", secure=self._is_secure)
        return response

    async def invite(self, request: Request) -> Response:
        self._rater(request)
        return JSONResponse({"token": self.sessions.new_token()})

    async def state(self, request: Request) -> Response:
        rater = self._rater(request)
        progress = await run_in_threadpool(self.review.progress, rater)
        return JSONResponse(
            {
                "rater": rater,
                "progress": progress,
                "asks_reasons": self.review.rules.ask_reasons,
                "exports": self.review.rules.exports,
                **_FIXED,
            }
        )

    async def next(self, request: Request) -> Response:
        rater, body = self._rater(request), await json_body(request)
        after, count = whole_number(body, "after", 0), whole_number(body, "count", 1)
        if after < 0 or not 1 <= count <= MOST_AHEAD:
            raise ValueError(f"after is {after} and count {count}, expected 0 or more, and 1 to {MOST_AHEAD}")
        turns = await run_in_threadpool(
            self.review.following, rater, after, count, adjudication=body.get("adjudication") is True
        )
        return JSONResponse({"turns": turns})

    async def turn(self, request: Request) -> Response:
        turn = self._turn(request)
        view = await run_in_threadpool(self.review.view, turn)
        if view is None:
            raise LookupError("it cannot be shown any more")
        return JSONResponse({"turn": view})

    async def around(self, request: Request) -> Response:
        rater = self._rater(request)
        before, after = self.review.turns.around(rater, query_number(request, "place", END))
        return JSONResponse({"before": before, "after": after})

    async def montage(self, request: Request) -> Response:
        turn = self._turn(request)
        version, layer = request.query_params.get("version", ""), request.path_params["layer"]
        content = await run_in_threadpool(self.review.picture, turn, version, layer)
        return Response(content, media_type="image/png")

    async def planes(self, request: Request) -> Response:
        turn, version = self._turn(request), request.query_params.get("version", "")
        x, y = (query_number(request, name, END) for name in ("x", "y"))  # without a place, the middle
        info = await run_in_threadpool(self.review.planes, turn, version, x, y)
        viewer = {"niivue": niivue_module() is not None, "colours": _COLOURS}
        return JSONResponse(info | viewer | {"windows": WINDOWS})

    async def plane(self, request: Request) -> Response:
        turn, asked = self._turn(request), request.path_params
        version, window = request.query_params.get("version", ""), request.query_params.get("window", "abdomen")
        content = await run_in_threadpool(
            self.review.plane, turn, version, asked["plane"], asked["index"], asked["layer"], window
        )
        return Response(content, media_type="image/png")

    async def volume(self, request: Request) -> Response:
        turn, version = self._turn(request), request.query_params.get("version", "")
        content = await run_in_threadpool(self.review.nifti, turn, version, request.path_params["layer"])
        return Response(content, media_type="application/octet-stream")

    async def niivue(self, request: Request) -> Response:
        self._rater(request)
        module = await run_in_threadpool(niivue_module)
        if module is None:
            raise KeyError("niivue")
        return Response(module, media_type="text/javascript", headers={"Cache-Control": "private, max-age=86400"})

    async def example(self, request: Request) -> Response:
        self._rater(request)
        code, part = request.path_params["code"], request.path_params["part"]
        if code not in CODES or part not in EXAMPLE_PARTS:
            raise KeyError(part)
        folder = self.review.cohort.folder
        path = example_path(folder, code, part)
        if not path.is_file():  # at the first start they are drawn while the page opens
            await run_in_threadpool(self.review.helper.run, "examples:draw_examples", folder)
        return FileResponse(path)

    async def results(self, request: Request) -> Response:
        self._rater(request)
        return JSONResponse(await run_in_threadpool(self.review.results))

    async def export_csv(self, request: Request) -> Response:
        self._exporter(request)
        text = await run_in_threadpool(self.review.export_csv)
        return Response(text, media_type="text/csv", headers=_download("codes.csv"))

    async def export_json(self, request: Request) -> Response:
        self._exporter(request)
        found = await run_in_threadpool(self.review.results)
        parts = _json_parts(found, self.review.store.history())
        return StreamingResponse(parts, media_type="application/json", headers=_download("codes.json"))

    async def take_over(self, request: Request) -> Response:
        self._rater(request)
        content = await request.body()
        return JSONResponse({"text": await run_in_threadpool(self._import, content)})

    def _import(self, content: bytes) -> str:
        from custom_components.review.imports import import_text  # pandas

        return import_text(self.review, content)

    async def rate(self, request: Request) -> Response:
        rater, body = self._rater(request), await json_body(request)
        turn = self.review.turns.turn(rater, whole_number(body, "place"))
        saved = await run_in_threadpool(
            self.review.rate, turn, text_of(body, "version"), whole_number(body, "code"), seconds=seconds_of(body),
            request=text_of(body, "request"), previous=_event(body, "previous"), reason=_reason(body),
        )  # fmt: skip
        return _saved(saved)

    async def flag(self, request: Request) -> Response:
        rater, body = self._rater(request), await json_body(request)
        turn = self.review.turns.turn(rater, whole_number(body, "place"))
        saved = await run_in_threadpool(
            self.review.flag, turn, text_of(body, "version"), _reason(body), request=text_of(body, "request")
        )
        return _saved(saved)

    async def undo(self, request: Request) -> Response:
        rater, body = self._rater(request), await json_body(request)
        saved = await run_in_threadpool(
            ratings.undo, self.review.store, rater, request=text_of(body, "request"), meant=_event(body, "last")
        )
        if saved is None:
            raise Refused(HTTPStatus.NOT_FOUND, "nothing to undo")
        return _saved(saved)

    async def adjudicate(self, request: Request) -> Response:
        rater = self._rater(request)
        items = await run_in_threadpool(self.review.to_decide)
        await run_in_threadpool(self.review.turns.add_adjudication, rater, items[:100])
        return JSONResponse({"to_decide": len(items)})

    def _rater(self, request: Request) -> str:
        rater = self.sessions.rater_of(request.cookies.get(self._cookie, ""))
        if rater is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "open the address that the terminal shows; it is good for one rater")
        if request.headers.get("x-rater", quote(rater, safe=_UNQUOTED)) != quote(rater, safe=_UNQUOTED):
            raise Refused(HTTPStatus.CONFLICT, f"{rater} is in now in this browser: load the page again", "rater")
        return rater

    def _exporter(self, request: Request) -> None:
        self._rater(request)
        if not self.review.rules.exports:
            raise Refused(HTTPStatus.FORBIDDEN, "an export tells which model is which: it is made by --export")

    def _turn(self, request: Request) -> Turn:
        return self.review.turns.turn(self._rater(request), min(request.path_params["place"], END))


_FIXED = {
    "reasons": ratings.REASONS,
    "organs": [
        {
            "name": organ.name.replace("_", " "),
            "colour": "#" + bytes(organ.colour).hex(),
            "judged": organ.name in JUDGED_ORGANS,
        }
        for organ in ORGANS
    ],
}
"""What a page is told once."""

_COLOURS = {
    **{name: [0, *(organ.colour[place] for organ in ORGANS)] for place, name in enumerate("RGB")},
    "A": [0, *(255 for _ in ORGANS)],
    "I": [0, *(organ.index for organ in ORGANS)],
    "labels": ["", *(organ.name.replace("_", " ") for organ in ORGANS)],
}
"""The organs' colours as NiiVue wants them."""


_UNQUOTED = "-_.!~*'()"
"""What `encodeURIComponent` of JavaScript leaves as it is, besides letters and digits."""


def _saved(saved: ratings.Saved) -> Response:
    return JSONResponse({"event": saved.event, "place": saved.place, "code": saved.code})


def _json_parts(found: Mapping[str, Any], history: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """The results and, as `history`, all that was ever done, a row a line; so that memory does not hold all of it."""
    yield json.dumps(found).removesuffix("}") + ', "history": ['
    between = ""
    for some in history:
        yield between + ",".join(f"\n{json.dumps(row)}" for row in some)
        between = ","
    yield "\n]}\n"


def _event(body: Mapping[str, Any], name: str) -> int | None:
    return None if body.get(name) is None else whole_number(body, name)


def _reason(body: Mapping[str, Any]) -> str:
    text = text_of(body, "text", longest=5000, empty=True) if "text" in body else ""
    return ratings.reason_of(words_of(body, "reasons"), text)


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
