"""A report in the lines of a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from custom_components.report.code_tables import text_of
from custom_components.report.formats import counted, number, p_text, percent, signed, some_of
from custom_components.report.qa_plots import NAMES

Data = Mapping[str, Any]

_PLURALS = {0: "successes", 2: "gross failures"}


def report_text(data: Data) -> str:
    """Write a report as text: warnings, a table, before, after, fixed and broken, and what was left out.

    Args:
        data: see `custom_components.report.report_data`.
    """
    methods = data.get("methods", [])
    warnings = [method["warning"] for method in methods if method["warning"]]
    parts = [*warnings, _table(data)]
    if methods:
        parts.append("\n".join(line for method in methods for line in _method_lines(data, method)))
        notes = [note for method in methods for note in _notes(method)]
        notes = [*_set_notes(data["before"]), *notes]
        parts += ["\n".join(notes)] if notes else []
    else:
        parts.append("\n".join(_unpaired_lines(data)))
    return "\n\n".join(parts)


def _table(data: Data) -> str:
    rows = []
    for one in data["sets"]:
        cells = {share["name"]: f"{share['cases']} ({percent(share['share'])})" for share in one["shares"]}
        row = {"set": one["name"], "cases": str(one["cases"]), **cells, "mean code": number(one["mean_code"])}
        if any(other["mean_score"] is not None for other in data["sets"]):
            row["mean score"] = number(one["mean_score"])
        rows.append(row)
    return text_of(pd.DataFrame(rows))


def _method_lines(data: Data, method: Data) -> list[str]:
    several = len(data["methods"]) > 1
    name, before = method["name"], data["before"]["name"]
    counts = {side: [sum(one) for one in table] for side, table in _sides(method["table"]).items()}
    tests, changes = method["tests"], method["changes"]
    fixed, broken, improved, worse = (len(changes[kind]["cases"]) for kind in ("fixed", "broken", "improved", "worse"))
    return [
        *([f"{name} against {before}"] if several else []),
        f"before: {_line(counts['before'], method['compared'])}",
        f"after: {_line(counts['after'], method['compared'])}; McNemar for success {p_text(tests['success'])}, "
        f"for gross failure {p_text(tests['failure'])}",
        f"fixed and broken: {counted(fixed, 'gross failure')} fixed (now success or acceptable), {broken} newly "
        f"broken; code better in {improved}, worse in {worse}",
    ]


def _sides(table: list[list[int]]) -> dict[str, list[list[int]]]:
    return {"before": table, "after": [list(column) for column in zip(*table, strict=True)]}


def _line(counts: list[int], total: int) -> str:
    shares = [
        f"{counted(counts[code], NAMES[code], plural)} ({percent(counts[code] / total)})"
        for code, plural in _PLURALS.items()
    ]
    return f"{', '.join(shares)} of {total}"


def _notes(method: Data) -> list[str]:
    """Everything that is not in the comparison, in a line each."""
    lines = [f"left out ({reason}): {_cases(names)}" for reason, names in method["left_out"].items()]
    lines += _set_notes(method)
    if scores := method["scores"]:
        sides = (("before", scores["without_before"]), ("after", scores["without_after"]))
        lines += [f"no score {side}, so not in the mean scores: {_cases(names)}" for side, names in sides if names]
    if method["dice"]:
        lines += _reasons("no Dice", method["dice"]["set_aside"])
        if method["dice"]["without"]:
            lines.append(f"no Dice, without segmentation or truth: {_cases(method['dice']['without'])}")
    if method["pairs"]:
        lines += _reasons("no pair of montages", method["pairs"]["set_aside"])
    return [f"{method['name']}: {line}" for line in lines]


def _set_notes(one: Data) -> list[str]:
    lines = []
    if one["problems"]:
        first = "; ".join(_problem(problem) for problem in one["problems"][:3])
        more = len(one["problems"]) - 3
        lines.append(f"{counted(len(one['problems']), 'problem')} in {one['file']}: {first}" + _and_more(more))
    if one["without_segmentation_file"]:
        lines.append(f"{one['file']}: rated, segmentation not there: {_cases(one['without_segmentation_file'])}")
    if one["not_checked"]:
        what = "rated without segmentation_sha256, so that nothing tells if it is of the file that is there"
        lines.append(f"{one['file']}: {what}: {_cases(one['not_checked'])}")
    return lines


def _problem(problem: Data) -> str:
    found = problem["found"] if len(problem["found"]) <= 16 else f"{problem['found'][:12]}..."
    return f"line {problem['line']}, {problem['case_id']!r}: {problem['field']} is {found!r}, {problem['action']}"


def _reasons(what: str, reasons: Mapping[str, str]) -> list[str]:
    if not reasons:
        return []
    first = "; ".join(f"{case}: {reason}" for case, reason in list(reasons.items())[:3])
    return [f"{what}, {counted(len(reasons), 'case')} set aside: {first}" + _and_more(len(reasons) - 3)]


def _and_more(count: int) -> str:
    return f"; and {count} more" if count > 0 else ""


def _cases(names: list[str]) -> str:
    return f"{counted(len(names), 'case')} ({some_of(names)})"


def _unpaired_lines(data: Data) -> list[str]:
    found = data["unpaired"]
    lines = [
        f"{test['code']} {test['name']}: {signed(one['value'], one['low'], one['high'], scale=100)} points, "
        f"{test['test']}: {p_text(test)}"
        for test, one in zip(found["tests"], found["differences"], strict=True)
    ]
    return [
        *lines,
        f"all three shares, {found['overall']['test']}: {p_text(found['overall'])}",
        "These tests are unpaired: counts do not tell which case became what. Codes by case allow the paired ones.",
    ]
