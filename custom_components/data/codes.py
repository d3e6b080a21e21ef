"""The store of QA codes: import, check, merge and export of ratings.

A table of codes is a `DataFrame` with the columns `case_id, code, rater, seconds, rated_at, reason,
segmentation_sha256, model` and any others that a file had, one row a rating, with the index `file, line`. `code` is
`Int64`: 0, 1, 2, or `<NA>` for *unrated*, which never becomes a 0. Texts that are not given are empty.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from custom_components.case_ids import CASE_ID, check_case_id
from custom_components.data.code_checks import Segmentations, check_cases, merge_duplicates, rating_times
from custom_components.data.code_files import COLUMNS, Format, read_rows
from custom_components.data.code_problems import Codes, Problem, problem_of
from custom_components.data.code_values import CODES, check_values, parse_code
from custom_components.data.layout import names_apart
from custom_components.files import complete_file

_SHA256 = re.compile(r"[0-9a-f]{64}")


def read_codes(
    path: str | Path,
    *,
    format: Format | None = None,
    columns: Mapping[str, str] | None = None,
    values: Mapping[Any, int | None] | None = None,
    soft: bool = False,
) -> Codes:
    """Import a file of codes, and judge it row by row.

    Args:
        path: see `custom_components.data.code_files.read_rows` for the forms that are read.
        format: `csv` or `text`; recognised by the content if not given.
        columns: names of the file's columns by ours.
        values: codes by what the file has for them, such as `{"good": 0, "bad": 2}`, None for unrated; then nothing
            else is a code.
        soft: accept any number from 0 to 2, as a mean of raters; `code` is `Float64`.

    Returns:
        The rows with a case id that can be and with a code or none. Other rows are problems, `rejected`; seconds, a
        time or a sha256 that cannot be are problems too, and their rows are `kept`.

    Raises:
        ValueError: the file cannot be read as codes at all, or `values` names other codes.
    """
    wanted = check_values(values)
    rows = read_rows(path, format=format, columns=columns)
    table, problems = rows.table, list(rows.problems)
    table["segmentation_sha256"] = table["segmentation_sha256"].str.lower()
    expected = f"one of {', '.join(map(repr, wanted))} or empty" if wanted else "0, 1, 2 or empty"
    codes: list[float | None] = []
    good: list[bool] = []
    for place, row in zip(table.index, table.to_dict("records"), strict=True):
        fault = _fault_of_case(row[CASE_ID])
        found: tuple[str, str, str] | None = (CASE_ID, row[CASE_ID], fault) if fault else None
        code = None
        try:
            code = parse_code(row["code"], values=wanted, soft=soft)
        except ValueError:
            found = found or ("code", row["code"], "a number from 0 to 2 or empty" if soft else expected)
        if found:
            problems.append(problem_of(place, row, *found, "rejected"))
        codes.append(code)
        good.append(found is None)
    table["code"] = pd.array(codes, dtype="Float64" if soft else "Int64")
    table = table[np.array(good, dtype=bool)].copy()
    problems += _check_other_cells(table)
    return Codes(table, sorted(problems, key=lambda problem: problem.line))


def load_codes(
    paths: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    values: Mapping[Any, int | None] | None = None,
    soft: bool = False,
    known: Collection[str] | None = None,
    segmentations: Segmentations | None = None,
) -> Codes:
    """Import files of codes and merge them: what is left has one rating of each rater for each segmentation.

    Args:
        paths: a file or several. Of several, a file that names no rater is of a rater with the name of the file, with
            as many folders before it as tell the files apart.
        columns: see `read_codes`.
        values: see `read_codes`.
        soft: see `read_codes`.
        known: case ids that there are; ratings of others are rejected.
        segmentations: folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`, or files by case id; ratings of cases
            that it lacks, or with the sha256 of another file, are rejected.

    Raises:
        ValueError: as `read_codes`; or no files are given, one is given twice, or no segmentations are in the folder.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise ValueError("no file of codes is given, expected at least one")
    tables: list[pd.DataFrame] = []
    problems: list[Problem] = []
    for path, rater in zip(files, names_apart(files), strict=True):
        table, found = read_codes(path, columns=columns, values=values, soft=soft)
        if len(files) > 1 and not (table["rater"] != "").any():
            table["rater"] = rater
        tables.append(table)
        problems += found
    checked = check_cases(concatenate_codes(tables), known=known, segmentations=segmentations)
    merged = merge_duplicates(checked.table)
    problems += checked.problems + merged.problems
    order = {str(path): number for number, path in enumerate(files)}
    return Codes(merged.table, sorted(problems, key=lambda problem: (order[problem.file], problem.line)))


def concatenate_codes(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables of codes one below the other; columns that a table lacks are empty there."""
    table = pd.concat(tables) if tables else pd.DataFrame(columns=[*COLUMNS])
    texts = [name for name in table.columns if name not in ("code", "seconds")]
    return table.fillna(dict.fromkeys(texts, "")).astype(dict.fromkeys(texts, "string"))


def write_codes(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table of codes as our CSV: our columns, then the table's others; unrated is an empty cell.

    Raises:
        OSError: the folder is not writable or the disk full.
    """
    others = [name for name in table.columns if name not in COLUMNS]
    with complete_file(path) as partial:
        table.reindex(columns=[*COLUMNS, *others]).to_csv(partial, index=False, lineterminator="\n", encoding="utf-8")


def write_text_codes(table: pd.DataFrame, path: str | Path) -> None:
    """Write the two-column text `name code`; unrated cases have the word `unrated`.

    Raises:
        ValueError: a case has several rows, a code between the codes, or a name that would be read as a comment or as
            cells of a CSV.
        OSError: the folder is not writable or the disk full.
    """
    for case_id, code in zip(table[CASE_ID], table["code"], strict=True):
        if case_id.startswith("#") or case_id.endswith((",", ";")):
            expected = "no leading # and no comma or semicolon at the end"
            raise ValueError(f"{path}: case_id is {case_id!r}, expected {expected}")
        if not pd.isna(code) and code not in CODES:
            raise ValueError(f"{path}: code of case {case_id!r} is {code}, expected 0, 1, 2 or unrated")
    if len(several := table[CASE_ID][table[CASE_ID].duplicated()]):
        raise ValueError(f"{path}: case {several.iloc[0]!r} has several ratings, expected one: make a consensus first")
    lines = [
        f"{case_id} {'unrated' if pd.isna(code) else int(code)}\n"
        for case_id, code in zip(table[CASE_ID], table["code"], strict=True)
    ]
    with complete_file(path) as partial:
        partial.write_text("".join(lines), encoding="utf-8", newline="")


def _fault_of_case(case_id: str) -> str:
    try:
        check_case_id(case_id)
    except ValueError as error:
        return str(error).partition("expected ")[2]
    if "\\" in case_id:
        return "a name without slashes and leading dot"
    return "a name in one line" if re.search(r"[\x00-\x1f\x7f]", case_id) else ""


def _check_other_cells(table: pd.DataFrame) -> list[Problem]:
    """Report cells beside the code that cannot be, and turn the seconds into numbers."""
    seconds = pd.to_numeric(table["seconds"].replace("", pd.NA), errors="coerce").astype("Float64")
    seconds = seconds.mask(~seconds.between(0, 1e9).fillna(False).astype(bool))
    digest = table["segmentation_sha256"]
    faults = {
        "seconds": ((table["seconds"] != "") & seconds.isna(), "a number of seconds", "without it"),
        "rated_at": ((table["rated_at"] != "") & rating_times(table).isna(), "a time as 2024-05-31T12:00:00Z", ""),
        "segmentation_sha256": (
            (digest != "") & ~digest.str.fullmatch(_SHA256.pattern).astype(bool), "64 hexadecimal digits", "",
        ),
    }  # fmt: skip
    problems = []
    for field, (is_fault, expected, detail) in faults.items():
        for place, row in zip(table.index[is_fault], table[is_fault].to_dict("records"), strict=True):
            problems.append(problem_of(place, row, field, row[field], expected, "kept", detail))
    table["seconds"] = seconds
    return problems
