"""One subject of the phantom cohort: every parameter that its anatomy and its scan depend on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from custom_components.data.phantom.tissue import PHASES
from custom_components.data.phantom.variation import VARIATION, Knob, Variation

MOVABLE: tuple[str, ...] = (
    "liver", "spleen", "right_kidney", "left_kidney", "stomach", "gallbladder", "pancreas",
)  # fmt: skip
"""Organs with a place and a size of their own; vessels and adrenals follow the body's deformation."""

_PHASE_ODDS = (0.6, 0.25, 0.15)  # none, arterial, delayed: among the scans that are not portal venous
_BREATH_SHARE = {"liver": 0.8, "spleen": 0.7, "stomach": 0.6, "right_kidney": 0.6, "left_kidney": 0.6,
                 "gallbladder": 0.7, "pancreas": 0.3}  # fmt: skip


@dataclass(frozen=True)
class OrganPose:
    """Displacement (mm) and scale of one organ relative to the standard anatomy."""

    offset: tuple[float, float, float]
    size: float


@dataclass(frozen=True)
class Subject:
    """Parameters of one subject; lengths in mm in the frame x to the right, y anterior, z superior."""

    shift: float
    sex: float
    scale: tuple[float, float, float]
    fat: float
    visceral: float
    rotation: tuple[float, float, float]
    breath: float
    deformation: float
    roughness: float
    organs: dict[str, OrganPose]
    missing: frozenset[str]
    findings: frozenset[str]
    phase: str
    phase_weights: NDArray[np.float64]
    enhancement: float
    fatty_liver: float
    oral_contrast: float
    ascites: float
    pleural_effusion: tuple[float, float]
    centre: tuple[float, float, float]
    scan_range: tuple[float, float]
    anatomy_seed: np.random.SeedSequence
    imaging_seed: np.random.SeedSequence

    def has(self, finding: str) -> bool:
        """Whether the subject shows a finding such as `low_kidney`."""
        return finding in self.findings

    def info(self) -> dict[str, object]:
        """The parameters worth analysing, flat, as written to `subjects.csv`."""
        return {
            "shift": round(self.shift, 4),
            "phase": self.phase,
            "enhancement": round(self.enhancement, 3),
            "sex": round(self.sex, 2),
            "body_scale": round(float(np.prod(self.scale) ** (1 / 3)), 3),
            "fat_mm": round(self.fat, 1),
            "visceral": round(self.visceral, 3),
            "rotation_deg": round(self.rotation[2], 1),
            "breath_mm": round(self.breath, 1),
            "centre_z_mm": round(self.centre[2], 1),
            "scan_bottom_mm": round(self.scan_range[0], 1),
            "scan_top_mm": round(self.scan_range[1], 1),
            "fatty_liver_hu": round(self.fatty_liver, 1),
            "oral_contrast_hu": round(self.oral_contrast, 1),
            "ascites_mm": round(self.ascites, 1),
            "pleural_effusion": round(max(self.pleural_effusion), 2),
            "missing": " ".join(sorted(self.missing)),
            "findings": " ".join(sorted(self.findings)),
        }


class _Draw:
    """Draws from the variation table at one shift."""

    def __init__(self, rng: np.random.Generator, shift: float) -> None:
        self.rng, self.shift = rng, shift

    def chance(self, knob: Knob) -> bool:
        return bool(self.rng.random() < knob.at(self.shift))

    def normal(self, knob: Knob, size: int | None = None, limit: float = 2.5):
        return np.clip(self.rng.normal(size=size), -limit, limit) * knob.at(self.shift)

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


def draw_subject(seed: np.random.SeedSequence, shift: float, table: Variation = VARIATION) -> Subject:
    """Draw a subject.

    Args:
        seed: decides everything; children of it seed the anatomy's and the image's own randomness.
        shift: 0 for the narrow distribution of a labelled set, 1 for a hospital's archive.
        table: how much subjects vary.

    Raises:
        ValueError: the shift is not within 0 to 1.
    """
    if not 0 <= shift <= 1:
        raise ValueError(f"shift is {shift}, expected a number from 0 to 1")
    own, anatomy_seed, imaging_seed = seed.spawn(3)
    draw = _Draw(np.random.default_rng(own), shift)
    sex = draw.uniform(-1, 1)
    breath = float(draw.normal(table.breath_sd))
    missing = _missing(draw, table)
    findings = _findings(draw, table, missing)
    phase, weights = _contrast(draw, table)
    centre, scan_range = _field_of_view(draw, table)
    return Subject(
        shift=shift,
        sex=sex,
        scale=_scale(draw, table, sex),
        fat=float(np.clip(table.fat_mean.at(shift) + draw.normal(table.fat_sd) - 2 * sex, 4, 55)),
        visceral=float(draw.normal(table.visceral_sd)),
        rotation=_rotation(draw, table),
        breath=breath,
        deformation=table.deformation.at(shift),
        roughness=table.surface_roughness.at(shift),
        organs=_organs(draw, table, breath, missing, findings),
        missing=missing,
        findings=findings,
        phase=phase,
        phase_weights=weights,
        enhancement=float(np.exp(draw.normal(table.enhancement_sd))),
        fatty_liver=draw.uniform(20, 70) * draw.chance(table.fatty_liver),
        oral_contrast=draw.uniform(120, 380) * draw.chance(table.oral_contrast),
        ascites=draw.uniform(8, 24) * draw.chance(table.ascites),
        pleural_effusion=(_effusion(draw, table), _effusion(draw, table)),
        centre=centre,
        scan_range=scan_range,
        anatomy_seed=anatomy_seed,
        imaging_seed=imaging_seed,
    )


