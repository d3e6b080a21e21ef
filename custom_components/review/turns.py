"""Which segmentation a rater is shown next."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from custom_components.data.code_values import ADJUDICATION
from custom_components.review.store import Store

Order = Literal["shuffled", "worst", "uncertain", "unrated"]
ORDERS: tuple[Order, ...] = get_args(Order)
Kind = Literal["first", "repeat", "changed", "adjudication"]

GAP = 10
"""Least number of others between a segmentation and its hidden repeat, as long as there are others."""

AHEAD = 8
"""How many turns are decided at once: a page loads the next ones ahead."""

_UNRATED = """
    SELECT turn.* FROM turn JOIN item USING (item)
    WHERE turn.rater = ? AND is_there AND fault = '' AND (kind = 'adjudication') = ? AND NOT EXISTS (
        SELECT 1 FROM done WHERE kind = 'rating' AND rater = turn.rater
        AND place IN (turn.place, CASE turn.kind WHEN 'first' THEN -turn.item END)
    )
"""

_IS_CODED = """
    EXISTS (SELECT 1 FROM done WHERE done.kind = 'rating' AND done.rater = turn.rater AND done.place = turn.place)
"""

_CODED = """
    SELECT done.item FROM done LEFT JOIN turn USING (rater, place)
    WHERE done.rater = :rater AND done.kind = 'rating' AND turn.kind IS NOT 'adjudication'
"""
"""Items that a rater has coded, here or elsewhere, and not only decided about."""

_CHANGED = f"""
    SELECT DISTINCT item FROM item WHERE is_there AND fault = '' AND sha256 != '' AND item IN (
        {_CODED} AND done.sha256 NOT IN ((SELECT sha256 FROM item WHERE item.item = done.item), '')
    )
    AND NOT EXISTS (
        SELECT 1 FROM done WHERE done.item = item.item AND kind = 'rating' AND rater = :rater
        AND done.sha256 IN (item.sha256, '')
    )
    AND NOT EXISTS (
        SELECT 1 FROM turn WHERE turn.item = item.item AND turn.rater = :rater AND NOT EXISTS (
            SELECT 1 FROM done WHERE done.rater = :rater AND done.place = turn.place AND done.kind = 'rating'
        )
    )
"""

_NEXT_IN_LINE = """
    SELECT item, case_id FROM line JOIN item USING (item)
    WHERE line.rater = :rater AND is_there AND fault = ''
    AND NOT EXISTS (SELECT 1 FROM turn WHERE turn.item = line.item AND turn.rater = :rater AND kind = 'first')
    AND NOT EXISTS (SELECT 1 FROM done WHERE rater = :rater AND place = -line.item)
    ORDER BY {first} rank LIMIT :count
"""

_LINE = """
    INSERT INTO line SELECT :rater, row_number() OVER (ORDER BY part, weight DESC NULLS LAST, draw, item) - 1, item
    FROM (
        SELECT item, draw, CASE :order WHEN 'worst' THEN score WHEN 'uncertain' THEN doubt END AS weight,
            iif(:paired, row_number() OVER (PARTITION BY case_id ORDER BY draw), 0) AS part
        FROM (
            SELECT *, digest(:seed || char(10) || :rater || char(10) || case_id || '/' || model) AS draw
            FROM item WHERE is_there
        )
    )
"""
"""The order in which a rater would see all items; made by SQLite, so that memory does not hold the cohort."""

_OTHERS = """
    (SELECT count(DISTINCT rater) FROM event WHERE item = line.item AND kind = 'rating' AND rater != :rater),
    (SELECT count(*) FROM turn WHERE item = line.item AND rater != :rater),
"""

_REPEATABLE = f"""
    SELECT turn.item, digest(? || char(10) || turn.rater || char(10) || 'again ' || turn.item) AS draw
    FROM turn JOIN item USING (item)
    WHERE turn.rater = ? AND kind = 'first' AND is_there AND fault = '' AND {_IS_CODED}
    AND NOT EXISTS (
        SELECT 1 FROM turn AS other WHERE other.item = turn.item AND other.rater = turn.rater
        AND other.kind IN ('repeat', 'changed')
    )
    AND case_id NOT IN ({{near}}) ORDER BY draw LIMIT 1
