"""The command `python -m custom_components intake`: a look over a folder of images before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custom_components.intake.look_over import LookedOver

PLAIN_WIDTH = 120
"""Columns of the table where it does not go to a terminal."""


def intake(
    folder: str,
    *,
    output: str = "intake",
    body_part_path: str = "auto",
    body_part_scores: tuple[float, float] = (-6.0, 6.0),
    body_part_repair: bool = False,
    section: str = "unlabeled",
    keep_names: bool = False,
    workers: int | None = None,
) -> str:
    """Look over a folder of images before anything runs: what can be used, and why the rest cannot; print a table.

    Writes intake.csv with all that was found, contact_sheet.png, and dataset.json with what can be used. Nothing in
    FOLDER is changed. Cases are called case_0001 and so on, as files and folders of a hospital are often called after
    patients; dataset.json is the only file with paths. The same command goes on where an interrupted run was. The exit
    code is 1 if no image can be used.

    Args:
        folder: with NIfTI, NRRD, MHA and DICOM files at any depth, mixed with whatever else.
        output: folder to write to.
        body_part_path: weights of a body-part regressor; auto: those that a bundle has, if any; none: leave the part
            of the body out.
        body_part_scores: slice scores of the uppermost and of the lowest slice that are needed, as in what follows.
        body_part_repair: use scans whose slices are in reverse order, as what follows turns them.
        section: of dataset.json that takes what can be used: unlabeled, or test.
        keep_names: name cases after their files, or the folders of their slices.
        workers: processes; default one for each processor, 0 for the command's own.
    """
    from custom_components.body_part.body_part_crop import chosen_crop
    from custom_components.intake.look_over import CSV, LISTING, look_over
    from custom_components.options import flag

    crop = chosen_crop(body_part_path, body_part_scores, flag(body_part_repair, "body_part_repair"))
    found = look_over(
        folder, output, crop=crop, workers=workers, section=section, keep_names=flag(keep_names, "keep_names")
    )
    _print(found, with_body=crop is not None)
    if body_part_path == "auto" and crop is None:
        print("the part of the body was not looked at: baseline_seg has no models/body_part.pt, see body_part.yaml")
    if all(one.kind for one in found.cases.values()):
        raise SystemExit(f"error: none of {len(found.cases)} images can be used; see {Path(output, CSV)}")
    return f"see {Path(output, CSV)}, contact_sheet.png and {LISTING} beside it"


def _print(found: LookedOver, *, with_body: bool) -> None:
    from rich.console import Console

    from custom_components.intake.table import summary_of, table_of

    sys.stderr.flush()  # the last progress bar stands above the table
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(table_of(found.cases, with_body=with_body, width=console.width))
    for line in summary_of(found.cases, found.tree):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
