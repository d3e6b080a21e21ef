"""Case ids, the contact sheet, and the part of the body."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from body_part_volumes import regressor, trunk, write_regressor
from intake_files import scan, write_nifti
from monai.data import MetaTensor
from monai.transforms import Orientation
from PIL import Image as Picture

from custom_components.body_part.network import SliceRegressor
from custom_components.intake.body_range import BodyRanges
from custom_components.intake.case_names import name_cases
from custom_components.intake.check_image import check_image
from custom_components.intake.contact_sheet import RED, Shown, write_contact_sheets
from custom_components.intake.found import Found, Image
from custom_components.intake.geometry import geometry_of
from custom_components.intake.tile import BOX, draw_tile


def image(key: str, path: str, kind: str = "NIfTI") -> Image:
    return Image(key, (path,), Found(kind))


def test_case_ids_stay_when_images_come_and_go(tmp_path: Path):
    a, b, c = (image(key, f"/x/{key}.nii.gz") for key in "abc")
    assert name_cases([a, c], tmp_path / "ids.json") == ["case_0001", "case_0002"]
    assert name_cases([b, c], tmp_path / "ids.json") == ["case_0003", "case_0002"]
    assert name_cases([a], tmp_path / "ids.json") == ["case_0001"]
    (tmp_path / "ids.json").write_text("{")
    with pytest.raises(ValueError, match="ids.json is damaged"):
        name_cases([a], tmp_path / "ids.json")


def test_kept_names_are_those_of_files_and_of_the_folders_of_slices(tmp_path: Path):
    images = [image("1", "/x/ct.nii.gz"), image("2", "/x/ct.mha"), image("3", "/x/ct/1.dcm", "DICOM")]
    assert name_cases(images, tmp_path / "ids.json", keep_names=True) == ["ct", "ct_2", "ct_3"]
    assert name_cases(images[:1], tmp_path / "ids.json") == ["case_0001"]


def test_a_tile_is_head_up_with_the_patients_right_on_the_left_and_true_to_millimetres():
    volume = np.full((20, 10, 30), -1000.0)
    volume[:, 4:8] = 40
    volume[14:, 4:8, 24:] = 300  # right, superior
    tile = draw_tile(volume, (2.0, 4.0, 1.0), is_hu=True)
    coronal, axial = tile[:, :BOX], tile[:, BOX:]
    lit = np.argwhere(coronal == 255)
    assert lit[:, 0].max() < BOX / 2 > lit[:, 1].max()
    rows, columns = (np.ptp(one) + 1 for one in np.nonzero(coronal > 64))
    assert columns / rows == pytest.approx(40 / 30, abs=0.03)
    rows, columns = (np.ptp(one) + 1 for one in np.nonzero(axial > 64))
    assert columns / rows == pytest.approx(40 / 16, abs=0.15)


def test_sheets_have_48_tiles_a_page_and_red_frames_around_what_is_left_out(tmp_path: Path):
    tile = np.zeros((BOX, 2 * BOX), np.uint8)
    shown = [Shown(f"case_{number:04d}", tile, "no HU: values 0 to 1" if number == 1 else "") for number in range(50)]
    assert [path.name for path in write_contact_sheets(tmp_path, shown)] == ["contact_sheet.png", "contact_sheet_2.png"]
    with Picture.open(tmp_path / "contact_sheet.png") as page:
        assert page.size == (6 * (2 * BOX + 16), 8 * (BOX + 50))
        assert [page.getpixel((column * (2 * BOX + 16) + 7, 80)) == RED for column in range(3)] == [False, True, False]
    write_contact_sheets(tmp_path, shown[:1])
    assert [path.name for path in tmp_path.iterdir()] == ["contact_sheet.png"]


@pytest.mark.parametrize(
    ("affine", "plane", "axis", "shear"),
    [
        (np.diag([1.0, 1.0, 3.0, 1.0]), "axial", 2, 0),
        (np.diag([1.0, 3.0, 1.0, 1.0]), "coronal", 1, 0),
        (np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]), "axial", 1, 0),
        (np.array([[1, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 3, 0], [0, 0, 0, 1]]), "axial", 2, 9.46),
    ],
)
def test_geometry_tells_plane_slice_axis_and_shear(affine: np.ndarray, plane: str, axis: int, shear: float):
    found = geometry_of(affine)
    assert (found.plane, found.slice_axis) == (plane, axis)
    assert found.shear == pytest.approx(shear, abs=0.01)


@pytest.mark.parametrize(
    ("volume", "scores", "reason"),
    [
        (trunk(-192, 192), (-6.0, 6.0), ""),
        (trunk(-100, 100), (-3.1, 3.1), ""),
        (trunk(400, 600), (-18.8, -12.5), "is of another part of the body"),
        (trunk(-150, 150, header=10.0), (-4.7, 4.7), "has a wrong slice spacing"),
        (trunk(-150, 150, axcodes="LAS"), (-4.7, 4.7), "has left and right exchanged"),
    ],
)
def test_the_part_of_the_body_is_told_by_slice_scores(volume, scores: tuple[float, float], reason: str):
    found = BodyRanges(regressor())(cast(MetaTensor, Orientation("RAS", labels=None)(volume)))
    assert found.scores == pytest.approx(scores, abs=0.2)
    assert found.reason.startswith(reason)
    assert bool(found.reason) == bool(reason)


@pytest.mark.parametrize(("repair", "shown"), [(False, (4.7, -4.7)), (True, (-4.7, 4.7))])
def test_slices_in_reverse_order_are_no_reason_where_they_are_turned(repair: bool, shown: tuple[float, float]):
    found = BodyRanges(regressor(), repair=repair)(cast(MetaTensor, trunk(-150, 150).flip(3)))
    assert found.scores == pytest.approx(shown, abs=0.2)
    assert found.reason.startswith("has its slices in reverse order") is not repair
    assert found.notes == (("slices are in reverse order; turned by --body_part_repair true",) if repair else ())


def test_the_wanted_scores_are_those_of_the_command():
    volume = cast(MetaTensor, Orientation("RAS", labels=None)(trunk(0, 192)))
    assert BodyRanges(regressor())(volume).reason == ""
    reason = BodyRanges(regressor(), scores=(1, 6))(volume).reason
    assert reason.endswith("expected those of the abdomen, 1 to 6")


def test_what_was_found_with_another_crop_does_not_count(call, tmp_path: Path):
    weights = write_regressor(tmp_path / "body_part.pt")
    write_nifti(tmp_path / "in" / "a.nii.gz", scan(0))
    words = ("intake", tmp_path / "in", "--output", tmp_path / "out", "--workers", 0, "--body_part_path", weights)
    options = ((), ("--body_part_repair", "true"), ("--body_part_scores", "-5,5"), ())
    counts = []
    for more in options:
        call(*words, *more)
        counts.append(len(list((tmp_path / "out" / "finished").glob("*.json"))))
    assert counts == [1, 2, 3, 3]
    code, _, err = call(*words, "--body_part_scores", "5,-5")
    assert code == 2
    assert "error: body_part_scores is (5, -5), expected 2 numbers, the upper end of the body first" in err


def test_the_command_tells_the_part_of_the_body_with_weights(call, tmp_path: Path):
    torch.manual_seed(0)
    network = SliceRegressor()
    network.calibration.copy_(torch.tensor([1.0, 0.0, -0.03]))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    write_nifti(tmp_path / "in" / "a.nii.gz", scan(0))
    words = ("intake", tmp_path / "in", "--output", tmp_path / "out", "--workers", 0)
    code, out, _ = call(*words, "--body_part_path", tmp_path / "weights.pt")
    assert str(code).startswith("error: none of 1 images can be used")  # weights that have learnt nothing
    assert "no: body part: is " in out
    assert "not looked at" not in out
    header, row = (tmp_path / "out" / "intake.csv").read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=False))["kind"] == "body part"
    code, out, _ = call(*words, "--body_part_path", "none")
    assert code == 0
    assert "case_0001  NIfTI" in out
    (tmp_path / "weights.pt").write_bytes(b"none")
    code, _, err = call(*words, "--body_part_path", tmp_path / "weights.pt")
    assert code == 2
    assert f"error: {tmp_path}/weights.pt holds no weights of a body-part regressor" in err


def test_no_reason_holds_a_name_or_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "Zaphod Beeblebrox" / "CT"
    path = folder / "Z\udcfcrich.nii.gz"
    one = Image("a", (str(path),), Found("DICOM"), str(folder))
    for error in (
        ValueError(f"{folder}: found CT (1 files), expected a CT series of several slices"),
        ValueError(f"{'x' * 270} {path}: damaged"),
        OSError(2, "No such file", str(path)),
        RuntimeError(f"in {folder.parent}: {path.name}"),
    ):

        def fail(paths, error=error):
            raise error

        monkeypatch.setattr("custom_components.intake.check_image._read", fail)
        reason = check_image(one).found.reason
        assert reason
        assert not any(word in reason for word in ("Zaphod", "rich", str(tmp_path))), reason
