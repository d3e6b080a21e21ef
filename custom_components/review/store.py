"""The store of a review: items, turns and events in an SQLite file that several threads and servers may use at once."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from threading import RLock
from typing import Any

from custom_components.review.schema import connect


@dataclass(frozen=True)
class Item:
    """One segmentation of one case.

    Attributes:
        case_id: of the case.
        model: what made the segmentation; empty if there is only one.
        image: paths of the CT, none if there are only montages.
        segmentation: path of the label map, or empty.
        montage: path of a ready montage, or empty.
        made_from: fingerprint of the files and settings that its picture is made with.
        score: QA score, the larger the worse.
        doubt: width of the score's interval, or how far two discriminators differ.
        fault: why it cannot be shown, or empty.
        sha256: of the file that is rated, once it is known.
        item: number in the store.
    """

    case_id: str
    model: str = ""
    image: Sequence[str] = ()
    segmentation: str = ""
    montage: str = ""
    made_from: str = ""
    score: float | None = None
    doubt: float | None = None
    fault: str = ""
    sha256: str = ""
    item: int = field(default=0, compare=False)

    @property
    def rated_file(self) -> Path:
        """The file that a rating is of."""
        return Path(self.segmentation or self.montage)


class Store:
    """An open store.

    Args:
        path: of the SQLite file; made if it is missing.

    Raises:
        ValueError: the file is no store, or one of a later version.
        OSError: it cannot be made or opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._connection = connect(path)
        self._lock = RLock()
        self._depth = 0

    def close(self) -> None:
        """Close the file; what was committed is there whether or not this is called."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do several things or none; on the disk when it ends, and nobody else writes in between."""
        with self._lock:
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth -= 1

    def rows(self, sql: str, *values: Any, **named: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(sql, named or values).fetchall()

    def row(self, sql: str, *values: Any, **named: Any) -> sqlite3.Row | None:
        """The first row of a query."""
        with self._lock:
            return self._connection.execute(sql, named or values).fetchone()

    def number(self, sql: str, *values: Any, **named: Any) -> int:
        """The first cell of a query, 0 if there is none."""
        found = self.row(sql, *values, **named)
        return int(found[0] or 0) if found else 0

    def run(self, sql: str, *values: Any, **named: Any) -> int:
        """Run a statement; give the number of the last row that was inserted."""
        with self._lock:
            return int(self._connection.execute(sql, named or values).lastrowid or 0)

    def run_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """Run a statement for many rows."""
        with self._lock:
            self._connection.executemany(sql, values)

    def secret(self) -> bytes:
        """A key of this store that nobody outside the server knows."""
        with self.transaction():
            self.run("INSERT OR IGNORE INTO setting VALUES ('secret', ?)", secrets.token_hex(32))
            found = self.row("SELECT value FROM setting WHERE name = 'secret'")
        assert found
        return bytes.fromhex(found["value"])

    def keep_items(self, items: Iterable[Item]) -> None:
        """Take over what a look at the cohort found; an item that is not there any more keeps its ratings."""
        with self.transaction():
            self.run("UPDATE item SET is_there = 0")
            self.run_many(
                """
                INSERT INTO item (case_id, model, image, segmentation, montage, made_from, score, doubt, fault)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (case_id, model) DO UPDATE SET
                    sha256 = CASE WHEN made_from = excluded.made_from THEN sha256 ELSE '' END,
                    image = excluded.image, segmentation = excluded.segmentation, montage = excluded.montage,
                    made_from = excluded.made_from, score = excluded.score, doubt = excluded.doubt,
                    fault = excluded.fault, is_there = 1
                """,
                (
                    (one.case_id, one.model, json.dumps(list(one.image)), one.segmentation, one.montage, one.made_from,
                     one.score, one.doubt, one.fault)
                    for one in items
                ),
            )  # fmt: skip

    def item(self, number: int) -> Item:
        """An item by its number.

        Raises:
            KeyError: there is none.
        """
        found = self.row("SELECT * FROM item WHERE item = ?", number)
        if found is None:
            raise KeyError(number)
        return _item(found)

    def items(self, where: str = "is_there", *values: Any) -> Iterator[Item]:
        """Items for which an SQL condition holds, one after the other, so that memory holds few of them."""
        for some in self._by_and_by(f"SELECT * FROM item WHERE ({where})", "item", *values):
            yield from map(_item, some)

    def history(self) -> Iterator[list[dict[str, Any]]]:
        """Everything that was ever done, in its order; also what was taken back, repeats, and of files before.

        It comes some hundreds at a time, so that memory does not hold all of it.
        """
        everything = """
            SELECT event, event.kind, event.rater, place, coalesce(turn.kind, 'imported') AS shown_as, case_id, model,
                event.sha256, code, seconds, at, reason, undone
            FROM event JOIN item ON item.item = event.item LEFT JOIN turn USING (rater, place) WHERE true
        """
        for some in self._by_and_by(everything, "event"):
            yield [dict(row) for row in some]

    def _by_and_by(self, sql: str, number: str, *values: Any) -> Iterator[list[sqlite3.Row]]:
        """The rows of a query that ends with a condition, some hundreds at a time, in the order of a column."""
        last = 0
        while some := self.rows(f"{sql} AND {number} > ? ORDER BY {number} LIMIT 500", *values, last):
            yield some
            last = some[-1][number]


def now() -> str:
    """The time as ratings have it.

    Example:
        >>> len(now()), now()[10], now()[-1]
        (24, 'T', 'Z')
    """
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _item(row: sqlite3.Row) -> Item:
    columns = ("case_id", "model", "segmentation", "montage", "made_from", "score", "doubt", "fault", "sha256", "item")
    return Item(image=tuple(json.loads(row["image"])), **{name: row[name] for name in columns})
