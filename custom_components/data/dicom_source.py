"""The DICOM series of a case as the source of a segmentation: its headers, its grid, and a label map on its slices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from custom_components.data.dicom import list_series
from custom_components.data.dicom_geometry import affine_of, heights_of
from custom_components.data.dicom_kinds import has_dicom_magic
from custom_components.data.quiet import silent_pydicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
"""What a segmentation takes over or refers to, in every file."""
PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
"""What tells where a frame lies."""

NEAR = 0.5
"""How far in voxels two grids may lie apart: slices may be a little uneven."""


@dataclass(frozen=True)
class SourceSeries:
    """A CT series without its pixels.

    `datasets` are the single slices along their normal, or one file with several frames. `affine` leads from column,
    row and slice (or frame) to RAS in mm; `shape` counts these.
    """

    datasets: tuple[Dataset, ...]
    affine: np.ndarray
    shape: tuple[int, int, int]

    @property
    def spacing(self) -> float:
        """Distance of the slices in mm."""
        return float(np.linalg.norm(self.affine[:3, 2]))


def dicom_files(image: str | Sequence[str]) -> tuple[str, ...]:
    """Give the files of a case's image if it is a DICOM series, or nothing.

    Args:
        image: a path, or the paths of the slices of one series.

    Raises:
        ValueError: a folder holds no CT series.
    """
    if not isinstance(image, str):
        return tuple(map(str, image))
    if Path(image).is_dir():
        return list_series(image)[0].files
    return (image,) if has_dicom_magic(image) else ()


def read_source(files: Sequence[str]) -> SourceSeries:
    """Read the headers of a series.

    Raises:
        ValueError: one that a segmentation needs is missing; the text names it.
    """
    from pydicom import dcmread

    with silent_pydicom():
        return _source([dcmread(file, stop_before_pixels=True, force=True) for file in files])


def _source(datasets: list[Dataset]) -> SourceSeries:
    for dataset in datasets:
        for name in (*UIDS, "Rows", "Columns"):
            if not dataset.get(name):
                raise ValueError(f"a slice lacks {name}")
    frames = [frame for dataset in datasets for frame in _frames(dataset)]
    heights = heights_of([frame.position for frame in frames], frames[0].axes).tolist()
    order = range(len(frames)) if len(datasets) == 1 else sorted(range(len(frames)), key=heights.__getitem__)
    step = (heights[order[-1]] - heights[order[0]]) / max(len(frames) - 1, 1)
    if not step:
        raise ValueError("all slices lie at the same position, expected a volume")
    affine = affine_of(frames[0].axes, frames[0].spacing, step, frames[order[0]].position)
    if len(datasets) > 1:
        datasets = [datasets[place] for place in order]
    shape = (int(datasets[0].Columns), int(datasets[0].Rows), len(frames))
    return SourceSeries(tuple(datasets), affine, shape)


def labels_on_slices(labels: np.ndarray, affine: np.ndarray, source: SourceSeries) -> np.ndarray:
    """Bring a label map on the grid of a series, in whatever order of storage, into the order of its slices.

    Args:
        labels: label map (X, Y, Z).
        affine: of the label map, RAS in mm.
        source: the series.

    Returns:
        The labels (slices, rows, columns).

    Raises:
        ValueError: the two grids differ.
    """
    matrix = np.linalg.inv(affine) @ source.affine
    axes = np.abs(matrix[:3, :3]).argmax(axis=0)
    signs = np.sign(matrix[axes, [0, 1, 2]])
    exact = np.zeros((3, 4))
    exact[axes, [0, 1, 2]] = signs
    ends = np.array([labels.shape[axis] - 1 for axis in axes])
    exact[axes, 3] = np.where(signs < 0, ends, 0)
    corners = np.array([*itertools.product(*((0, size - 1) for size in source.shape))], dtype=float)
    corners = np.c_[corners, np.ones(len(corners))].T
    same_shape = sorted(axes) == [0, 1, 2] and labels.transpose(axes).shape == source.shape
    if not same_shape or np.abs((matrix[:3] - exact) @ corners).max() > NEAR:
        raise ValueError("the segmentation lies on another grid than the series")
    turned = labels.transpose(axes)[tuple(slice(None, None, int(sign)) for sign in signs)]
    return np.ascontiguousarray(turned.transpose(2, 1, 0))


@dataclass(frozen=True)
class _Frame:
    position: Sequence[float]
    axes: Sequence[float]
    spacing: Sequence[float]


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    """Where the frames of a file lie, in its own coordinates (LPS, mm)."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        yield _Frame(*(_value([dataset], name) for name in PLACE))
        return
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        found = [item for group in (groups, *shared) for item in _items(group)]
        yield _Frame(*(_value(found, name) for name in PLACE))


def _items(group: Dataset) -> Iterator[Dataset]:
    for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
        yield from group.get(name) or []


def _value(items: Sequence[Dataset], name: str) -> list[float]:
    """The numbers of a header in the first item that has it."""
    found: Any = next((item.get(name) for item in items if item.get(name)), None)
    if found is None:
        raise ValueError(f"a slice lacks {name}")
    return [float(number) for number in found]
