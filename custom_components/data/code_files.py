"""Read files of QA codes as they come: our CSV, that of a spreadsheet, one with other columns, text of `name code`."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

import pandas as pd

from custom_components.case_ids import CASE_ID, case_id_of
from custom_components.data.code_problems import Codes, Problem
from custom_components.data.code_values import CODES, UNRATED

COLUMNS = (CASE_ID, "code", "rater", "seconds", "rated_at", "reason", "segmentation_sha256", "model")
"""Columns of our CSV, one row a rating; the first two are required on import."""

REQUIRED = COLUMNS[:2]
PLACE = ("file", "line")
"""Names of the index of a table of codes: where each row comes from."""

Format = Literal["csv", "text"]
_SQLITE = b"SQLite format 3\0"
_DELIMITERS = (",", ";", "\t")
_LEGACY_LINE = re.compile(rf"^.*[^\s,;][ \t]+({'|'.join(map(str, (*CODES, *filter(None, UNRATED))))})\s*$", re.M | re.I)
_LEGACY_HEADERS = {("name", "code"), (CASE_ID, "code")}


def read_rows(path: str | Path, *, format: Format | None = None, columns: Mapping[str, str] | None = None) -> Codes:
    """Read the rows of a file of codes without judging their cells.

    Args:
        path: a CSV with a header (comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252); text with a name, white
            space and a code in each line, where lines that begin with # are comments; or `review.sqlite`, where the
            rating page keeps its codes.
        format: `csv` or `text`; recognised by the content if not given.
        columns: names of the file's columns by ours, such as `{"case_id": "Scan", "code": "Grade"}`.

    Returns:
        A table of text with all of `COLUMNS` and then the file's own ones, and with the index `PLACE`. Rows of another
        length than the header are problems instead. Names in a text, or in a column that `columns` says to be the case
        id, lose the suffix of a montage or a volume.

    Raises:
        ValueError: there is no such file, it is neither of these, or a column is missing; one line that says which.
    """
    if format not in (None, "csv", "text"):
        raise ValueError(f"format is {format!r}, expected csv or text")
    names = _checked_names(columns)
    if is_store(path):
        return _store_rows(str(path))
    text = _read_text(Path(path))
    delimiter = _delimiter(text, names)
    if delimiter and format != "text":
        return _csv_rows(str(path), text, delimiter, names)
    if format != "csv" and not columns and (format == "text" or _LEGACY_LINE.search(text)):
        return _legacy_rows(str(path), text)
    lines = text.strip().splitlines()
    if not lines:
        raise ValueError(f"{path}: is empty, expected codes")
    expected = " and ".join(repr(names.get(name, name)) for name in REQUIRED)
    other = "" if columns or format else ", or lines of a name and a code"
    raise ValueError(f"{path}: first line is {lines[0][:80]!r}, expected the columns {expected}{other}")


def is_store(path: str | Path) -> bool:
    """Whether a file is an SQLite file, such as the rating page keeps."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def _store_rows(file: str) -> Codes:
    """The codes that stand in a store; lines are counted as those of its export."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("SELECT * FROM code ORDER BY case_id, model, rater, rated_at").fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"{file}: no store of ratings: {error}") from None
    rows = [
        (line, {name: "" if row[name] is None else str(row[name]) for name in COLUMNS})
        for line, row in enumerate(found, start=2)
    ]
    return Codes(_table(file, rows, COLUMNS), [])


def _checked_names(columns: Mapping[str, str] | None) -> dict[str, str]:
    names = {str(ours): str(theirs) for ours, theirs in (columns or {}).items()}
    for ours in names:
        if ours not in COLUMNS:
            raise ValueError(f"columns has the key {ours!r}, expected some of {', '.join(COLUMNS)}")
    return names


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ValueError(f"{path}: no text file, expected CSV or lines of a name and a code")


def _reader(text: str, delimiter: str) -> Iterable[tuple[int, list[str]]]:
    """Give the rows that are not blank, with the number of their first line."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in rows:
            cells = [re.sub(r"\r\n?", "\n", cell).strip() for cell in row]
            is_hint = start == 1 and len(row) <= 2 and cells and cells[0].lower().startswith("sep=")
            if any(cells) and not is_hint:
                yield start, cells
            start = rows.line_num + 1
    except csv.Error as error:
        raise ValueError(f"line {start}: {error}, expected each quotation mark closed") from None


