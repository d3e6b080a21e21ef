"""The parenchymal organs of the phantom: liver, spleen, kidneys, stomach, pancreas, gallbladder, adrenals."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from custom_components.data.phantom.canvas import Canvas, Mask, Region
from custom_components.data.phantom.shapes import Floats, ellipsoid, smooth_union
from custom_components.data.phantom.subject import Subject
from custom_components.data.phantom.tissue import Tissue
from custom_components.data.phantom.tubes import HEPATIC_VEINS, Knots

Triple = tuple[float, float, float]


class Place(NamedTuple):
    """Centre of an organ in the standard anatomy and, relative to it, the box that holds it (mm)."""

    centre: Triple
    low: Triple
    high: Triple


PLACES: dict[str, Place] = {
    "liver": Place((50, 0, 45), (-128, -96, -122), (92, 96, 92)),
    "spleen": Place((-100, -32, 66), (-52, -60, -72), (52, 60, 70)),
    "right_kidney": Place((61, -38, -10), (-38, -38, -62), (38, 38, 62)),
    "left_kidney": Place((-60, -40, 4), (-38, -38, -62), (38, 38, 62)),
}

STOMACH: Knots = (
    (-56, -8, 96, 24), (-68, 10, 78, 29), (-72, 36, 48, 25), (-52, 56, 16, 20), (-16, 60, 2, 16),
    (14, 48, 6, 11), (24, 40, 9, 8),
)  # fmt: skip
PANCREAS: Knots = (
    (34, 14, -26, 12), (31, 17, -8, 16), (22, 19, 8, 13.5), (4, 20, 18, 9.5), (-22, 15, 24, 11.5),
    (-48, -1, 34, 11.5), (-76, -18, 47, 10),
)  # fmt: skip
GALLBLADDER: Knots = ((40, 22, 28, 4), (50, 36, 14, 10), (58, 50, 0, 14.5), (62, 57, -12, 14))

# Limbs of the adrenal glands: centre, semi-axes (mm), rotation (degrees).
ADRENALS: tuple[tuple[Triple, Triple, Triple], ...] = (
    ((32, -40, 50), (3.6, 14, 18), (0, 8, 18)),
    ((38, -46, 48), (3.4, 11, 15), (0, -10, -38)),
    ((-30, -34, 44), (3.6, 13, 18), (0, -8, -18)),
    ((-37, -42, 42), (3.4, 12, 15), (0, 10, 42)),
)  # fmt: skip

CORTEX_MM, WALL_MM = 6.5, 3.5


def _local(canvas: Canvas, subject: Subject, organ: str) -> tuple[Region, Floats, float] | None:
    """Region of an organ, coordinates relative to its centre and size, and its size."""
    pose, place = subject.organs[organ], PLACES[organ]
    centre = np.add(place.centre, pose.offset)
    region = canvas.region(centre + np.multiply(place.low, pose.size), centre + np.multiply(place.high, pose.size))
    if region is None:
        return None
    local = np.asarray(
        (region.xyz - centre.astype(np.float32)[:, None, None, None]) / np.float32(pose.size), np.float32
    )
    return region, local, pose.size


def _moved(knots: Knots, subject: Subject, organ: str) -> np.ndarray:
    pose, moved = subject.organs[organ], np.array(knots, float)
    middle = moved[:, :3].mean(axis=0)
    moved[:, :3] = middle + pose.offset + (moved[:, :3] - middle) * pose.size
    moved[:, 3] *= pose.size
    return moved


def _rough(region: Region, rng: np.random.Generator, amplitude: float) -> Floats:
    """Surface displacement in mm, the body's noises mixed anew for each organ."""
    weights = rng.normal(size=3)
    return region.noise((weights / np.linalg.norm(weights) * amplitude).tolist())


def _inside(region: Region, wall: float = 2.0, dome: float = 4.0) -> Mask:
    return (region.depth < -wall) & (region.dome < -dome)


