"""A voxel grid that shapes are painted on as tissues, each inside its own bounding box."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from custom_components.data.phantom.body import BodyFrame
from custom_components.data.phantom.grid import sample_smooth
from custom_components.data.phantom.shapes import Floats, cone, smooth_curve
from custom_components.data.phantom.tissue import Tissue

Mask = NDArray[np.bool_]


class Region:
    """A box of the canvas: views of the tissue map and of the body's fields."""

    def __init__(self, tissue: NDArray[np.uint8], fields: Floats) -> None:
        self.tissue, self.fields = tissue, fields

    @property
    def xyz(self) -> Floats:
        """Anatomy coordinates (3, ...) in mm."""
        return self.fields[:3]

    @property
    def depth(self) -> Floats:
        """Distance (mm) outwards from the inner surface of the body wall."""
        return self.fields[3]

    @property
    def wall(self) -> Floats:
        """Distance (mm) outwards from the outer surface of the muscle."""
        return self.fields[4]

    @property
    def skin(self) -> Floats:
        """Distance (mm) outwards from the skin."""
        return self.fields[5]

    @property
    def dome(self) -> Floats:
        """Height (mm) above the diaphragm."""
        return self.fields[6]

    def noise(self, weights: Sequence[float]) -> Floats:
        """A smooth random field: the body's three noises, weighted."""
        return sum(np.float32(w) * field for w, field in zip(weights, self.fields[7:10], strict=True) if w)

    @property
    def fine(self) -> Floats:
        """A texture of unit variance and about 12 mm wavelength."""
        return self.fields[10]

    def paint(self, mask: Mask, tissue: Tissue, over: Sequence[Tissue] | None = None) -> None:
        """Paint a tissue where the mask holds, over the given tissues only (default: over all)."""
        if over is not None:
            allowed = np.zeros(len(Tissue), bool)
            allowed[list(over)] = True
            mask = mask & allowed[self.tissue]
        np.copyto(self.tissue, np.uint8(tissue), where=mask)


class Canvas:
    """The tissue map of one subject on one grid.

    Args:
        frame: the subject's body.
        affine: 4 x 4, of the grid.
        shape: of the grid.
    """

    def __init__(self, frame: BodyFrame, affine: NDArray[np.float64], shape: tuple[int, int, int]) -> None:
        self.fields = sample_smooth(frame.fields, affine, shape, spare=1)
        _add_fine_texture(self.fields)
        self.tissue = np.zeros(shape, np.uint8)
        self._frame = frame
        self._from_world = np.linalg.inv(affine)

    def whole(self) -> Region:
        """The whole canvas."""
        return Region(self.tissue, self.fields)

    def _index(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where points (N, 3) of the anatomy (mm) lie on the grid, in voxels."""
        world = self._frame.to_world(points)
        return world @ self._from_world[:3, :3].T + self._from_world[:3, 3]

    def _bounds(self, low: NDArray, high: NDArray, margin: float) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
        """First and last-but-one voxels of boxes (..., 3) with a margin (mm) around them, cut to the grid."""
        reach = np.abs(self._from_world[:3, :3]).sum(axis=1) * margin + 1
        start = np.maximum(np.floor(low - reach), 0).astype(int)
        stop = np.minimum(np.ceil(high + reach) + 1, self.tissue.shape).astype(int)
        return start, stop

    def region(self, low: ArrayLike, high: ArrayLike) -> Region | None:
        """The box that holds all points between two corners (anatomy mm); None if it is off the grid."""
        sides = np.linspace(np.asarray(low, float), np.asarray(high, float), 4)
        points = np.stack(np.meshgrid(*sides.T, indexing="ij"), axis=-1).reshape(-1, 3)
        index = self._index(points)
        return self._cut(*self._bounds(index.min(axis=0), index.max(axis=0), self._frame.bulge))

    def _cut(self, start: NDArray[np.int_], stop: NDArray[np.int_]) -> Region | None:
        if (start >= stop).any():
            return None
        x, y, z = (slice(a, b) for a, b in zip(start.tolist(), stop.tolist(), strict=True))
        return Region(self.tissue[x, y, z], self.fields[:, x, y, z])

    def around(self, centre: ArrayLike, reach: ArrayLike) -> Region | None:
        """The box around a centre (anatomy mm)."""
        return self.region(np.subtract(centre, reach), np.add(centre, reach))

    def tube(self, knots: ArrayLike, *, per_segment: int = 2) -> tuple[Region, Floats] | None:
        """Region of a tube along a smooth curve of knots (x, y, z, radius), and the signed distance to it."""
        curve = smooth_curve(knots, per_segment)
        index, margin = self._index(curve[:, :3]), 1.2 * float(curve[:, 3].max()) + 2
        ends = index[:-1], index[1:]
        starts, stops = self._bounds(np.minimum(*ends), np.maximum(*ends), margin)
        corner = starts.min(axis=0)
        region = self._cut(corner, stops.max(axis=0))
        if region is None:
            return None
        distance = np.full(region.tissue.shape, 1e3, np.float32)
        boxes = zip((starts - corner).tolist(), (stops - corner).tolist(), strict=True)
        for (start, stop), (first, last) in zip(boxes, pairwise(curve), strict=True):
            x, y, z = (slice(max(a, 0), max(b, 0)) for a, b in zip(start, stop, strict=True))
            near = cone(region.xyz[:, x, y, z], first, last)
            np.minimum(distance[x, y, z], near, out=distance[x, y, z])
        return region, distance


def _add_fine_texture(fields: Floats) -> None:
    """Fill the last field: plane waves that modulate each other's phase and so do not repeat."""
    x, y, z = fields[:3]
    texture = fields[10]
    first = np.float32(0.33) * x + np.float32(0.17) * y + np.float32(2.5) * fields[7]
    second = np.float32(0.31) * y - np.float32(0.22) * z + np.float32(2.5) * fields[8]
    np.sin(np.float32(0.29) * z - np.float32(0.19) * x + np.float32(2.5) * fields[9], out=texture)
    second += np.float32(2) * texture
    np.sin(second, out=second)
    first += np.float32(2) * second
    texture += second
    texture += np.sin(first, out=first)
    texture *= np.float32(0.82)
