from __future__ import annotations

import logging
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from body_part_volumes import BRIGHT, write_regressor, write_trunk

from custom_components.body_part.body_part_crop import BodyPartCrop, body_part_crop, chosen_crop, find_body_part
from custom_components.preprocessing import ct_preprocessing, qa_preprocessing

GRID = {"pixdim": (4, 4, 6), "roi_size": (32, 32, 64), "hu_window": (-1000.0, 1000.0)}


def heights(image: np.ndarray) -> np.ndarray:
    """Of the slices in mm; NaN where there is air."""
    column = np.asarray(image)[0, 16, 14]
    return np.where(column > 0.1, 2000 * column - 1000 - BRIGHT, np.nan)


def test_networks_discriminators_and_labels_see_the_same_slices(tmp_path: Path):
    crop = BodyPartCrop(write_regressor(tmp_path / "body_part.pt"))
    image = write_trunk(tmp_path / "ct.nii.gz", -290, 400)
    organ = np.zeros((40, 40, 139), np.uint8)
    organ[15:25, 15:25, 40:90] = 6
    label = str(tmp_path / "label.nii.gz")
    nib.save(nib.Nifti1Image(organ, nib.load(image).affine), label)
    case = {"image": image, "label": label, "segmentation": label, "case_id": "a"}
    whole = heights(ct_preprocessing(**GRID)(case)["image"])  # type: ignore[arg-type]
    assert np.nanmean(whole) == pytest.approx((-290 + 400) / 2, abs=6)
    seen = ct_preprocessing(**GRID, body_part=crop, with_label=True)(case)  # type: ignore[arg-type]
    assert np.nanmean(heights(seen["image"])) == pytest.approx(0, abs=6)
    assert np.nanmin(heights(seen["image"])) == pytest.approx(-6 * 32, abs=8)
    shown = qa_preprocessing(**GRID, body_part=crop)(case)  # type: ignore[arg-type]
    assert np.array_equal(shown["image"], seen["image"])
    assert np.array_equal(shown["segmentation"], seen["label"])
    z = np.flatnonzero(np.asarray(seen["label"]).any((0, 1, 2)))
    found = heights(seen["image"])[z[[0, -1]]]
    assert found == pytest.approx([-290 + 40 * 5, -290 + 89 * 5], abs=8)


def test_scores_and_repair_are_those_of_the_crop(tmp_path: Path):
    path = write_regressor(tmp_path / "body_part.pt")
    image = write_trunk(tmp_path / "ct.nii.gz", -290, 400)
    upper = ct_preprocessing(**GRID, body_part=BodyPartCrop(path, (-6, 0)))({"image": image})  # type: ignore[arg-type]
    assert np.nanmin(heights(upper["image"])) == pytest.approx(0, abs=6)
    reverse = write_trunk(tmp_path / "reverse.nii.gz", -290, 400, reverse=True)
    with pytest.raises(RuntimeError) as caught:
        ct_preprocessing(**GRID, body_part=BodyPartCrop(path))({"image": reverse})  # type: ignore[arg-type]
    assert str(caught.value.__cause__).endswith("has its slices in reverse order: slice scores grow upwards")
    turned = ct_preprocessing(**GRID, body_part=BodyPartCrop(path, repair=True))({"image": reverse})  # type: ignore[arg-type]
    plain = ct_preprocessing(**GRID, body_part=BodyPartCrop(path))({"image": image})  # type: ignore[arg-type]
    assert np.allclose(heights(turned["image"]), heights(plain["image"]), atol=6, equal_nan=True)


def test_weights_are_found_in_the_bundle_or_in_the_baseline_beside_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert find_body_part(tmp_path / "qa_semi_seg") is None
    assert (
        "CTs are cropped about their centre, not to the abdomen; body_part.yaml of baseline_seg trains" in caplog.text
    )
    caplog.clear()
    beside = write_regressor(tmp_path / "baseline_seg" / "models" / "body_part.pt")
    assert find_body_part(tmp_path / "qa_semi_seg") == find_body_part(tmp_path / "baseline_seg") == beside
    own = write_regressor(tmp_path / "qa_semi_seg" / "models" / "body_part.pt")
    assert find_body_part(tmp_path / "qa_semi_seg") == own
    assert not caplog.records


def test_a_crop_tells_all_that_decides_what_is_kept(tmp_path: Path):
    one, same = write_regressor(tmp_path / "a.pt"), str(tmp_path / "b.pt")
    shutil.copy(one, same)
    other = tmp_path / "c.pt"
    other.write_bytes(Path(one).read_bytes() + b"1")
    texts = {str(crop) for crop in (BodyPartCrop(one), BodyPartCrop(same), BodyPartCrop(one, [-6, 6]))}
    assert len(texts) == 1
    others = {BodyPartCrop(str(other)), BodyPartCrop(one, (-6, 5)), BodyPartCrop(one, repair=True)}
    assert len(texts | set(map(str, others))) == 4


@pytest.mark.parametrize("path", [None, "none", "null", ""])
def test_a_crop_may_be_left_out(path: str | None):
    assert body_part_crop(path) is None


def test_the_default_of_commands_takes_the_weights_that_a_bundle_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def find(name: str, default: str) -> str:
        return str(tmp_path / name) if (tmp_path / name).is_dir() else default

    monkeypatch.setattr("custom_components.body_part.body_part_crop.find_bundle_root", find)
    assert chosen_crop("auto") is None
    assert "CTs are cropped about their centre" in caplog.text
    alone = write_regressor(tmp_path / "qa_semi_seg" / "models" / "body_part.pt")
    assert chosen_crop("auto") == BodyPartCrop(alone)
    baseline = write_regressor(tmp_path / "baseline_seg" / "models" / "body_part.pt")
    assert chosen_crop("auto") == BodyPartCrop(baseline)


def test_mistakes_are_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    with pytest.raises(ValueError, match=r"absent\.pt: no such file, expected the weights of a body-part"):
        chosen_crop(tmp_path / "absent.pt")
    with pytest.raises(SystemExit, match=r"^error: .*absent\.pt: no such file, expected the weights of a body-part"):
        body_part_crop(tmp_path / "absent.pt")
    path = write_regressor(tmp_path / "body_part.pt")
    with pytest.raises(SystemExit, match=r"^error: body_part_scores is \(6, -6\), expected 2 numbers, the upper end"):
        body_part_crop(path, (6, -6))
    (tmp_path / "broken.pt").write_bytes(b"broken")
    with pytest.raises(SystemExit, match=r"^error: .*broken\.pt holds no weights of a body-part regressor"):
        ct_preprocessing(body_part=body_part_crop(tmp_path / "broken.pt"))
