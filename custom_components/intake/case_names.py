"""Case ids that tell nothing of the patient, and stay when the folder is looked over again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from custom_components.case_ids import case_id_of, readable
from custom_components.files import complete_file
from custom_components.intake.found import Image

NEUTRAL, NAMED = "neutral", "named"


def name_cases(images: Sequence[Image], store: str | Path, *, keep_names: bool = False) -> list[str]:
    """Give each image a case id, the one that it had before if it had one.

    File and folder names of a hospital often are names or numbers of patients, so that the ids are `case_0001` and so
    on; they are kept in `store`, with digests for the images.

    Args:
        images: in the order in which new ones are numbered.
        store: JSON file; made if missing.
        keep_names: name cases after their file, or the folder of their slices, with a number where several have one.

    Raises:
        OSError: the file cannot be written.
    """
    store = Path(store)
    known = _read(store)
    ids = known.setdefault(NAMED if keep_names else NEUTRAL, {})
    taken = set(ids.values())
    for image in images:
        if image.key not in ids:
            ids[image.key] = _free(_name_of(image), taken) if keep_names else _next_number(taken)
            taken.add(ids[image.key])
    with complete_file(store) as partial:
        partial.write_text(json.dumps(known, indent=1), "utf-8")
    return [ids[image.key] for image in images]


def _read(store: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads(store.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise ValueError(
            f"{store} is damaged: without it cases would get other ids; restore it, or delete it"
        ) from None


def _next_number(taken: set[str]) -> str:
    number = len(taken) + 1
    while f"case_{number:04d}" in taken:
        number += 1
    return f"case_{number:04d}"


def _name_of(image: Image) -> str:
    path = Path(image.paths[0])
    return (readable(path.parent.name) if image.found.format == "DICOM" else case_id_of(path)) or "case"


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
