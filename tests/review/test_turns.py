"""In which order segmentations are shown."""

from __future__ import annotations

import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from custom_components.review.ratings import rate, undo
from custom_components.review.store import Item, Store
from custom_components.review.turns import GAP, Plan, Turn, Turns, disagreements


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path / "review.sqlite")
    yield store
    store.close()


def fill(store: Store, count: int, models: tuple[str, ...] = ("",), **columns: dict[int, float]) -> None:
    store.keep_items(
        Item(
            f"case_{number:04d}",
            model,
            montage="x.png",
            made_from="1",
            **{k: v.get(number) for k, v in columns.items()},
        )
        for number in range(count)
        for model in models
    )
    store.run("UPDATE item SET sha256 = 'old' || item WHERE sha256 = ''")


def code(store: Store, turn: Turn, value: int = 0, sha256: str | None = None) -> None:
    digest = store.item(turn.item).sha256 if sha256 is None else sha256
    rate(store, turn, value, sha256=digest, seconds=1, request=f"{turn.place}/{value}/{digest}", previous=None)


def go_through(store: Store, turns: Turns, rater: str, most: int = 10_000) -> list[Turn]:
    """Code what comes next until nothing does."""
    shown: list[Turn] = []
    while len(shown) < most and (found := turns.following(rater, shown[-1].place if shown else 0)):
        code(store, found[0])
        shown.append(found[0])
    return shown


def turns_of(store: Store, rater: str) -> list[Turn]:
    return [Turn(*row) for row in store.rows("SELECT * FROM turn WHERE rater = ? ORDER BY place", rater)]


def cases(store: Store, turns: list[Turn]) -> list[str]:
    return [store.item(turn.item).case_id for turn in turns]


def test_each_rater_sees_every_case_once_in_an_order_of_their_own(store: Store):
    fill(store, 40)
    turns = Turns(store, Plan(repeats=0))
    anna, ben = (cases(store, go_through(store, turns, rater)) for rater in ("Anna", "Ben"))
    assert sorted(anna) == sorted(ben) == [f"case_{number:04d}" for number in range(40)]
    assert anna != ben
    assert anna != sorted(anna)


def test_a_seed_gives_an_order(store: Store, tmp_path: Path):
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        other = Store(tmp_path / f"{name}.sqlite")
        fill(other, 30)
        orders.append(cases(other, Turns(other, Plan(seed=seed, repeats=0)).following("Anna", 0, 5)))
        other.close()
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(("order", "column"), [("worst", "score"), ("uncertain", "doubt")])
def test_the_largest_comes_first_and_what_has_no_number_last(store: Store, order: str, column: str):
    fill(store, 5, **{column: {0: 0.5, 1: 1.9, 3: -0.2, 4: 1.0}})
    shown = cases(store, go_through(store, Turns(store, Plan(order=order, repeats=0)), "Anna"))  # type: ignore[arg-type]
    assert shown == ["case_0001", "case_0004", "case_0000", "case_0003", "case_0002"]


def test_what_others_have_not_rated_comes_first(store: Store):
    fill(store, 20)
    turns = Turns(store, Plan(order="unrated", repeats=0))
    ben = cases(store, go_through(store, turns, "Ben", most=8))
    anna = cases(store, go_through(store, turns, "Anna"))
    assert set(anna[-8:]) == set(ben)
    assert len(set(anna)) == 20


def test_raters_who_begin_together_share_the_work(store: Store):
    fill(store, 16)
    turns = Turns(store, Plan(order="unrated", repeats=0))
    anna, ben = (turns.following(rater, 0, 8) for rater in ("Anna", "Ben"))
    assert not {turn.item for turn in anna} & {turn.item for turn in ben}


