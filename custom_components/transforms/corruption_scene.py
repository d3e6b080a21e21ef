"""What a failure mode works on, and the tools that the modes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy import ndimage

from custom_components.anatomy import INDEX, JUDGED_ORGANS, NUM_CLASSES

Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[slice, ...]

JUDGED_WEIGHT = 4.0
"""How much more often a judged organ fails than another one."""

TISSUE_GREY = (0.12, 0.95)
"""Grey of soft tissue and fat in the windowed CT; below is air or lung, above dense bone."""

TABLE_MM = 15.0
"""What is thinner than about half of this from front to back, such as the table, is not the body."""


class Scene(NamedTuple):
    """A segmentation and what surrounds it.

    Attributes:
        labels: 0 to 12, (X, Y, Z) uint8 in RAS; not to be changed in place.
        spacing: voxel size in mm.
        image: the CT, (X, Y, Z) in [0, 1], if there is one.
        donors: segmentations of other cases, each (X, Y, Z) or (1, X, Y, Z).
    """

    labels: Labels
    spacing: tuple[float, float, float]
    image: NDArray[np.float32] | None = None
    donors: Sequence = ()


def organs_present(labels: Labels) -> list[int]:
    """Indices of the organs that a segmentation holds."""
    counts = np.bincount(labels.ravel(), minlength=NUM_CLASSES)
    return [int(organ) for organ in np.flatnonzero(counts[1:]) + 1]


def choose_organs(labels: Labels, rng: RandomState, *, most: int) -> list[int]:
    """Draw 1 to `most` of the organs that are present, judged ones more often; none if there are none."""
    present = organs_present(labels)
    if not present:
        return []
    judged = [INDEX[name] for name in JUDGED_ORGANS]
    weights = np.array([JUDGED_WEIGHT if organ in judged else 1.0 for organ in present])
    count = min(len(present), rng.randint(1, most + 1))
    return [int(organ) for organ in rng.choice(present, size=count, replace=False, p=weights / weights.sum())]


def organ_box(mask: Mask, *, margin: Sequence[int] = (0, 0, 0)) -> Box:
    """Bounding box of a mask that is not empty, grown by a margin in voxels and cut to the grid."""
    box = []
    for axis, (size, extra) in enumerate(zip(mask.shape, margin, strict=True)):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(max(0, filled[0] - extra), min(size, filled[-1] + 1 + extra)))
    return tuple(box)


def radius_mm(mask: Mask, spacing: Sequence[float]) -> float:
    """Radius of the ball that has a mask's volume."""
    return float((3 * np.count_nonzero(mask) * np.prod(spacing) / (4 * np.pi)) ** (1 / 3))


def smooth_noise(
    shape: Sequence[int], wavelength: float, rng: RandomState, *, spacing: Sequence[float]
) -> NDArray[np.float32]:
    """A smooth random field of about unit variance.

    Args:
        shape: of the field.
        wavelength: mm between independent values.
        rng: source of the values.
        spacing: voxel size in mm.
    """
    knots = [max(2, round(n * mm / wavelength) + 1) for n, mm in zip(shape, spacing, strict=True)]
    field = rng.standard_normal(knots).astype(np.float32)
    for size, count in zip(shape, knots, strict=True):
        weights = ndimage.zoom(np.eye(count, dtype=np.float32), (size / count, 1), order=3)
        field = np.tensordot(field, weights, axes=(0, 1))  # takes the first axis away, appends the new one
    return field


def body(scene: Scene) -> Mask:
    """Where the CT shows the body, without lung and table; everywhere if there is no CT."""
    if scene.image is None:
        return np.ones(scene.labels.shape, bool)
    across = max(3, round(TABLE_MM / scene.spacing[1]))
    filled = (scene.image > TISSUE_GREY[0]).astype(np.float32)
    return np.asarray(ndimage.uniform_filter1d(filled, across, axis=1) > 0.6)


def log_uniform(rng: RandomState, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