def _scale(draw: _Draw, table: Variation, sex: float) -> tuple[float, float, float]:
    whole = draw.normal(table.body_scale_sd) + 0.03 * sex
    x, y, z = np.exp(whole + draw.normal(table.axis_scale_sd, size=3))
    return float(x), float(y), float(z)


def _rotation(draw: _Draw, table: Variation) -> tuple[float, float, float]:
    x, y, z = draw.normal(table.rotation_sd, size=3) * (0.4, 0.4, 1.0)
    return float(x), float(y), float(z)


def _effusion(draw: _Draw, table: Variation) -> float:
    return draw.uniform(0.15, 0.7) * draw.chance(table.pleural_effusion)


def _contrast(draw: _Draw, table: Variation) -> tuple[str, NDArray[np.float64]]:
    others = [p for p in PHASES if p != "portal"]
    other = str(draw.rng.choice(others, p=_PHASE_ODDS))
    phase = other if draw.chance(table.other_phase) else "portal"
    drift_to = str(draw.rng.choice([p for p in PHASES if p != phase]))
    blend = draw.uniform(0, 1) * table.phase_blend.at(draw.shift) * (phase != "none")
    weights = np.zeros(len(PHASES))
    weights[PHASES.index(phase)] += 1 - blend
    weights[PHASES.index(drift_to)] += blend
    return phase, weights


def _field_of_view(draw: _Draw, table: Variation) -> tuple[tuple[float, float, float], tuple[float, float]]:
    x, y = draw.normal(table.centre_xy_sd, size=2)
    z = float(draw.normal(table.centre_z_sd))
    length = draw.uniform(220, 330) if draw.chance(table.short_scan) else 1000.0
    middle = draw.uniform(-20, 50)
    return (float(x), float(y) - 6.0, z), (middle - length / 2, middle + length / 2)


def _missing(draw: _Draw, table: Variation) -> frozenset[str]:
    kidney = str(draw.rng.choice(["right_kidney", "left_kidney"]))
    odds = {
        "gallbladder": table.missing_gallbladder,
        "spleen": table.missing_spleen,
        kidney: table.missing_kidney,
    }
    return frozenset(organ for organ, knob in odds.items() if draw.chance(knob))


def _findings(draw: _Draw, table: Variation, missing: frozenset[str]) -> frozenset[str]:
    names = (
        "large_liver", "small_liver", "riedel_lobe", "large_spleen", "low_kidney", "small_kidney",
        "renal_cysts", "hydronephrosis", "liver_lesions", "distended_bowel", "arms_down", "thick_slices",
        "streaks",
    )  # fmt: skip
    found = {name for name in names if draw.chance(getattr(table, name))}
    if "large_liver" in found:
        found -= {"small_liver"}
    if "low_kidney" in found:
        found -= {"small_kidney"}
    if "spleen" in missing:
        found -= {"large_spleen"}
    return frozenset(found)


def _organs(
    draw: _Draw, table: Variation, breath: float, missing: frozenset[str], findings: frozenset[str]
) -> dict[str, OrganPose]:
    side = str(draw.rng.choice(sorted({"right_kidney", "left_kidney"} - missing)))
    low, small = draw.uniform(30, 75), draw.uniform(0.55, 0.72)
    liver = draw.uniform(1.12, 1.25) if "large_liver" in findings else draw.uniform(0.76, 0.86)
    spleen = draw.uniform(1.3, 1.75)
    poses = {}
    for organ in MOVABLE:
        offset = draw.normal(table.organ_place_sd, size=3)
        offset[2] += _BREATH_SHARE[organ] * breath
        size = float(np.exp(draw.normal(table.organ_size_sd)))
        if organ == side and "low_kidney" in findings:
            offset += (0, low / 5, -low)
        if organ == side and "small_kidney" in findings:
            size *= small
        if organ == "liver" and findings & {"large_liver", "small_liver"}:
            size *= liver
        if organ == "spleen" and "large_spleen" in findings:
            size *= spleen
        poses[organ] = OrganPose((float(offset[0]), float(offset[1]), float(offset[2])), size)
    return poses
