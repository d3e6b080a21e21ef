"""Whether the values of an image are Hounsfield units, by the peaks of air, fat and soft tissue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from custom_components.intake.found import LABEL_MAP, NO_HU

SAMPLE = 1_000_000
"""Voxels that are looked at; of larger images some are left out."""
PADDING_HU = -1100.0
"""Nothing is thinner than air (-1000 HU, and some noise): lower values, as -2000 or -3024, fill the corners outside of
a round field of view. They are left out of everything here."""
AIR_HU, FAT_HU, SOFT_TISSUE_HU = (-1060.0, -900.0), (-150.0, -40.0), (0.0, 110.0)
"""Where the peaks of air (-1000), fat (-100) and soft tissue (50) are looked for. Blood and liver with contrast agent
come up to 110."""
BODY_HU = (-200.0, 200.0)
"""Fat and soft tissue lie in it, with noise and contrast agent."""
LEAST_BODY = 0.05
"""Share of the voxels that fat and soft tissue make at least: 5 % is a child in an adult's field of view."""
NEGATIVE_HU = -30.0
LEAST_NEGATIVE = 0.01
"""Share of the voxels below -30 HU, air or fat, that even a tightly cropped CT has. Magnitudes, as of MR, and standard
uptake values have none."""
PEAK_SHARE = 0.002
"""A peak has at least this share of the voxels in its 10 HU."""
OFFSET = 1024.0
"""What scanners add to HU to store them without sign."""
MOST_LABELS = 256
"""A label map has at most so many different values."""
EQUAL_NEIGHBOURS = 0.8
"""Share of neighbours within the foreground of a label map that have the same value; noise lets few be so in a CT."""
CLIPPED = 0.001
"""Share of the voxels at the very largest value from which on they count as clipped there."""


class Values(NamedTuple):
    """Range and peaks; None where there is no such peak."""

    low: float
    high: float
    air: float | None
    fat: float | None
    soft_tissue: float | None


def sample_of(voxels: NDArray) -> NDArray[np.float32]:
    """Take evenly spread voxels of a volume (X, Y, Z), those of the padding left out unless there is nothing else."""
    step = max(1, round((voxels.size / SAMPLE) ** (1 / 3)))
    sample = np.asarray(voxels[::step, ::step, ::step], dtype=np.float32).ravel()
    inside = sample[sample > PADDING_HU]
    return inside if inside.size else sample


def values_of(sample: NDArray[np.float32]) -> Values:
    """Find the range and the peaks.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tissues = np.concatenate([rng.normal(hu, 15, 9000) for hu in (-1000, -100, 50)])
        >>> values = values_of(tissues.astype(np.float32))
        >>> [abs(found - hu) < 15 for found, hu in zip(values[2:], (-1000, -100, 50))]
        [True, True, True]
    """
    peaks = (_peak(sample, *band) for band in (AIR_HU, FAT_HU, SOFT_TISSUE_HU))
    return Values(float(sample.min()), float(sample.max()), *peaks)


def why_no_hu(sample: NDArray[np.float32], voxels: NDArray) -> tuple[str, str]:
    """Say why values are no HU, as the kind of reason and the reason; nothing if they are.

    Args:
        sample: of the voxels, see `sample_of`.
        voxels: (X, Y, Z) all of them.
    """
    low, high = float(sample.min()), float(sample.max())
    shown = f"values {low:.4g} to {high:.4g}"
    if low >= 0 and high < MOST_LABELS and _is_label_map(sample, voxels):
        return LABEL_MAP, shown
    if high - low <= 2:
        return NO_HU, f"{shown}: normalised, or probabilities"
    if low >= 0 and high <= 255:
        return NO_HU, f"{shown}: windowed to 8 bits"
    if high - low < 50:
        return NO_HU, f"{shown}: normalised"
    if _is_body(sample, OFFSET) and _share(sample, AIR_HU[1], NEGATIVE_HU) < LEAST_NEGATIVE:
        return NO_HU, f"{shown} look like HU + {OFFSET:g}"
    if _share(sample, PADDING_HU, NEGATIVE_HU) < LEAST_NEGATIVE:
        return NO_HU, f"{shown}: neither air nor fat below {NEGATIVE_HU:g} HU, as in MR or PET"
    if not _is_body(sample, 0.0):
        return NO_HU, f"{shown}: no peak of fat or soft tissue between {BODY_HU[0]:g} and {BODY_HU[1]:g} HU"
    _, _, air, _, soft_tissue = values_of(sample)
    if air is None and soft_tissue is None:
        return NO_HU, f"{shown}: no peak of air near -1000 HU, nor of soft tissue near 50 HU"
    return "", ""


def notes_on(sample: NDArray[np.float32], values: Values) -> list[str]:
    """Say what is unusual about HU that can be used."""
    notes = []
    if values.low > AIR_HU[1]:
        at_ends = [float((sample == end).mean()) for end in (values.low, values.high)]
        window = min(at_ends) > CLIPPED
        notes.append(f"{'windowed' if window else 'no air'}: values {values.low:.4g} to {values.high:.4g} HU")
    elif values.air is None:
        notes.append("no peak of air near -1000 HU")
    if values.soft_tissue is None:
        notes.append("no peak of soft tissue near 50 HU")
    return notes


def _share(sample: NDArray[np.float32], low: float, high: float) -> float:
    return float(((sample > low) & (sample < high)).mean())


def _is_body(sample: NDArray[np.float32], offset: float) -> bool:
    """Whether fat and soft tissue stand out: more voxels than in the bands of the same width below and above."""
    low, high = (end + offset for end in BODY_HU)
    width = high - low
    body = _share(sample, low, high)
    return body >= LEAST_BODY and body > max(_share(sample, low - width, low), _share(sample, high, high + width))


def _peak(sample: NDArray[np.float32], low: float, high: float) -> float | None:
    """The fullest 10 HU of a band, if they stand out from its ends and are not few."""
    low, high = low - 20, high + 20
    counts, edges = np.histogram(sample, bins=round((high - low) / 5), range=(low, high))
    smooth = np.convolve(counts, np.ones(3) / 3, mode="same")[4:-4]
    best = int(smooth.argmax())
    if 2 * smooth[best] < PEAK_SHARE * sample.size or best in (0, len(smooth) - 1):
        return None
    return float(edges[4 + best] + 2.5)


def _is_label_map(sample: NDArray[np.float32], voxels: NDArray) -> bool:
    if (sample != np.rint(sample)).any() or len(np.unique(sample[:: max(1, sample.size // 100_000)])) > MOST_LABELS:
        return False
    equal = pairs = 0
    for index in np.linspace(0, voxels.shape[2] - 1, min(32, voxels.shape[2])).astype(int):
        plane = voxels[:, :, index]
        inside = (plane[1:] != 0) & (plane[:-1] != 0)
        pairs += int(inside.sum())
        equal += int((inside & (plane[1:] == plane[:-1])).sum())
    return pairs > 0 and equal >= EQUAL_NEIGHBOURS * pairs
