"""DICOM headers, and the slices of a series."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series
from intake_files import scan

from custom_components.intake.files import sort_files
from custom_components.intake.headers import Header, read_headers
from custom_components.intake.images import images_of
from custom_components.intake.series import parts_of_series
from custom_components.intake.series_checks import look_at_part

SLICE = Header(
    "0", series="1.2", modality="CT", size=(64, 64), position=(0.0, 0.0, 0.0), orientation=(1, 0, 0, 0, 1, 0),
    spacing=(0.8, 0.8), rescaled=True,
)  # fmt: skip


def stack(heights: list[float], **changes: object) -> list[Header]:
    return [
        SLICE._replace(path=f"{number:03d}", instance=str(number), position=(0.0, 0.0, height), **changes)
        for number, height in enumerate(heights)
    ]


def test_slices_are_sorted_along_their_normal_whatever_their_files_are_called():
    (part,) = parts_of_series(stack([9.0, 0.0, 6.0, 3.0]))
    assert [header.path for header in part.headers] == ["001", "003", "002", "000"]


def test_a_localiser_in_the_series_of_its_scan_is_a_part_of_its_own():
    localiser = stack([0.0], orientation=(1, 0, 0, 0, 0, -1))
    by_type = stack([40.0], image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    slices = [one._replace(instance=f"s{one.instance}", path=f"s{one.path}") for one in stack(list(range(10)))]
    parts = parts_of_series([*localiser, *slices, *by_type])
    assert sorted(len(part.headers) for part in parts) == [1, 1, 10]
    kinds = {len(part.headers): look_at_part(part).kind for part in parts}
    assert kinds[10] == ""
    assert {look_at_part(part).kind for part in parts} == {"", "localiser", "no volume"}


def test_slices_of_one_uid_at_different_places_are_no_copies():
    (part,) = parts_of_series([one._replace(instance="1") for one in stack([0.0, 3.0, 6.0])])
    assert (len(part.headers), part.copies) == (3, 0)


@pytest.mark.parametrize(
    ("heights", "reason", "missing", "repeated"),
    [
        (list(range(12)), "", 0, 0),
        ([*range(5), *range(8, 14)], "3 missing, 4.0 instead of 1.0 mm apart", 3, 0),
        ([0, 0, *range(1, 12)], "1 at the place of another: written twice?", 0, 1),
        ([0, 1, 2, 3.3, 4, 5, 6, 7, 8, 9], "slices lie 0.70 to 1.30 mm apart", 0, 0),
        ([one + 0.02 * (one % 2) for one in range(12)], "", 0, 0),
        ([0] * 9, "8 at the place of another: several phases in one series?", 0, 8),
    ],
)
def test_gaps_and_double_slices_are_found_by_position(heights: list, reason: str, missing: int, repeated: int):
    (part,) = parts_of_series(stack(list(map(float, heights))))
    found = look_at_part(part)
    assert (found.reason, found.missing_slices, found.repeated_slices) == (reason, missing, repeated)


@pytest.mark.parametrize(
    ("orientation", "plane", "codes"),
    [
        ((1, 0, 0, 0, 1, 0), "axial", "LPS"),
        ((1, 0, 0, 0, 0, -1), "coronal", "LIP"),
        ((0, 1, 0, 0, 0, -1), "sagittal", "PIR"),
        ((1, 0, 0, 0, 0.866, 0.5), "oblique", "LPS"),
        ((1, 0, 0, 0, 0.966, 0.259), "axial", "LPS"),
    ],
)
def test_the_plane_comes_from_the_orientation(orientation: tuple, plane: str, codes: str):
    axes = np.array(orientation, dtype=float)
    normal = np.cross(axes[:3], axes[3:])
    headers = [
        SLICE._replace(path=str(i), instance=str(i), orientation=orientation, position=tuple(normal * i))
        for i in range(9)
    ]
    (part,) = parts_of_series(headers)
    found = look_at_part(part)
    assert (found.plane, found.orientation, found.kind) == (plane, codes, "")


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"image_type": ("DERIVED", "PRIMARY", "MIP")}, "picture"),
        ({"samples": 3}, "picture"),
        ({"burned_in": True}, "picture"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7.2"}, "picture"),
        ({"modality": ""}, "no CT"),
        ({"modality": "SR", "size": ()}, "no CT"),
        ({"spacing": ()}, "no geometry"),
        ({"image_type": ("DERIVED", "PRIMARY", "AXIAL")}, ""),
    ],
)
def test_what_is_no_stack_of_slices_is_left_out(changes: dict, kind: str):
    (part,) = parts_of_series(stack([float(one) for one in range(9)], **changes))
    assert look_at_part(part).kind == kind


def test_damaged_values_of_a_header_are_missing_and_end_nothing(tmp_path: Path):
    write_series(tmp_path, scan(0)[..., :1], name="a", NumberOfFrames=None, PixelSpacing=None)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(content.replace(b"-10.0", b"x10.0"))
    (tmp_path / "c").write_bytes(content[:140])
    (tmp_path / "d").write_bytes(b"")
    good, damaged, *faults = read_headers([str(tmp_path / name) for name in "abcd"])
    assert (good.spacing, good.frames, good.position) == ((), 1, (-10.0, -20.0, 0.0))
    assert (damaged.position, damaged.modality) == ((), "CT")
    assert [one.fault for one in faults] == ["no DICOM, truncated or damaged"] * 2


def test_files_are_dicom_by_their_content_also_without_a_preamble(tmp_path: Path):
    write_series(tmp_path / "in", scan(0)[..., :2], name="{}.of Miller")
    (tmp_path / "in" / "old").write_bytes((tmp_path / "in" / "0.of Miller").read_bytes()[132:])
    (tmp_path / "in" / "text").write_text("no image")
    os.mkfifo(tmp_path / "in" / "pipe.nii")
    (tmp_path / "in" / "link.nii").symlink_to(tmp_path / "absent")
    tree = sort_files(tmp_path / "in", skip_dir=tmp_path / "out")
    assert [path.name for path in tree.dicom] == ["0.of Miller", "1.of Miller", "old"]
    assert dict(tree.others) == {"other files": 1}
    assert (tree.volumes, tree.closed) == ([], 2)


def read_or_die(paths: Sequence[str]) -> list[Header]:
    if any(path.endswith("005.dcm") for path in paths):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_headers(paths)


def test_a_header_that_no_process_survives_costs_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_series(tmp_path / "in", scan(0)[..., :9])
    tree = sort_files(tmp_path / "in", skip_dir=tmp_path / "out")
    monkeypatch.setattr("custom_components.intake.images.CHUNK", 2)
    monkeypatch.setattr("custom_components.intake.images.read_headers", read_or_die)
    good, bad = sorted(images_of(tree, tmp_path / "in", workers=1), key=lambda image: -len(image.paths))
    assert [Path(path).name for path in bad.paths] == ["slice005.dcm"]
    assert len(good.paths) == 8


def test_the_headers_read_by_several_processes_are_those_read_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_series(tmp_path / "in", scan(0))
    tree = sort_files(tmp_path / "in", skip_dir=tmp_path / "out")
    alone = images_of(tree, tmp_path / "in", workers=0)
    monkeypatch.setattr("custom_components.intake.images.CHUNK", 3)
    assert images_of(tree, tmp_path / "in", workers=2) == alone
    assert alone[0].whole_folder == str(tmp_path / "in")
