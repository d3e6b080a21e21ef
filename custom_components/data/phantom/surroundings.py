"""What lies around the body in a scanner: the table and, in some scans, the arms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from custom_components.data.phantom.body import BodyFrame
from custom_components.data.phantom.canvas import Canvas
from custom_components.data.phantom.tissue import Tissue

TABLE_CURVATURE, TABLE_HALF_WIDTH, TABLE_LAYERS, LAYER_MM = 1100.0, 215.0, (0.0, 24.0), 4.0
ARM_RADIUS, ARM_GAP = 42.0, 7.0
ARM_LAYERS = (
    (42.0, Tissue.SKIN),
    (40.0, Tissue.SUBCUTANEOUS_FAT),
    (33.0, Tissue.MUSCLE),
    (11.0, Tissue.CORTICAL_BONE),
    (7.0, Tissue.MARROW),
)
"""Outer radius (mm) of each layer of an arm."""


def table_height(frame: BodyFrame) -> float:
    """Height y (mm, scanner frame) of the table's top, just under the patient's back."""
    heights = np.linspace(-230, 0, 231, dtype=np.float32)
    lowest = 0.0
    for x, z in ((0, 0), (40, 0), (-40, 0), (40, 120), (-40, 120), (50, -120), (-50, -120)):
        column = np.stack([np.full_like(heights, x), heights, np.full_like(heights, z)])[..., None, None]
        inside = frame.fields(column)[5].ravel() < 0
        lowest = min(lowest, float(heights[inside].min(initial=0)))
    return lowest - 3.0


def paint_table(canvas: Canvas, affine: NDArray[np.float64], height: float) -> None:
    """Paint both shells of a curved table top, fixed to the scanner rather than to the patient."""
    index = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in canvas.tissue.shape), indexing="ij", sparse=True)
    x, y = (sum(c * i for c, i in zip(row, index, strict=False) if c) + row[3] for row in affine[:2].astype(np.float32))
    below = height + x * x / TABLE_CURVATURE - y
    shells = sum(np.abs(below - layer) < LAYER_MM / 2 for layer in TABLE_LAYERS) > 0
    canvas.whole().paint(shells & (np.abs(x) < TABLE_HALF_WIDTH), Tissue.TABLE, over=(Tissue.AIR,))


def paint_arms(canvas: Canvas) -> None:
    """Paint both arms hanging down beside the trunk."""
    region = canvas.whole()
    x, y, _ = region.xyz
    along = np.hypot(region.skin - ARM_GAP - ARM_RADIUS, y + 20)
    arm = np.where(np.abs(x) > 60, along, 1e3)
    outside = region.skin > 0
    for radius, tissue in ARM_LAYERS:
        region.paint(outside & (arm < radius), tissue)
