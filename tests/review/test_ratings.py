"""Ratings, flags and undo: each once, none lost, none overwritten."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from custom_components.review import ratings
from custom_components.review.ratings import Conflict, flag, rate, undo
from custom_components.review.schema import VERSION
from custom_components.review.store import Item, Store
from custom_components.review.turns import Plan, Turn, Turns


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "review.sqlite")
    store.keep_items([Item(f"case_{number}", montage="x.png") for number in range(4)])
    yield store
    store.close()


@pytest.fixture
def shown(store: Store) -> list[Turn]:
    return Turns(store, Plan(repeats=0)).following("Anna", 0, 4)


def code(store: Store, turn: Turn, value: int, request: str, previous: int | None = None) -> ratings.Saved:
    return rate(store, turn, value, sha256="aa", seconds=1.5, request=request, previous=previous)


def test_a_rating_is_stored_with_what_was_seen(store: Store, shown: list[Turn]):
    saved = code(store, shown[0], 2, "r1")
    assert (saved.place, saved.code) == (shown[0].place, 2)
    row = store.row("SELECT * FROM rating")
    assert row is not None
    assert (row["rater"], row["code"], row["sha256"], row["seconds"], row["turn_kind"]) == (
        "Anna",
        2,
        "aa",
        1.5,
        "first",
    )
    assert row["at"].endswith("Z")


def test_a_wish_that_comes_twice_is_done_once(store: Store, shown: list[Turn]):
    first = code(store, shown[0], 1, "r1")
    assert code(store, shown[0], 1, "r1") == first
    assert store.number("SELECT count(*) FROM event") == 1


def test_another_window_does_not_overwrite(store: Store, shown: list[Turn]):
    first = code(store, shown[0], 0, "r1")
    with pytest.raises(Conflict):
        code(store, shown[0], 2, "r2")
    assert ratings.code_of(store, "Anna", shown[0].place) == 0
    assert code(store, shown[0], 2, "r3", previous=first.event).code == 2
    with pytest.raises(Conflict):
        code(store, shown[0], 1, "r4", previous=first.event)


def test_undo_takes_back_one_after_the_other_and_keeps_the_history(store: Store, shown: list[Turn]):
    first = code(store, shown[0], 0, "r1")
    code(store, shown[1], 1, "r2")
    code(store, shown[0], 2, "r3", previous=first.event)
    places = []
    for number, expected in enumerate([0, None, None]):  # the second code of the first, the second, the first
        saved = undo(store, "Anna", request=f"u{number}")
        assert saved is not None
        assert saved.code == expected
        places.append(saved.place)
    assert places == [shown[0].place, shown[1].place, shown[0].place]
    assert undo(store, "Anna", request="u9") is None
    assert store.number("SELECT count(*) FROM event") == 6
    assert not store.rows("SELECT * FROM rating")


def test_undo_is_of_ones_own(store: Store, shown: list[Turn]):
    code(store, shown[0], 0, "r1")
    assert undo(store, "Ben", request="u1") is None


def test_undo_that_comes_twice_is_done_once(store: Store, shown: list[Turn]):
    code(store, shown[0], 0, "r1")
    code(store, shown[1], 1, "r2")
    assert undo(store, "Anna", request="u1") == undo(store, "Anna", request="u1")
    assert ratings.code_of(store, "Anna", shown[0].place) == 0


def test_what_is_undone_can_be_coded_again(store: Store, shown: list[Turn]):
    code(store, shown[0], 0, "r1")
    undo(store, "Anna", request="u1")
    assert code(store, shown[0], 1, "r2").code == 1


def test_a_flag_has_reasons_and_words_and_can_be_taken_away(store: Store, shown: list[Turn]):
    flag(
        store, shown[0], ratings.reason_of(["spleen", "liver"], "  leaks\ninto the stomach "), sha256="aa", request="f1"
    )
    assert ratings.standing_reason(store, shown[0])[0] == "liver, spleen; leaks into the stomach"
    flag(store, shown[0], "", sha256="aa", request="f2")
    assert ratings.standing_reason(store, shown[0])[0] == ""
    undo(store, "Anna", request="u1")
    assert ratings.standing_reason(store, shown[0])[0].startswith("liver")


@pytest.mark.parametrize(
    ("reasons", "text", "error"),
    [(["heart"], "", r"^reason is 'heart', expected one of liver"), ([], "x" * 501, r"^text has 501 letters")],
)
def test_a_reason_that_cannot_be_is_one_line(reasons: list, text: str, error: str):
    with pytest.raises(ValueError, match=error):
        ratings.reason_of(reasons, text)


@pytest.mark.parametrize(("value", "seconds"), [(3, 1.0), (-1, 1.0), (True, 1.0), (0, -1.0), (0, float("nan"))])
def test_a_rating_that_cannot_be_is_refused(store: Store, shown: list[Turn], value: int, seconds: float):
    with pytest.raises(ValueError, match="expected"):
        rate(store, shown[0], value, sha256="aa", seconds=seconds, request="r1", previous=None)
    assert store.number("SELECT count(*) FROM event") == 0


@pytest.mark.parametrize("statement", ["DELETE FROM event", "UPDATE event SET code = 0"])
def test_events_are_only_appended(store: Store, shown: list[Turn], statement: str):
    code(store, shown[0], 2, "r1")
    with pytest.raises(sqlite3.IntegrityError, match="events are only appended"):
        store.run(statement)


def test_what_is_stored_is_there_for_whoever_opens_the_file_next(store: Store, shown: list[Turn]):
    code(store, shown[0], 2, "r1")
    assert store.number("PRAGMA synchronous") == 2  # FULL
    other = Store(store.path)  # the first is still open, as after a kill
    assert other.number("SELECT code FROM rating") == 2
    other.close()


def test_a_transaction_that_fails_leaves_nothing(store: Store, shown: list[Turn]):
    def fail() -> None:
        with store.transaction():
            code(store, shown[0], 2, "r1")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert store.number("SELECT count(*) FROM event") == 0


def test_a_file_that_is_no_store_is_one_line(tmp_path: Path):
    path = tmp_path / "codes.sqlite"
    path.write_text("case_id,code\n" * 100)
    with pytest.raises(ValueError, match=r"codes\.sqlite: no store of ratings"):
        Store(path)


def test_a_store_of_a_later_program_is_left_alone(tmp_path: Path):
    connection = sqlite3.connect(tmp_path / "later.sqlite")
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(ValueError, match=rf"has version {VERSION + 1}, expected {VERSION}"):
        Store(tmp_path / "later.sqlite")
