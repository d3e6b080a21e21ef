"""Tubes of the phantom as tables of knots: vessels, oesophagus, bowel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from custom_components.data.phantom.canvas import Canvas, Mask, Region
from custom_components.data.phantom.subject import Subject
from custom_components.data.phantom.tissue import Tissue

Knots = tuple[tuple[float, float, float, float], ...]


class Vessel(NamedTuple):
    """A tube of one tissue along knots (x, y, z, radius) in mm; x > 0 is the patient's right."""

    tissue: Tissue
    knots: Knots


VESSELS: tuple[Vessel, ...] = (
    Vessel(Tissue.ARTERY, ((-10, -14, 30, 4), (-8, 4, 18, 3.5), (-3, 14, -30, 3.5), (2, 22, -80, 3))),
    Vessel(Tissue.VEIN, ((9, 8, 10, 5), (8, 15, -25, 5), (10, 24, -80, 4))),
    Vessel(Tissue.VEIN, ((18, -18, -2, 5), (-6, -8, 0, 4.5), (-30, -25, 2, 5), (-44, -36, 4, 5))),
    Vessel(Tissue.VEIN, ((22, -18, -10, 5), (44, -36, -12, 5))),
    Vessel(Tissue.ARTERY, ((-10, -22, -94, 8), (-32, -22, -135, 6), (-52, -15, -180, 6), (-68, 30, -250, 5))),
    Vessel(Tissue.ARTERY, ((-8, -22, -94, 8), (22, -18, -135, 6), (50, -12, -180, 6), (68, 30, -250, 5))),
    Vessel(Tissue.VEIN, ((18, -24, -112, 9), (-20, -34, -145, 7), (-56, -24, -190, 7), (-60, 26, -250, 6))),
    Vessel(Tissue.VEIN, ((20, -24, -112, 9), (32, -30, -145, 7), (56, -22, -190, 7), (60, 26, -250, 6))),
    Vessel(Tissue.INFERIOR_VENA_CAVA, (
        (20, -24, -112, 9), (21, -21, -60, 9.5), (21, -18, 0, 10.5), (24, -16, 60, 11), (22, -8, 104, 12),
        (17, 2, 124, 13))),
    Vessel(Tissue.AORTA, (
        (-9, -22, -96, 8.5), (-10, -24, -50, 9.2), (-10, -28, 0, 9.8), (-9, -34, 50, 10.4),
        (-13, -42, 100, 11.2), (-20, -48, 160, 12), (-22, -48, 330, 12))),
    Vessel(Tissue.PORTAL_VEIN, (
        (-84, -26, 54, 4), (-64, -14, 40, 4.6), (-36, 4, 26, 5), (-10, 6, 18, 5.4), (8, 6, 14, 6.6),
        (20, 6, 30, 6.8), (36, 4, 52, 6.6))),
    Vessel(Tissue.PORTAL_VEIN, ((35, 4, 51, 6), (56, -4, 58, 4.5), (78, -10, 58, 3))),
    Vessel(Tissue.PORTAL_VEIN, ((35, 4, 51, 5), (22, 24, 62, 4.2), (2, 40, 68, 3))),
)  # fmt: skip
"""Vessels in the order of painting: the later wins."""

HEPATIC_VEINS: tuple[Knots, ...] = (
    ((24, -6, 104, 5), (60, -16, 90, 4), (98, -18, 62, 2.5)),
    ((24, -4, 104, 5), (48, 24, 92, 4), (68, 50, 62, 2.5)),
    ((20, -4, 106, 4.5), (6, 28, 98, 3.5), (-18, 52, 84, 2.2)),
)

OESOPHAGUS: Knots = (
    (0, -38, 330, 8), (-4, -36, 220, 8.5), (-6, -30, 150, 9), (-14, -22, 110, 9), (-24, -10, 92, 9.5),
    (-34, 0, 84, 10),
)  # fmt: skip

COLON: dict[str, Knots] = {
    "ascending": ((88, -5, -165, 24), (96, -8, -120, 24), (97, -10, -80, 22), (92, 4, -48, 22)),
    "transverse": ((90, 30, -46, 21), (52, 66, -62, 20), (0, 76, -70, 19), (-50, 66, -44, 19),
                   (-88, 36, 0, 19), (-104, 6, 22, 18)),
    "descending": ((-106, -2, 18, 17), (-108, -14, -20, 16), (-104, -18, -80, 15), (-96, -8, -150, 15),
                   (-60, 0, -200, 15), (-10, -30, -215, 16), (0, -60, -250, 18)),
}  # fmt: skip

