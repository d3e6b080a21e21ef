"""What is found, how it is drawn, and what is drawn again."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from review_files import OpenReview, write_montages, write_volumes

from custom_components.anatomy import INDEX, ORGANS
from custom_components.case_ids import CASE_ID
from custom_components.data.montage_png import read_montage_png
from custom_components.data.qa_inference import find_montage_cases
from custom_components.report.montages import write_montages as write_large_montages
from custom_components.review.cohort import Cohort, Source
from custom_components.review.drawing import draw_source
from custom_components.review.layers import layer_path, read_geometry
from custom_components.review.pictures import picture_file
from custom_components.review.store import Item
from custom_components.review.volumes import plane, planes


def volumes(tmp_path: Path, **options) -> Cohort:
    source = Source(images=str(tmp_path / "images"), segmentations=str(tmp_path / "segmentations"), **options)
    return Cohort([source], tmp_path / "pictures", (4.0, 4.0, 5.0), (24, 24, 12))


def draw(cohort: Cohort) -> Counter[str]:
    """Draw what is missing; say how many cases came to which end."""
    counts: Counter[str] = Counter()
    cohort.find(lambda source, cases: counts.update(draw_source(cohort, source, cases, 0)))
    return counts


def test_the_layers_with_the_overlays_opacity_are_the_montage(tmp_path: Path):
    write_volumes(tmp_path, ("a",))
    cohort = volumes(tmp_path)
    draw(cohort)
    (item,) = cohort.find()
    write_large_montages(
        tmp_path / "images", tmp_path / "segmentations", tmp_path / "large", pixdim=(4, 4, 5), roi_size=(24, 24, 12),
        workers=0,
    )  # fmt: skip
    expected = read_montage_png(tmp_path / "large" / "a.png").movedim(0, -1).numpy()
    ct = np.asarray(Image.open(cohort.layer(item, "ct")).convert("RGB")) / 255
    organs = np.asarray(Image.open(cohort.layer(item, "organs")).convert("RGBA")) / 255
    share = 0.4 * organs[..., 3:]
    assert share.any()
    assert np.abs((1 - share) * ct + share * organs[..., :3] - expected).max() <= 1 / 255


def test_a_place_in_the_montage_is_a_place_in_the_volume(tmp_path: Path):
    write_volumes(tmp_path, ("a",))
    cohort = volumes(tmp_path)
    draw(cohort)
    (item,) = cohort.find()
    organs = np.asarray(Image.open(cohort.layer(item, "organs")))
    rows, columns = np.nonzero(organs == INDEX["liver"])
    geometry = read_geometry(cohort.layer(item, "ct"))
    assert geometry is not None
    segmentation = nib.as_closest_canonical(nib.load(item.segmentation))  # type: ignore[attr-defined]
    labels, inverse = np.asarray(segmentation.dataobj), np.linalg.inv(segmentation.affine)
    for x, y in zip(columns, rows, strict=True):
        place = geometry.place(float(x) + 0.5, float(y) + 0.5)
        assert place is not None
        assert labels[tuple(np.rint(inverse @ (*place, 1))[:3].astype(int))] == INDEX["liver"]
    info = planes(item, "abdomen12", geometry.place(float(columns[0]), float(rows[0])))
    assert labels[tuple(info["voxel"])] == INDEX["liver"]


def test_planes_show_the_right_on_the_left_and_anterior_up(tmp_path: Path):
    write_volumes(tmp_path, ("a",))
    item = Item("a", image=(str(tmp_path / "images/a.nii.gz"),), segmentation=str(tmp_path / "segmentations/a.nii.gz"))
    import io

    def box(name: str, index: int) -> tuple[int, int, int, int]:
        content = plane(item, "abdomen12", name, index, "organs", "abdomen")
        found = np.argwhere(np.asarray(Image.open(io.BytesIO(content))) == INDEX["liver"])
        return (*found.min(axis=0), *found.max(axis=0) + 1)  # type: ignore[return-value]

    # stored as LPS, 20 x 16 x 10, the box at 12:16, 4:8, 3:6: in pictures columns are as stored, and so are rows
    assert box("axial", 4) == (4, 12, 8, 16)
    assert box("coronal", 16 - 1 - 5) == (10 - 6, 12, 10 - 3, 16)
    assert box("sagittal", 20 - 1 - 13) == (10 - 6, 4, 10 - 3, 8)


def test_a_window_is_what_is_black_and_white(tmp_path: Path):
    write_volumes(tmp_path, ("a",))
    item = Item("a", image=(str(tmp_path / "images/a.nii.gz"),), segmentation=str(tmp_path / "segmentations/a.nii.gz"))
    import io

    greys = {}
    for window in ("abdomen", "liver", "lung", "bone"):
        content = plane(item, "abdomen12", "axial", 3, "ct", window)
        greys[window] = int(np.asarray(Image.open(io.BytesIO(content)))[8, 8])  # 60 HU
    assert greys == {"abdomen": 140, "liver": 104, "lung": 240, "bone": 71}


def test_pictures_are_drawn_once_and_again_if_a_file_changes(tmp_path: Path):
    write_volumes(tmp_path)
    cohort = volumes(tmp_path)
    assert draw(cohort)["ok"] == 2
    times = [path.stat().st_mtime_ns for path in sorted(cohort.folder.rglob("*.png"))]
    assert not draw(cohort)
    assert [path.stat().st_mtime_ns for path in sorted(cohort.folder.rglob("*.png"))] == times
    write_volumes(tmp_path, ("a",), label=1)
    assert draw(cohort) == {"ok": 1, "skipped": 1}
    assert np.asarray(Image.open(layer_path(cohort.pictures(""), "a", "organs"))).max() == INDEX["spleen"]
    layer_path(cohort.pictures(""), "b", "organs").unlink()
    assert draw(cohort) == {"ok": 1, "skipped": 1}
    other = Cohort(cohort.sources, cohort.folder, (4.0, 4.0, 5.0), (20, 20, 12))
    assert draw(other)["ok"] == 2


def test_a_bad_case_is_set_aside_and_not_tried_at_every_start(tmp_path: Path):
    write_volumes(tmp_path)
    (tmp_path / "segmentations" / "b.nii.gz").write_bytes(b"no volume")
    (tmp_path / "segmentations" / "c.nii.gz").write_bytes(b"no image of it")
    cohort = volumes(tmp_path)
    assert draw(cohort) == {"ok": 1, "set_aside": 2}
    assert not draw(cohort)
    faults = {item.case_id: item.fault for item in cohort.find()}
    assert faults["a"] == ""
    assert "b.nii.gz" in faults["b"]
    assert str(tmp_path) not in faults["b"]
    assert faults["c"] == "no image"


def test_the_numbering_of_segmentations_is_followed(tmp_path: Path):
    write_volumes(tmp_path, ("a",), label=1)  # the liver of FLARE 2022
    cohort = volumes(tmp_path, label_set="flare22")
    draw(cohort)
    (item,) = cohort.find()
    assert np.asarray(Image.open(cohort.layer(item, "organs"))).max() == INDEX["liver"]
    assert cohort.case(item)["fingerprint"] == item.made_from == cohort.made_from(item)


def test_a_changed_segmentation_is_drawn_again_while_the_server_runs(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort", ("a",))
    review = open_review(volumes=True)
    (turn,) = review.turns.following("Anna", 0)
    before = review.view(turn)
    assert before
    old = review.picture(turn, before["version"], "organs")
    write_volumes(tmp_path / "cohort", ("a",), label=1)
    now = review.view(turn)
    assert now
    assert now["version"] != before["version"]
    assert review.picture(turn, now["version"], "organs") != old


def test_a_segmentation_that_is_gone_is_passed_over(open_review: OpenReview, tmp_path: Path):
    write_volumes(tmp_path / "cohort")
    review = open_review(volumes=True)
    os.remove(tmp_path / "cohort" / "segmentations" / "a.nii.gz")
    views = review.following("Anna", 0, 5)
    assert len(views) == 1
    assert [item.case_id for item in review.store.items("fault != ''")] == ["a"]


def test_the_strip_that_names_a_case_is_not_shown(tmp_path: Path):
    write_volumes(tmp_path, ("a",))
    write_large_montages(
        tmp_path / "images", tmp_path / "segmentations", tmp_path / "large", pixdim=(4, 4, 5), roi_size=(24, 24, 12),
        workers=0,
    )  # fmt: skip
    cohort = Cohort([Source(montages=str(tmp_path / "large"))], tmp_path / "pictures")
    (item,) = cohort.find()
    with Image.open(picture_file(cohort, item, "ct")) as picture:
        assert picture.size == (4 * 24, 3 * 24)
        assert np.array_equal(
            np.asarray(picture), read_montage_png(item.montage).mul(255).round().byte().movedim(0, -1).numpy()
        )
    with pytest.raises(KeyError):
        picture_file(cohort, item, "organs")


def test_scores_and_their_doubt_go_with_the_cases(tmp_path: Path):
    write_montages(tmp_path / "m", 3)
    (tmp_path / "one.csv").write_text("case_id,score,low,high\ncase_0000,0.5,0.1,0.9\ncase_0001,1.9,1.5,2\n")
    (tmp_path / "two.csv").write_text("case_id,score\ncase_0000,1.5\ncase_0002,0\n")

    def found(*scores: str) -> list[tuple[float | None, float | None]]:
        source = Source(montages=str(tmp_path / "m"), scores=[str(tmp_path / name) for name in scores])
        return [(item.score, item.doubt) for item in Cohort([source], tmp_path / "p").find()]

    assert found("one.csv") == [(0.5, 0.8), (1.9, 0.5), (None, None)]
    assert found("one.csv", "two.csv") == [(0.5, 1.0), (1.9, None), (None, None)]


def test_models_need_names_of_their_own(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^models has 'a' 2 times, expected each name once$"):
        Cohort([Source("a"), Source("a")], tmp_path)


def test_every_organ_has_its_colour_in_the_layer(tmp_path: Path):
    write_volumes(tmp_path, ("a",))
    path = tmp_path / "segmentations" / "a.nii.gz"
    labels = np.zeros((20, 16, 10), np.uint8)
    labels[4:16, 6:10, 5] = np.arange(1, 13)[:, None]
    nib.save(nib.Nifti1Image(labels, nib.load(path).affine), path)  # type: ignore[attr-defined]
    cohort = volumes(tmp_path)
    draw(cohort)
    (item,) = cohort.find()
    shown = np.asarray(Image.open(cohort.layer(item, "organs")).convert("RGBA"))
    found = {tuple(pixel[:3]) for pixel in shown[shown[..., 3] > 0].tolist()}
    assert found == {organ.colour for organ in ORGANS}
    assert {tuple(pixel) for pixel in shown[shown[..., 3] == 0].tolist()} == {(0, 0, 0, 0)}
    (case,) = find_montage_cases(tmp_path / "images", tmp_path / "segmentations")
    assert case[CASE_ID] == "a"


def test_every_model_has_a_folder_of_pictures_of_its_own_inside(tmp_path: Path):
    models = ("", "a", "a/b", "a_b", "..", ".", "a%2Fb")
    cohort = Cohort([Source(model, montages="x") for model in models], tmp_path / "pictures")
    folders = {cohort.pictures(model) for model in models}
    assert len(folders) == len(models)
    assert all(folder.resolve().parent == (tmp_path / "pictures").resolve() for folder in folders)
