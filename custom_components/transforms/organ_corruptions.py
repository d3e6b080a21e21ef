"""Failure modes of single organs: missing, leaked, over-painted, shrunken, in fragments, shifted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from scipy import ndimage

from custom_components.anatomy import INDEX, JUDGED_ORGANS
from custom_components.transforms.corruption_scene import (
    TISSUE_GREY,
    Box,
    Labels,
    Mask,
    Scene,
    body,
    choose_organs,
    log_uniform,
    organ_box,
    organs_present,
    radius_mm,
    smooth_noise,
)

LOST_SHARE = (0.03, 0.8)
"""Least and greatest share of an organ's volume that `shrunken` and `fragments` take away."""

LEAK_REACH = (0.5, 2.0)
"""How far a leak may go from where it leaves the organ; of the radius of a ball of the organ's volume."""

PAINTED_REACH = (0.05, 3.0)
"""How far an organ is painted over what surrounds it; of the same radius."""

SHIFT_REACH = (0.06, 2.0)
"""Distance that an organ is shifted, of the same radius."""

MASK_SHIFT_MM = (3.0, 60.0)
"""Distance that a whole segmentation is shifted."""

MAX_UNEVENNESS = 1.35
"""Greatest reach of a leak or a false piece, of its mean reach."""


def organ_missing(scene: Scene, rng: RandomState) -> Labels:
    """Remove one to three organs."""
    labels = scene.labels.copy()
    labels[np.isin(labels, choose_organs(labels, rng, most=3))] = 0
    return labels


def leaked(scene: Scene, rng: RandomState) -> Labels:
    """Let one or two organs flow over into what touches them, other organs included.

    A leak starts at one place of the surface and fills tissue of the organ's grey; without a CT, random tissue.
    """
    labels = scene.labels.copy()
    for organ in choose_organs(labels, rng, most=2):
        mask = labels == organ
        if mask.any():
            _leak(scene, labels, mask, organ, rng)
    return labels


def _leak(scene: Scene, labels: Labels, mask: Mask, organ: int, rng: RandomState) -> None:
    """Let an organ leak, in place."""
    reach = radius_mm(mask, scene.spacing) * rng.uniform(*LEAK_REACH)
    start = _point_at_surface(mask, rng)
    box, local = _box_around(start, reach, scene.spacing)
    own = mask[box]
    where = _near(own.shape, local, reach, scene.spacing, rng)
    strangeness = _strangeness(scene, box, own, rng)
    where &= ~own & np.isfinite(strangeness)
    if not where.any():
        return
    where &= strangeness <= np.quantile(strangeness[where], rng.uniform(0.3, 0.8))
    pieces, _ = ndimage.label(where | own)
    touching = np.unique(pieces[own])
    labels[box][where & np.isin(pieces, touching)] = organ


def _point_at_surface(mask: Mask, rng: RandomState) -> tuple[int, ...]:
    """A random voxel of a mask's surface."""
    box = organ_box(mask)
    inner = mask[box]
    surface = np.argwhere(inner & ~ndimage.binary_erosion(inner))
    point = surface[rng.randint(len(surface))]
    return tuple(int(p) + side.start for p, side in zip(point, box, strict=True))


