"""Failure modes of whole segmentations, and the table of all modes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.random import RandomState

from custom_components.anatomy import INDEX, NUM_CLASSES
from custom_components.transforms.corruption_scene import (
    Labels,
    Scene,
    body,
    choose_organs,
    log_uniform,
    organ_box,
    organs_present,
    smooth_noise,
)
from custom_components.transforms.organ_corruptions import (
    fragments,
    leaked,
    organ_missing,
    over_painted,
    shifted,
    shrunken,
)

LOST_SLICES = (0.05, 0.8)
"""Least and greatest share of a segmentation's slices that are missing."""

STEP_MM = (12.0, 60.0)
"""Height of the steps where slices are repeated; at least two slices."""

SALT_SHARE = (0.02, 0.6)
"""Least and greatest share of the body's voxels that get a random label."""

LIVER, SPLEEN, RIGHT, LEFT = (INDEX[name] for name in ("liver", "spleen", "right_kidney", "left_kidney"))


def swapped(scene: Scene, rng: RandomState) -> Labels:
    """Take right for left: exchange the kidneys, call both by one side, exchange liver and spleen, or mirror all."""
    first, second = ((RIGHT, LEFT), (RIGHT, LEFT), (LIVER, SPLEEN), (0, 0))[rng.randint(4)]
    present = organs_present(scene.labels)
    if first == second or not {first, second} & set(present):
        return scene.labels[::-1].copy()
    names = np.arange(NUM_CLASSES, dtype=np.uint8)
    names[[first, second]] = second, first
    if first == RIGHT and rng.rand() < 0.4:
        names[[first, second]] = rng.choice([first, second])
    return names[scene.labels]


def cut_off(scene: Scene, rng: RandomState) -> Labels:
    """End the segmentation at a plane although the CT goes on, or leave out or repeat axial slices."""
    kind = rng.choice(["plane", "missing", "repeated"], p=[0.6, 0.25, 0.15])
    if kind == "plane":
        return _cut_at_plane(scene, rng)
    labels = scene.labels.copy()
    if not labels.any():
        return labels
    slices = organ_box(labels > 0)[2]
    if kind == "missing":
        lost = rng.rand(slices.stop - slices.start) < rng.uniform(*LOST_SLICES)
        labels[:, :, slices][:, :, lost] = 0
        return labels
    step = max(2, round(log_uniform(rng, *STEP_MM) / scene.spacing[2]))
    index = np.arange(slices.start, slices.stop)
    labels[:, :, slices] = labels[:, :, index - (index - slices.start) % step]
    return labels


def _cut_at_plane(scene: Scene, rng: RandomState) -> Labels:
    """Remove what lies beyond an axial, or sometimes oblique, plane through an organ."""
    organs = choose_organs(scene.labels, rng, most=1)
    if not organs:
        return scene.labels.copy()
    normal = np.array([0.0, 0.0, rng.choice([-1.0, 1.0])])
    if rng.rand() < 0.4:
        normal = rng.standard_normal(3)
        normal /= np.linalg.norm(normal)
    axes = np.ogrid[tuple(slice(n) for n in scene.labels.shape)]
    height = sum((axis * n * mm).astype(np.float32) for axis, n, mm in zip(axes, normal, scene.spacing, strict=True))
    height = np.broadcast_to(height, scene.labels.shape)
    limit = np.quantile(height[scene.labels == organs[0]], 1 - rng.uniform(0.02, 1.0))
    return np.where(height > limit, np.uint8(0), scene.labels)


def upside_down(scene: Scene, rng: RandomState) -> Labels:
    """Turn the segmentation over: top and bottom, front and back, or both."""
    axes = ((2,), (1,), (1, 2))[rng.choice(3, p=[0.5, 0.25, 0.25])]
    return np.flip(scene.labels, axes).copy()


def empty(scene: Scene, rng: RandomState) -> Labels:
    """Find nothing."""
    return np.zeros_like(scene.labels)


def noise(scene: Scene, rng: RandomState) -> Labels:
    """Lay noise over the body: a share of single voxels of any label, or smooth patches of three to eight organs.

    Patches replace the segmentation or lie on it.
    """
    labels = scene.labels.copy()
    if rng.rand() < 0.4:
        salted = body(scene) & (rng.rand(*labels.shape) < log_uniform(rng, *SALT_SHARE))
        labels[salted] = rng.randint(0, NUM_CLASSES, size=np.count_nonzero(salted))
        return labels
    patches = _patches(scene, rng) * body(scene)
    return np.where(patches > 0, patches, labels) if rng.rand() < 0.5 else patches


def _patches(scene: Scene, rng: RandomState) -> Labels:
    """Smooth patches of some organs, where a smooth field of theirs is the highest of all and above a limit."""
    best = np.full(scene.labels.shape, rng.uniform(0.0, 1.2), np.float32)
    patches = np.zeros_like(scene.labels)
    wavelength = rng.uniform(25.0, 70.0)
    for organ in rng.choice(np.arange(1, NUM_CLASSES), size=rng.randint(3, 9), replace=False):
        field = smooth_noise(patches.shape, wavelength, rng, spacing=scene.spacing)
        patches[field > best] = organ
        np.maximum(best, field, out=best)
    return patches


def other_case(scene: Scene, rng: RandomState) -> Labels:
    """Take the segmentation of another case.

    Raises:
        ValueError: there is no donor, or it has another shape.
    """
    if not len(scene.donors):
        raise ValueError("other_case needs donors, found none")
    donor = np.asarray(scene.donors[rng.randint(len(scene.donors))])
    if donor.shape[-3:] != scene.labels.shape or donor.size != scene.labels.size:
        raise ValueError(f"donor has shape {donor.shape}, expected {scene.labels.shape}")
    return donor.reshape(scene.labels.shape).astype(np.uint8)


MODES: Mapping[str, Callable[[Scene, RandomState], Labels]] = {
    mode.__name__: mode
    for mode in (
        organ_missing, leaked, over_painted, shrunken, fragments, shifted, swapped, cut_off, upside_down, empty, noise,
        other_case,
    )
}  # fmt: skip
"""Each mode by name. A mode returns new labels; they may equal the old ones where there is nothing to spoil.

Without a truth, `certain_code` says case by case whether the code is certain. Of a success (code 0) it nearly always is
after `empty`, `swapped`, `upside_down` and `organ_missing`, mostly after `noise` and `other_case`, in half of the cases
after `cut_off`, in some after `over_painted`, seldom after the others, whose codes are a matter of degree. Of a code
1, `upside_down` is not certain.
"""
