"""What a process does that looks at images.

torch and MONAI are imported where they are needed: so the first process starts at once and stays small.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from custom_components.intake.finished import Finished
from custom_components.intake.found import UNREADABLE, Found, Image

if TYPE_CHECKING:
    from custom_components.body_part.body_part_crop import BodyPartCrop
    from custom_components.intake.body_range import BodyRanges


class Task(NamedTuple):
    """An image, the folder and the name of the file that takes what is found, and the crop to the abdomen if any."""

    image: Image
    folder: Path
    name: str
    crop: BodyPartCrop | None = None


def look(task: Task) -> Found:
    """Look at an image, and write what is found at once: it is not lost if the run ends.

    Raises:
        ValueError: the weights are missing or hold another network.
        OSError: what is found cannot be written.
    """
    from custom_components.intake.check_image import check_image

    looked = check_image(task.image, _body_ranges(task.crop, str(task.crop)) if task.crop else None)
    Finished(task.folder).write(task.name, looked)
    return looked.found


@functools.lru_cache(maxsize=1)
def _body_ranges(crop: BodyPartCrop, version: str) -> BodyRanges:
    """Read the weights once in each process, and again when they change."""
    from custom_components.intake.body_range import BodyRanges

    return BodyRanges.of(crop)


def killed(task: Task) -> Found:
    """What is said of an image that no process survives; it is tried again by the next run."""
    found = copy.deepcopy(task.image.found)
    found.leave_out(UNREADABLE, "the process that read it was killed, probably for lack of memory")
    return found
