"""One phantom subject as a CT with its organ labels, on any grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from custom_components.data.phantom.anatomy import paint_anatomy
from custom_components.data.phantom.body import BodyFrame
from custom_components.data.phantom.canvas import Canvas
from custom_components.data.phantom.grid import Grid, RawForm, find_grid
from custom_components.data.phantom.imaging import LEAST_HU, Scanner, tissue_hounsfield, to_int16
from custom_components.data.phantom.shapes import Floats
from custom_components.data.phantom.subject import Subject, draw_subject
from custom_components.data.phantom.surroundings import paint_arms, paint_table, table_height
from custom_components.data.phantom.tissue import LABEL_OF_TISSUE, TEXTURE_OF_TISSUE
from custom_components.data.phantom.variation import VARIATION, Variation

SAMPLE_MM = (2.7, 2.7, 6.0)
"""Sampling of the anatomy: wider voxels are averaged from up to 4 samples an axis (partial volume)."""

SLAB_POINTS = 3_000_000
"""Samples rendered at once, which bounds the memory."""

RAW_WHOLE_TRUNK = (-230.0, 210.0)
RAW_ABDOMEN = (-130.0, 140.0)


class Phantom(NamedTuple):
    """One phantom CT.

    Attributes:
        image: int16 HU, (X, Y, Z).
        label: uint8, 0 to 12, same shape.
        affine: 4 x 4, voxel to RAS mm.
        info: the subject's parameters, such as `phase`, `missing`, `findings`, `shift`.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]
    info: dict[str, object]


def make_phantom(
    seed: int | Sequence[int],
    shift: float,
    *,
    grid: str | Grid | RawForm = "small",
    variation: Variation = VARIATION,
) -> Phantom:
    """Make one phantom CT; the same seed and shift give the same subject on every grid.

    Args:
        seed: decides everything.
        shift: 0 for the narrow distribution of a labelled set, 1 for what a hospital's archive holds.
        grid: "small" (64 x 64 x 32), "paper" (168 x 168 x 64), "raw" (hospital form), "trunk" (the same with
            128 x 128 pixels, to learn body parts from), "long" (as that, with more of chest and thighs) or a grid.
        variation: how much subjects vary with the shift.

    Raises:
        ValueError: the shift is not within 0 to 1, or the grid is unknown.

    Example:
        >>> phantom = make_phantom(7, 0.0)
        >>> phantom.image.shape, phantom.info["phase"]
        ((64, 64, 32), 'portal')
    """
    form = find_grid(grid)
    subject = draw_subject(np.random.SeedSequence(seed), shift, variation)
    frame_seed, organ_seed = subject.anatomy_seed.spawn(2)
    frame = BodyFrame(subject, np.random.default_rng(frame_seed))
    placed, centre, scan = _place(form, subject)
    affine = placed.affine(centre)
    rng = np.random.default_rng(subject.imaging_seed)
    hu = tissue_hounsfield(subject, rng, variation)
    scanner = Scanner(subject, rng, affine, variation)

    image = np.empty(placed.shape, np.float32)
    label = np.empty(placed.shape, np.uint8)
    table = table_height(frame)
    for slab, slab_affine in _slabs(placed, affine):
        tissue, texture, factors = _render(frame, organ_seed, slab_affine, image[..., slab].shape, placed, table)
        values = hu[tissue] + TEXTURE_OF_TISSUE[tissue] * texture
        image[..., slab] = _block_mean(values, factors)
        label[..., slab] = _block_majority(LABEL_OF_TISSUE[tissue], factors)
    image[...] = scanner.blur(image)
    for slab, slab_affine in _slabs(placed, affine):
        scanner.degrade(image[..., slab], slab_affine, slab.start)
    volume = to_int16(image)
    _crop(volume, label, affine, scan)
    return Phantom(volume, label, affine, subject.info())


