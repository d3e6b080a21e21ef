"""Put the slices of DICOM series together, wherever their files lie."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from custom_components.data.dicom_geometry import heights_of
from custom_components.data.dicom_kinds import is_localiser
from custom_components.intake.headers import Header


@dataclass(frozen=True)
class Part:
    """The slices of a DICOM series that can be one volume, sorted along their normal.

    Attributes:
        key: the same in every look: a digest of the series' UID and of what tells the part from others.
        headers: of the slices.
        copies: files that hold a slice again.
        all_paths: of the slices and their copies.
    """

    key: str
    headers: tuple[Header, ...]
    copies: int
    all_paths: frozenset[str]


def parts_of_series(headers: Iterable[Header]) -> list[Part]:
    """Split headers by SeriesInstanceUID, and within a series by all that cannot differ in one volume.

    That is the modality, the image type as far as it tells a localiser or a picture, the rows and columns, the
    direction and the distance of the pixels. So a localiser that is stored in the series of its scan is a part of its
    own. Files without a UID are a series with those of their folder; files that cannot be read are a part too.

    Example:
        >>> first = Header("1.dcm", series="1.2", instance="1", position=(0, 0, 3), orientation=(1, 0, 0, 0, 1, 0))
        >>> second = first._replace(path="2.dcm", instance="2", position=(0, 0, 0))
        >>> (part,) = parts_of_series([first, second, first._replace(path="copy.dcm")])
        >>> [header.path for header in part.headers], part.copies
        (['2.dcm', '1.dcm'], 1)
    """
    groups: dict[tuple, list[Header]] = defaultdict(list)
    for header in headers:
        groups[_what_cannot_differ(header)].append(header)
    return [_part(key, group) for key, group in groups.items()]


def _what_cannot_differ(header: Header) -> tuple:
    return (
        header.series or str(Path(header.path).parent),
        bool(header.fault),
        header.modality,
        header.sop_class,
        is_localiser(header.image_type),
        header.size,
        header.samples,
        tuple(round(one, 2) + 0.0 for one in header.orientation),
        tuple(round(one, 3) for one in header.spacing),
        header.frames > 1 and header.path,  # a file with several frames is a volume by itself
    )


def _part(key: tuple, group: list[Header]) -> Part:
    single: dict[tuple, Header] = {}
    for header in sorted(group, key=lambda one: one.path):
        # some programs give all slices the same UID
        same = (header.instance, header.position) if header.instance else (header.path,)
        single.setdefault(same, header)
    headers = sorted(single.values(), key=lambda one: (along_normal(one), one.path))
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return Part(digest, tuple(headers), len(group) - len(headers), frozenset(one.path for one in group))


def along_normal(header: Header) -> float:
    """Where a slice lies along the normal of its plane, in mm; 0 if that is not known."""
    if not header.position or not header.orientation:
        return 0.0
    return float(heights_of([header.position], header.orientation)[0])
