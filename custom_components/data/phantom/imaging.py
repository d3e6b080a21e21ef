"""From tissues to a CT image: contrast phase, partial volume, blur, bias, streaks, noise, table, arms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom_components.data.phantom.grid import sample_smooth
from custom_components.data.phantom.shapes import Floats, SmoothNoise
from custom_components.data.phantom.subject import Subject
from custom_components.data.phantom.tissue import ENHANCING, PHASES, Tissue, hounsfield_by_phase
from custom_components.data.phantom.variation import VARIATION, Variation

AIR_HU, LEAST_HU, GREATEST_HU = -1000, -1024, 3071
NOISE_VOXEL_MM3 = 3.0
"""Volume of the voxel on which `Variation.noise` is given."""
NOISE_POWER = 0.3
"""Noise falls with the voxel volume to this power; 0.5 would be that of independent photons."""
STREAK_COUNT = 18


def tissue_hounsfield(subject: Subject, rng: np.random.Generator, table: Variation = VARIATION) -> Floats:
    """HU of every tissue in one subject, shape (tissues,)."""
    by_phase = hounsfield_by_phase()
    plain = by_phase[PHASES.index("none")]
    hu = plain + (subject.phase_weights @ by_phase - plain) * subject.enhancement
    jitter = np.clip(rng.normal(size=len(hu)), -2.5, 2.5) * table.tissue_hu_sd.at(subject.shift)
    soft = np.isin(np.arange(len(hu)), ENHANCING)
    hu = hu + np.where(soft, jitter, 0.25 * jitter)
    for side in ("CORTEX", "MEDULLA"):
        hu[Tissue[f"LEFT_RENAL_{side}"]] = hu[Tissue[f"RIGHT_RENAL_{side}"]]
    hu[Tissue.LIVER] -= subject.fatty_liver
    for tissue in (Tissue.BOWEL_FLUID, Tissue.STOMACH_FLUID):
        hu[tissue] += subject.oral_contrast
    return hu.astype(np.float32)


class Scanner:
    """The imaging chain of one subject on one grid, applicable to slabs of slices.

    Args:
        subject: the subject.
        rng: source of the scan's randomness that does not depend on the grid.
        affine: 4 x 4, of the grid.
    """

    def __init__(
        self,
        subject: Subject,
        rng: np.random.Generator,
        affine: NDArray[np.float64],
        table: Variation = VARIATION,
    ) -> None:
        shift = subject.shift
        self.spacing = np.linalg.norm(affine[:3, :3], axis=0)
        self.affine = affine
        self.blur_mm = table.blur.at(shift) * rng.uniform(0.8, 1.2)
        thick = table.slice_blur.at(shift) * rng.uniform(0.7, 1.3)
        self.slice_blur_mm = thick if subject.has("thick_slices") else 0.0
        self.noise_hu = table.noise.at(shift) * rng.uniform(0.7, 1.3)
        self.bias_hu = table.bias.at(shift)
        self._bias = SmoothNoise(rng, (320.0,))
        self._streaks = _Streaks(rng, table.streak_strength.at(shift)) if subject.has("streaks") else None
        self.noise_seed = int(rng.integers(2**63))

    def blur(self, image: Floats) -> Floats:
        """Blur a whole image (X, Y, Z) by the point spread function and the slice profile."""
        sigma = np.array([self.blur_mm, self.blur_mm, self.slice_blur_mm]) / self.spacing
        for axis, width in enumerate(sigma):
            if width > 0.25:
                image = ndimage.gaussian_filter1d(image, width, axis=axis, mode="nearest", truncate=3)
        return image

    def degrade(self, image: Floats, affine: NDArray[np.float64], first_slice: int) -> Floats:
        """Add bias, streaks and noise to a slab (X, Y, Z) with its own affine, in place."""
        shape = (image.shape[0], image.shape[1], image.shape[2])
        body = image > -500
        bias = sample_smooth(self._bias, affine, shape)[0]
        image += np.where(body, bias * np.float32(self.bias_hu), 0)
        if self._streaks is not None:
            image += self._streaks.on(affine, shape)
        image += self._noise(shape, first_slice)
        return image

    def _noise(self, shape: tuple[int, int, int], first_slice: int) -> Floats:
        """Noise correlated between neighbouring pixels; each slice has its own generator."""
        level = self.noise_hu * (np.prod(self.spacing) / NOISE_VOXEL_MM3) ** -NOISE_POWER
        noise = np.empty(shape, np.float32)
        for k in range(shape[2]):
            rng = np.random.default_rng((self.noise_seed, first_slice + k))
            noise[..., k] = rng.standard_normal(shape[:2], dtype=np.float32)
        kernel = np.array([0.3, 1, 0.3], np.float32)
        kernel *= np.float32(np.sqrt(level) / np.linalg.norm(kernel))
        for axis in (0, 1):
            noise = ndimage.convolve1d(noise, kernel, axis=axis, mode="nearest")
        return noise


class _Streaks:
    """Bright and dark rays in the axial plane from a dense object, such as an implant in the spine."""

    def __init__(self, rng: np.random.Generator, strength: float) -> None:
        self.centre = np.array([rng.uniform(-70, 70), rng.uniform(-70, 60), rng.uniform(-90, 110)])
        self.reach = rng.uniform(15, 45)
        self.strength = strength * rng.uniform(0.7, 1.3)
        self.frequencies = rng.integers(2, 15, size=STREAK_COUNT)
        self.phases = rng.uniform(0, 2 * np.pi, size=STREAK_COUNT)

    def on(self, affine: NDArray[np.float64], shape: tuple[int, int, int]) -> Floats:
        """Streaks in HU on a grid."""
        index = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), [shape[2] / 2], indexing="ij"))
        offset = np.einsum("ij,j...->i...", affine[:3, :3], index) + affine[:3, 3, None, None, None]
        dx, dy = (offset[k, ..., 0] - self.centre[k] for k in (0, 1))
        angle, radius = np.arctan2(dy, dx), np.hypot(dx, dy)
        waves = zip(self.frequencies, self.phases, strict=True)
        fan = sum(np.cos(n * angle + phase) for n, phase in waves) / np.sqrt(STREAK_COUNT / 2)
        plane = self.strength * fan * np.clip(radius / 8, 0, 1) * np.exp(-radius / 110)
        height = affine[2, 3] + affine[2, 2] * np.arange(shape[2])
        profile = np.exp(-(((height - self.centre[2]) / self.reach) ** 2))
        return (plane[..., None] * profile).astype(np.float32)


def to_int16(image: Floats) -> NDArray[np.int16]:
    """Round to whole HU within the range that scanners store."""
    return np.clip(np.rint(image), LEAST_HU, GREATEST_HU).astype(np.int16)
