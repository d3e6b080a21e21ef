"""What was found as a CSV, as a table for a terminal, and as a summary by reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from custom_components.case_ids import CASE_ID
from custom_components.files import complete_file
from custom_components.intake.files import Tree
from custom_components.intake.found import Found
from custom_components.report.formats import counted, some_of

COLUMNS = (
    CASE_ID, "status", "kind", "reason", "notes", "format", "files", "size_x", "size_y", "size_z", "spacing_x",
    "spacing_y", "spacing_z", "extent_x", "extent_y", "extent_z", "orientation", "plane", "missing_slices",
    "repeated_slices", "low", "high", "air", "fat", "soft_tissue", "body_top", "body_bottom", "voxels",
)  # fmt: skip
NUMERIC = ("size", "mm", "air/fat/soft", "body")
LEAST_USE = 20
"""Letters of the last column, also where the terminal is too narrow."""
PLANE_LETTERS = {"axial": "ax", "coronal": "cor", "sagittal": "sag", "oblique": "obl"}


def write_csv(path: str | Path, cases: Mapping[str, Found]) -> None:
    """Write a row for each image: spacing and extent in mm, values in HU, body in slice scores.

    Raises:
        OSError: the file cannot be written.
    """
    with complete_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(case_id, found) for case_id, found in cases.items())


def _row(case_id: str, found: Found) -> dict[str, object]:
    row: dict[str, object] = {CASE_ID: case_id, "status": found.status, "notes": "; ".join(found.notes)}
    for name in ("size", "spacing", "extent"):
        values = getattr(found, name)
        row.update({f"{name}_{axis}": f"{value:g}" for axis, value in zip("xyz", values, strict=False)})
    row.update(zip(("body_top", "body_bottom"), found.body, strict=False))
    plain = {name: getattr(found, name) for name in COLUMNS if name not in row and hasattr(found, name)}
    return {**plain, **row}


def table_of(cases: Mapping[str, Found], *, with_body: bool, width: int) -> Table:
    """Lay the images out for a terminal, a line each: what does not fit of why one cannot be used is in the CSV.

    Args:
        cases: what was found, by case id.
        with_body: whether the part of the body was looked at.
        width: of the terminal.
    """
    names = ["case", "format", "size", "mm", "axes", "air/fat/soft", *(["body"] if with_body else [])]
    rows = [_cells(case_id, found)[: len(names)] for case_id, found in cases.items()]
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    taken = 2  # at both ends
    for number, name in enumerate(names):
        cells = max(map(len, (name, *(row[number] for row in rows))))
        taken += cells + 2
        table.add_column(name, no_wrap=True, width=cells, justify="right" if name in NUMERIC else "left")
    table.add_column("use", no_wrap=True, overflow="ellipsis", width=max(LEAST_USE, width - taken))
    for row, found in zip(rows, cases.values(), strict=True):
        table.add_row(*map(Text, row), _use(found))
    return table


def _cells(case_id: str, found: Found) -> list[str]:
    body = "/".join(f"{score:.1f}" for score in found.body)
    return [case_id, found.format, _times(found.size), _times(found.spacing), _axes(found), _peaks(found), body]


def _times(values: tuple[float, ...]) -> str:
    return "x".join(f"{value:.2g}" if value < 100 else f"{value:.0f}" for value in values)


def _axes(found: Found) -> str:
    return f"{found.orientation} {PLANE_LETTERS.get(found.plane, '')}".strip()


def _peaks(found: Found) -> str:
    peaks = (found.air, found.fat, found.soft_tissue)
    if peaks == (None, None, None):
        return ""
    return "/".join("-" if peak is None else f"{peak:.0f}" for peak in peaks)


def _use(found: Found) -> Text:
    if found.kind:
        return Text(f"no: {found.why}", style="red")
    return Text("; ".join(["yes", *found.notes]), style="green")


def summary_of(cases: Mapping[str, Found], tree: Tree) -> list[str]:
    """Say in lines how many images can be used, why others cannot, and what else is in the folder."""
    usable = sum(not found.kind for found in cases.values())
    lines = [f"{usable} of {counted(len(cases), 'image')} can be used"]
    kinds = Counter(found.kind for found in cases.values() if found.kind)
    for kind, count in kinds.most_common():
        names = some_of([case_id for case_id, found in cases.items() if found.kind == kind])
        lines.append(f"  {count:>4}  {kind}: {names}")
    if tree.others:
        shown = ", ".join(f"{count} {kind}" for kind, count in tree.others.most_common())
        lines.append(f"{counted(tree.others.total(), 'file is', 'files are')} no images: {shown}")
    if tree.closed:
        lines.append(f"{counted(tree.closed, 'file or folder', 'files or folders')} may not be read")
    return lines