def test_a_share_is_shown_again_and_not_soon(store: Store):
    fill(store, 200)
    turns = Turns(store, Plan(repeats=0.05))
    shown = go_through(store, turns, "Anna")
    kinds = Counter(turn.kind for turn in shown)
    assert kinds == {"first": 200, "repeat": 10}
    assert turns.progress("Anna") == (210, 210)
    first = {turn.item: turn.place for turn in shown if turn.kind == "first"}
    repeats = [turn for turn in shown if turn.kind == "repeat"]
    assert all(turn.place - first[turn.item] > GAP for turn in repeats)
    assert len({turn.item for turn in repeats}) == 10
    distances = {b.place - a.place for a, b in pairwise(repeats)}
    assert len(distances) > 3  # not every twentieth


def test_a_small_cohort_has_its_repeats_at_the_end(store: Store):
    fill(store, 6)
    shown = go_through(store, Turns(store, Plan(repeats=0.34)), "Anna")
    assert Counter(turn.kind for turn in shown) == {"first": 6, "repeat": 2}
    assert all(a.item != b.item for a, b in pairwise(shown))


def test_the_segmentations_of_a_case_come_far_apart_and_in_random_order(store: Store):
    fill(store, 30, models=("old", "new"))
    shown = go_through(store, Turns(store, Plan(repeats=0, paired=True)), "Anna")
    half = [store.item(turn.item) for turn in shown[:30]]
    assert len({item.case_id for item in half}) == 30
    models = Counter(item.model for item in half)
    assert min(models.values()) > 5
    assert len(shown) == 60


@pytest.mark.parametrize("order", ["shuffled", "worst", "unrated"])
@pytest.mark.parametrize("seed", range(4))
def test_the_segmentations_of_a_case_are_never_close_together(store: Store, order: str, seed: int):
    fill(store, 40, models=("old", "new", "third"), score={number: number / 7 % 2 for number in range(40)})
    plan = Plan(order=order, seed=seed, repeats=0.1, paired=True)  # type: ignore[arg-type]
    shown = cases(store, go_through(store, Turns(store, plan), "Anna"))
    assert len(shown) == 132
    for place, case_id in enumerate(shown):
        assert case_id not in shown[max(0, place - GAP) : place]


@pytest.mark.parametrize(("share", "repeats"), [(0.5, 50), (0.4, 40), (0.3, 30), (0.05, 5), (0, 0)])
def test_there_are_as_many_repeats_as_the_plan_says(store: Store, share: float, repeats: int):
    fill(store, 100)
    turns = Turns(store, Plan(repeats=share))
    assert turns.progress("Anna") == (0, 100 + repeats)
    kinds = Counter(turn.kind for turn in go_through(store, turns, "Anna"))
    assert kinds["repeat"] == repeats
    assert turns.progress("Anna") == (100 + repeats, 100 + repeats)


def test_what_is_gone_counts_in_neither_part_of_the_progress(store: Store):
    fill(store, 20)
    turns = Turns(store, Plan(repeats=0))
    go_through(store, turns, "Anna", 12)
    fill(store, 10)
    done, total = turns.progress("Anna")
    assert total == 10
    assert done == sum(int(case[-4:]) < 10 for case in cases(store, turns_of(store, "Anna"))[:12])


def test_a_line_that_could_not_be_stored_is_made_again(store: Store, monkeypatch: pytest.MonkeyPatch):
    fill(store, 5)
    turns = Turns(store, Plan(repeats=0))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(turns, "_append", full)
        with pytest.raises(sqlite3.OperationalError):
            turns.following("Anna", 0, 5)
    assert len(turns.following("Anna", 0, 5)) == 5


def test_an_undone_code_of_a_file_that_changed_is_asked_for_once(store: Store):
    fill(store, 3)
    turns = Turns(store, Plan(repeats=0))
    (last,) = go_through(store, turns, "Anna")[-1:]
    undo(store, "Anna", request="u")
    store.run("UPDATE item SET sha256 = 'new' WHERE item = ?", last.item)
    assert go_through(store, turns, "Anna") == [last]


