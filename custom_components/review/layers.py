"""The two layers of a montage, CT and organs, so that a rater can fade the one over the other: where they lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from custom_components.anatomy import NUM_CLASSES, ORGANS

GEOMETRY = "montage_geometry"
"""Name of the text in the CT's PNG that tells where its pixels lie."""

LAYERS = ("ct", "organs")


WINDOWS: Mapping[str, tuple[float, float]] = {
    "abdomen": (-160.0, 240.0),
    "liver": (-5.0, 155.0),
    "lung": (-1350.0, 150.0),
    "bone": (-500.0, 1500.0),
}
"""HU shown as black and white; centre and width 40/400, 75/160, -600/1500, 500/2000."""


class Geometry(NamedTuple):
    """Where the voxels of a montage lie.

    Attributes:
        shape: voxels of the volume along right, anterior and superior.
        columns: slices in a row.
        affine: 4 x 4, from voxels to mm (RAS), row by row.
    """

    shape: tuple[int, int, int]
    columns: int
    affine: list[list[float]]

    def voxel(self, x: float, y: float) -> tuple[int, int, int] | None:
        """The voxel under a place of the montage, in pixels from its top left corner; None where there is no slice.

        Example:
            >>> Geometry((6, 5, 4), 2, np.eye(4).tolist()).voxel(0, 0), Geometry((6, 5, 4), 2, []).voxel(11.5, 9.5)
            ((5, 4, 0), (0, 0, 3))
        """
        width, height, slices = self.shape
        column, row = int(x // width), int(y // height)
        number = row * self.columns + column
        if not (0 <= column < self.columns and row >= 0 and number < slices):
            return None
        return width - 1 - int(x % width), height - 1 - int(y % height), number

    def place(self, x: float, y: float) -> list[float] | None:
        """The same in mm: right, anterior, superior."""
        voxel = self.voxel(x, y)
        return None if voxel is None else (np.asarray(self.affine) @ (*voxel, 1))[:3].tolist()


def layer_name(case_id: str, layer: str) -> str:
    """Name of the file of a layer of a case.

    Example:
        >>> layer_name("a.1", "ct")
        'a.1.ct.png'
    """
    return f"{case_id}.{layer}.png"


def layer_path(folder: str | Path, case_id: str, layer: str) -> Path:
    """Where a layer of a case lies.

    Example:
        >>> layer_path("layers", "a.1", "ct").as_posix()
        'layers/a.1.ct.png'
    """
    return Path(folder) / layer_name(case_id, layer)


EXAMPLE_PARTS = ("montage", "slice")


def example_path(folder: str | Path, code: int, part: str = "montage") -> Path:
    """Where the example of a code lies: the whole montage, or the slice that tells most."""
    return Path(folder) / f"example_{code}_{part}.png"


def read_geometry(path: str | Path) -> Geometry | None:
    """Where the pixels of a CT layer lie; None for a picture that does not tell."""
    with Image.open(path) as picture:
        text = picture.info.get(GEOMETRY)
    if text is None:
        return None
    found = json.loads(text)
    return Geometry(tuple(found["shape"]), found["columns"], found["affine"])


def organ_palette() -> list[int]:
    """Colours of labels 0 to 12 for `PIL.Image.putpalette`; 0 is black and to be transparent."""
    colours = np.zeros((NUM_CLASSES, 3), np.uint8)
    for organ in ORGANS:
        colours[organ.index] = organ.colour
    return colours.ravel().tolist()