def paint_stomach(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    """Paint the stomach: wall, fluid and, on top in a supine patient, gas."""
    filled = rng.uniform(0.8, 1.15)
    knots = _moved(STOMACH, subject, "stomach") * (1, 1, 1, filled)
    gas_level = knots[2, 1] + rng.uniform(-12, 28)
    found = canvas.tube(knots, per_segment=3)
    if found is None:
        return
    region, distance = found
    distance = distance + _rough(region, rng, 2.0 * subject.roughness)
    region.paint((distance < 0) & _inside(region), Tissue.STOMACH_WALL)
    lumen = (distance < -WALL_MM) & (region.depth < -2 - WALL_MM) & (region.dome < -4 - WALL_MM)
    region.paint(lumen, Tissue.STOMACH_FLUID, over=(Tissue.STOMACH_WALL,))
    region.paint(lumen & (region.xyz[1] > gas_level), Tissue.STOMACH_GAS, over=(Tissue.STOMACH_FLUID,))


def paint_liver(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    """Paint the liver: both lobes against the body wall and the diaphragm, hollowed on the visceral side."""
    found = _local(canvas, subject, "liver")
    if found is None:
        return
    region, local, size = found
    right = ellipsoid(local, (20, -4, -4), (84, 96, 98), (0, 10, 0))
    left = ellipsoid(local, (-52, 46, 34), (72, 42, 40), (0, 14, -12))
    liver = smooth_union(right, left, 30)
    if subject.has("riedel_lobe"):
        liver = smooth_union(liver, ellipsoid(local, (46, 4, -70), (27, 42, 50)), 20)
    hollow = smooth_union(
        ellipsoid(local, (-30, -4, -60), (58, 66, 64), (0, 20, 0)),
        ellipsoid(local, (-62, -34, 14), (46, 52, 66)),
        20,
    )
    liver = -smooth_union(-liver, hollow, 14) * size + _rough(region, rng, 3.0 * subject.roughness)
    region.paint((liver < 0) & _inside(region, 2.0 + subject.ascites), Tissue.LIVER)
    _paint_hepatic_veins(canvas, subject)
    if subject.has("liver_lesions"):
        _paint_lesions(canvas, subject, rng)


def _paint_hepatic_veins(canvas: Canvas, subject: Subject) -> None:
    for knots in HEPATIC_VEINS:
        found = canvas.tube(_moved(knots, subject, "liver"))
        if found is not None:
            region, distance = found
            region.paint(distance < 0, Tissue.HEPATIC_VEIN, over=(Tissue.LIVER,))


def _paint_lesions(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    for centre in rng.uniform((10, -60, 0), (110, 60, 100), size=(6, 3)):
        radius = rng.uniform(7, 24)
        region = canvas.around(centre, radius + 4)
        if region is not None:
            lesion = ellipsoid(region.xyz, centre, (radius,) * 3) + region.noise((0, 0, 2))
            region.paint(lesion < 0, Tissue.LIVER_LESION, over=(Tissue.LIVER,))


def paint_spleen(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    """Paint the spleen: convex along the body wall and diaphragm, hollow towards stomach and kidney."""
    found = _local(canvas, subject, "spleen")
    if found is None or "spleen" in subject.missing:
        return
    region, local, size = found
    spleen = ellipsoid(local, (0, 0, 0), (50, 56, 62), (18, 12, 0))
    hollow = ellipsoid(local, (56, 30, -4), (40, 50, 74), (18, 12, 0))
    spleen = np.maximum(spleen, -hollow) * np.float32(size) + _rough(region, rng, 2.2 * subject.roughness)
    region.paint((spleen < 0) & _inside(region, 2.5 + 0.5 * subject.ascites), Tissue.SPLEEN)


def paint_kidney(canvas: Canvas, subject: Subject, rng: np.random.Generator, side: str) -> None:
    """Paint one kidney: cortex, medulla, sinus fat, renal pelvis and cysts."""
    organ = f"{side}_kidney"
    found = _local(canvas, subject, organ)
    if found is None or organ in subject.missing:
        return
    region, local, size = found
    cortex, medulla, cyst = _RENAL[side]
    out = 1.0 if side == "right" else -1.0
    turn = (-10.0, -12.0 * out, -32.0 * out)
    kidney = ellipsoid(local, (0, 0, 0), (28.5, 25.5, 55), turn) * size
    kidney = kidney + _rough(region, rng, 1.5 * subject.roughness)
    sinus_width = 19.0 if subject.has("hydronephrosis") and rng.random() < 0.6 else 12.5
    sinus = ellipsoid(local, (-out * 14, 12, 0), (16, sinus_width, 25), turn) * size
    body = (kidney < 0) & (region.depth < -1)
    region.paint(body, cortex)
    pyramids = region.noise((0, 0.4, 1.0)) > -0.5
    region.paint(body & (kidney < -CORTEX_MM) & pyramids, medulla)
    region.paint(body & (sinus < 0), Tissue.VISCERAL_FAT)
    region.paint((sinus < -7.5 if sinus_width < 15 else sinus < -2) & body, Tissue.RENAL_PELVIS)
    if subject.has("renal_cysts"):
        _paint_cyst(canvas, subject, rng, organ, cyst)


_RENAL = {
    "right": (Tissue.RIGHT_RENAL_CORTEX, Tissue.RIGHT_RENAL_MEDULLA, Tissue.RIGHT_RENAL_CYST),
    "left": (Tissue.LEFT_RENAL_CORTEX, Tissue.LEFT_RENAL_MEDULLA, Tissue.LEFT_RENAL_CYST),
}


def _paint_cyst(canvas: Canvas, subject: Subject, rng: np.random.Generator, organ: str, cyst: Tissue) -> None:
    pose = subject.organs[organ]
    out = np.sign(PLACES[organ].centre[0])
    place = np.array([out * rng.uniform(10, 24), rng.uniform(-16, 16), rng.uniform(-40, 40)]) * pose.size
    centre, radius = np.add(PLACES[organ].centre, pose.offset) + place, rng.uniform(6, 17)
    region = canvas.around(centre, radius + 2)
    if region is not None:
        inside = ellipsoid(region.xyz, centre, (radius,) * 3) < 0
        soft = (Tissue.VISCERAL_FAT, *_RENAL[organ.split("_")[0]][:2])
        region.paint(inside & (region.depth < -2), cyst, over=soft)


def paint_pancreas(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    """Paint the pancreas, a lobulated strip from the duodenum to the splenic hilum."""
    found = canvas.tube(_moved(PANCREAS, subject, "pancreas"))
    if found is not None:
        region, distance = found
        lobules = _rough(region, rng, 2.0) + region.fine
        region.paint(distance + lobules < 0, Tissue.PANCREAS)


def paint_gallbladder(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    """Paint the gallbladder, a pear in its fossa under the liver."""
    if "gallbladder" in subject.missing:
        return
    knots = _moved(GALLBLADDER, subject, "gallbladder") * (1, 1, 1, rng.uniform(0.9, 1.15))
    found = canvas.tube(knots)
    if found is not None:
        region, distance = found
        region.paint((distance < 0) & (region.depth < -2), Tissue.GALLBLADDER)


def paint_adrenals(canvas: Canvas) -> None:
    """Paint the limbs of both adrenal glands."""
    for centre, semi_axes, degrees in ADRENALS:
        region = canvas.around(centre, max(semi_axes))
        if region is not None:
            limb = ellipsoid(region.xyz, centre, semi_axes, degrees)
            region.paint(limb < 0, Tissue.ADRENAL)
