"""Voxel grids of the phantom and the sampling of continuous fields on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom_components.data.phantom.shapes import Floats, rotation_matrix

KNOT_MM = 12.0
"""Step of the coarse lattice on which smooth fields are evaluated before they are interpolated."""


@dataclass(frozen=True)
class Grid:
    """A voxel grid, centred on the subject's field of view.

    Args:
        shape: voxels.
        spacing: mm.
        axcodes: orientation of the axes as nibabel names it.
        oblique: rotation of the grid about x, y, z in degrees.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axcodes: str = "RAS"
    oblique: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(self.spacing) <= 0:
            raise ValueError(f"grid has shape {self.shape} and spacing {self.spacing} mm, expected numbers above 0")

    def affine(self, centre: tuple[float, float, float]) -> NDArray[np.float64]:
        """Affine of the grid whose middle lies at `centre` (mm)."""
        orientation = nib.orientations.axcodes2ornt(tuple(self.axcodes))
        axes = np.zeros((3, 3))
        for column, (axis, sign) in enumerate(orientation):
            axes[int(axis), column] = sign
        affine = np.eye(4)
        affine[:3, :3] = rotation_matrix(self.oblique) @ axes * self.spacing
        affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return affine


@dataclass(frozen=True)
class RawForm:
    """Hospital form: thin pixels, any orientation, whole trunk or abdomen; drawn for each subject.

    Args:
        matrix: pixels in a row and a column; hospitals have 512.
        pixel_mm: least and greatest pixel of a 512 matrix; fewer pixels are larger, the field is the same.
        slice_mm: least and greatest slice spacing.
        beyond_mm: by how much, at most, a scan goes on below and above: to the thighs, and through the chest.
    """

    matrix: int = 512
    pixel_mm: tuple[float, float] = (0.6, 1.0)
    slice_mm: tuple[float, float] = (1.0, 5.0)
    beyond_mm: tuple[float, float] = (0.0, 0.0)

    def draw(self, rng: np.random.Generator, body_width: float, scan_range: tuple[float, float]) -> Grid:
        """A grid around a body of the given width (mm) over a scan range (bottom, top; mm)."""
        pixel = np.clip(body_width * rng.uniform(1.03, 1.2) / 512, *self.pixel_mm) * 512 / self.matrix
        thickness = float(np.exp(rng.uniform(*np.log(self.slice_mm))).round(2))
        slices = max(1, round((scan_range[1] - scan_range[0]) / thickness))
        oblique = rng.uniform(-4, 4, size=3) * (rng.random() < 0.3)
        return Grid(
            (self.matrix, self.matrix, slices),
            (float(pixel), float(pixel), thickness),
            str(rng.choice(["LPS", "LAS", "RAS"])),
            (float(oblique[0]), float(oblique[1]), float(oblique[2])),
        )


GRIDS: dict[str, Grid | RawForm] = {
    "small": Grid((64, 64, 32), (5.25, 5.25, 12.0)),
    "paper": Grid((168, 168, 64), (2.0, 2.0, 6.0)),
    "raw": RawForm(),
    "trunk": RawForm(matrix=128, slice_mm=(2.5, 6.0)),
    "long": RawForm(matrix=128, slice_mm=(2.5, 6.0), beyond_mm=(60.0, 280.0)),
}


def find_grid(grid: str | Grid | RawForm) -> Grid | RawForm:
    """The grid of a name, or the grid itself.

    Raises:
        ValueError: no grid has that name.
    """
    if isinstance(grid, Grid | RawForm):
        return grid
    if grid not in GRIDS:
        raise ValueError(f"grid is {grid!r}, expected one of {sorted(GRIDS)}")
    return GRIDS[grid]


def sample_smooth(
    field: Callable[[Floats], Floats],
    affine: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    spare: int = 0,
) -> Floats:
    """Sample smooth fields on a grid: evaluate on a coarse lattice, interpolate with cubic B-splines.

    Args:
        field: maps points (3, ...) in mm to values (F, ...).
        affine: 4 x 4, of the grid.
        shape: of the grid.
        spare: number of unset fields to append, for the caller to fill.

    Returns:
        values (F + spare, *shape).
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    counts = [max(1, int(np.ceil((n - 1) * s / KNOT_MM))) for n, s in zip(shape, spacing, strict=True)]
    steps = [max((n - 1) / c, 1e-6) for n, c in zip(shape, counts, strict=True)]
    knots = [np.arange(-1, c + 2) * step for c, step in zip(counts, steps, strict=True)]
    index = np.stack(np.meshgrid(*knots, indexing="ij")).reshape(3, -1)
    points = (affine[:3, :3] @ index + affine[:3, 3:]).astype(np.float32)
    values = field(points.reshape(3, *(len(k) for k in knots)))
    along_x, along_y, along_z = (_spline_weights(n, s, len(k)) for n, s, k in zip(shape, steps, knots, strict=True))
    values = np.matmul(along_y, np.matmul(values, along_z.T))
    sampled = np.empty((len(values) + spare, *shape), np.float32)
    flat = sampled[: len(values)].reshape(len(values), shape[0], -1)
    np.matmul(along_x, values.reshape(*values.shape[:2], -1), out=flat)
    return sampled


def _spline_weights(samples: int, step: float, knots: int) -> Floats:
    """Cubic B-spline weights (samples, knots); the first knot lies one step before the first sample."""
    distance = np.abs(np.arange(samples)[:, None] / step - (np.arange(knots)[None] - 1))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)