def _first_row(text: str, delimiter: str) -> list[str]:
    try:
        return next(iter(_reader(text, delimiter)), (0, []))[1]
    except ValueError:
        return []


def _delimiter(text: str, names: Mapping[str, str]) -> str | None:
    """The delimiter with which the first row has the required columns, if one does."""
    for delimiter in _DELIMITERS:
        if set(REQUIRED) <= set(_renamed(_first_row(text, delimiter), names)):
            return delimiter
    return None


def _renamed(header: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Our names for the columns that are ours, whatever the case of their letters; the others keep their own.

    Where another column was named for ours, one that has our name is kept as the file's.
    """
    ours = {names.get(name, name).casefold(): name for name in COLUMNS}
    return [ours.get(name.casefold(), f"{name} (file)" if name.lower() in COLUMNS else name) for name in header]


def _csv_rows(file: str, text: str, delimiter: str, names: Mapping[str, str]) -> Codes:
    try:
        (_, first), *body = _reader(text, delimiter)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    header = _renamed(first, names)
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise ValueError(f"{file}: column {twice[0]!r} is there {header.count(twice[0])} times, expected once")
    header = [name or f"column {number}" for number, name in enumerate(header, start=1)]
    rows, problems = [], []
    for line, cells in body:
        row = dict(zip(header, cells + [""] * len(header), strict=False))
        if CASE_ID in names:
            row[CASE_ID] = _case_id_of_name(row[CASE_ID])
        if any(cells[len(header) :]):
            found, expected = f"{len(cells)} cells", f"{len(header)} as in the header"
            row["further cells"] = delimiter.join(cells[len(header) :])
            problems.append(Problem(file, line, row[CASE_ID], "row", found, expected, "rejected", row=row))
        else:
            rows.append((line, row))
    blank = [name for name, given in zip(header, first, strict=True) if not given and not any(r[name] for _, r in rows)]
    return Codes(_table(file, rows, [name for name in header if name not in blank]), problems)


def _legacy_rows(file: str, text: str) -> Codes:
    rows: list[tuple[int, dict[str, str]]] = []
    problems: list[Problem] = []
    is_first = True
    for line, content in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if not content.strip() or content.lstrip().startswith("#"):
            continue
        name, *code = content.rsplit(maxsplit=1)
        is_header = is_first and tuple(content.lower().split()) in _LEGACY_HEADERS
        is_first = False
        if not code or name.endswith((",", ";")):
            row = {CASE_ID: name.rstrip(",; ")}
            found, expected = content.strip(), "a name, white space and a code"
            problems.append(Problem(file, line, row[CASE_ID], "line", found, expected, "rejected", row=row))
        elif not is_header:
            rows.append((line, {CASE_ID: _case_id_of_name(name.strip()), "code": code[0]}))
    return Codes(_table(file, rows, REQUIRED), problems)


def _case_id_of_name(name: str) -> str:
    """The case of a montage or a volume; a name with folders stays, and is no case id."""
    if "/" in name or "\\" in name:
        return name
    return name[:-4] if name.lower().endswith(".png") else case_id_of(name)


def _table(file: str, rows: Sequence[tuple[int, Mapping[str, str]]], names: Iterable[str]) -> pd.DataFrame:
    extra = [name for name in names if name not in COLUMNS]
    index = pd.MultiIndex.from_arrays([[file] * len(rows), [line for line, _ in rows]], names=PLACE)
    cells = [[row.get(name, "") for name in (*COLUMNS, *extra)] for _, row in rows]
    return pd.DataFrame(cells, columns=[*COLUMNS, *extra], index=index, dtype="string")
