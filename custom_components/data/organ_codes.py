"""What DICOM calls the 12 organs: codes of SNOMED CT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Concept(NamedTuple):
    """A code of SNOMED CT and what it means."""

    value: str
    meaning: str


class OrganCode(NamedTuple):
    """The concept of an organ; of a paired one also which of the two."""

    type: Concept
    side: Concept | None = None


ANATOMICAL_STRUCTURE = Concept("123037004", "Anatomical Structure")
"""Category of all organs (DICOM PS3.16, CID 7150)."""

RIGHT, LEFT = Concept("24028007", "Right"), Concept("7771000", "Left")
BOTH = Concept("51440002", "Right and left")

ORGAN_CODES: Mapping[str, OrganCode] = {
    "spleen": OrganCode(Concept("78961009", "Spleen")),
    "right_kidney": OrganCode(Concept("64033007", "Kidney"), RIGHT),
    "left_kidney": OrganCode(Concept("64033007", "Kidney"), LEFT),
    "gallbladder": OrganCode(Concept("28231008", "Gallbladder")),
    "oesophagus": OrganCode(Concept("32849002", "Esophagus")),
    "liver": OrganCode(Concept("10200004", "Liver")),
    "stomach": OrganCode(Concept("69695003", "Stomach")),
    "aorta": OrganCode(Concept("15825003", "Aorta")),
    "inferior_vena_cava": OrganCode(Concept("64131007", "Inferior vena cava")),
    "portal_and_splenic_veins": OrganCode(Concept("110765007", "Portal vein and splenic vein")),
    "pancreas": OrganCode(Concept("15776009", "Pancreas")),
    "adrenal_glands": OrganCode(Concept("23451007", "Adrenal gland"), BOTH),
}
"""Types of segmented structures (DICOM PS3.16, CID 7151 and 7192), with the side as a modifier (CID 244), as
TotalSegmentator publishes them (`totalsegmentator_snomed_mapping.csv`). The standard's tables have no concept for the
portal and splenic veins together; that is TotalSegmentator's."""
