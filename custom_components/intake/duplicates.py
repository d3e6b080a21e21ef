"""Images that are there twice, whatever their files are called and in whatever format they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from custom_components.intake.found import DUPLICATE, Found

SAME_SPACING = 0.01
"""Part of the spacing in mm by which copies may differ, as formats round it."""


def leave_out_duplicates(cases: Mapping[str, Found]) -> None:
    """Keep the first of the usable images with the same voxels, and leave the others out.

    Args:
        cases: what was found, by case id, in the order in which they are kept.
    """
    first: dict[str, str] = {}
    for case_id, found in cases.items():
        if found.kind or not found.voxels:
            continue
        kept = first.setdefault(found.voxels, case_id)
        if kept != case_id:
            found.leave_out(DUPLICATE, f"same voxels as {kept}{_difference(cases[kept], found)}")


def _difference(kept: Found, found: Found) -> str:
    """How two images with the same voxels differ; at least one of the two is wrong then."""
    # axes may be stored in another order
    if np.allclose(sorted(kept.spacing), sorted(found.spacing), rtol=SAME_SPACING):
        return ""
    there, here = (" x ".join(f"{mm:.4g}" for mm in one.spacing) for one in (kept, found))
    return f", but with {here} mm instead of {there} mm"
