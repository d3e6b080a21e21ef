"""The datalist of what can be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom_components.case_ids import CASE_ID
from custom_components.data.cases import LEFT_OUT
from custom_components.data.datalist import relative_path
from custom_components.files import complete_file
from custom_components.intake.found import Found, Image

SECTIONS = ("unlabeled", "test")


def write_listing(path: str | Path, images: Mapping[str, Image], cases: Mapping[str, Found], *, section: str) -> None:
    """Write a Decathlon `dataset.json`: the usable images in one section, the others with their reason in `left_out`.

    It is the only file with paths, which are relative to it. A DICOM series is its folder where that holds nothing
    else, or else the list of its slices in order.

    Args:
        path: the file.
        images: by case id.
        cases: what was found, by case id.
        section: `unlabeled` or `test`.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    lists: dict[str, list[dict[str, Any]]] = {section: [], LEFT_OUT: []}
    for case_id, found in cases.items():
        entry = {"image": _paths(images[case_id], found, path.absolute().parent), CASE_ID: case_id}
        if found.kind:
            lists[LEFT_OUT].append({**entry, "reason": found.why})
        else:
            lists[section].append(entry)
    content = {"name": "intake", "modality": {"0": "CT"}, **lists}
    with complete_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _paths(image: Image, found: Found, folder: Path) -> str | list[str]:
    if image.whole_folder and (found.is_folder or found.kind):
        return relative_path(Path(image.whole_folder), folder)
    paths = [relative_path(Path(path), folder) for path in image.paths]
    return paths[0] if len(paths) == 1 else paths
