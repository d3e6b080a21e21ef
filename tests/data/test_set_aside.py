from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_files import write_series
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from custom_components.data.cases import find_cases
from custom_components.data.readers import VolumeReader
from custom_components.data.set_aside import SetAsideDataset, one_line_reason
from custom_components.transforms.check_volume import CheckVolumed

VOXELS = np.random.default_rng(0).integers(-200, 200, (6, 5, 4)).astype(np.int16)
LARGE = np.random.default_rng(1).integers(-200, 200, (20, 20, 20)).astype(np.int16)
AFFINE = np.array([[-2.0, 0, 0, 7], [0, -2, 0, 5], [0, 0, 3, 1], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def load() -> Compose:
    with warnings.catch_warnings():
        # LoadImage registers all readers; the one for nvImageCodec warns that it is not installed.
        warnings.simplefilter("ignore")
        loader = LoadImaged("image", reader=VolumeReader)
    return Compose([loader, CheckVolumed("image"), EnsureChannelFirstd("image")])


def nifti(path: Path, voxels: np.ndarray = VOXELS, affine: np.ndarray | None = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def itk_image(path: Path) -> Path:
    image = itk.image_from_array(np.ascontiguousarray(VOXELS.T))
    image.SetSpacing([2.0, 2.0, 3.0])
    image.SetOrigin([-7.0, -5.0, 1.0])
    itk.imwrite(image, str(path))
    return path


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def with_nan(path: Path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3] = np.nan
    nifti(path, voxels)


def nrrd_without_space(path: Path) -> None:
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 6 5 4\nendian: little\nencoding: raw\n\n"
    path.write_bytes(header.encode() + VOXELS.tobytes(order="F"))


def mha_without_place(path: Path) -> None:
    header = "ObjectType = Image\nNDims = 3\nDimSize = 6 5 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + VOXELS.tobytes(order="F"))


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("a.nii.gz", lambda p: shortened(nifti(p, LARGE)), "truncated or damaged: Compressed file ended before"),
    ("a.nii", lambda p: shortened(nifti(p)), "Expected 240 bytes, got 200 bytes"),
    ("a.nii.gz", lambda p: p.write_text("text"), "no NIfTI image, or truncated: File a.nii.gz is not a gzip file"),
    ("a.nii.gz", lambda p: p.write_bytes(gzip.compress(b"text" * 200)), "no NIfTI image"),
    ("a.nii.gz", lambda p: p.touch(), "no NIfTI image, or truncated: Empty file"),
    ("a.nii.gz", lambda p: p.symlink_to("/absent"), "file not found"),
    ("a.nii.gz", lambda p: nifti(p, VOXELS[..., 0]), "size is 6 x 5: a 2D image, expected a 3D volume"),
    ("a.nii.gz", lambda p: nifti(p, VOXELS[..., :1]), "size is 6 x 5 x 1: a 2D image"),
    ("a.nii.gz", lambda p: nifti(p, np.stack([VOXELS] * 3, -1)), "3 volumes, expected one 3D volume"),
    ("a.nii.gz", lambda p: nifti(p, VOXELS[:, :0]), "size is 6 x 0 x 4, expected no empty axis"),
    ("a.nii.gz", with_nan, "1 of 120 voxels are NaN or infinite, expected finite values"),
    ("a.nii.gz", lambda p: nifti(p, affine=None), "has no affine: sform_code and qform_code are 0"),
    ("a.nii.gz", lambda p: nifti(p, VOXELS * 0), "every voxel is 0, expected an image"),
    ("a.nrrd", nrrd_without_space, "has no affine: the NRRD header lacks 'space'"),
    ("a.nrrd", lambda p: shortened(itk_image(p)), "truncated or damaged"),
    ("a.nrrd", lambda p: p.write_text("text"), "no image of a known format"),
    ("a.mha", lambda p: shortened(itk_image(p)), "truncated or damaged"),
    ("a.mha", lambda p: p.write_text("text"), "no image of a known format"),
    ("a.mha", mha_without_place, "has no affine: the MetaImage header lacks spacing and orientation and origin"),
]


@pytest.mark.parametrize(("name", "make", "reason"), BAD, ids=[reason for *_, reason in BAD])
def test_bad_file_becomes_one_line_with_its_relative_name(
    tmp_path: Path, load: Compose, name: str, make: Callable[[Path], object], reason: str
) -> None:
    (tmp_path / "sub").mkdir()
    make(tmp_path / "sub" / name)
    (item,) = SetAsideDataset(find_cases(tmp_path), load)
    assert item.keys() == {"case_id", "error"}
    assert item["error"].startswith(f"sub/{name}: ")
    assert reason.replace("File a.nii.gz", f"File sub/{name}") in item["error"]
    assert "\n" not in item["error"]
    assert str(tmp_path) not in item["error"]


def test_unreadable_path_is_set_aside(tmp_path: Path, load: Compose) -> None:
    (tmp_path / "a.nii.gz").mkdir()  # a folder: unlike a file without permissions, root cannot read it either
    item = SetAsideDataset([{"case_id": "a", "image": str(tmp_path / "a.nii.gz"), "source": "a.nii.gz"}], load)[0]
    assert item["error"] == "a.nii.gz: found no DICOM, expected a CT series of several slices"


DICOM_BAD: list[tuple[str, Callable[[int], list[float]], str]] = [
    ("gap", lambda i: [0.0, 0, 3 * i + 6 * (i > 1)], "slices are unevenly spaced: up to"),
    ("double", lambda i: [0.0, 0, 3 * (i // 2)], "slices are unevenly spaced: up to"),
    ("flat", lambda i: [0.0, 0, 0], "all slices lie at the same position"),
    ("tilt", lambda i: [0.0, 0.8 * i, 3 * i], "slices are tilted by 14.9 degrees against their axis"),
]


@pytest.mark.parametrize(("name", "position", "reason"), DICOM_BAD, ids=[name for name, *_ in DICOM_BAD])
def test_dicom_slices_that_form_no_regular_volume_are_set_aside(
    tmp_path: Path, load: Compose, name: str, position: Callable[[int], list[float]], reason: str
) -> None:
    write_series(tmp_path / name, VOXELS, position=position)
    (item,) = SetAsideDataset(find_cases(tmp_path), load)
    assert item["error"].startswith(f"{name}: {reason}")


def test_every_format_gives_the_same_voxels_and_affine(tmp_path: Path, load: Compose) -> None:
    nifti(tmp_path / "a.nii.gz")
    nifti(tmp_path / "b.nii", VOXELS[..., None])
    itk_image(tmp_path / "c.nrrd")
    itk_image(tmp_path / "d.mha")
    items = list(SetAsideDataset(find_cases(tmp_path), load))
    assert [item["case_id"] for item in items] == ["a", "b", "c", "d"]
    for item in items:
        assert item["image"].shape == (1, 6, 5, 4)
        assert item["image"].meta["case_id"] == item["case_id"]
        assert item["load_seconds"] > 0
        np.testing.assert_array_equal(item["image"][0].numpy(), VOXELS)
        torch.testing.assert_close(item["image"].affine, torch.as_tensor(AFFINE))


def test_each_of_two_series_in_a_folder_is_read_and_no_patient_name_comes_along(tmp_path: Path, load: Compose) -> None:
    write_series(tmp_path / "p", VOXELS, number=1, name="a{}")
    write_series(tmp_path / "p", -VOXELS[..., :3], number=2, name="b{}")
    one, two = SetAsideDataset(find_cases(tmp_path), load)
    np.testing.assert_array_equal(one["image"][0].numpy(), VOXELS)
    np.testing.assert_array_equal(two["image"][0].numpy(), -VOXELS[..., :3])
    torch.testing.assert_close(one["image"].pixdim, torch.tensor([0.8, 0.8, 3.0], dtype=torch.float64))
    assert "Secret" not in str(one["image"].meta)


def test_items_set_aside_or_skipped_before_pass_without_loading() -> None:
    items = [{"case_id": "a", "error": "why", "source": "a"}, {"case_id": "b", "skipped": "done", "image": "x"}]
    assert list(SetAsideDataset(items)) == [{"case_id": "a", "error": "why"}, {"case_id": "b", "skipped": "done"}]


def test_an_image_and_its_label_of_one_name_are_told_apart() -> None:
    item = {"case_id": "a", "image": "/data/imagesTr/a.nii.gz", "label": "/data/labelsTr/a.nii.gz"}
    reasons = [one_line_reason(ValueError(f"{item[key]}: truncated"), item) for key in ("image", "label")]
    assert reasons == ["a.nii.gz: truncated", "label a.nii.gz: truncated"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (KeyError(), "KeyError"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory"),
        (RuntimeError("x\nTraceback (most recent call last):\n  y\nOSError: disk full\n"), "OSError: disk full"),
        (ValueError("/data/a/b.nii: bad"), "b.nii: bad"),
        (ValueError("x" * 1000), "x" * 297 + "..."),
    ],
)
def test_reason_is_short_and_one_line(error: Exception, reason: str) -> None:
    assert one_line_reason(error, {"image": "/data/a/b.nii", "source": "b.nii"}) == reason
