"""What is wrong with a row of a file of QA codes, and what was done about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.files import complete_file

Action = Literal["rejected", "replaced", "merged", "kept"]
"""`rejected`: the row does not count. `replaced`: a later rating counts in its place. `merged`: another row says the
same. `kept`: the row counts."""

PROBLEM_COLUMNS = ("file", "line", "case_id", "field", "found", "expected", "action", "row")


@dataclass(frozen=True)
class Problem:
    """A fault in one row; as text it is one line.

    Args:
        file: the file as the user named it.
        line: of the file, counted from 1; 0 if the fault is not of one line.
        case_id: as found, perhaps empty.
        field: name of the column.
        found: what stands there.
        expected: what could stand there.
        action: what became of the row.
        detail: more about the action.
        row: the cells of the row as found, by column, so that a row that does not count is not lost.

    Example:
        >>> print(Problem("a.csv", 3, "case_7", "code", "1.5", "0, 1, 2 or empty", "rejected"))
        a.csv, line 3: case_id 'case_7': code is '1.5', expected 0, 1, 2 or empty: rejected
    """

    file: str
    line: int
    case_id: str
    field: str
    found: str
    expected: str
    action: Action
    detail: str = ""
    row: Mapping[str, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line else self.file
        case = f" case_id {self.case_id!r}:" if self.case_id and self.field != "case_id" else ""
        done = f"{self.action}, {self.detail}" if self.detail else self.action
        return f"{where}:{case} {self.field} is {self.found!r}, expected {self.expected}: {done}"


def problem_of(
    place: Any, row: Mapping[Any, Any], field: str, found: str, expected: str, action: Action, detail: str = ""
) -> Problem:
    """Make the problem of a row of a table of codes.

    Args:
        place: the row's index: file and line.
        row: the row's cells by column.
        field: see `Problem`.
        found: see `Problem`.
        expected: see `Problem`.
        action: see `Problem`.
        detail: see `Problem`.
    """
    file, line = place
    cells = {str(key): "" if pd.isna(cell) else str(cell) for key, cell in row.items()}
    return Problem(file, line, cells[CASE_ID], field, found, expected, action, detail, cells)


class Codes(NamedTuple):
    """Ratings that count, one a row, with the index `file, line`; and what was wrong with rows."""

    table: pd.DataFrame
    problems: list[Problem]


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """Lay problems out as a table: `file, line, case_id, field, found, expected, action, row`.

    The last column has the cells of the row as JSON, without the empty ones.
    """
    rows = [
        {
            **{name: getattr(problem, name) for name in PROBLEM_COLUMNS[:6]},
            "action": f"{problem.action}, {problem.detail}" if problem.detail else problem.action,
            "row": json.dumps({key: cell for key, cell in problem.row.items() if cell}, ensure_ascii=False),
        }
        for problem in problems
    ]
    return pd.DataFrame(rows, columns=list(PROBLEM_COLUMNS))


def write_problems(problems: Iterable[Problem], path: str | Path) -> None:
    """Write problems, with the rows that do not count, as CSV.

    Raises:
        OSError: the folder is not writable or the disk full.
    """
    with complete_file(path) as partial:
        problem_table(problems).to_csv(partial, index=False, lineterminator="\n")
