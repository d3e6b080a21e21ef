"""Which files of a folder belong to which case."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from pathlib import Path

from custom_components.case_ids import CASE_ID, VOLUME_SUFFIXES, case_id_of
from custom_components.data.cases import Case, find_cases, read_all_lists, read_datalist
from custom_components.data.layout import ERROR, segmentation_path

MONTAGE_SUFFIX = ".png"
LIST_SUFFIXES = (".json", ".csv")
"""Of the name of a list of cases, which can stand in place of a folder of images."""


def volume_files(folder: str | Path) -> dict[str, list[Path]]:
    """Find the label maps in a folder by case id: `<case>/<case>_seg.nii.gz`, or `<case>` with the suffix of a volume.

    Returns:
        One path for each case where all is well; several if several files claim the case.

    Raises:
        ValueError: it is no folder, or holds no such file.
    """
    root = _folder(folder)
    found: dict[str, list[Path]] = defaultdict(list)
    for name in _names(root):
        if os.path.isdir(path := os.path.join(root, name)):
            if (nested := segmentation_path(root, name)).is_file():
                found[name].append(nested)
        elif name.lower().endswith(VOLUME_SUFFIXES) and os.path.isfile(path):
            found[case_id_of(name)].append(Path(path))
    if not found:
        raise ValueError(f"{root} holds no <case>/<case>_seg.nii.gz and no <case>.nii.gz")
    return dict(found)


def montage_files(folder: str | Path) -> dict[str, list[Path]]:
    """Find the montages in a folder by case id: `<case>.png`.

    Raises:
        ValueError: it is no folder, or holds no such file.
    """
    root = _folder(folder)
    paths = [root / name for name in _names(root) if name.lower().endswith(MONTAGE_SUFFIX)]
    if not paths:
        raise ValueError(f"{root} holds no <case>{MONTAGE_SUFFIX}")
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[path.stem].append(path)
    return dict(found)


def image_files(images: str | Path, *, skip_dir: str | Path | None = None) -> dict[str, list[Path] | str]:
    """Find images by case id: those in a folder and its subfolders, or those of a list.

    Args:
        images: a folder, see `custom_components.data.cases.find_cases`; or a list of cases, see
            `custom_components.data.cases.read_datalist`: `dataset.json`, of which all lists count but `left_out`,
            or one of them as `dataset.json:unlabeled`; or a CSV.
        skip_dir: a folder inside the folder that is left out, because it holds segmentations.

    Returns:
        For each case one path (a file, or a folder with one DICOM series), several (the slices of one of several DICOM
        series), or the reason why it has none.

    Raises:
        ValueError: it is neither, or holds no image.
    """
    try:
        cases = _listed_cases(str(images)) or find_cases(images, skip_dir=skip_dir)
    except ValueError as error:
        text = str(error).replace("output_dir is", "segmentations is").replace("dataset_dir", "images")
        raise ValueError(re.sub("^datalist is", "images is", text)) from None
    found: dict[str, list[Path] | str] = {}
    for case in cases:
        image = case.get("image")
        paths = [Path(image)] if isinstance(image, str) else [Path(one) for one in image or []]
        found[case[CASE_ID]] = case.get(ERROR, paths)
    return found


def _listed_cases(images: str) -> list[Case]:
    """The cases of a list, or nothing where it is none."""
    path, colon, section = images, "", ""
    if not os.path.exists(images):
        path, colon, section = images.rpartition(":")
    if not path.lower().endswith(LIST_SUFFIXES) or not os.path.isfile(path):
        return []
    return read_datalist(path, section=section) if colon else read_all_lists(path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _names(folder: Path) -> list[str]:
    """What lies in a folder, without what is hidden."""
    return sorted(name for name in os.listdir(folder) if name[0] != ".")


def _folder(folder: str | Path) -> Path:
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"{root} is {'a file' if root.exists() else 'not there'}, expected a folder")
    return root
