"""Bones of the phantom: spine, ribs, sternum, pelvis and thighs."""

from __future__ import annotations

import numpy as np

from custom_components.data.phantom.canvas import Canvas, Mask, Region
from custom_components.data.phantom.shapes import Floats, ellipsoid
from custom_components.data.phantom.tissue import Tissue

# Level z, centre y, half width, half depth (mm) of the vertebral bodies; the lumbar spine bends forward.
SPINE = np.array([
    (-330, -92, 30, 12), (-230, -98, 34, 13), (-180, -82, 40, 18), (-145, -55, 27, 19), (-100, -44, 25, 18),
    (-50, -45, 24, 17.5), (0, -50, 22, 17), (60, -58, 20, 16), (120, -64, 17, 15), (200, -66, 15, 13),
    (330, -60, 13, 11),
], dtype=np.float32)  # fmt: skip

VERTEBRA_STEP, DISC_HEIGHT, CORTEX = 33.0, 8.0, 2.0
SACRUM_TOP = -150.0

RIB_STEP, RIB_HALF_HEIGHT, LAST_RIB_Z, RIB_DROP = 27.0, 6.0, 48.0, 95.0

FEMORAL_HEAD = (84.0, 2.0, -240.0, 24.0)


def paint_skeleton(canvas: Canvas) -> None:
    """Paint all bones."""
    _paint_ribs(canvas)
    _paint_sternum(canvas)
    for side in (1.0, -1.0):
        _paint_hip(canvas, side)
    _paint_spine(canvas)


def _bone(region: Region, distance: Floats, cortex: float = CORTEX, where: Mask | bool = True) -> None:
    region.paint((distance < 0) & where, Tissue.CORTICAL_BONE)
    region.paint((distance < -cortex) & where, Tissue.MARROW)


def _paint_spine(canvas: Canvas) -> None:
    region = canvas.region((-45, -130, -330), (45, -15, 330))
    if region is None:
        return
    x, y, z = region.xyz
    centre, half_width, half_depth = (np.interp(z, SPINE[:, 0], SPINE[:, k]).astype(np.float32) for k in (1, 2, 3))
    back = y - centre
    level = np.sqrt((x / half_width) ** 2 + (back / half_depth) ** 2)
    body = (level - 1) * half_depth
    phase = np.mod(z, VERTEBRA_STEP) - VERTEBRA_STEP / 2
    endplate = np.abs(phase) - (VERTEBRA_STEP - DISC_HEIGHT) / 2
    is_disc = (endplate > 0) & (z > SACRUM_TOP)
    region.paint((body < 0) & is_disc, Tissue.DISC)
    _bone(region, np.where(z > SACRUM_TOP, np.maximum(body, endplate), body), where=~is_disc)

    behind = back + half_depth
    canal = np.hypot(x / 1.25, behind + 9) - 8
    arch = canal - 6
    joint = np.abs(phase + 6) - 10
    wings = np.maximum(np.abs(behind + 9 + np.abs(x) * 0.12) - 4.0, np.maximum(np.abs(x) - 36, joint + 3))
    process = np.maximum(np.abs(x) - 3.6, np.maximum(np.abs(behind + 32) - 15, joint))
    posterior = np.minimum(np.maximum(arch, joint - 3), np.minimum(wings, process))
    posterior = np.where(z > SACRUM_TOP, posterior, arch)
    _bone(region, posterior, cortex=2.2, where=body > -1)
    region.paint((canal < 0) & (body > 0), Tissue.SPINAL_CANAL)


def _paint_ribs(canvas: Canvas) -> None:
    region = canvas.region((-170, -150, LAST_RIB_Z - RIB_DROP - 20), (170, 150, 330))
    if region is None:
        return
    layer = np.abs(region.depth - 4.5) - 3.6
    bony = layer < 0
    x, y, z = (axis[bony] for axis in region.xyz)
    progress = np.arctan2(np.abs(x), 2 - y) / np.float32(np.pi)
    order = (z + RIB_DROP * np.clip(progress - 0.15, 0, None) - LAST_RIB_Z) / RIB_STEP
    number = np.floor(order + 0.5)
    distance = np.maximum(layer[bony], np.abs(order - number) * RIB_STEP - RIB_HALF_HEIGHT)
    rib = (distance < 0) & (number >= 0) & (np.abs(x) > 22)
    bone = rib & (progress < np.clip(0.42 + 0.085 * number, 0, 0.74))
    tissue = region.tissue[bony]
    tissue[rib & (number >= 2) & (progress < 0.95)] = Tissue.CARTILAGE
    tissue[bone] = Tissue.CORTICAL_BONE
    tissue[bone & (distance < -1.6)] = Tissue.MARROW
    region.tissue[bony] = tissue


def _paint_sternum(canvas: Canvas) -> None:
    region = canvas.region((-25, 40, 88), (25, 150, 330))
    if region is None:
        return
    x, y, z = region.xyz
    plate = np.maximum(np.abs(region.depth - 5) - 4.5, np.maximum(np.abs(x) - 17, 95 - z))
    _bone(region, plate, cortex=1.5, where=y > 0)


def _paint_hip(canvas: Canvas, side: float) -> None:
    wing = canvas.around((side * 82, -32, -165), (75, 75, 85))
    if wing is not None:
        x, y, z = wing.xyz
        bent = np.stack([x + np.float32(side / 130) * (y + 25) ** 2 - side * 8, y, z])
        _bone(wing, ellipsoid(bent, (side * 82, -32, -168), (72, 8.5, 74), (0, 0, side * 50)))
    hip, front, level, radius = FEMORAL_HEAD
    joint = canvas.around((side * hip, front, level), 40)
    if joint is not None:
        head = ellipsoid(joint.xyz, (side * hip, front, level), (radius,) * 3)
        cup = np.maximum(head - 11, 3 - head)
        _bone(joint, np.maximum(cup, side * joint.xyz[0] - hip - 8))
        _bone(joint, head)
    thigh = canvas.region((side * 105 - 45, -50, -340), (side * 105 + 45, 50, -235))
    if thigh is not None:
        u = thigh.xyz[0] - side * np.float32(108)
        shaft = np.maximum(np.hypot(u, thigh.xyz[1]) - 17, thigh.xyz[2] + 245)
        _bone(thigh, shaft, cortex=4)