"""


@dataclass(frozen=True)
class Plan:
    """In which order segmentations are shown.

    Attributes:
        order: `shuffled`; `worst` score first; most `uncertain` first; or `unrated` by other raters first.
        seed: of what is random, which differs from rater to rater.
        repeats: share of the segmentations that each rater is shown a second time, without being told.
        paired: first one segmentation of every case, drawn at random, then the others; never two of a case within
            `GAP` turns, as long as there are others.
    """

    order: Order = "shuffled"
    seed: int = 0
    repeats: float = 0.05
    paired: bool = False

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order is {self.order!r}, expected one of {', '.join(ORDERS)}")
        if not 0 <= self.repeats <= 0.5:
            raise ValueError(f"repeats is {self.repeats}, expected a share from 0 to 0.5")


class Turn(NamedTuple):
    """What a rater is shown at a place of the rater's own list."""

    rater: str
    place: int
    item: int
    kind: Kind


class Turns:
    """The lists of all raters.

    Args:
        store: where they are kept.
        plan: how they go on; what a rater was shown before stays where it was.
    """

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.plan = store, plan
        self._in_line: set[str] = set()

    def turn(self, rater: str, place: int) -> Turn:
        """What was shown at a place.

        Raises:
            KeyError: nothing was.
        """
        row = self.store.row("SELECT * FROM turn WHERE rater = ? AND place = ?", rater, place)
        if row is None:
            raise KeyError(place)
        return Turn(**dict(row))

    def following(self, rater: str, after: int, count: int = 1, *, adjudication: bool = False) -> list[Turn]:
        """The next turns without a rating after a place; if these are too few, also those that were passed over before.

        Args:
            rater: whose list.
            after: a place; 0 for the first ones.
            count: how many at most.
            adjudication: only those of segmentations about which raters disagree, instead of only the others.
        """
        try:
            with self.store.transaction():
                found = self._unrated(rater, after, count, adjudication)
                if len(found) < count and not adjudication:
                    self._extend(rater, AHEAD)
                    found = self._unrated(rater, after, count, adjudication)
                if len(found) < count:
                    found += self._unrated(rater, 0, count - len(found), adjudication, until=after)
        except BaseException:
            self._in_line.discard(rater)  # it is rolled back
            raise
        return found

    def around(self, rater: str, place: int) -> tuple[int | None, int | None]:
        """The places before and after one, of what can be shown, with or without a rating."""
        places = []
        for sign, way in (("<", "DESC"), (">", "ASC")):
            row = self.store.row(
                f"SELECT place FROM turn JOIN item USING (item) WHERE rater = ? AND place {sign} ? AND is_there"
                f" AND fault = '' ORDER BY place {way} LIMIT 1",
                rater, place,
            )  # fmt: skip
            places.append(row["place"] if row else None)
        return places[0], places[1]

    def progress(self, rater: str) -> tuple[int, int]:
        """How many turns a rater has coded, and of how many, without adjudication."""
        shown = f"turn JOIN item USING (item) WHERE rater = ? AND is_there AND fault = '' AND {_IS_CODED}"
        done = self._count(f"{shown} AND kind != 'adjudication'", rater)
        repeated = self._count(f"{shown} AND kind = 'repeat'", rater)
        uncoded = self._count(f"item WHERE is_there AND fault = '' AND item NOT IN ({_CODED})", rater=rater)
        changed = self._count(f"({_UNRATED}) WHERE kind = 'changed'", rater, False)  # waits with a turn of its own
        return done, done + uncoded + changed + max(0, self._all_repeats(rater) - repeated)

    def add_adjudication(self, rater: str, items: Sequence[int]) -> None:
        """Let a rater decide about these items, unless they wait there already."""
        with self.store.transaction():
            waiting = {turn.item for turn in self._unrated(rater, 0, len(items) + 1, adjudication=True)}
            self._append(rater, [(item, "adjudication") for item in items if item not in waiting])

    def _count(self, what: str, *values: object, **named: object) -> int:
        return self.store.number(f"SELECT count(*) FROM {what}", *values, **named)

    def _unrated(self, rater: str, after: int, count: int, adjudication: bool, until: int = 2**62) -> list[Turn]:
        sql = f"{_UNRATED} AND place > ? AND place <= ? ORDER BY place LIMIT ?"
        return [Turn(**dict(row)) for row in self.store.rows(sql, rater, adjudication, after, until, count)]

    def _extend(self, rater: str, count: int) -> None:
        """Decide the rater's next turns."""
        self._stand_in_line(rater)
        changed = self.store.rows(_CHANGED + " LIMIT 100", rater=rater)
        self._append(rater, [(row["item"], "changed") for row in changed])
        found = self._next_in_line(rater, count)
        to_come = {case_id for _, case_id in found}
        for item, _ in found:
            self._append(rater, [(item, "first")])
            self._repeat_if_due(rater, to_come)
        if len(found) < count:
            while self._repeat_if_due(rater, is_end=True):
                pass

    def _next_in_line(self, rater: str, count: int) -> list[tuple[int, str]]:
        """The next items for a rater, with their cases; of a case that was shown just before only if no others wait."""
        first = _OTHERS if self.plan.order == "unrated" else ""
        models = self.store.number("SELECT count(DISTINCT model) FROM item WHERE is_there")
        more = (models - 1) * (GAP + count)
        waiting = self.store.rows(_NEXT_IN_LINE.format(first=first), rater=rater, count=count + more)
        shown = self._last_cases(rater, GAP)
        chosen: list[tuple[int, str]] = []
        while waiting and len(chosen) < count:
            far = (row for row in waiting if row["case_id"] not in shown[-GAP:])
            row = next(far, waiting[0])
            waiting.remove(row)
            shown.append(row["case_id"])
            chosen.append((row["item"], row["case_id"]))
        return chosen

    def _last_cases(self, rater: str, count: int) -> list[str]:
        """The cases that were shown last, in their order."""
        rows = self.store.rows(
            "SELECT case_id FROM turn JOIN item USING (item) WHERE rater = ? ORDER BY place DESC LIMIT ?", rater, count
        )
        return [row["case_id"] for row in reversed(rows)]

    def _append(self, rater: str, items: Sequence[tuple[int, Kind]]) -> None:
        last = self.store.number("SELECT max(place) FROM turn WHERE rater = ?", rater)
        rows = [(rater, place, item, kind) for place, (item, kind) in enumerate(items, start=last + 1)]
        self.store.run_many("INSERT INTO turn VALUES (?, ?, ?, ?)", rows)

    def _all_repeats(self, rater: str) -> int:
        """How many hidden repeats the rater is to have: a share of what is coded here."""
        firsts = self._count(
            "item WHERE is_there AND fault = '' AND NOT EXISTS ("
            "SELECT 1 FROM done WHERE rater = ? AND place = -item.item)",
            rater,
        )
        return math.floor(firsts * self.plan.repeats + 1e-9)

    def _repeat_if_due(self, rater: str, to_come: Collection[str] = (), *, is_end: bool = False) -> bool:
        """Show a rated segmentation again: one in so many, at a random place among these.

        Args:
            rater: to whom.
            to_come: cases that are shown next.
            is_end: nothing else is left to be shown.
        """
        if not self.plan.repeats:
            return False
        firsts = self._count("turn WHERE rater = ? AND kind = 'first'", rater)
        repeats = self._count("turn WHERE rater = ? AND kind = 'repeat'", rater)
        every = round(1 / self.plan.repeats)
        due = repeats * every + int(self._draw(rater, f"repeat {repeats}")[:8], 16) % every + 1
        if (not is_end and firsts < due) or repeats >= self._all_repeats(rater):
            return False
        for gap in (GAP, 1) if is_end else (GAP,):
            near = {*to_come, *self._last_cases(rater, gap)}
            row = self.store.row(_REPEATABLE.format(near=", ".join("?" * len(near))), self.plan.seed, rater, *near)
            if row:
                self._append(rater, [(row["item"], "repeat")])
                return True
        return False

    def _stand_in_line(self, rater: str) -> None:
        """Put all items in the order in which the rater would see them, once for each run of the server."""
        if rater in self._in_line:
            return
        self.store.run("DELETE FROM line WHERE rater = ?", rater)
        self.store.run(_LINE, rater=rater, seed=self.plan.seed, order=self.plan.order, paired=self.plan.paired)
        self._in_line.add(rater)

    def _draw(self, rater: str, what: str) -> str:
        return hashlib.sha256(f"{self.plan.seed}\n{rater}\n{what}".encode()).hexdigest()


def disagreements(store: Store, spread: int = 2) -> list[int]:
    """Items that raters coded so far apart, and that nobody has decided about, the worst first."""
    rows = store.rows(
        f"""
        SELECT item, max(code) - min(code) AS spread, avg(code) AS mean FROM rating JOIN item USING (item)
        WHERE item IN (
            SELECT item FROM event WHERE kind = 'rating'
            GROUP BY item HAVING max(code) - min(code) >= :spread AND min(rater) != max(rater)
        )
        AND turn_kind IN ('first', 'changed', 'imported') AND is_there AND fault = ''
        AND rating.sha256 IN (item.sha256, '') AND rating.rater NOT LIKE '%{ADJUDICATION}' AND NOT EXISTS (
            SELECT 1 FROM rating AS last WHERE last.item = item.item AND last.sha256 IN (item.sha256, '')
            AND (last.turn_kind = 'adjudication' OR last.rater LIKE '%{ADJUDICATION}')
        )
        GROUP BY item HAVING count(DISTINCT rating.rater) > 1 AND max(code) - min(code) >= :spread
        ORDER BY spread DESC, mean DESC, item
        """,
        spread=spread,
    )
    return [row["item"] for row in rows]