def _near(
    shape: Sequence[int], centre: Sequence[int], reach: float, spacing: Sequence[float], rng: RandomState
) -> Mask:
    """What lies around a voxel, up to a distance (mm) that varies with the direction."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    square = sum(((axis - c) * mm) ** 2 for axis, c, mm in zip(axes, centre, spacing, strict=True))
    bumps = smooth_noise(shape, 0.7 * reach, rng, spacing=spacing).clip(-1, 1)
    return np.asarray(np.sqrt(square) < reach * (1 + (MAX_UNEVENNESS - 1) * bumps))


def _strangeness(scene: Scene, box: Box, own: Mask, rng: RandomState) -> NDArray[np.float32]:
    """How much each voxel of a box differs in grey from the organ; infinite in air and dense bone."""
    if scene.image is None:
        return smooth_noise(own.shape, 25.0, rng, spacing=scene.spacing)
    grey = ndimage.gaussian_filter(scene.image[box], [2.5 / mm for mm in scene.spacing], truncate=2.0)
    difference = np.abs(grey - np.median(grey[own]))
    return np.where((grey > TISSUE_GREY[0]) & (grey < TISSUE_GREY[1]), difference, np.inf).astype(np.float32)


def over_painted(scene: Scene, rng: RandomState) -> Labels:
    """Paint one or two judged organs over the body around them, unevenly; other organs stay or are painted over too.

    A network that is trained against a frozen discriminator does that.
    """
    labels = scene.labels.copy()
    judged = [organ for organ in organs_present(labels) if organ in {INDEX[name] for name in JUDGED_ORGANS}]
    if not judged:
        return labels
    inside = body(scene)
    for organ in rng.choice(judged, size=min(len(judged), rng.randint(1, 3)), replace=False):
        mask = scene.labels == organ
        distance = ndimage.distance_transform_edt(~mask, sampling=scene.spacing)
        reach = radius_mm(mask, scene.spacing) * log_uniform(rng, *PAINTED_REACH)
        bumps = smooth_noise(mask.shape, 40.0, rng, spacing=scene.spacing).clip(-1.5, 1.5)
        free = inside if rng.rand() < 0.5 else inside & (labels == 0)
        least = 1.01 * min(scene.spacing)  # a voxel
        labels[free & (distance < np.maximum(least, reach * (1 + 0.5 * bumps)))] = organ
    return labels


def shrunken(scene: Scene, rng: RandomState) -> Labels:
    """Take volume away from the surface of one to three organs, unevenly."""
    labels = scene.labels.copy()
    for organ in choose_organs(labels, rng, most=3):
        box, mask = _boxed(labels, organ)
        depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=scene.spacing)[1:-1, 1:-1, 1:-1]
        bumps = smooth_noise(mask.shape, 30.0, rng, spacing=scene.spacing)
        depth = depth + 0.35 * depth[mask].std() * bumps
        labels[box][mask & (depth < np.quantile(depth[mask], rng.uniform(*LOST_SHARE)))] = 0
    return labels


def fragments(scene: Scene, rng: RandomState) -> Labels:
    """Break one or two organs into pieces.

    What lies between the pieces becomes background or a neighbouring organ. Some organs also get false pieces
    elsewhere in soft tissue.
    """
    labels = scene.labels.copy()
    for organ in choose_organs(labels, rng, most=2):
        box, mask = _boxed(labels, organ, margin_mm=12.0, spacing=scene.spacing)
        if not mask.any():
            continue
        noise = smooth_noise(mask.shape, rng.uniform(12.0, 35.0), rng, spacing=scene.spacing)
        lost = mask & (noise < np.quantile(noise[mask], rng.uniform(*LOST_SHARE)))
        neighbours = [other for other in organs_present(labels[box]) if other != organ]
        filling = rng.choice(neighbours) if neighbours and rng.rand() < 0.4 else 0
        labels[box][lost] = filling
        if rng.rand() < 0.4:
            _add_islands(scene, labels, organ, radius_mm(mask, scene.spacing), rng)
    return labels


def _add_islands(scene: Scene, labels: Labels, organ: int, radius: float, rng: RandomState) -> None:
    """Add one to five false pieces of an organ to the body's background, in place."""
    free = body(scene) & (labels == 0)
    places = np.flatnonzero(free)
    for place in rng.choice(places, size=min(len(places), rng.randint(1, 6))):
        centre = [int(c) for c in np.unravel_index(place, labels.shape)]
        reach = radius * rng.uniform(0.15, 0.5)
        box, local = _box_around(centre, reach, scene.spacing)
        labels[box][_near(free[box].shape, local, reach, scene.spacing, rng) & free[box]] = organ


def _box_around(centre: Sequence[int], reach: float, spacing: Sequence[float]) -> tuple[Box, list[int]]:
    """Box that holds all within a reach (mm) as uneven as in `_near`, and where the centre lies in it."""
    margin = [int(np.ceil(MAX_UNEVENNESS * reach / mm)) for mm in spacing]
    box = tuple(slice(max(0, c - m), c + m + 1) for c, m in zip(centre, margin, strict=True))
    return box, [c - side.start for c, side in zip(centre, box, strict=True)]


def shifted(scene: Scene, rng: RandomState) -> Labels:
    """Move one or two organs, or the whole segmentation, in a random direction."""
    if rng.rand() < 0.35:
        return _moved(scene.labels, log_uniform(rng, *MASK_SHIFT_MM), scene.spacing, rng)
    labels = scene.labels.copy()
    for organ in choose_organs(scene.labels, rng, most=2):
        mask = scene.labels == organ
        moved = _moved(mask, radius_mm(mask, scene.spacing) * log_uniform(rng, *SHIFT_REACH), scene.spacing, rng)
        labels[labels == organ] = 0
        labels[moved] = organ
    return labels


def _moved(array: NDArray, distance: float, spacing: Sequence[float], rng: RandomState) -> NDArray:
    """Move an array by a distance (mm) but at least by a voxel; what comes in from outside is 0."""
    direction = rng.standard_normal(3)
    voxels = direction / np.linalg.norm(direction) * distance / spacing
    steps = np.rint(voxels).astype(int)
    if not steps.any():
        axis = int(np.abs(voxels).argmax())
        steps[axis] = 1 if voxels[axis] > 0 else -1
    moved = np.zeros_like(array)
    sizes = array.shape
    into = tuple(slice(max(0, s), max(0, n + min(0, s))) for s, n in zip(steps, sizes, strict=True))
    out_of = tuple(slice(max(0, -s), max(0, n - max(0, s))) for s, n in zip(steps, sizes, strict=True))
    moved[into] = array[out_of]
    return moved


def _boxed(
    labels: Labels, organ: int, *, margin_mm: float = 0.0, spacing: Sequence[float] = (1.0, 1.0, 1.0)
) -> tuple[Box, Mask]:
    """Box around an organ and its mask there; the whole grid if another organ has taken its place."""
    mask = labels == organ
    if not mask.any():
        return tuple(slice(n) for n in mask.shape), mask
    box = organ_box(mask, margin=[round(margin_mm / mm) for mm in spacing])
    return box, mask[box]
