"""What is found out about one image, and the kinds of reasons why one cannot be used."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

USABLE, LEFT_OUT = "usable", "left out"

UNREADABLE = "cannot be read"
NO_CT = "no CT"
PICTURE = "picture"
LOCALISER = "localiser"
NO_PLACE = "no geometry"
FEW_SLICES = "no volume"
OTHER_PLANE = "not axial"
UNEVEN = "uneven slices"
TILTED = "tilted gantry"
LABEL_MAP = "label map"
NO_HU = "no HU"
BODY_PART = "body part"
DUPLICATE = "duplicate"


@dataclass
class Found:
    """Facts about one volume file, or one part of a DICOM series; what is not known is empty or None.

    Attributes:
        format: NIfTI, NRRD, MHA or DICOM.
        files: that it consists of, without copies.
        size: voxels along the three axes, as they are stored.
        spacing: of the voxels in mm.
        orientation: where the three axes point to, as RAS.
        plane: in which its slices lie: axial, coronal, sagittal or oblique.
        missing_slices: holes along the slice axis, in slices.
        repeated_slices: slices at the place of another one, or bit for bit the slice before.
        low: least value, without the padding around a round field of view.
        high: largest value.
        air: peak of the histogram near -1000 HU.
        fat: peak near -100 HU.
        soft_tissue: peak near 50 HU.
        body: slice scores that the scan covers, the upper end first.
        voxels: digest of the voxels in RAS.
        is_folder: whether an inference on the folder of its slices finds just this image.
        kind: of the reason why it cannot be used, empty if it can.
        reason: in one line.
        notes: what is unusual, and yet no reason to leave it out.
    """

    format: str
    files: int = 1
    size: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    orientation: str = ""
    plane: str = ""
    missing_slices: int | None = None
    repeated_slices: int | None = None
    low: float | None = None
    high: float | None = None
    air: float | None = None
    fat: float | None = None
    soft_tissue: float | None = None
    body: tuple[float, ...] = ()
    voxels: str = ""
    is_folder: bool = False
    kind: str = ""
    reason: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`usable` or `left out`."""
        return LEFT_OUT if self.kind else USABLE

    @property
    def why(self) -> str:
        """The kind of reason and the reason, or nothing."""
        return f"{self.kind}: {self.reason}" if self.kind else ""

    @property
    def extent(self) -> tuple[float, ...]:
        """Size in mm."""
        return tuple(n * mm for n, mm in zip(self.size, self.spacing, strict=True)) if self.spacing else ()

    def leave_out(self, kind: str, reason: str) -> None:
        """Note why it cannot be used; the first reason stays."""
        if not self.kind:
            self.kind, self.reason = kind, reason

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Found:
        """What `to_json` gave.

        Raises:
            TypeError: it has other fields, as one of another version has.
        """
        plain: dict[str, Any] = {key: tuple(value) if key in _TUPLES else value for key, value in values.items()}
        return cls(**plain)


_TUPLES = ("size", "spacing", "body")


@dataclass(frozen=True)
class Image:
    """One volume of the folder.

    Attributes:
        key: the same in every look at the folder: a digest of the path below it, or of the UID of the series.
        paths: its file, or its slices from one end to the other.
        found: what is known without its voxels.
        whole_folder: where its slices are all the DICOM files of one folder, that folder.
    """

    key: str
    paths: tuple[str, ...]
    found: Found
    whole_folder: str = ""
