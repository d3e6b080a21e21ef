"""Sort the files of a folder tree: volumes, DICOM, and what is no image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from custom_components.case_ids import DICOM_SUFFIXES, VOLUME_SUFFIXES
from custom_components.data.dicom_kinds import PREAMBLE, is_dicom_start

KNOWN_KINDS = (
    ".txt", ".md", ".csv", ".tsv", ".xls", ".xlsx", ".doc", ".docx", ".pdf", ".json", ".xml", ".yaml", ".html", ".htm",
    ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".zip", ".gz", ".tar", ".7z", ".rar", ".exe", ".inf",
    ".log", ".raw", ".zraw", ".hdr", ".img", ".mat", ".npy", ".npz", ".mp4", ".avi", ".bak", ".db", ".ini", ".dat",
)  # fmt: skip
"""Suffixes that are named in the summary. Another one may be part of a name, as in `scan.Miller`, and is not."""
OTHER = "other files"
FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
FIRST_ELEMENTS = (0x00, 0x01, 0x05, 0x08, 0x12, 0x16)
"""Of the tag with which a DICOM file begins that was stored without its preamble, as in old archives."""


@dataclass
class Tree:
    """The files below a folder, each list sorted by path.

    Attributes:
        volumes: NIfTI, NRRD and MetaImage, by their names.
        dicom: by their content, or a usual suffix.
        others: how many files are no images, by kind.
        closed: folders and files that may not be read.
    """

    volumes: list[Path] = field(default_factory=list)
    dicom: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    closed: int = 0


def sort_files(root: str | Path, *, skip_dir: str | Path, progress: Callable[[], object] = lambda: None) -> Tree:
    """Sort all files below a folder; hidden ones and links to folders are left out.

    Args:
        root: the folder.
        skip_dir: a folder inside it that is left out, because results go there.
        progress: called for each file.

    Raises:
        ValueError: `root` is no folder, or is itself `skip_dir`.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"folder is {root}, found {'a file' if root.exists() else 'nothing'}, expected a folder")
    skip = Path(skip_dir).resolve()
    if skip == root.resolve():
        raise ValueError(f"output is {skip_dir}, the same as folder, expected another one")
    tree = Tree()
    closed: list[OSError] = []
    for folder, subfolders, names in os.walk(root.absolute(), onerror=closed.append):
        subfolders[:] = sorted(name for name in subfolders if name[0] != "." and Path(folder, name).resolve() != skip)
        for name in sorted(names):
            if name[0] != ".":
                _sort(Path(folder, name), tree)
                progress()
    tree.closed += len(closed)
    return tree


def _sort(path: Path, tree: Tree) -> None:
    name = path.name.lower()
    if not path.is_file():  # a link to nothing, or a pipe, from which reading would wait for ever
        tree.closed += 1
        return
    if name.endswith(VOLUME_SUFFIXES):
        tree.volumes.append(path)
        return
    if name == "dicomdir":
        tree.others["DICOMDIR"] += 1
        return
    try:
        is_dicom = name.endswith(DICOM_SUFFIXES) or _begins_as_dicom(path)
    except OSError:
        tree.closed += 1
        return
    if is_dicom:
        tree.dicom.append(path)
    else:
        tree.others[kind_of(name)] += 1


def _begins_as_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(PREAMBLE + 4)
    if is_dicom_start(start):
        return True
    if start[:2] not in FIRST_GROUPS or start[3:4] != b"\0" or start[2] not in FIRST_ELEMENTS:
        return False
    # the type of the value, or where that is implicit the length of a short one
    return start[4:6].isalpha() or start[5:8] == b"\0\0\0"


def kind_of(name: str) -> str:
    """Name the kind of a file that is no image, without anything that may be of a patient.

    Example:
        >>> kind_of("report.PDF"), kind_of("scan.Miller"), kind_of("README")
        ('.pdf', 'other files', 'other files')
    """
    suffix = Path(name).suffix.lower()
    return suffix if suffix in KNOWN_KINDS else OTHER
