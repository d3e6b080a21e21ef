"""A DICOM series stands wherever a NIfTI file does, and gives the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_files import write_enhanced, write_series
from monai.data import DataLoader

from custom_components.anatomy import INDEX
from custom_components.body_part.cases import loaded_cases
from custom_components.data.case_files import image_files, volume_files
from custom_components.data.cases import inference_cases, read_datalist
from custom_components.data.datalist import copy_datalist, labelled_cases
from custom_components.data.qa_datalist import qa_cases, write_qa_datalist
from custom_components.data.qa_sources import QASource, joined_entries
from custom_components.data.readers import VolumeReader, read_volume
from custom_components.data.set_aside import SetAsideDataset
from custom_components.data.unlabeled import unlabeled_cases
from custom_components.preprocessing import body_part_preprocessing, ct_preprocessing, qa_preprocessing
from custom_components.report.montage_pairs import draw_pairs
from custom_components.report.montages import write_montages
from custom_components.report.pair_png import Pair
from custom_components.report.planes import draw_planes
from custom_components.review.store import Item
from custom_components.review.volumes import plane, planes

SHAPE = (14, 13, 9)
VOXELS = np.random.default_rng(0).integers(-150, 250, SHAPE).astype(np.int16)
AFFINE = np.array([[-0.8, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 3, 0], [0, 0, 0, 1]])
"""Of the series that `write_series` makes."""
GRID: dict[str, Any] = {"pixdim": (0.8, 0.8, 3.0), "roi_size": (16, 16, 8)}


class Inputs(NamedTuple):
    """The same CT in three forms, by the name of the form, and its label; folders of the first two."""

    images: dict[str, str | list[str]]
    label: Path
    folders: dict[str, Path]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    write_series(tmp_path / "dicom" / "a", VOXELS)
    (tmp_path / "nifti").mkdir()
    nib.save(nib.Nifti1Image(VOXELS, AFFINE), tmp_path / "nifti" / "a.nii.gz")
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:9, 3:10, 2:7], labels[10:13, 2:6, 3:6] = INDEX["liver"], INDEX["spleen"]
    for name in ("labels", "other"):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / name / "a.nii.gz")
        labels[5] = 0
    files = [f"dicom/a/{path.name}" for path in (tmp_path / "dicom" / "a").iterdir()]
    random.Random(1).shuffle(files)
    images: dict[str, str | list[str]] = {"nifti": "nifti/a.nii.gz", "folder": "dicom/a", "files": files}
    folders = {name: tmp_path / name for name in ("nifti", "dicom")}
    return Inputs(images, tmp_path / "labels" / "a.nii.gz", folders)


def listed(tmp_path: Path, **sections: list) -> Path:
    (tmp_path / "dataset.json").write_text(json.dumps(sections))
    return tmp_path / "dataset.json"


def test_training_and_unlabelled_entries_may_be_a_folder_or_the_files_of_a_series(inputs: Inputs, tmp_path: Path):
    loaded = {}
    for form, image in inputs.images.items():
        path = listed(tmp_path, training=[{"image": image, "label": "labels/a.nii.gz"}], unlabeled=[{"image": image}])
        labelled, unlabelled = labelled_cases(path), unlabeled_cases(path)
        assert [case["case_id"] for case in labelled + unlabelled] == ["a", "a"]
        first = SetAsideDataset(labelled, ct_preprocessing(**GRID, with_label=True))[0]
        second = SetAsideDataset(unlabelled, ct_preprocessing(**GRID))[0]
        slices = loaded_cases(unlabelled, body_part_preprocessing(), least_slices=1)[0]
        loaded[form] = [first["image"], first["label"], second["image"], slices["image"], slices["height"]]
    for form in ("folder", "files"):
        assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(loaded["nifti"], loaded[form], strict=True))


def test_an_inference_list_may_name_the_files_of_a_series(inputs: Inputs, tmp_path: Path):
    path = listed(tmp_path, test=[inputs.images["folder"], {"image": inputs.images["files"], "case_id": "b"}])
    cases = inference_cases(output_dir=tmp_path / "out", datalist=path)
    assert [(case["case_id"], case["source"]) for case in cases] == [("a", "dicom/a"), ("b", "b")]
    one, other = DataLoader(SetAsideDataset(cases, ct_preprocessing(**GRID)), batch_size=1)
    assert torch.equal(one["image"], other["image"])


def test_a_file_of_a_list_that_is_missing_or_double_is_told(inputs: Inputs, tmp_path: Path):
    files = inputs.images["files"]
    for wrong, reason in (
        ([*files, "dicom/a/none.dcm"], "dicom/a: file not found"),
        ([*files, files[0]], "slices are unevenly spaced"),
        ([files[0], files[0]], "all slices lie at the same position"),
        ([*files, files[1]], "slices are unevenly spaced"),
        (files[1:], "slices are unevenly spaced"),
    ):
        case = read_datalist(listed(tmp_path, test=[{"image": wrong}]))[0]
        assert reason in SetAsideDataset([case], ct_preprocessing(**GRID))[0]["error"]
    path = listed(tmp_path, training=[{"image": [*files, "dicom/a/none.dcm"], "label": "labels/a.nii.gz"}])
    with pytest.raises(SystemExit, match=r"training\[0\] names the image dicom/a/none.dcm, which does not exist"):
        labelled_cases(path)
    for wrong in ([], [3], 3, None):
        with pytest.raises(ValueError, match="entry 1 has image .*, expected a path, or those of the slices"):
            read_datalist(listed(tmp_path, test=[{"image": wrong}]))


def test_a_single_file_of_several_frames_is_a_volume_without_the_patients_header(tmp_path: Path):
    write_enhanced(tmp_path / "a.dcm", VOXELS)
    reader = VolumeReader()
    voxels, meta = reader.get_data(reader.read(str(tmp_path / "a.dcm")))
    assert np.array_equal(voxels, VOXELS)
    assert "Secret" not in str(meta)
    (case,) = read_datalist(listed(tmp_path, test=["a.dcm"]))
    assert case["case_id"] == "a"
    assert "error" not in SetAsideDataset([case], ct_preprocessing(**GRID))[0]


def test_a_copied_list_names_the_same_files(inputs: Inputs, tmp_path: Path):
    path = listed(tmp_path, test=[{"image": image, "case_id": form} for form, image in inputs.images.items()])
    (tmp_path / "deep" / "er").mkdir(parents=True)
    copy_datalist(path, tmp_path / "deep" / "er" / "copy.json", {})
    for case in read_datalist(tmp_path / "deep" / "er" / "copy.json"):
        image = case["image"]
        assert all(Path(file).exists() for file in (image if isinstance(image, list) else [image]))


def test_codes_of_a_folder_with_several_series_are_listed_and_load(inputs: Inputs, tmp_path: Path):
    write_series(tmp_path / "dicom" / "b", VOXELS, number=1, name="x{}.dcm")
    write_series(tmp_path / "dicom" / "b", VOXELS, number=2, name="y{}.dcm")
    names = ["a", "b_1", "b_2"]
    for name in names:
        (tmp_path / "labels" / f"{name}.nii.gz").write_bytes(inputs.label.read_bytes())
    (tmp_path / "codes.csv").write_text("case_id,code\n" + "".join(f"{name},0\n" for name in names))
    source = QASource(tmp_path / "codes.csv", images=tmp_path / "dicom", segmentations=tmp_path / "labels")
    found = joined_entries([source])
    assert found.problems == []
    write_qa_datalist(tmp_path / "qa.json", found, validation=0.34, test=0.34)
    cases = [case for section in ("training", "validation", "test") for case in qa_cases(tmp_path / "qa.json", section)]
    assert sorted(case["case_id"] for case in cases) == names
    items = [SetAsideDataset([case], qa_preprocessing(**GRID))[0] for case in cases]
    assert all(torch.equal(item["image"], items[0]["image"]) for item in items)


def test_planes_montages_pairs_and_the_rating_page_show_a_series_as_they_show_nifti(inputs: Inputs, tmp_path: Path):
    pictures = {}
    segmentations = volume_files(tmp_path / "labels"), volume_files(tmp_path / "other")
    for form, folder in inputs.folders.items():
        image = str(tmp_path / (inputs.images["nifti"] if form == "nifti" else "dicom/a"))  # type: ignore[operator]
        out = tmp_path / "pictures" / form
        out.mkdir(parents=True)
        draw_planes(image, inputs.label, out / "planes.png")
        write_montages(folder, tmp_path / "labels", out, **GRID, workers=0)
        draw_pairs([Pair("a", "improved", 2, 0, 2.0, 0.0)], image_files(folder), segmentations, out / "pairs", **GRID)
        item = Item(item=1, case_id="a", model="", image=(image,), segmentation=str(inputs.label), made_from=form)
        info = planes(item, "abdomen12", None)
        shown = info["voxel"], plane(item, "abdomen12", "coronal", info["voxel"][1], "ct", "abdomen")
        names = ("planes.png", "a.png", "pairs/improved_a.png")
        pictures[form] = [*((out / name).read_bytes() for name in names), shown]
    assert pictures["nifti"] == pictures["dicom"]


def test_montages_are_the_same_from_a_folder_and_from_a_list_of_images(inputs: Inputs, tmp_path: Path):
    (tmp_path / "list.json").write_text(json.dumps([{"image": inputs.images["files"], "case_id": "a"}]))
    for name, images in (("folder", inputs.folders["dicom"]), ("list", tmp_path / "list.json")):
        (tmp_path / name).mkdir()
        write_montages(images, tmp_path / "labels", tmp_path / name, **GRID, workers=0)
    assert (tmp_path / "folder" / "a.png").read_bytes() == (tmp_path / "list" / "a.png").read_bytes()


def test_files_in_any_order_give_one_volume(inputs: Inputs, tmp_path: Path):
    files = [str(tmp_path / file) for file in inputs.images["files"]]
    expected = read_volume(str(tmp_path / "dicom" / "a"))
    for order in (files, sorted(files), sorted(files, reverse=True)):
        volume = read_volume(order)  # type: ignore[arg-type]
        assert torch.equal(volume, expected)
        assert np.allclose(volume.affine, expected.affine)


def test_jitter_between_neighbours_at_the_ends_of_a_list_is_no_tilt(tmp_path: Path):
    write_series(tmp_path / "a", VOXELS, position=lambda i: [0.02 * (i % 2), 0.0, 0.6 * i])
    files = sorted(map(str, (tmp_path / "a").iterdir()))
    neighbours = [files[0], *files[2:], files[1]]
    assert torch.equal(read_volume(neighbours), read_volume(files))  # type: ignore[arg-type]


def test_a_tilted_gantry_is_told_in_any_order(tmp_path: Path):
    write_series(tmp_path / "a", VOXELS, position=lambda i: [0.0, 0.3 * i, 3.0 * i])
    files = sorted(map(str, (tmp_path / "a").iterdir()))
    for order in (files, files[::-1], [files[0], *files[2:], files[1]]):
        with pytest.raises(ValueError, match=r"slices are tilted by 5\.7 degrees"):
            read_volume(order)  # type: ignore[arg-type]
