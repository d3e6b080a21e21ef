"""The server of the rating page."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from custom_components.anatomy import JUDGED_ORGANS, ORGANS
from custom_components.data.code_values import CODES
from custom_components.review import ratings
from custom_components.review.guard import Guard
from custom_components.review.layers import EXAMPLE_PARTS, WINDOWS, example_path
from custom_components.review.niivue import niivue_module
from custom_components.review.ratings import Conflict
from custom_components.review.review import Review
from custom_components.review.sessions import Sessions
from custom_components.review.turns import Turn

STATIC = Path(__file__).with_name("static")
IMPORT = "/api/import"

MOST_AHEAD = 8
"""Turns that a page may ask for at once."""


class Refused(Exception):  # noqa: N818 - an answer, no error of the program
    """A request that gets no answer but this one.

    Args:
        status: of HTTP.
        text: one line for people.
    """

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


def make_app(
    review: Review, sessions: Sessions, *, hosts: Collection[str], scheme: str = "http", cookie: str = "review"
) -> Starlette:
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
    guard = Middleware(Guard, hosts=hosts, scheme=scheme, large_paths=(IMPORT,))
    handlers = {
        Refused: _refused, Conflict: _conflict, ValueError: _bad_value, LookupError: _not_there,
    }  # fmt: skip
    return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)  # type: ignore[arg-type]


async def _static(page: Mapping[str, Path], name: str, request: Request) -> Response:
    return FileResponse(page[name], headers={"Cache-Control": "no-cache"})


class _Api:
    def __init__(self, review: Review, sessions: Sessions, cookie: str, is_secure: bool) -> None:
        self.review, self.sessions = review, sessions
        self._cookie, self._is_secure = cookie, is_secure

    def routes(self) -> list[tuple[str, Callable[[Request], Awaitable[Response]], list[str]]]:
        reading = {
            "/api/state": self.state,
            "/api/next": self.next,
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
        body = await _body(request)
        session = self.sessions.enter(_text(body, "token"), _text(body, "rater"))
        if session is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "this address was used before; the terminal shows a new one")
        response = JSONResponse({"rater": self.sessions.rater_of(session)})
        response.set_cookie(
            self._cookie, session, max_age=30 * 24 * 3600, httponly=True, samesite="strict", secure=self._is_secure
        )
        return response

    async def leave(self, request: Request) -> Response:
        self._rater(request)
        self.sessions.leave(request.cookies[self._cookie])
        response = JSONResponse({})
        response.delete_cookie(self._cookie, httponly=True, samesite="strict", secure=self._is_secure)
        return response

    async def invite(self, request: Request) -> Response:
        self._rater(request)
        return JSONResponse({"token": self.sessions.new_token()})

    async def state(self, request: Request) -> Response:
        rater = self._rater(request)
        progress = await run_in_threadpool(self.review.progress, rater)
        return JSONResponse(
            {"rater": rater, "progress": progress, "asks_reasons": self.review.rules.ask_reasons, **_FIXED}
        )

    async def next(self, request: Request) -> Response:
        rater = self._rater(request)
        after, count = _number(request, "after", 0), min(_number(request, "count", 1), MOST_AHEAD)
        adjudication = _number(request, "adjudication", 0) == 1
        turns = await run_in_threadpool(self.review.following, rater, after, count, adjudication=adjudication)
        return JSONResponse({"turns": turns})

    async def turn(self, request: Request) -> Response:
        turn = self._turn(request)
        view = await run_in_threadpool(self.review.view, turn)
        if view is None:
            raise LookupError("it cannot be shown any more")
        return JSONResponse({"turn": view})

    async def around(self, request: Request) -> Response:
        rater = self._rater(request)
        before, after = self.review.turns.around(rater, _number(request, "place", 0))
        return JSONResponse({"before": before, "after": after})

    async def montage(self, request: Request) -> Response:
        turn = self._turn(request)
        version, layer = request.query_params.get("version", ""), request.path_params["layer"]
        content = await run_in_threadpool(self.review.picture, turn, version, layer)
        return Response(content, media_type="image/png")

    async def planes(self, request: Request) -> Response:
        turn, version = self._turn(request), request.query_params.get("version", "")
        x, y = _number(request, "x", 0), _number(request, "y", 0)
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
        self._rater(request)
        text = await run_in_threadpool(self.review.helper.run, "results:export_csv", self.review.store.path)
        return Response(text, media_type="text/csv", headers=_download("codes.csv"))

    async def export_json(self, request: Request) -> Response:
        self._rater(request)
        found = await run_in_threadpool(self.review.results)
        history = await run_in_threadpool(self.review.store.history)
        return JSONResponse({**found, "history": history}, headers=_download("codes.json"))

    async def take_over(self, request: Request) -> Response:
        self._rater(request)
        content = await request.body()
        return JSONResponse({"text": await run_in_threadpool(self._import, content)})

    def _import(self, content: bytes) -> str:
        from custom_components.review.imports import import_text  # pandas

        return import_text(self.review, content)

    async def rate(self, request: Request) -> Response:
        rater, body = self._rater(request), await _body(request)
        turn = self.review.turns.turn(rater, _whole(body, "place"))
        previous = None if body.get("previous") is None else _whole(body, "previous")
        seconds = body.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"seconds is {str(seconds)[:80]!r}, expected a number")
        saved = await run_in_threadpool(
            self.review.rate, turn, _text(body, "version"), _whole(body, "code"), seconds=float(seconds),
            request=_text(body, "request"), previous=previous,
        )  # fmt: skip
        return await self._saved(rater, saved)

    async def flag(self, request: Request) -> Response:
        rater, body = self._rater(request), await _body(request)
        turn = self.review.turns.turn(rater, _whole(body, "place"))
        reasons = body.get("reasons")
        if not isinstance(reasons, list) or not all(isinstance(one, str) for one in reasons):
            raise ValueError(f"reasons is {str(reasons)[:80]!r}, expected a list of texts")
        saved = await run_in_threadpool(
            self.review.flag, turn, _text(body, "version"), reasons, _text(body, "text", longest=5000, empty=True),
            request=_text(body, "request"),
        )  # fmt: skip
        return await self._saved(rater, saved)

    async def undo(self, request: Request) -> Response:
        rater, body = self._rater(request), await _body(request)
        saved = await run_in_threadpool(ratings.undo, self.review.store, rater, request=_text(body, "request"))
        if saved is None:
            raise Refused(HTTPStatus.NOT_FOUND, "nothing to undo")
        return await self._saved(rater, saved)

    async def adjudicate(self, request: Request) -> Response:
        rater = self._rater(request)
        items = await run_in_threadpool(self.review.to_decide)
        await run_in_threadpool(self.review.turns.add_adjudication, rater, items[:100])
        return JSONResponse({"to_decide": len(items)})

    async def _saved(self, rater: str, saved: ratings.Saved) -> Response:
        progress = await run_in_threadpool(self.review.progress, rater)
        answer = {"event": saved.event, "place": saved.place, "code": saved.code, "progress": progress}
        return JSONResponse(answer)

    def _rater(self, request: Request) -> str:
        rater = self.sessions.rater_of(request.cookies.get(self._cookie, ""))
        if rater is None:
            raise Refused(HTTPStatus.UNAUTHORIZED, "open the address that the terminal shows")
        return rater

    def _turn(self, request: Request) -> Turn:
        return self.review.turns.turn(self._rater(request), request.path_params["place"])


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


def _download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


async def _body(request: Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("the request is no JSON") from None
    if not isinstance(body, dict):
        raise ValueError("the request is no JSON object")
    return body


def _text(body: Mapping[str, Any], name: str, *, longest: int = 200, empty: bool = False) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > longest or not (value or empty) or "\0" in value:
        raise ValueError(f"{name} is {str(value)[:80]!r}, expected a text of at most {longest} letters")
    return value


def _whole(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**53:
        raise ValueError(f"{name} is {str(value)[:80]!r}, expected a whole number")
    return value


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ValueError(f"{name} is {text[:80]!r}, expected a whole number")
    return int(text)


async def _refused(request: Request, error: Refused) -> Response:
    return JSONResponse({"error": str(error)}, error.status)


async def _conflict(request: Request, error: Conflict) -> Response:
    return JSONResponse({"error": str(error), "conflict": str(error)}, HTTPStatus.CONFLICT)


async def _bad_value(request: Request, error: ValueError) -> Response:
    return JSONResponse({"error": str(error)}, HTTPStatus.BAD_REQUEST)


async def _not_there(request: Request, error: LookupError) -> Response:
    text = "nothing is there" if isinstance(error, KeyError) else str(error)
    return JSONResponse({"error": text}, HTTPStatus.NOT_FOUND)
