"""Look over a folder: list its images, look at each, and write what was found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.intake.case_names import name_cases
from custom_components.intake.contact_sheet import Shown, write_contact_sheets
from custom_components.intake.duplicates import leave_out_duplicates
from custom_components.intake.files import Tree, sort_files
from custom_components.intake.finished import Finished
from custom_components.intake.found import UNREADABLE, Found, Image
from custom_components.intake.images import images_of
from custom_components.intake.listing import SECTIONS, write_listing
from custom_components.intake.look import Task, killed, look
from custom_components.intake.pool import run_all
from custom_components.intake.table import write_csv

CSV, LISTING, IDS, FINISHED = "intake.csv", "dataset.json", "case_ids.json", "finished"
"""What is written to the output folder, beside the contact sheets."""


class LookedOver(NamedTuple):
    """What was found, by case id, and the files of the folder."""

    cases: dict[str, Found]
    tree: Tree


def look_over(
    folder: str | Path,
    output: str | Path,
    *,
    crop: BodyPartCrop | None = None,
    workers: int | None = None,
    section: str = "unlabeled",
    keep_names: bool = False,
) -> LookedOver:
    """Look at every image below a folder, and write `intake.csv`, `contact_sheet.png` and `dataset.json`.

    An image is read once: what was found stays in the output folder, and counts until the image changes. So a run that
    was interrupted goes on.

    Args:
        folder: with NIfTI, NRRD, MHA and DICOM files at any depth.
        output: folder to write to; made if missing, and left out where it lies in the other one.
        crop: to the abdomen, as in the inference to come; without it the part of the body is not looked at.
        workers: processes; default one for each processor, 0 for this one.
        section: of `dataset.json` that takes what can be used: `unlabeled` or `test`.
        keep_names: name cases after their files and folders.

    Raises:
        ValueError: the folder is missing or holds no image, or the weights cannot be read.
        OSError: the output cannot be written.
    """
    if section not in SECTIONS:
        raise ValueError(f"section is {section!r}, expected {' or '.join(SECTIONS)}")
    output, workers = Path(output), (os.cpu_count() or 1) if workers is None else workers
    with tqdm(desc="files", unit="file") as progress:
        tree = sort_files(folder, skip_dir=output, progress=progress.update)
    images = images_of(tree, folder, workers=workers)
    if not images:
        raise ValueError(f"folder is {folder}, found {_what(tree)}, expected NIfTI, NRRD, MHA or DICOM")
    output.mkdir(parents=True, exist_ok=True)
    by_id = dict(sorted(zip(name_cases(images, output / IDS, keep_names=keep_names), images, strict=True)))
    finished = Finished(output / FINISHED, str(crop) if crop else "")
    tasks = _tasks(by_id, finished, crop)
    cases = {case_id: image.found for case_id, image in by_id.items()}
    cases.update(_look_at(tasks, finished, workers))
    leave_out_duplicates(cases)
    write_csv(output / CSV, cases)
    write_listing(output / LISTING, by_id, cases, section=section)
    tiles = {case_id: finished.read_tile(task.name) for case_id, task in tasks.items()}
    write_contact_sheets(output, [Shown(one, tile, cases[one].why) for one, tile in tiles.items() if tile is not None])
    return LookedOver(cases, tree)


def _tasks(images: Mapping[str, Image], finished: Finished, crop: BodyPartCrop | None) -> dict[str, Task]:
    """The images whose headers do not tell already that they cannot be used."""
    tasks = {}
    for case_id, image in images.items():
        if image.found.kind:
            continue
        try:
            tasks[case_id] = Task(image, finished.folder, finished.name_of(image), crop)
        except OSError as error:
            image.found.leave_out(UNREADABLE, str(error.strerror))
    return tasks


def _look_at(tasks: Mapping[str, Task], finished: Finished, workers: int) -> dict[str, Found]:
    """Look at all that was not looked at before."""
    cases = {case_id: found for case_id, task in tasks.items() if (found := finished.read(task.name))}
    ids = [case_id for case_id in tasks if case_id not in cases]
    with tqdm(total=len(tasks), initial=len(cases), desc="images", unit="image") as progress:
        for number, found in run_all(look, [tasks[case_id] for case_id in ids], workers=workers, killed=killed):
            cases[ids[number]] = found
            progress.update()
    return cases


def _what(tree: Tree) -> str:
    """What a folder holds in which there is no image."""
    parts = [f"{count} {kind}" for kind, count in tree.others.most_common()]
    parts += [f"{tree.closed} that may not be read"] if tree.closed else []
    return f"no image but {', '.join(parts)}" if parts else "no files"
