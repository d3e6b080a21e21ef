"""The 12 organs: their channel, name and colour, and the maps from other label sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Organ:
    """One organ: its channel in the 13-channel output, its name, its RGB colour (0 to 255)."""

    index: int
    name: str
    colour: tuple[int, int, int]


ORGANS: tuple[Organ, ...] = (
    Organ(1, "spleen", (0, 0, 255)),
    Organ(2, "right_kidney", (248, 17, 167)),
    Organ(3, "left_kidney", (35, 193, 0)),
    Organ(4, "gallbladder", (97, 92, 10)),
    Organ(5, "oesophagus", (5, 154, 255)),
    Organ(6, "liver", (255, 255, 0)),
    Organ(7, "stomach", (0, 104, 86)),
    Organ(8, "aorta", (98, 0, 0)),
    Organ(9, "inferior_vena_cava", (19, 22, 75)),
    Organ(10, "portal_and_splenic_veins", (216, 148, 112)),
    Organ(11, "pancreas", (221, 195, 252)),
    Organ(12, "adrenal_glands", (205, 255, 216)),
)

NUM_CLASSES = len(ORGANS) + 1
"""Channels of the network's output: background and the 12 organs."""

ORGAN_NAMES: tuple[str, ...] = tuple(organ.name for organ in ORGANS)
INDEX: Mapping[str, int] = {organ.name: organ.index for organ in ORGANS}

JUDGED_ORGANS: tuple[str, ...] = ("liver", "right_kidney", "left_kidney", "spleen")
"""The organs that a QA code is about (Lee et al. 2020, section 3.2.4)."""

MAY_BE_ABSENT: tuple[str, ...] = ("spleen", "right_kidney", "left_kidney")
"""Judged organs without which people live."""


def _numbered(*names: str | None) -> dict[int, int]:
    return {number: INDEX[name] for number, name in enumerate(names, start=1) if name}


LABEL_SETS: Mapping[str, Mapping[int, int]] = {
    "abdomen12": {organ.index: organ.index for organ in ORGANS},
    # BTCV (Synapse multi-atlas labelling challenge): right and left adrenal glands are 12 and 13.
    "btcv": {**{organ.index: organ.index for organ in ORGANS}, 13: INDEX["adrenal_glands"]},
    # AMOS 2022; duodenum (13), bladder (14), prostate/uterus (15) are background here.
    "amos": _numbered(
        "spleen", "right_kidney", "left_kidney", "gallbladder", "oesophagus", "liver", "stomach", "aorta",
        "inferior_vena_cava", "pancreas", "adrenal_glands", "adrenal_glands",
    ),
    # FLARE 2022; duodenum (12) is background here.
    "flare22": _numbered(
        "liver", "right_kidney", "spleen", "pancreas", "aorta", "inferior_vena_cava", "adrenal_glands",
        "adrenal_glands", "gallbladder", "oesophagus", "stomach", None, "left_kidney",
    ),
    # TotalSegmentator v2, task `total` (117 classes); everything else is background here.
    "totalsegmentator": {
        **_numbered(
            "spleen", "right_kidney", "left_kidney", "gallbladder", "liver", "stomach", "pancreas",
            "adrenal_glands", "adrenal_glands",
        ),
        15: INDEX["oesophagus"],
        52: INDEX["aorta"],
        63: INDEX["inferior_vena_cava"],
        64: INDEX["portal_and_splenic_veins"],
    },
}  # fmt: skip
"""For each label set by name: the source's number of an organ and our channel."""

LARGEST_LABEL: Mapping[str, int] = {"abdomen12": 12, "btcv": 13, "amos": 15, "flare22": 13, "totalsegmentator": 117}
"""For each label set by name: the largest number that its source gives to a structure, ours or another."""

LabelSet = str | Iterable[str]
"""A name in `LABEL_SETS`, or the names of the organs that a source annotated (numbered as ours)."""


def label_map(label_set: LabelSet = "abdomen12") -> dict[int, int]:
    """Map from a source's label numbers to our channels; numbers not in it are background.

    Args:
        label_set: a name in `LABEL_SETS`, or a list of organ names, which means our own numbering
            with only those organs annotated.

    Raises:
        ValueError: the label set or an organ is unknown.

    Example:
        >>> label_map("flare22")[13]
        3
        >>> label_map(["spleen", "liver"])
        {1: 1, 6: 6}
    """
    if isinstance(label_set, str):
        if label_set not in LABEL_SETS:
            raise ValueError(f"label_set is {label_set!r}, expected one of {sorted(LABEL_SETS)} or organ names")
        return dict(LABEL_SETS[label_set])
    names = list(label_set)
    unknown = [name for name in names if name not in INDEX]
    if unknown or not names:
        raise ValueError(f"label_set holds the organs {unknown or names}, expected some of {list(ORGAN_NAMES)}")
    return {index: index for index in sorted(INDEX[name] for name in names)}


def annotated_channels(label_set: LabelSet = "abdomen12") -> list[bool]:
    """For each of the 13 channels, whether the label set annotates it (background always counts).

    Example:
        >>> annotated_channels("amos")[INDEX["portal_and_splenic_veins"]]
        False
    """
    annotated = set(label_map(label_set).values()) | {0}
    return [channel in annotated for channel in range(NUM_CLASSES)]
