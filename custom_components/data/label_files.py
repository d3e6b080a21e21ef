"""Read a label map with our numbers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from monai.data import MetaTensor

from custom_components.anatomy import LabelSet
from custom_components.data.readers import read_volume
from custom_components.transforms.map_labels import map_label


def read_label(path: Path, label_set: LabelSet = "abdomen12") -> MetaTensor:
    """Read a label map on its own grid, `(1, X, Y, Z)` uint8 of 0 to 12 in RAS.

    Args:
        path: a volume, see `custom_components.data.readers.VolumeReader`.
        label_set: how it is numbered, see `custom_components.anatomy.label_map`.

    Raises:
        ValueError: it cannot be read, or holds what is no label; one line that names the file without its folder.
    """
    try:
        return cast(MetaTensor, map_label(read_volume(path), label_set))
    except ValueError as error:
        reason = str(error).removeprefix(f"{path}: ").replace(str(path), path.name)
        raise ValueError(f"{path.name}: {reason}") from None
