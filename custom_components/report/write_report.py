"""Write a report: report.html, report.json and the pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from custom_components.files import complete_file
from custom_components.report.before_after import SetFiles, Volumes, compare_cohort
from custom_components.report.comparison import Share
from custom_components.report.comparison_plots import Bars, draw_shares, draw_transitions
from custom_components.report.report_data import cohort_data, counts_data
from custom_components.report.report_html import CODES_PICTURE, CURVE_PICTURE, render
from custom_components.report.unpaired import compare_counts
from custom_components.report.validation_curve import Curve, draw_curves

PAGE, DATA = "report.html", "report.json"
TRANSITIONS_PICTURE = "transitions.png"


def write_report(
    output_dir: str | Path,
    before: SetFiles,
    afters: Sequence[SetFiles],
    *,
    volumes: Volumes | None = None,
    curves: Sequence[Curve] = (),
) -> dict[str, Any]:
    """Compare sets of codes with the set before, and write the report.

    Files: `report.html` (complete by itself), `report.json` (all figures and names), `codes.png`, `transitions.png`,
    `curve.png` where there are curves, and `pairs/*.png` where there are images.

    Args:
        output_dir: where to; made if missing.
        before: the set before.
        afters: one or more sets after.
        volumes: images, truth and how to show them.
        curves: of trainings.

    Returns:
        What report.json holds.

    Raises:
        ValueError: an input is missing, has another form, or no rated case in common with the others.
        OSError: the output cannot be written.
    """
    folder = Path(output_dir)
    cohort = compare_cohort(before, afters, volumes or Volumes(), folder)
    data = cohort_data(cohort, curves)
    tables = [(method.after.name, method.comparison.table) for method in cohort.methods]
    _save(draw_transitions(tables), folder / TRANSITIONS_PICTURE)
    if curves:
        _save(draw_curves(curves), folder / CURVE_PICTURE)
    else:
        (folder / CURVE_PICTURE).unlink(missing_ok=True)
    _write(data, folder)
    return data


def write_count_report(
    output_dir: str | Path | None, before: Sequence[int], after: Sequence[int], names: tuple[str, str]
) -> dict[str, Any]:
    """Compare counts of codes, and write the report if there is a folder for it: page, data and `codes.png`.

    Args:
        output_dir: where to; made if missing.
        before: cases with code 0, 1 and 2.
        after: cases with code 0, 1 and 2.
        names: of the two sets.

    Returns:
        What report.json holds.

    Raises:
        ValueError: as `compare_counts`.
        OSError: the output cannot be written.
    """
    data = counts_data(compare_counts(before, after), names)
    if output_dir:
        folder = Path(output_dir)
        for name in (TRANSITIONS_PICTURE, CURVE_PICTURE):  # of an earlier report by case
            (folder / name).unlink(missing_ok=True)
        _write(data, folder)
    return data


def _write(data: Mapping[str, Any], folder: Path) -> None:
    bars = [Bars(one["name"], [_share(share) for share in one["shares"]], one["is_before"]) for one in data["sets"]]
    _save(draw_shares(bars), folder / CODES_PICTURE)
    with complete_file(folder / DATA) as partial:
        partial.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    with complete_file(folder / PAGE) as partial:
        partial.write_text(render(data, folder), encoding="utf-8")


def _share(share: Mapping[str, Any]) -> Share:
    return Share(*(share[name] for name in Share._fields))


def _save(figure: Figure, path: Path) -> None:
    with complete_file(path) as partial:
        figure.savefig(partial)
