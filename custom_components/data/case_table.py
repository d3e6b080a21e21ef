"""A table of cases that a killed run leaves complete: rows are appended as cases are done, and sorted at the end."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Sequence
from glob import escape
from pathlib import Path
from typing import Any

from custom_components.case_ids import CASE_ID
from custom_components.data.share import Share
from custom_components.files import complete_file

Row = dict[str, str]

WRITTEN = "written"
"""Column of the files of several processes: when, in nanoseconds."""


def is_finished(path: Path) -> bool:
    """Whether a table is there and the last run came to its end, with all of its processes, begun or not."""
    if not path.is_file() or _marks(path):
        return False
    numbers = ((rank, world_size) for world_size in _world_sizes(path) for rank in range(world_size))
    return all(_hidden(path, *number).is_file() for number in numbers)


class CaseTable:
    """Rows by case id in a CSV file.

    Each of several processes writes a hidden file of its own, `.rank0of2_summary.csv`, which a killed run leaves, and
    each that comes to its end makes the table of all of them: the last one completes it. No process waits for another.
    The hidden files stay until a run with another number of processes has all of their rows in the table.

    Args:
        path: the file.
        columns: its columns, the first of them `case_id`.
        share: which of several processes this is.

    Example::

        table = CaseTable("out/summary.csv", ["case_id", "status"])
        table.start()
        table.add({"case_id": "a", "status": "ok"})
        table.finish()
    """

    def __init__(self, path: str | Path, columns: Sequence[str], share: Share | None = None) -> None:
        self.path = Path(path)
        self.columns = list(columns)
        self.rows: dict[str, Row] = {}
        self.share = share or Share()
        self._file = self._file_of(self.share.rank)
        self._file_columns = self.columns if self.share.is_whole else [*self.columns, WRITTEN]
        self._keep: Callable[[Row], bool] = lambda _: True

    def read(self) -> dict[str, Row]:
        """Read the rows of earlier runs, the last one of each case; a last line without its end is left out.

        What processes wrote, each for itself, is newer than the table, for a run of one process takes it over.
        """
        # in this order: a file is only removed when the table has its rows
        parts = [row for part in self._parts() for row in _rows_of(part).values()]
        rows = _rows_of(self.path)
        rows.update({row[CASE_ID]: row for row in sorted(parts, key=lambda row: int(row.get(WRITTEN) or 0))})
        return {case_id: {name: row.get(name) or "" for name in self.columns} for case_id, row in rows.items()}

    def start(self, keep: Callable[[Row], bool] = lambda _: True) -> None:
        """Take over the rows of an earlier run that are to be kept, and write the file of this process anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _mark(self._file).touch()
        self._keep = keep
        self.rows = self._kept()
        if self.share.is_whole:
            self._write(self._file, sorted(self.rows.values(), key=lambda row: row[CASE_ID]))
            self._remove_others()
        else:
            own = _rows_of(self._file).values()
            self._write(self._file, [{name: row.get(name) or "" for name in self._file_columns} for row in own])

    def add(self, row: Row) -> None:
        """Append a row at once; it replaces an earlier one of its case."""
        self.rows[row[CASE_ID]] = row
        written = {} if self.share.is_whole else {WRITTEN: str(time.time_ns())}
        with self._file.open("a", newline="", encoding="utf-8") as file:
            file.write(_text([{**row, **written}], self._file_columns))

    def finish(self, key: Callable[[Row], Any] = lambda row: row[CASE_ID]) -> None:
        """Write every case once, sorted."""
        if self.share.is_whole:
            self._write(self.path, sorted(self.rows.values(), key=key))
            _mark(self.path).unlink(missing_ok=True)
            return
        _mark(self._file).unlink(missing_ok=True)
        finished: list[tuple[int, int]] | None = None
        while finished != (finished := self._finished()):  # else another process may have come to its end meanwhile
            self.rows = self._kept()
            self._write(self.path, sorted(self.rows.values(), key=key))
        if len(finished) == self.share.world_size:
            self._remove_others()

    def _kept(self) -> dict[str, Row]:
        return {case_id: row for case_id, row in self.read().items() if self._keep(row)}

    def _file_of(self, rank: int) -> Path:
        if self.share.is_whole:
            return self.path
        return _hidden(self.path, rank, self.share.world_size)

    def _parts(self) -> list[Path]:
        ours = {self._file_of(rank) for rank in range(self.share.world_size)} - {self.path}
        return sorted(ours.union(self.path.parent.glob(f".rank*of*_{escape(self.path.name)}")))

    def _finished(self) -> list[tuple[int, int]]:
        """The processes of this run that came to their end, and when."""
        files = ((rank, self._file_of(rank)) for rank in range(self.share.world_size))
        return [(rank, file.stat().st_mtime_ns) for rank, file in files if file.is_file() and not _mark(file).exists()]

    def _remove_others(self) -> None:
        """Remove what runs with another number of processes left, whose rows are in the table."""
        ours = {self._file_of(rank) for rank in range(self.share.world_size)}
        ours |= {_mark(file) for file in ours}
        for file in [*self._parts(), *_marks(self.path)]:
            if file not in ours:
                file.unlink(missing_ok=True)

    def _write(self, path: Path, rows: Sequence[Row]) -> None:
        columns = self._file_columns if path == self._file else self.columns
        with complete_file(path, writer="" if self.share.is_whole else f"rank{self.share.rank}_") as partial:
            partial.write_text(_text([{name: name for name in columns}, *rows], columns), "utf-8")


def _hidden(path: Path, rank: int, world_size: int) -> Path:
    """The file of one of several processes."""
    return path.with_name(f".rank{rank}of{world_size}_{path.name}")


def _world_sizes(path: Path) -> set[int]:
    """How many processes there are in each of the runs whose files are there."""
    found = (re.fullmatch(rf"\.rank\d+of(\d+)_{re.escape(path.name)}", one.name) for one in path.parent.iterdir())
    return {int(one[1]) for one in found if one}


def _mark(path: Path) -> Path:
    return path.with_name(f".unfinished_{path.name.lstrip('.')}")


def _marks(path: Path) -> list[Path]:
    """The marks that are there: that of a run of one process, and those of several."""
    of_several = path.parent.glob(f".unfinished_rank*of*_{escape(path.name)}")
    return [one for one in (_mark(path), *of_several) if one.exists()]


def _rows_of(path: Path) -> dict[str, Row]:
    try:
        complete, end, _ = path.read_bytes().rpartition(b"\n")  # the rest may end within a letter
    except FileNotFoundError:
        return {}
    text = (complete + end).decode("utf-8")
    return {row[CASE_ID]: row for row in csv.DictReader(io.StringIO(text)) if row.get(CASE_ID)}


def _text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()
