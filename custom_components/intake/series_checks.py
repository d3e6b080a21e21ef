"""What the headers of a DICOM series say: its geometry, and why it cannot be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom_components.data.dicom_geometry import MOST_TILT, affine_of, tilt_of
from custom_components.data.dicom_geometry import UNEVEN as UNEVEN_PART
from custom_components.data.dicom_kinds import is_localiser
from custom_components.intake.found import (
    FEW_SLICES,
    LOCALISER,
    NO_CT,
    NO_PLACE,
    PICTURE,
    TILTED,
    UNEVEN,
    UNREADABLE,
    Found,
)
from custom_components.intake.geometry import geometry_of
from custom_components.intake.series import Part, along_normal

LEAST_SLICES = 8
"""A volume has at least so many; a few slices alone are a localiser, a test of contrast agent, or a sample."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""The SOP classes of pictures of a screen begin so."""
PICTURES = ("MIP", "MINIP", "PROJECTION IMAGE", "SCREEN SAVE", "VOLREN", "VRT", "3D", "SSD", "DOSE")
"""Words of an image type that are of no slices: projections, renderings, screens, dose reports."""
SAME_PLACE = 0.01
"""Slices that lie nearer together, in mm, lie at the same place."""


def look_at_part(part: Part) -> Found:
    """Say what is known of a part of a series without its voxels."""
    first = part.headers[0]
    found = Found("DICOM", files=len(part.headers), size=_size(part))
    if part.copies:
        found.notes.append(f"{part.copies} files hold a slice again")
    if first.fault:
        found.leave_out(UNREADABLE, first.fault)
    _check_kind(part, found)
    if not found.kind:
        _check_tags(part, found)
    if first.frames > 1 or not (first.orientation and first.spacing):
        return found
    heights = np.array([along_normal(header) for header in part.headers])
    gaps = np.diff(heights)
    apart = gaps[gaps > SAME_PLACE]
    step = float(np.median(apart)) if len(apart) else 1.0
    geometry = geometry_of(affine_of(first.orientation, first.spacing, step), slice_axis=2)
    found.orientation, found.plane = geometry.orientation, geometry.plane
    found.spacing = geometry.spacing if len(apart) else ()
    if not found.kind:
        _check_places(part, gaps, step, found)
    return found


def _size(part: Part) -> tuple[int, ...]:
    first = part.headers[0]
    slices = first.frames if first.frames > 1 else len(part.headers)
    return (*first.size, slices) if first.size else ()


def _check_kind(part: Part, found: Found) -> None:
    """Leave out what is no stack of CT slices."""
    first, words = part.headers[0], {word for header in part.headers for word in header.image_type}
    shown = sorted(words.intersection(PICTURES))
    if first.modality != "CT":
        found.leave_out(NO_CT, f"modality is {first.modality}" if first.modality else "has no modality")
    elif not first.size:
        found.leave_out(NO_CT, "holds no image")
    elif is_localiser(first.image_type):
        found.leave_out(LOCALISER, "by its image type")
    elif first.sop_class.startswith(SECONDARY_CAPTURE):
        found.leave_out(PICTURE, "secondary capture, as of a screen or a dose report")
    elif shown:
        found.leave_out(PICTURE, f"image type is {shown[0].lower()}")
    elif first.samples > 1:
        found.leave_out(PICTURE, "it is in colour")
    elif any(header.burned_in for header in part.headers):
        found.leave_out(PICTURE, "text is burned into it, which may name the patient")
    elif found.size[2] < LEAST_SLICES:
        found.leave_out(FEW_SLICES, f"has {found.size[2]} slices, expected at least {LEAST_SLICES}")
    if "DERIVED" in words:
        found.notes.append("derived from other images")


def _check_tags(part: Part, found: Found) -> None:
    """Leave out what does not say where it lies, and note what makes its values doubtful."""
    headers = part.headers
    if headers[0].frames == 1:
        for name, values in (
            ("ImageOrientationPatient", [header.orientation for header in headers]),
            ("ImagePositionPatient", [header.position for header in headers]),
            ("PixelSpacing", [header.spacing for header in headers]),
        ):
            lacking = sum(not value for value in values)
            if lacking:
                found.leave_out(NO_PLACE, f"{lacking} of {len(headers)} slices lack {name}")
        lacking = sum(not header.rescaled for header in headers)
        if lacking:
            found.notes.append(f"{lacking} slices lack RescaleSlope or RescaleIntercept")
    if headers[0].unit not in ("", "HU"):
        found.notes.append("RescaleType is not HU")


def _check_places(part: Part, gaps: NDArray[np.float64], step: float, found: Found) -> None:
    """Leave out slices that do not form a regular grid."""
    found.repeated_slices = int((gaps <= SAME_PLACE).sum())
    holes = np.rint(gaps / step) - 1
    found.missing_slices = int(holes[holes > 0].sum())
    if found.repeated_slices:
        again = "several phases in one series?" if found.repeated_slices >= len(gaps) // 2 else "written twice?"
        found.leave_out(UNEVEN, f"{found.repeated_slices} at the place of another: {again}")
    elif found.missing_slices:
        found.leave_out(UNEVEN, f"{found.missing_slices} missing, {gaps.max():.1f} instead of {step:.1f} mm apart")
    elif np.abs(gaps - gaps.mean()).max() > UNEVEN_PART * step:
        found.leave_out(UNEVEN, f"slices lie {gaps.min():.2f} to {gaps.max():.2f} mm apart")
    first, last = part.headers[0], part.headers[-1]
    degrees = tilt_of(first.position, last.position, first.orientation)
    if degrees > MOST_TILT:
        found.leave_out(TILTED, f"slices shift by {degrees:.1f} degrees")
    elif first.tilt and abs(first.tilt) > 1:
        found.notes.append(f"gantry was tilted by {first.tilt:.1f} degrees")
