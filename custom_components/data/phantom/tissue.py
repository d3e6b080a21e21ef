"""The tissues of the phantom: which organ each belongs to and how dense it is in each contrast phase."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from custom_components.anatomy import INDEX

PHASES: tuple[str, ...] = ("none", "arterial", "portal", "delayed")


class Tissue(IntEnum):
    """What fills a point of space."""

    AIR = 0
    TABLE = auto()
    SKIN = auto()
    SUBCUTANEOUS_FAT = auto()
    MUSCLE = auto()
    VISCERAL_FAT = auto()
    LUNG = auto()
    LUNG_VESSEL = auto()
    HEART_MUSCLE = auto()
    HEART_BLOOD = auto()
    CORTICAL_BONE = auto()
    MARROW = auto()
    DISC = auto()
    CARTILAGE = auto()
    SPINAL_CANAL = auto()
    BOWEL_WALL = auto()
    BOWEL_FLUID = auto()
    FAECES = auto()
    GAS = auto()
    ARTERY = auto()
    VEIN = auto()
    ASCITES = auto()
    PLEURAL_FLUID = auto()
    BLADDER = auto()
    RENAL_PELVIS = auto()
    SPLEEN = auto()
    RIGHT_RENAL_CORTEX = auto()
    RIGHT_RENAL_MEDULLA = auto()
    RIGHT_RENAL_CYST = auto()
    LEFT_RENAL_CORTEX = auto()
    LEFT_RENAL_MEDULLA = auto()
    LEFT_RENAL_CYST = auto()
    GALLBLADDER = auto()
    OESOPHAGUS = auto()
    LIVER = auto()
    HEPATIC_VEIN = auto()
    LIVER_LESION = auto()
    STOMACH_WALL = auto()
    STOMACH_FLUID = auto()
    STOMACH_GAS = auto()
    AORTA = auto()
    INFERIOR_VENA_CAVA = auto()
    PORTAL_VEIN = auto()
    PANCREAS = auto()
    ADRENAL = auto()


class _Row(NamedTuple):
    organ: str | None
    none: float
    arterial: float
    portal: float
    delayed: float
    texture: float = 0.0


def _same(hu: float, texture: float = 0.0, organ: str | None = None) -> _Row:
    return _Row(organ, hu, hu, hu, hu, texture)


_T = Tissue
TISSUES: dict[Tissue, _Row] = {
    _T.AIR: _same(-1000),
    _T.TABLE: _same(-20),
    _T.SKIN: _same(10),
    _T.SUBCUTANEOUS_FAT: _same(-108, 4),
    _T.MUSCLE: _Row(None, 54, 57, 63, 62, 7),
    _T.VISCERAL_FAT: _same(-102, 9),
    _T.LUNG: _same(-840, 25),
    _T.LUNG_VESSEL: _same(-350, 60),
    _T.HEART_MUSCLE: _Row(None, 46, 95, 105, 92, 3),
    _T.HEART_BLOOD: _Row(None, 42, 290, 160, 118, 4),
    _T.CORTICAL_BONE: _same(560, 60),
    _T.MARROW: _same(150, 30),
    _T.DISC: _same(85, 5),
    _T.CARTILAGE: _same(110, 20),
    _T.SPINAL_CANAL: _same(28, 3),
    _T.BOWEL_WALL: _Row(None, 40, 68, 88, 72, 8),
    _T.BOWEL_FLUID: _same(22, 14),
    _T.FAECES: _same(-30, 55),
    _T.GAS: _same(-920),
    _T.ARTERY: _Row(None, 42, 320, 165, 116),
    _T.VEIN: _Row(None, 42, 75, 155, 116),
    _T.ASCITES: _same(8, 3),
    _T.PLEURAL_FLUID: _same(10, 3),
    _T.BLADDER: _Row(None, 6, 6, 12, 240),
    _T.RENAL_PELVIS: _Row(None, 8, 10, 25, 420),
    _T.SPLEEN: _Row("spleen", 49, 128, 124, 98, 3),
    _T.RIGHT_RENAL_CORTEX: _Row("right_kidney", 33, 195, 190, 152, 3),
    _T.RIGHT_RENAL_MEDULLA: _Row("right_kidney", 31, 72, 168, 158, 4),
    _T.RIGHT_RENAL_CYST: _same(8, 2, "right_kidney"),
    _T.LEFT_RENAL_CORTEX: _Row("left_kidney", 33, 195, 190, 152, 3),
    _T.LEFT_RENAL_MEDULLA: _Row("left_kidney", 31, 72, 168, 158, 4),
    _T.LEFT_RENAL_CYST: _same(8, 2, "left_kidney"),
    _T.GALLBLADDER: _same(9, 2, "gallbladder"),
    _T.OESOPHAGUS: _Row("oesophagus", 36, 50, 66, 60, 8),
    _T.LIVER: _Row("liver", 58, 70, 112, 94, 4),
    _T.HEPATIC_VEIN: _Row("liver", 42, 62, 158, 114),
    _T.LIVER_LESION: _Row("liver", 28, 40, 52, 55, 6),
    _T.STOMACH_WALL: _Row("stomach", 40, 66, 86, 74, 6),
    _T.STOMACH_FLUID: _same(20, 14, "stomach"),
    _T.STOMACH_GAS: _same(-920, 0, "stomach"),
    _T.AORTA: _Row("aorta", 42, 330, 166, 118),
    _T.INFERIOR_VENA_CAVA: _Row("inferior_vena_cava", 41, 78, 148, 116),
    _T.PORTAL_VEIN: _Row("portal_and_splenic_veins", 42, 92, 172, 118),
    _T.PANCREAS: _Row("pancreas", 41, 108, 96, 78, 9),
    _T.ADRENAL: _Row("adrenal_glands", 28, 62, 78, 62, 2),
}  # fmt: skip
"""Organ, HU in each phase of `PHASES`, and the standard deviation of the tissue's texture in HU."""

ENHANCING: tuple[Tissue, ...] = tuple(t for t, row in TISSUES.items() if row.none != row.portal)
"""The tissues that take up intravenous contrast."""

LABEL_OF_TISSUE: NDArray[np.uint8] = np.array(
    [INDEX[row.organ] if (row := TISSUES[t]).organ else 0 for t in Tissue], dtype=np.uint8
)
TEXTURE_OF_TISSUE: NDArray[np.float32] = np.array([TISSUES[t].texture for t in Tissue], dtype=np.float32)


def hounsfield_by_phase() -> NDArray[np.float64]:
    """HU of every tissue in every phase, shape (phases, tissues)."""
    return np.array([[getattr(TISSUES[t], phase) for t in Tissue] for phase in PHASES])
