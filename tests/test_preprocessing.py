import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.anatomy import INDEX
from custom_components.data.datalist import labelled_cases
from custom_components.preprocessing import ct_augmentation, ct_preprocessing

RIGHT, LEFT = INDEX["right_kidney"], INDEX["left_kidney"]
RAS_4_4_6 = np.diag([4.0, 4.0, 6.0, 1.0])


def write(path: Path, voxels: np.ndarray, affine: np.ndarray, axcodes: str = "RAS") -> str:
    """Write RAS voxels in another order of storage."""
    image = nib.Nifti1Image(voxels, affine)
    image = image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(tuple(axcodes)))
    )
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), path)
    assert "".join(nib.aff2axcodes(nib.load(path).affine)) == axcodes
    return str(path)


@pytest.mark.parametrize(("label_set", "number", "organs"), [("amos", 6, 11), (["liver"], 6, 1), (None, 6, 12)])
def test_case_of_any_label_set_is_prepared(tmp_path: Path, label_set: object, number: int, organs: int):
    image, label = np.full((20, 20, 10), -1000, np.int16), np.zeros((20, 20, 10), np.uint8)
    image[5:15, 5:15, 2:8], label[5:15, 5:15, 2:8] = 50, number
    for name, array in (("ct", image), ("seg", label)):
        nib.save(nib.Nifti1Image(array, np.diag([-4.0, -4, 6, 1])), tmp_path / f"{name}.nii.gz")
    entry = {
        "image": "ct.nii.gz",
        "label": "seg.nii.gz",
        "image_id": "of another program",
        **({"label_set": label_set} if label_set else {}),
    }
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [entry]}))
    (case,) = labelled_cases(tmp_path / "dataset.json")
    item = ct_preprocessing(pixdim=(4, 4, 6), roi_size=(24, 24, 16), with_label=True)(case)
    assert item["annotated"].sum() == organs + 1
    assert item["label"].unique().tolist() == [0, INDEX["liver"]]
    assert (item["label"] > 0).equal(item["image"] > 0)
    assert item["image"][0, 0, 0, 0] == 0


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "LAS", "PIR"])
def test_the_patients_right_is_at_high_x_whatever_the_storage(tmp_path: Path, axcodes: str):
    image, label = np.full((16, 16, 8), -1000, np.int16), np.zeros((16, 16, 8), np.uint8)
    image[13, 2, 6], label[13, 2, 6] = 275, RIGHT  # right, posterior, superior
    case = {
        "image": write(tmp_path / "ct.nii.gz", image, RAS_4_4_6, axcodes),
        "label": write(tmp_path / "seg.nii.gz", label, RAS_4_4_6, axcodes),
    }
    item = ct_preprocessing(pixdim=(4, 4, 6), roi_size=(16, 16, 8), with_label=True)(case)
    assert item["image"].nonzero().tolist() == [[0, 13, 2, 6]]
    assert item["label"].nonzero().tolist() == [[0, 13, 2, 6]]
    assert item["image"].affine[0, 0] == 4


def test_no_augmentation_exchanges_left_and_right():
    image, label = torch.full((1, 32, 32, 16), 0.2), torch.zeros(1, 32, 32, 16)
    for organ, x, value in ((RIGHT, slice(22, 28), 0.9), (LEFT, slice(4, 10), 0.5)):
        image[0, x, 12:20, 5:11], label[0, x, 12:20, 5:11] = value, organ
    augment = ct_augmentation(roi_size=(32, 32, 16), prob=1.0).set_random_state(seed=0)
    changed = 0
    for _ in range(60):
        item = augment({"image": image.clone(), "label": label.clone()})
        right, left = ((item["label"] == organ) for organ in (RIGHT, LEFT))
        assert right.any()
        assert left.any()
        x_right, x_left = (mask.nonzero()[:, 1].float().mean() for mask in (right, left))
        assert x_right > 15.5 > x_left
        # and the image goes with its label
        assert item["image"][right].mean() > item["image"][left].mean() > 0
        changed += not torch.equal(item["label"], label)
    assert changed > 50


@pytest.mark.parametrize(
    ("size", "roi"), [((10, 12, 4), (16, 16, 8)), ((20, 18, 12), (16, 16, 8)), ((10, 20, 8), (16,) * 3)]
)
def test_crop_and_pad_are_centred_and_outside_is_air(tmp_path: Path, size: tuple[int, ...], roi: tuple[int, ...]):
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 275, size).astype(np.int16), rng.integers(1, 13, size).astype(np.uint8)
    case = {
        "image": write(tmp_path / "ct.nii.gz", image, RAS_4_4_6),
        "label": write(tmp_path / "seg.nii.gz", label, RAS_4_4_6),
    }
    item = ct_preprocessing(pixdim=(4, 4, 6), roi_size=roi, with_label=True)(case)
    inner = tuple(slice(max(0, (r - s) // 2), max(0, (r - s) // 2) + min(r, s)) for r, s in zip(roi, size, strict=True))
    part = tuple(slice(max(0, (s - r) // 2), max(0, (s - r) // 2) + min(r, s)) for r, s in zip(roi, size, strict=True))
    windowed, numbers = np.zeros(roi, np.float32), np.zeros(roi, np.uint8)
    windowed[inner], numbers[inner] = (image[part] + 175) / 450, label[part]
    np.testing.assert_allclose(item["image"][0].numpy(), windowed, atol=1e-6)
    np.testing.assert_array_equal(item["label"][0].numpy(), numbers)


def test_a_label_may_be_stored_in_another_order_than_its_image(tmp_path: Path):
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 275, (10, 12, 8)).astype(np.int16), rng.integers(0, 13, (10, 12, 8)).astype(np.uint8)
    preprocessing = ct_preprocessing(pixdim=(4, 4, 6), roi_size=(16, 16, 8), with_label=True)
    ct = write(tmp_path / "ct.nii.gz", image, RAS_4_4_6, "LPS")
    alike, other = (
        preprocessing({"image": ct, "label": write(tmp_path / f"{axcodes}.nii.gz", label, RAS_4_4_6, axcodes)})
        for axcodes in ("LPS", "ASR")
    )
    assert torch.equal(alike["label"].as_tensor(), other["label"].as_tensor())


@pytest.mark.parametrize(
    ("size", "shift", "message"),
    [
        ((10, 12, 8), (0, 0, 12.0), "label lies up to 12.00 mm off the grid of image, expected at most 0.40 mm"),
        ((10, 12, 9), (0, 0, 0), "label has 10 x 12 x 9 voxels, expected 10 x 12 x 8 as image"),
    ],
)
def test_a_label_on_another_grid_than_its_image_is_refused(
    tmp_path: Path, size: tuple[int, ...], shift: tuple[float, ...], message: str
):
    image = np.random.default_rng(0).integers(0, 275, (10, 12, 8)).astype(np.int16)
    affine = RAS_4_4_6.copy()
    affine[:3, 3] = shift
    case = {
        "case_id": "a7",
        "image": write(tmp_path / "ct.nii.gz", image, RAS_4_4_6),
        "label": write(tmp_path / "seg.nii.gz", np.ones(size, np.uint8), affine),
    }
    preprocessing = ct_preprocessing(pixdim=(4, 4, 6), roi_size=(16, 16, 8), with_label=True)
    with pytest.raises(RuntimeError, match="applying transform") as caught:
        preprocessing(case)
    assert str(caught.value.__cause__) == f"case a7: {message}"