def _place(form: Grid | RawForm, subject: Subject) -> tuple[Grid, tuple[float, float, float], tuple[float, float]]:
    """The grid, its centre, and the scan range (bottom, top) outside which there is only padding."""
    if isinstance(form, Grid):
        return form, subject.centre, subject.scan_range
    rng = np.random.default_rng(subject.imaging_seed.spawn(1)[0])
    x, y, z = subject.centre
    short = subject.scan_range[1] - subject.scan_range[0] < 900
    bottom, top = subject.scan_range if short else (RAW_WHOLE_TRUNK, RAW_ABDOMEN)[int(rng.random() < 0.5)]
    if any(form.beyond_mm):
        below, above = rng.uniform(0, form.beyond_mm)
        bottom, top = bottom - below, top + above
    width = (300 + 2 * subject.fat) * subject.scale[0]
    placed = form.draw(rng, width, (bottom, top))
    return placed, (x, y, (bottom + top) / 2 + 0.3 * z), (-np.inf, np.inf)


def _slabs(grid: Grid, affine: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Slabs of slices small enough for memory, each with its own affine."""
    points = np.prod(grid.shape[:2]) * np.prod(_factors(grid))
    count = int(max(1, SLAB_POINTS // points))
    for start in range(0, grid.shape[2], count):
        moved = affine.copy()
        moved[:3, 3] += affine[:3, 2] * start
        yield slice(start, min(start + count, grid.shape[2])), moved


def _factors(grid: Grid) -> tuple[int, int, int]:
    x, y, z = (min(max(1, round(mm / limit)), 4) for mm, limit in zip(grid.spacing, SAMPLE_MM, strict=True))
    return x, y, z


def _render(
    frame: BodyFrame,
    seed: np.random.SeedSequence,
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    grid: Grid,
    table: float,
) -> tuple[NDArray[np.uint8], Floats, tuple[int, int, int]]:
    """Tissue and texture of a slab on the samples inside its voxels, and their number on each axis."""
    factors = _factors(grid)
    x, y, z = (n * f for n, f in zip(shape, factors, strict=True))
    fine = affine.copy()
    fine[:3, :3] /= factors
    fine[:3, 3] -= (affine[:3, :3] - fine[:3, :3]).sum(axis=1) / 2
    canvas = Canvas(frame, fine, (x, y, z))
    paint_anatomy(canvas, frame, np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key))
    if frame.subject.has("arms_down"):
        paint_arms(canvas)
    paint_table(canvas, fine, table)
    return canvas.tissue, canvas.whole().fine, factors


def _parts(values: NDArray, factors: tuple[int, int, int]) -> Iterator[NDArray]:
    """For each sample inside a voxel, a view of that sample in all voxels."""
    for i, j, k in np.ndindex(*factors):
        yield values[i :: factors[0], j :: factors[1], k :: factors[2]]


def _block_mean(values: Floats, factors: tuple[int, int, int]) -> Floats:
    return np.asarray(sum(_parts(values, factors)) / np.float32(np.prod(factors)), np.float32)


def _block_majority(label: NDArray[np.uint8], factors: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The most frequent label inside each voxel; of equals the organ wins over background."""
    parts = list(_parts(label, factors))
    result = parts[0].copy()
    mixed = np.any([part != result for part in parts[1:]], axis=0) if len(parts) > 1 else np.zeros(result.shape, bool)
    choices = np.stack([part[mixed] for part in parts])
    best = np.zeros(choices.shape[1], np.uint8)
    most = (choices == 0).sum(axis=0)
    for organ in np.unique(choices)[::-1]:
        votes = (choices == organ).sum(axis=0)
        better = (votes >= np.maximum(most, 1)) & (organ > 0)
        best[better], most[better] = organ, votes[better]
    result[mixed] = best
    return result


def _crop(
    image: NDArray[np.int16], label: NDArray[np.uint8], affine: NDArray[np.float64], scan: tuple[float, float]
) -> None:
    """Pad what lies below or above the scan range."""
    height = affine[2, 3] + affine[2, 2] * np.arange(image.shape[2])
    outside = (height < scan[0]) | (height > scan[1])
    image[..., outside] = LEAST_HU
    label[..., outside] = 0
