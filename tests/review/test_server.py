"""The server: what it answers, and what it refuses."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from review_files import OpenReview, write_montages, write_volumes

from custom_components.data.montage_area import AREA
from custom_components.review.guard import LARGEST_BODY
from custom_components.review.review import Review, Rules
from custom_components.review.serve import Address, listen
from custom_components.review.server import make_app
from custom_components.review.sessions import Sessions

Enter = Callable[..., "Page"]
Serve = Callable[[Review, Sessions], str]


class Page:
    """What a page does, as a rater."""

    def __init__(self, review: Review, sessions: Sessions, rater: str, origin: str) -> None:
        self.review, self.sessions, self.origin = review, sessions, origin
        self.client = httpx.Client(base_url=origin, trust_env=False)
        self.headers = {"Origin": origin, "Content-Type": "application/json"}
        self.requests = 0
        if rater:
            answer = self.post("/api/enter", token=sessions.new_token(), rater=rater)
            assert answer.status_code == 200, answer.text

    def post(self, path: str, **body: Any):
        return self.client.post(path, content=json.dumps(body), headers=self.headers)

    def next(self, after: int = 0, count: int = 1, *, adjudication: bool = False) -> list[dict[str, Any]]:
        answer = self.post("/api/next", after=after, count=count, adjudication=adjudication)
        assert answer.status_code == 200, answer.text
        return answer.json()["turns"]

    def rate(self, turn: dict[str, Any], code: int = 0, **changes: Any):
        self.requests += 1
        body = {
            "place": turn["place"], "version": turn["version"], "code": code, "seconds": 2.5,
            "previous": turn["rating"], "request": f"request {self.requests}",
        }  # fmt: skip
        return self.post("/api/rate", **body | changes)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server; give its origin."""
    servers = []

    def start(review: Review, sessions: Sessions) -> str:
        listener = listen(Address(port=0))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(make_app(review, sessions, hosts=[host]), log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        servers.append((server, thread))
        return f"http://{host}"

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join()


@pytest.fixture
def enter(open_review: OpenReview, tmp_path: Path, serve: Serve) -> Iterator[Enter]:
    """Open a review of 30 montages, once, and enter it as a rater."""
    opened: list[tuple[Review, Sessions, str]] = []
    pages: list[Page] = []

    def start(rater: str = "Anna", **options: Any) -> Page:
        if not opened:
            if not options.get("volumes"):
                write_montages(tmp_path / "cohort", 30)
            review = open_review(**options)
            sessions = Sessions(review.store)
            opened.append((review, sessions, serve(review, sessions)))
        review, sessions, origin = opened[0]
        pages.append(Page(review, sessions, rater, origin))
        return pages[-1]

    yield start
    for page in pages:
        page.client.close()


# what it answers


def test_a_rater_codes_montages_one_after_the_other(enter: Enter):
    page = enter()
    place, seen = 0, set()
    for number in range(30):
        (turn,) = page.next(place)
        picture = page.client.get(f"/api/montage/{turn['place']}/ct", params={"version": turn["version"]})
        assert picture.headers["content-type"] == "image/png"
        seen.add(picture.content)
        assert page.rate(turn, number % 3).json()["code"] == number % 3
        place = turn["place"]
    assert len(seen) == 30
    assert page.next(place) == []
    state = page.client.get("/api/state").json()
    assert state["progress"] == {"done": 30, "total": 30, "to_decide": 0}
    assert [organ["name"] for organ in state["organs"] if organ["judged"]] == [
        "spleen", "right kidney", "left kidney", "liver",
    ]  # fmt: skip


def test_ids_and_scores_are_hidden_unless_they_are_to_be_shown(enter: Enter):
    page = enter()
    (turn,) = page.next()
    answer = page.post("/api/next").text + page.client.get(f"/api/turn/{turn['place']}").text
    assert "case_" not in answer
    assert not {"case_id", "model", "score", "sha256"} & set(turn)


def test_ids_and_scores_are_shown_on_demand(enter: Enter, tmp_path: Path):
    from custom_components.review.cohort import Source

    write_montages(tmp_path / "cohort", 30)
    (tmp_path / "scores.csv").write_text("case_id,score\ncase_0003,1.25\n")
    source = Source(montages=str(tmp_path / "cohort"), scores=(str(tmp_path / "scores.csv"),))
    page = enter(source=source, rules=Rules(show_ids=True, show_scores=True), order="worst")
    (turn,) = page.next()
    assert (turn["case_id"], turn["score"]) == ("case_0003", 1.25)


def test_a_repeat_looks_like_any_other(enter: Enter):
    page = enter(repeats=0.2)
    turns, place = [], 0
    while found := page.next(place):
        turns.append(found[0])
        page.rate(found[0])
        place = found[0]["place"]
    assert len(turns) == 36
    assert len({frozenset(turn) for turn in turns}) == 1
    assert len({turn["version"] for turn in turns}) == 36


def test_going_back_shows_the_code_and_coding_anew_replaces_it(enter: Enter):
    page = enter()
    first, second = page.next(0, 2)
    page.rate(first, 0)
    around = page.client.get("/api/around", params={"place": second["place"]}).json()
    assert around["before"] == first["place"]
    again = page.client.get(f"/api/turn/{first['place']}").json()["turn"]
    assert again["code"] == 0
    assert page.rate(again, 2).json()["code"] == 2
    assert page.client.get(f"/api/turn/{first['place']}").json()["turn"]["code"] == 2


def test_two_windows_of_a_rater_do_not_overwrite_each_other(enter: Enter):
    page, other = enter(), enter()
    (turn,), (same,) = page.next(), other.next()
    assert turn["place"] == same["place"]
    assert page.rate(turn, 0).status_code == 200
    refused = other.rate(same, 2, request="of the other window")
    assert (refused.status_code, refused.json()["conflict"]) == (409, "rated elsewhere")


def test_a_file_that_changes_while_it_is_looked_at_is_not_rated(enter: Enter, tmp_path: Path):
    page = enter()
    (turn,) = page.next()
    item = page.review.store.item(page.review.turns.turn("Anna", turn["place"]).item)
    Image.new("RGB", (32, 32), (1, 2, 3)).save(item.montage)
    refused = page.rate(turn, 0)
    assert (refused.status_code, refused.json()["conflict"]) == (409, "changed")
    (now,) = page.next()
    assert now["place"] == turn["place"]
    assert now["version"] != turn["version"]
    assert page.rate(now, 1).status_code == 200


def test_a_rated_file_that_changes_is_shown_again(enter: Enter, open_review: OpenReview):
    page = enter()
    turns = page.next(0, 8)
    for turn in turns:
        page.rate(turn, 0)
    item = page.review.store.item(page.review.turns.turn("Anna", turns[2]["place"]).item)
    Image.new("RGB", (32, 32), (1, 2, 3)).save(item.montage)
    again = open_review()  # as after a new start
    kinds = [turn.kind for turn in again.turns.following("Anna", turns[-1]["place"], 8)]
    assert kinds.count("changed") == 1
    assert again.store.number("SELECT count(*) FROM code") == 7  # the stale one is not exported


def test_flag_and_undo(enter: Enter):
    page = enter()
    (turn,) = page.next()
    wish = {"place": turn["place"], "version": turn["version"]}
    assert page.post("/api/flag", **wish, reasons=["liver"], text="dome", request="f1").status_code == 200
    shown = page.client.get(f"/api/turn/{turn['place']}").json()["turn"]
    assert (shown["reasons"], shown["text"]) == (["liver"], "dome")
    assert page.post("/api/undo", request="u1").json()["place"] == turn["place"]
    assert page.client.get(f"/api/turn/{turn['place']}").json()["turn"]["reasons"] == []
    assert page.post("/api/undo", request="u2").status_code == 404


def test_disagreements_are_decided_by_a_third(enter: Enter):
    anna, ben = enter(), enter("Ben")
    for page, code in ((anna, 0), (ben, 2)):
        for turn in page.next(0, 8):
            page.rate(turn, code)
    cora = enter("Cora")
    waiting = cora.post("/api/adjudicate").json()["to_decide"]
    assert waiting > 0
    turns = cora.next(0, 8, adjudication=True)
    assert len(turns) == waiting
    assert all(turn["adjudication"] and turn["code"] is None for turn in turns)
    for turn in turns:
        assert cora.rate(turn, 1).status_code == 200
    assert cora.post("/api/adjudicate").json()["to_decide"] == 0
    text = cora.client.get("/api/export.csv").text
    assert text.count("Cora (adjudication)") == waiting


def test_layers_and_planes_of_a_ct(enter: Enter, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    page = enter(volumes=True)
    (turn,) = page.next()
    assert turn["layers"] == ["ct", "organs"]
    version = {"version": turn["version"]}
    organs = page.client.get(f"/api/montage/{turn['place']}/organs", params=version)
    assert organs.headers["content-type"] == "image/png"
    info = page.client.get(f"/api/planes/{turn['place']}", params={**version, "x": 12, "y": 12}).json()
    assert info["shape"] == [20, 16, 10]
    assert info["spacing"] == [4, 4, 5]
    assert list(info["windows"]) == ["abdomen", "liver", "lung", "bone"]
    for plane, index in (("axial", 9), ("coronal", 15), ("sagittal", 19)):
        for layer in ("ct", "organs"):
            path = f"/api/planes/{turn['place']}/{plane}/{index}/{layer}"
            assert page.client.get(path, params={**version, "window": "liver"}).content[1:4] == b"PNG"
        assert page.client.get(f"/api/planes/{turn['place']}/{plane}/{index + 1}/ct", params=version).status_code == 404


# what it refuses


def test_without_a_session_nothing_is_answered(enter: Enter):
    page = enter(rater="")
    reading = ["state", "turn/1", "around", "montage/1/ct", "planes/1", "results", "export.csv", "export.json"]
    for path in reading:
        assert page.client.get(f"/api/{path}").status_code == 401, path
    for path in ["next", "leave", "invite", "rate", "flag", "undo", "adjudicate", "import"]:
        assert page.post(f"/api/{path}").status_code == 401, path


def test_a_token_is_good_once(enter: Enter):
    stranger = enter(rater="")
    token = stranger.sessions.new_token()
    assert stranger.post("/api/enter", token="guessed", rater="Eve").status_code == 401
    assert stranger.post("/api/enter", token=token, rater=" ").status_code == 400  # the token stays good
    assert stranger.post("/api/enter", token=token, rater="Eve").status_code == 200
    assert stranger.post("/api/enter", token=token, rater="Eve").status_code == 401


def test_a_session_outlasts_the_server_and_ends_with_leaving(enter: Enter, open_review: OpenReview, serve: Serve):
    page = enter()
    review = open_review()
    sessions = Sessions(review.store)
    later = Page(review, sessions, "", serve(review, sessions))
    later.client.cookies.set("review", page.client.cookies["review"])
    assert later.client.get("/api/state").json()["rater"] == "Anna"
    assert later.post("/api/leave").status_code == 200
    assert page.client.get("/api/state").status_code == 401
    later.client.close()


def test_the_cookie_is_not_for_scripts_and_not_for_other_sites(enter: Enter):
    page = enter(rater="")
    answer = page.post("/api/enter", token=page.sessions.new_token(), rater="Anna")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict"))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1", "127.0.0.1:8765.evil.example"])
