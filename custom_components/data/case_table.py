"""A table of cases that a killed run leaves complete: rows are appended as cases are done, and sorted at the end."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from custom_components.case_ids import CASE_ID
from custom_components.files import complete_file

Row = dict[str, str]


def is_finished(path: Path) -> bool:
    """Whether a table is there and the last run came to its end."""
    return path.is_file() and not _mark(path).exists()


def _mark(path: Path) -> Path:
    return path.with_name(f".unfinished_{path.name}")


class CaseTable:
    """Rows by case id in a CSV file.

    Args:
        path: the file.
        columns: its columns, the first of them `case_id`.

    Example::

        table = CaseTable("out/summary.csv", ["case_id", "status"])
        table.start()
        table.add({"case_id": "a", "status": "ok"})
        table.finish()
    """

    def __init__(self, path: str | Path, columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = list(columns)
        self.rows: dict[str, Row] = {}

    def read(self) -> dict[str, Row]:
        """Read the rows of an earlier run, the last one of each case; a last line without its end is left out."""
        if not self.path.is_file():
            return {}
        complete, end, _ = self.path.read_text(encoding="utf-8").rpartition("\n")
        rows = csv.DictReader(io.StringIO(complete + end))
        return {row[CASE_ID]: {name: row.get(name) or "" for name in self.columns} for row in rows if row.get(CASE_ID)}

    def start(self, keep: Callable[[Row], bool] = lambda _: True) -> None:
        """Take over the rows of an earlier run that are to be kept, and write the file anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _mark(self.path).touch()
        self.rows = {case_id: row for case_id, row in self.read().items() if keep(row)}
        self._write(sorted(self.rows.values(), key=lambda row: row[CASE_ID]))

    def add(self, row: Row) -> None:
        """Append a row at once; it replaces an earlier one of its case."""
        self.rows[row[CASE_ID]] = row
        with self.path.open("a", newline="", encoding="utf-8") as file:
            file.write(self._text([row]))

    def finish(self, key: Callable[[Row], Any] = lambda row: row[CASE_ID]) -> None:
        """Write every case once, sorted."""
        self._write(sorted(self.rows.values(), key=key))
        _mark(self.path).unlink(missing_ok=True)

    def _write(self, rows: Sequence[Row]) -> None:
        with complete_file(self.path) as partial:
            partial.write_text(self._text([{name: name for name in self.columns}, *rows]), "utf-8")

    def _text(self, rows: Sequence[Row]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, restval="", lineterminator="\n").writerows(rows)
        return text.getvalue()
