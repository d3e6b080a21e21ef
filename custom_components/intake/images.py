"""The images of a folder: one for each volume file, one for each part of a DICOM series."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from custom_components.intake.files import Tree
from custom_components.intake.found import Found, Image
from custom_components.intake.headers import Header, read_headers
from custom_components.intake.pool import run_all
from custom_components.intake.series import Part, parts_of_series
from custom_components.intake.series_checks import look_at_part

CHUNK = 250
"""Files whose headers a process reads at once."""
FORMATS = {".nii": "NIfTI", ".gz": "NIfTI", ".nrrd": "NRRD", ".mha": "MHA", ".mhd": "MHA"}


def images_of(tree: Tree, root: str | Path, *, workers: int) -> list[Image]:
    """Put slices together, and list all images by the path of their first file.

    Args:
        tree: the files.
        root: the folder that they are in.
        workers: processes that read headers.
    """
    images = [_of_volume(path, Path(root)) for path in tree.volumes]
    images += _of_parts(parts_of_series(_headers(tree.dicom, workers)))
    return sorted(images, key=lambda image: (image.paths[0], image.key))


def _of_volume(path: Path, root: Path) -> Image:
    inside = path.relative_to(root.absolute()).as_posix()
    key = hashlib.sha256(f"file {inside}".encode(errors="surrogateescape")).hexdigest()
    return Image(key, (str(path),), Found(FORMATS[path.suffix.lower()]))


def _headers(paths: Sequence[Path], workers: int) -> list[Header]:
    chunks = [list(map(str, paths[start : start + CHUNK])) for start in range(0, len(paths), CHUNK)]
    workers = 0 if len(chunks) < 4 else workers  # a process takes longer to start than to read these
    headers: dict[int, list[Header]] = {}
    with tqdm(total=len(paths), desc="DICOM headers", unit="file", disable=not paths) as progress:
        for number, found in run_all(read_headers, chunks, workers=workers, killed=_read_halves):
            headers[number] = found
            progress.update(len(found))
    return [header for number in sorted(headers) for header in headers[number]]


def _read_halves(paths: Sequence[str]) -> list[Header]:
    """Read what killed a process again, half by half, down to the file that does it."""
    if len(paths) == 1:
        return [Header(paths[0], fault="the process that read it was killed")]
    halves = [paths[: len(paths) // 2], paths[len(paths) // 2 :]]
    found = dict(run_all(read_headers, halves, workers=1, killed=_read_halves))
    return [*found[0], *found[1]]


def _of_parts(parts: Sequence[Part]) -> Iterable[Image]:
    """The folder of an image is whole if no slice of another one lies in it, and no slice of its own elsewhere."""
    owners: dict[str, set[str]] = {}
    for part in parts:
        for path in part.all_paths:
            owners.setdefault(str(Path(path).parent), set()).add(part.key)
    for part in parts:
        folders = {str(Path(path).parent) for path in part.all_paths}
        whole = len(folders) == 1 and not part.copies and owners[min(folders)] == {part.key}
        paths = tuple(header.path for header in part.headers)
        yield Image(part.key, paths, look_at_part(part), min(folders) if whole else "")