def test_another_host_is_refused(enter: Enter, host: str):
    assert enter().client.get("/api/state", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_origin_changes_nothing(enter: Enter, headers: dict[str, str]):
    page = enter()
    (turn,) = page.next()
    page.headers |= headers
    assert page.rate(turn).status_code == 403
    assert page.review.store.number("SELECT count(*) FROM event") == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_of_another_site_is_refused(enter: Enter, kind: str):
    page = enter()
    (turn,) = page.next()
    page.headers["Content-Type"] = kind
    assert page.rate(turn).status_code == 415


def test_nothing_is_changed_by_get_or_other_methods(enter: Enter):
    page = enter()
    for path in ("next", "rate", "flag", "undo", "adjudicate", "enter", "leave", "invite", "import"):
        assert page.client.get(f"/api/{path}").status_code == 405, path
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert page.client.request(method, "/api/rate", headers=page.headers).status_code == 405
    (turn,) = page.next()
    page.rate(turn)
    before = list(page.review.store._connection.iterdump())
    version = {"version": turn["version"]}
    for path in ("state", "around", "turn/1", "montage/1/ct", "planes/1", "results", "export.csv", "export.json"):
        page.client.get(f"/api/{path}", params=version)
    assert list(page.review.store._connection.iterdump()) == before


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/api/turn/99999999999999999999999", "/api/montage/99999999999999999999999/ct",
        "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/%00",
        "/page.css%00.png", "/etc/passwd", "/api/montage/1/..%2f..%2fct", "/api/montage/1/ct%00",
        "/api/montage/%2fetc%2fpasswd/ct", "/api/montage/1/../../../../etc/passwd", "/api/example/0/..%2f..%2fct",
        "/static/page.css", "/main.js/../server.py", "/api/planes/1/..%2faxial/0/ct", "/api/montage/-1/ct",
        "/api/montage/999999/ct", "/review.sqlite", "/.git/config",
    ],
)  # fmt: skip
def test_no_path_outside_is_served(enter: Enter, path: str):
    page = enter()
    page.next()
    connection = http.client.HTTPConnection(page.origin.removeprefix("http://"))  # sends a path as it is
    connection.request("GET", path, headers={"Cookie": f"review={page.client.cookies['review']}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status in (400, 404, 409), content
    assert b"root:" not in content


def test_a_layer_that_is_not_there_is_not_served(enter: Enter):
    page = enter()
    (turn,) = page.next()
    for layer in ("ct%00", "organs", "..%2fct", "CT"):
        answer = page.client.get(f"/api/montage/{turn['place']}/{layer}", params={"version": turn["version"]})
        assert answer.status_code == 404, layer


def test_a_montage_that_becomes_a_link_is_not_served(enter: Enter, tmp_path: Path):
    page = enter()
    (turn,) = page.next()
    path = Path(page.review.store.item(page.review.turns.turn("Anna", turn["place"]).item).montage)
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    version = page.client.get(f"/api/turn/{turn['place']}").json()["turn"]["version"]
    answer = page.client.get(f"/api/montage/{turn['place']}/ct", params={"version": version})
    assert answer.status_code == 404


def test_a_link_that_leaves_the_folder_is_set_aside(enter: Enter, tmp_path: Path):
    write_montages(tmp_path / "cohort", 30)
    Image.new("RGB", (32, 32)).save(tmp_path / "secret.png")
    (tmp_path / "cohort" / "link.png").symlink_to(tmp_path / "secret.png")
    review = enter().review
    assert [item.case_id for item in review.store.items("fault != ''")] == ["link"]
    assert review.turns.progress("Anna") == (0, 30)


def test_a_file_that_is_no_picture_is_not_sent_and_set_aside(enter: Enter):
    page = enter()
    (turn,) = page.next()
    item = page.review.store.item(page.review.turns.turn("Anna", turn["place"]).item)
    Path(item.montage).write_text("root:x:0:0")
    (now,) = page.next()
    answer = page.client.get(f"/api/montage/{now['place']}/ct", params={"version": now["version"]})
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert page.next()[0]["place"] != now["place"]
    assert page.client.get("/api/state").json()["progress"]["total"] == 29


def test_a_broken_picture_is_drawn_again(enter: Enter, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    page = enter(volumes=True)
    (turn,) = page.next()
    item = page.review.store.item(page.review.turns.turn("Anna", turn["place"]).item)
    path = f"/api/montage/{turn['place']}/ct"
    whole = page.client.get(path, params={"version": turn["version"]})
    layer = page.review.cohort.layer(item, "ct")
    for broken in (whole.content[: len(whole.content) // 2], None):
        layer.unlink() if broken is None else layer.write_bytes(broken)
        again = page.client.get(path, params={"version": turn["version"]})
        assert (again.status_code, again.content) == (200, whole.content)


def test_a_ready_montage_that_is_broken_is_set_aside(enter: Enter, capfd: pytest.CaptureFixture[str]):
    page = enter()
    (turn,) = page.next()
    path = Path(page.review.store.item(page.review.turns.turn("Anna", turn["place"]).item).montage)
    path.write_bytes(path.read_bytes()[:60])
    (now,) = page.next()
    answer = page.client.get(f"/api/montage/{now['place']}/ct", params={"version": now["version"]})
    assert answer.status_code == 404
    assert "case_" not in answer.text
    assert f"cannot be shown: {path.stem}: " in capfd.readouterr().err
    assert page.next()[0]["place"] != now["place"]


def test_a_folder_with_the_name_of_a_montage_does_not_stop_the_others(enter: Enter, tmp_path: Path):
    (tmp_path / "cohort" / "zz.png").mkdir(parents=True)
    page = enter()
    places = {turn["place"] for after in range(0, 32, 8) for turn in page.next(after, 8)}
    assert len(places) == 30


def test_an_error_of_a_volume_names_neither_file_nor_case(enter: Enter, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    page = enter(volumes=True)
    (turn,) = page.next()
    for path in (tmp_path / "cohort" / "images").iterdir():
        path.write_bytes(b"nothing")
    for path in ("planes/1", "planes/1/axial/0/ct", "volume/1/ct"):
        answer = page.client.get(f"/api/{path}", params={"version": turn["version"]})
        assert answer.status_code in (404, 409)
        assert "cohort" not in answer.text
    assert page.next() == []


@pytest.mark.parametrize("path", ["planes/1", "planes/1/axial/0/ct", "volume/1/ct"])
def test_a_volume_that_cannot_be_read_any_more_is_told_without_its_name(
    enter: Enter, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
):
    write_volumes(tmp_path / "cohort")
    page = enter(volumes=True)
    (turn,) = page.next()
    broken = tmp_path / "cohort" / "images" / "a.nii.gz"
    item = replace(page.review.store.item(page.review.turns.turn("Anna", 1).item), image=(str(broken),))
    broken.write_bytes(b"nothing")
    monkeypatch.setattr(page.review, "shown", lambda *_: item)  # it breaks after the look at it
    answer = page.client.get(f"/api/{path}", params={"version": turn["version"]})
    assert (answer.status_code, "a.nii" in answer.text) == (404, False)
    assert "the terminal tells why" in answer.text


def test_two_windows_may_load_a_montage_with_a_strip_at_once(enter: Enter, tmp_path: Path):
    for number in range(4):
        montage = np.zeros((40, 40, 3), np.uint8)
        info = PngInfo()
        info.add_text(AREA, json.dumps([0, 8, 40, 32]))
        (tmp_path / "cohort").mkdir(exist_ok=True)
        Image.fromarray(montage + number).save(tmp_path / "cohort" / f"strip_{number}.png", pnginfo=info)
    page = enter()
    turns = [turn for after in (0, 8, 16, 24, 32) for turn in page.next(after, 8)]

    def load(turn: dict[str, Any]) -> int:
        path = f"/api/montage/{turn['place']}/ct?version={turn['version']}"
        return httpx.get(page.origin + path, cookies=dict(page.client.cookies), trust_env=False).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(load, [turn for turn in turns for _ in range(4)])) == {200}


def test_a_window_of_the_rater_before_is_told_who_is_in_now(enter: Enter):
    page = enter("Åsa Ö'Neil")
    (turn,) = page.next()
    page.headers["X-Rater"] = quote("Åsa Ö'Neil", safe="-_.!~*'()")
    assert page.rate(turn).status_code == 200
    page.headers["X-Rater"] = "Dora"
    answer = page.post("/api/undo", request="u")
    assert (answer.status_code, answer.json()["conflict"]) == (409, "rater")
    assert page.review.store.number("SELECT count(*) FROM event") == 1


def test_undo_takes_back_only_what_its_window_has_done_last(enter: Enter):
    page = enter()
    turns = page.next(0, 2)
    first = page.rate(turns[0], 1).json()["event"]
    page.rate(turns[1], 2)  # in another window
    answer = page.post("/api/undo", request="u", last=first)
    assert (answer.status_code, answer.json()["conflict"]) == (409, "undo")
    assert page.post("/api/undo", request="v").json()["place"] == turns[1]["place"]
    assert page.post("/api/undo", request="w", last=first).json()["code"] is None


def test_a_wish_that_was_stored_is_answered_so_after_the_file_has_changed(enter: Enter):
    page = enter()
    (turn,) = page.next()
    stored = page.rate(turn, 1, request="once")
    path = Path(page.review.store.item(page.review.turns.turn("Anna", turn["place"]).item).montage)
    Image.new("RGB", (32, 32), "white").save(path)
    assert page.rate(turn, 1, request="once").json() == stored.json()
    assert page.rate(turn, 1, request="twice").status_code == 409


def test_a_code_and_its_reason_are_one_entry(enter: Enter):
    page = enter()
    (turn,) = page.next()
    page.rate(turn, 2, reasons=["spleen"], text="gone")
    (row,) = page.review.store.rows("SELECT * FROM code")
    assert (row["code"], row["reason"]) == (2, "spleen; gone")
    shown = page.client.get(f"/api/turn/{turn['place']}").json()["turn"]
    assert (shown["reasons"], shown["text"], shown["flagged"]) == (["spleen"], "gone", False)
    page.post("/api/undo", request="u")
    assert page.review.store.rows("SELECT * FROM code") == []


def test_what_somebody_has_decided_waits_for_nobody_else(enter: Enter):
    for rater, code in (("Anna", 0), ("Ben", 2)):
        page = enter(rater, seed=3)
        for turn in page.next(0, 8):
            page.rate(turn, code)
    both = len(page.review.to_decide())
    cora, dan = enter("Cora"), enter("Dan")
    for one in (cora, dan):
        one.post("/api/adjudicate")
    assert len(cora.next(0, 8, adjudication=True)) == len(dan.next(0, 8, adjudication=True)) == min(both, 8) > 0
    cora.rate(cora.next(0, 1, adjudication=True)[0], 1)
    assert len(dan.next(0, 8, adjudication=True)) == min(both - 1, 8)


def test_a_study_that_is_blind_is_not_exported_by_the_page(enter: Enter):
    page = enter(rules=Rules(exports=False))
    assert not page.client.get("/api/state").json()["exports"]
    for path in ("export.csv", "export.json"):
        assert page.client.get(f"/api/{path}").status_code == 403


def test_a_long_history_is_exported_whole_and_in_its_order(enter: Enter):
    page = enter()
    (turn,) = page.next()
    for number in range(1203):  # comes in parts
        turn["rating"] = page.rate(turn, number % 3).json()["event"]
    found = page.client.get("/api/export.json").json()
    assert [row["code"] for row in found["history"]] == [number % 3 for number in range(1203)]
    assert found["raters"][0]["counts"] == [0, 0, 1]


def test_a_full_disk_is_said_and_passes(enter: Enter, monkeypatch: pytest.MonkeyPatch):
    page = enter()
    (turn,) = page.next()

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(page.review.store, "run", full)
        answer = page.rate(turn, request="once")
        assert (answer.status_code, answer.json()["error"]) == (
            503,
            "the server cannot store it: database or disk is full",
        )
    assert page.rate(turn, request="once").status_code == 200


def test_a_mistake_of_the_server_has_the_same_headers(enter: Enter, monkeypatch: pytest.MonkeyPatch):
    page = enter()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(page.review, "progress", broken)
    answer = page.client.get("/api/state")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_what_one_rater_is_shown_is_not_for_another(enter: Enter):
    anna, ben = enter(), enter("Ben")
    turns = anna.next(0, 8)
    answer = ben.client.get(f"/api/montage/{turns[5]['place']}/ct", params={"version": turns[5]["version"]})
    assert answer.status_code in (404, 409)
    assert ben.rate(turns[5]).status_code in (404, 409)


@pytest.mark.parametrize(
    "changes",
    [
        {"code": 3}, {"code": "0"}, {"code": None}, {"code": 0.5}, {"code": True}, {"seconds": -1}, {"seconds": "1"},
        {"seconds": 1e999}, {"seconds": 10**400}, {"place": "1"}, {"place": 10**30}, {"version": 5}, {"request": ""},
        {"request": "x" * 300},
        {"previous": "1"},
        {"reasons": "spleen"}, {"reasons": ["heart"]}, {"request": "a\0b"},
    ],
)  # fmt: skip
def test_a_rating_that_cannot_be_is_refused_in_one_line(enter: Enter, changes: dict[str, Any]):
    page = enter()
    (turn,) = page.next()
    answer = page.rate(turn, **changes)
    assert answer.status_code == 400
    assert "expected" in answer.json()["error"]
    assert page.review.store.number("SELECT count(*) FROM event") == 0


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 20000, b"5"])
def test_what_is_no_json_object_is_refused(enter: Enter, content: bytes):
    page = enter()
    assert page.client.post("/api/rate", content=content, headers=page.headers).status_code == 400


def test_requests_are_bounded(enter: Enter):
    page = enter()
    large = b'{"request": "' + b"x" * LARGEST_BODY + b'"}'
    assert page.client.post("/api/undo", content=large, headers=page.headers).status_code == 413

    def in_pieces() -> Iterator[bytes]:  # without a length
        for _ in range(20):
            yield b"x" * (LARGEST_BODY // 10)

    assert page.client.post("/api/undo", content=in_pieces(), headers=page.headers).status_code == 413


def test_every_answer_has_the_headers_that_keep_others_out(enter: Enter):
    page = enter()
    answers = [page.client.get(path) for path in ("/", "/main.js", "/api/state", "/nothing")]
    answers.append(page.client.get("/", headers={"Host": "evil.example"}))
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_names_and_reasons_come_back_as_they_are_and_never_as_html(enter: Enter):
    page = enter("<img src=x onerror=alert(1)>")
    (turn,) = page.next()
    text = "<script>alert(1)</script>"
    wish = {"place": turn["place"], "version": turn["version"], "reasons": [], "request": "f"}
    page.post("/api/flag", **wish, text=text)
    answer = page.client.get(f"/api/turn/{turn['place']}")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["turn"]["text"] == text