def test_what_is_passed_over_comes_again_at_the_end(store: Store):
    fill(store, 5)
    turns = Turns(store, Plan(repeats=0))
    first, second = turns.following("Anna", 0, 2)
    code(store, second)
    rest = []
    place = second.place
    while (found := turns.following("Anna", place)) and found[0].place != first.place:
        code(store, found[0])
        place = found[0].place
        rest.append(found[0])
    assert len(rest) == 3
    assert found == [first]


def test_a_changed_file_is_shown_again(store: Store):
    fill(store, 12)
    turns = Turns(store, Plan(repeats=0))
    shown = go_through(store, turns, "Anna")
    store.run("UPDATE item SET sha256 = 'new' WHERE item = ?", shown[3].item)
    again = turns.following("Anna", shown[-1].place, 5)
    assert [(turn.item, turn.kind) for turn in again] == [(shown[3].item, "changed")]
    code(store, again[0], 2)
    assert not turns.following("Anna", again[0].place)
    assert turns.progress("Anna") == (13, 13)


def test_a_case_that_is_gone_or_cannot_be_shown_is_passed_over(store: Store):
    fill(store, 4)
    turns = Turns(store, Plan(repeats=0))
    waiting = turns.following("Anna", 0, 4)
    store.run("UPDATE item SET is_there = 0 WHERE item = ?", waiting[0].item)
    store.run("UPDATE item SET fault = 'damaged' WHERE item = ?", waiting[2].item)
    assert turns.following("Anna", 0, 4) == [waiting[1], waiting[3]]
    assert turns.around("Anna", waiting[1].place) == (None, waiting[3].place)


def test_new_cases_join_after_a_new_start(store: Store):
    fill(store, 3)
    shown = go_through(store, Turns(store, Plan(repeats=0)), "Anna")
    fill(store, 5)
    more = go_through(store, Turns(store, Plan(repeats=0)), "Anna")
    assert len(more) == 2
    assert not {turn.item for turn in more} & {turn.item for turn in shown}


def test_who_decided_about_a_file_that_changes_is_not_asked_to_code_it_twice(store: Store):
    fill(store, 2)
    turns = Turns(store, Plan(repeats=0))
    decided = store.number("SELECT min(item) FROM item")
    turns.add_adjudication("Cora", [decided])
    code(store, turns.following("Cora", 0, 1, adjudication=True)[0], 1)
    store.run("UPDATE item SET sha256 = 'new' WHERE item = ?", decided)
    assert [turn.kind for turn in go_through(store, turns, "Cora")] == ["first", "first"]


@pytest.mark.parametrize(("spread", "expected"), [(2, 1), (1, 2)])
def test_disagreements_wait_for_a_decision_until_there_is_one(store: Store, spread: int, expected: int):
    fill(store, 3)
    turns = Turns(store, Plan(repeats=0))
    codes = {
        "Anna": {"case_0000": 0, "case_0001": 0, "case_0002": 1},
        "Ben": {"case_0000": 2, "case_0001": 1, "case_0002": 1},
    }
    for rater, given in codes.items():
        for turn in turns.following(rater, 0, 3):
            code(store, turn, given[store.item(turn.item).case_id])
    waiting = disagreements(store, spread)
    assert len(waiting) == expected
    assert store.item(waiting[0]).case_id == "case_0000"
    turns.add_adjudication("Cora", waiting)
    turns.add_adjudication("Cora", waiting)  # a second press adds nothing
    decided = turns.following("Cora", 0, 8, adjudication=True)
    assert [turn.item for turn in decided] == waiting
    assert all(turn.kind != "adjudication" for turn in turns.following("Cora", 0, 8))
    code(store, decided[0], 1)
    assert waiting[0] not in disagreements(store, spread)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        ({"order": "best"}, r"^order is 'best', expected one of shuffled, worst, uncertain, unrated$"),
        ({"repeats": 0.9}, r"^repeats is 0\.9, expected a share from 0 to 0\.5$"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(plan: dict, error: str):
    with pytest.raises(ValueError, match=error):
        Plan(**plan)
