"""A subject's anatomy painted on a grid: the tissue at every voxel."""

from __future__ import annotations

import numpy as np

from custom_components.data.phantom.body import BodyFrame
from custom_components.data.phantom.canvas import Canvas, Region
from custom_components.data.phantom.organs import (
    paint_adrenals,
    paint_gallbladder,
    paint_kidney,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    paint_stomach,
)
from custom_components.data.phantom.shapes import ellipsoid
from custom_components.data.phantom.skeleton import paint_skeleton
from custom_components.data.phantom.subject import Subject
from custom_components.data.phantom.tissue import Tissue
from custom_components.data.phantom.tubes import paint_bowel, paint_oesophagus, paint_vessels

SKIN_MM = 2.0
HEART = ((-22.0, 38.0, 158.0), (56.0, 44.0, 52.0), (0.0, 25.0, 20.0))
LEFT_VENTRICLE = ((-42.0, 36.0, 146.0), (30.0, 24.0, 36.0), (0.0, 25.0, 20.0))
HEART_WALL_MM = 10.0
BLADDER = ((0.0, 26.0, -250.0), (42.0, 34.0, 36.0))
PSOAS = ((-250.0, 78.0, 40.0, 22.0), (-170.0, 62.0, 0.0, 23.0), (-100.0, 46.0, -38.0, 20.0),
         (-40.0, 36.0, -48.0, 15.0), (20.0, 30.0, -56.0, 9.0))  # fmt: skip


def paint_anatomy(canvas: Canvas, frame: BodyFrame, seed: np.random.SeedSequence) -> None:
    """Paint a whole subject; the later tissue wins, so organs never overlap.

    Args:
        canvas: empty, of the same subject.
        frame: the subject's body.
        seed: of the anatomy's own randomness; the same seed gives the same anatomy on every canvas.
    """
    subject = frame.subject
    bowel, stomach, liver, spleen, right, left, pancreas, gallbladder = (
        np.random.default_rng(child) for child in seed.spawn(8)
    )
    _paint_trunk(canvas.whole(), subject)
    _paint_heart(canvas)
    _paint_psoas(canvas)
    paint_bowel(canvas, subject, bowel)
    _paint_bladder(canvas)
    paint_stomach(canvas, subject, stomach)
    paint_liver(canvas, subject, liver)
    paint_gallbladder(canvas, subject, gallbladder)
    paint_spleen(canvas, subject, spleen)
    paint_pancreas(canvas, subject, pancreas)
    paint_kidney(canvas, subject, right, "right")
    paint_kidney(canvas, subject, left, "left")
    paint_adrenals(canvas)
    paint_oesophagus(canvas)
    paint_vessels(canvas)
    paint_skeleton(canvas)
    if subject.ascites:
        _paint_ascites(canvas.whole(), subject)


def _paint_trunk(region: Region, subject: Subject) -> None:
    """Paint skin, fat and muscle, then what fills the abdomen and the chest."""
    region.paint(region.skin < 0, Tissue.SKIN)
    region.paint(region.skin < -SKIN_MM, Tissue.SUBCUTANEOUS_FAT)
    region.paint(region.wall < 0, Tissue.MUSCLE)
    abdomen, chest = region.depth < 0, region.dome > 0
    region.paint(abdomen & (region.dome < -2.5), Tissue.VISCERAL_FAT)
    chest &= abdomen
    x, y, _ = region.xyz
    region.paint(chest, Tissue.VISCERAL_FAT)
    middle = np.abs(x + 4) < 26 + 0.12 * np.abs(y) + region.noise((4, 0, 3))
    lung = chest & (region.depth < -3) & (region.dome > 2) & ~middle
    region.paint(lung, Tissue.LUNG)
    region.paint(lung & (region.fine > 1.75), Tissue.LUNG_VESSEL)
    for side, level in zip((1, -1), subject.pleural_effusion, strict=True):
        if level:
            region.paint(lung & (side * x > 0) & (y < -80 + 110 * level), Tissue.PLEURAL_FLUID)


def _paint_heart(canvas: Canvas) -> None:
    centre, semi_axes, degrees = HEART
    region = canvas.around(centre, max(semi_axes) + 14)
    if region is None:
        return
    heart = ellipsoid(region.xyz, centre, semi_axes, degrees) + region.noise((2, 2, 0))
    chest = (region.dome > 1) & (region.depth < -3)
    region.paint((heart < 6) & chest, Tissue.VISCERAL_FAT)
    region.paint((heart < 0) & chest, Tissue.HEART_MUSCLE)
    ventricle = ellipsoid(region.xyz, *LEFT_VENTRICLE)
    region.paint((heart < -4) & chest & (np.abs(ventricle) > HEART_WALL_MM / 2), Tissue.HEART_BLOOD)


def _paint_psoas(canvas: Canvas) -> None:
    for side in (1, -1):
        found = canvas.tube([(side * x, y, z, radius) for z, x, y, radius in PSOAS])
        if found is not None:
            region, distance = found
            region.paint(distance < 0, Tissue.MUSCLE)


def _paint_bladder(canvas: Canvas) -> None:
    centre, semi_axes = BLADDER
    region = canvas.around(centre, max(semi_axes) + 4)
    if region is not None:
        bladder = ellipsoid(region.xyz, centre, semi_axes) + region.noise((3, 0, 0))
        region.paint(bladder < 3, Tissue.MUSCLE)
        region.paint(bladder < 0, Tissue.BLADDER)


def _paint_ascites(region: Region, subject: Subject) -> None:
    """Fill the outer part of the peritoneal cavity with fluid; fat behind the peritoneum stays."""
    _, y, z = region.xyz
    rim = region.depth > -(subject.ascites + region.noise((4, 3, 0)))
    pool = region.depth > -1.6 * subject.ascites
    pelvis = z < -90
    peritoneum = (y > -42) & (region.dome < -2.5) & (region.depth < 0)
    region.paint(
        peritoneum & (rim | (pool & (y < 15)) | (pelvis & (y < 30))),
        Tissue.ASCITES,
        over=(Tissue.VISCERAL_FAT,),
    )