DUODENUM: Knots = (
    (22, 40, 8, 11), (46, 28, 10, 12), (50, 12, -8, 12), (44, 4, -34, 12), (10, 2, -44, 11),
    (-22, 6, -34, 11), (-30, 18, -18, 11),
)  # fmt: skip

LOOPS = 30
SPARE_BED_LOOPS = 5
_ABDOMEN_FILL = (Tissue.VISCERAL_FAT, Tissue.BOWEL_WALL, Tissue.BOWEL_FLUID, Tissue.FAECES, Tissue.GAS)
BEDS = {
    "right_kidney": (60.0, -34.0, -10.0),
    "left_kidney": (-60.0, -34.0, 2.0),
    "spleen": (-88.0, -30.0, 55.0),
}


def paint_vessels(canvas: Canvas) -> None:
    """Paint the great vessels and their branches."""
    for tissue, knots in VESSELS:
        found = canvas.tube(knots)
        if found is not None:
            region, distance = found
            region.paint(distance + region.noise((0, 0, 0.4)) < 0, tissue)


def paint_oesophagus(canvas: Canvas) -> None:
    """Paint the oesophagus, a collapsed tube with a trace of gas."""
    found = canvas.tube(OESOPHAGUS)
    if found is not None:
        region, distance = found
        region.paint(distance < 0, Tissue.OESOPHAGUS)


def paint_bowel(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    """Paint colon, duodenum and small bowel; loops move into the bed of an organ that is missing."""
    distended = 1.35 if subject.has("distended_bowel") else 1.0
    for knots in _small_bowel(rng, distended):
        _paint_gut(canvas, knots, wall=2.6, gas=rng.uniform(2, 25))
    for part in COLON.values():
        wobble = rng.normal(scale=(5, 5, 7, 1.2), size=(len(part), 4))
        knots = (np.array(part) + wobble) * (1, 1, 1, distended)
        _paint_gut(canvas, knots, wall=2.4, gas=rng.uniform(-4, 14), filling=Tissue.FAECES)
    for organ in sorted(subject.missing & BEDS.keys()):
        for knots in _bed_loops(rng, BEDS[organ]):
            _paint_gut(canvas, knots, wall=2.6, gas=rng.uniform(0, 25))
    _paint_gut(canvas, DUODENUM, wall=3.0, gas=rng.uniform(4, 20))


def _paint_gut(
    canvas: Canvas,
    knots: Knots | np.ndarray,
    *,
    wall: float,
    gas: float,
    filling: Tissue = Tissue.BOWEL_FLUID,
) -> None:
    found = canvas.tube(knots)
    if found is None:
        return
    region, distance = found
    distance = distance + region.noise((0, 0.8, 1.6))
    inside = (region.depth < -3) & (region.dome < -5)
    region.paint((distance < 0) & inside, Tissue.BOWEL_WALL, over=_ABDOMEN_FILL)
    _fill_gut(region, distance < -wall, float(np.mean(np.asarray(knots)[:, 1])) + gas, filling)


def _fill_gut(region: Region, lumen: Mask, gas_level: float, filling: Tissue) -> None:
    region.paint(lumen, filling, over=(Tissue.BOWEL_WALL,))
    region.paint(lumen & (region.xyz[1] > gas_level), Tissue.GAS, over=(filling,))


def _small_bowel(rng: np.random.Generator, distended: float) -> list[np.ndarray]:
    """Random walks in front of the spine, below the stomach."""
    return [
        _loop(rng, (rng.uniform(-78, 72), rng.uniform(0, 62), rng.uniform(-190, -12)), distended) for _ in range(LOOPS)
    ]


def _bed_loops(rng: np.random.Generator, centre: Sequence[float]) -> list[np.ndarray]:
    starts = np.asarray(centre) + rng.normal(scale=(12, 10, 28), size=(SPARE_BED_LOOPS, 3))
    return [_loop(rng, start, 1.1) for start in starts]


def _loop(rng: np.random.Generator, start: Sequence[float], distended: float) -> np.ndarray:
    heading = rng.normal(size=3)
    points = [np.asarray(start, float)]
    for _ in range(4):
        heading = heading * 0.55 + rng.normal(size=3) * (1.0, 0.7, 0.6)
        points.append(points[-1] + heading / np.linalg.norm(heading) * rng.uniform(18, 30))
    radius = np.full((5, 1), rng.uniform(10, 14) * distended)
    return np.concatenate([np.array(points), radius], axis=1)
