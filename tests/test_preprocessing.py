import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.anatomy import INDEX, label_map
from custom_components.data.datalist import labelled_cases
from custom_components.preprocessing import (
    ct_augmentation,
    ct_preprocessing,
    qa_augmentation,
    qa_corruption,
    qa_montage,
    qa_preprocessing,
)
from custom_components.transforms.corrupt_segmentation import RandCorruptSegmentationd

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


QA_GRID = {"pixdim": (4, 4, 6), "roi_size": (16, 16, 8)}


def qa_case(folder: Path, name: str = "a", seed: int = 0) -> dict[str, object]:
    """A CT of noise, with a segmentation and a truth of random labels, 0 to 12."""
    rng = np.random.default_rng(seed)
    volumes = {"image": rng.integers(-300, 400, (18, 14, 9)).astype(np.int16)}
    volumes |= {key: rng.integers(0, 13, (18, 14, 9)).astype(np.uint8) for key in ("segmentation", "truth")}
    paths = {key: write(folder / f"{name}_{key}.nii.gz", volume, RAS_4_4_6) for key, volume in volumes.items()}
    return {"case_id": name, "code": 1, **paths}


@pytest.mark.parametrize("kind", ["volume", "other spacing", "other storage"])
def test_a_discriminator_gets_the_image_that_the_segmentation_network_gets(kind: str, tmp_path: Path):
    grid = {**QA_GRID, "hu_window": (-150.0, 250.0)} | ({"pixdim": (3, 5, 7)} if kind == "other spacing" else {})
    case = qa_case(tmp_path)
    if kind == "other storage":
        image = nib.load(case["image"])
        case["image"] = write(tmp_path / "lps.nii.gz", np.asarray(image.dataobj), RAS_4_4_6, "LPS")
    ours = qa_preprocessing(**grid)(case)
    image = ct_preprocessing(**grid)({"image": case["image"]})["image"]
    label = ct_preprocessing(**grid, with_label=True)({"image": case["image"], "label": case["segmentation"]})["label"]
    assert torch.equal(ours["image"].as_tensor(), image.as_tensor())
    assert torch.equal(ours["segmentation"].as_tensor(), label.as_tensor())
    assert 0.2 < image.std() < 0.5
    assert (ours["case_id"], ours["code"]) == ("a", 1)


def test_the_label_set_is_that_of_the_segmentation_and_not_of_the_truth(tmp_path: Path):
    case = qa_case(tmp_path)
    plain = qa_preprocessing(**QA_GRID)(case)
    mapped = qa_preprocessing(**QA_GRID)({**case, "label_set": "amos"})
    table = torch.zeros(16, dtype=torch.uint8)
    for number, ours in label_map("amos").items():
        table[number] = ours
    assert torch.equal(mapped["segmentation"].as_tensor(), table[plain["segmentation"].as_tensor().long()])
    assert torch.equal(mapped["truth"].as_tensor(), plain["truth"].as_tensor())
    assert not torch.equal(mapped["segmentation"].as_tensor(), plain["segmentation"].as_tensor())
    assert "label_set" not in mapped
    other = qa_preprocessing(**QA_GRID)({**case, "truth_label_set": "amos"})
    assert torch.equal(other["truth"].as_tensor(), table[plain["truth"].as_tensor().long()])
    assert torch.equal(other["segmentation"].as_tensor(), plain["segmentation"].as_tensor())


def test_a_truth_is_optional_and_a_picture_takes_the_place_of_all(tmp_path: Path):
    case = qa_case(tmp_path)
    del case["truth"]
    item = qa_preprocessing(**QA_GRID, size=(24, 24))(case)
    assert {"image", "segmentation", "case_id", "code"} <= item.keys()
    assert {"truth", "montage"}.isdisjoint(item)
    direct = qa_montage(size=(24, 24), png_dir=tmp_path)(item)
    picture = {"montage": str(tmp_path / "a.png"), "case_id": "a", "code": 1}
    loaded = qa_montage(size=(24, 24), png_dir=tmp_path / "no")(qa_preprocessing(**QA_GRID, size=(24, 24))(picture))
    assert set(direct) == set(loaded) == {"montage", "case_id", "code"}
    assert (direct["montage"] - loaded["montage"]).abs().max() < 1 / 255
    assert not (tmp_path / "no").exists()


def test_a_segmentation_on_another_grid_than_its_image_is_refused(tmp_path: Path):
    case = qa_case(tmp_path)
    voxels = np.asarray(nib.load(case["segmentation"]).dataobj)
    case["segmentation"] = write(tmp_path / "moved.nii.gz", voxels, RAS_4_4_6 + 6 * np.eye(4, k=3))
    with pytest.raises(RuntimeError, match="applying transform") as caught:
        qa_preprocessing(**QA_GRID)(case)
    assert str(caught.value.__cause__).startswith("case a: segmentation lies up to 6.00 mm off the grid of image")


def one_slice(**more: object) -> dict[str, object]:
    """A slice with a liver at the patient's right and a spleen at the left, near to the edges; no shift hides them."""
    image = torch.linspace(0.2, 0.6, 32).reshape(1, 1, 32, 1).expand(1, 32, 32, 1).clone()
    segmentation = torch.zeros(1, 32, 32, 1, dtype=torch.uint8)
    segmentation[0, 24:28, 13:19] = INDEX["liver"]
    segmentation[0, 4:8, 13:19] = INDEX["spleen"]
    return {"image": image, "segmentation": segmentation, "case_id": "a", "code": 1, **more}


def test_no_qa_augmentation_exchanges_left_and_right_and_the_code_stays():
    augment = qa_augmentation(size=(64, 64), prob=1.0, shift_voxels=(3, 3, 0))
    places = set()
    for seed in range(40):
        item = augment.set_random_state(seed)(one_slice())
        assert item.keys() == {"montage", "case_id", "code"}
        assert (item["code"], item["case_id"]) == (1, "a")
        picture = item["montage"]
        assert type(picture) is torch.Tensor
        assert (picture.shape, picture.dtype) == ((3, 64, 64), torch.float32)
        assert 0 <= picture.min() < picture.max() <= 1
        yellow, blue = picture[0] - picture[2] > 0.15, picture[2] - picture[0] > 0.15
        right, left = (mask.nonzero()[:, 1].float().mean() for mask in (yellow, blue))
        assert right < 31.5 < left  # the patient's right is on the viewer's left
        assert 28 < left - right < 50
        places.add(round(float(right)))
    assert len(places) > 8


def test_a_shift_takes_image_and_segmentation_along():
    segmentation = torch.zeros(1, 32, 32, 1, dtype=torch.uint8)
    segmentation[0, 12:20, 12:20] = INDEX["liver"]
    augment = qa_augmentation(size=(64, 64), prob=1.0, shift_voxels=(6, 6, 0), noise_std=0.0)
    places = set()
    for seed in range(20):
        item = one_slice(image=(segmentation > 0).float(), segmentation=segmentation)
        picture = augment.set_random_state(seed)(item)["montage"]
        bright = picture[0] > 0.6
        assert ((picture[0] - picture[2])[bright] > 0.1).all()  # no bright tissue without colour
        places.add(tuple(bright.nonzero().float().mean(0).round().int().tolist()))
    assert len(places) > 15


def test_the_seed_decides_the_augmentation_and_probability_0_leaves_the_montage():
    augment = qa_augmentation(size=(64, 64))
    one, again, other = (augment.set_random_state(seed)(one_slice())["montage"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    plain = qa_montage(size=(64, 64))(one_slice())["montage"]
    assert torch.equal(qa_augmentation(size=(64, 64), prob=0.0).set_random_state(1)(one_slice())["montage"], plain)


def test_pictures_are_augmented_too():
    picture = qa_montage(size=(64, 64))(one_slice())
    augment = qa_augmentation(size=(64, 64), prob=1.0)
    changed = augment.set_random_state(0)(dict(picture))
    assert changed.keys() == picture.keys()
    assert changed["code"] == 1
    assert (changed["montage"] - picture["montage"]).abs().mean() > 0.01
    assert 0 <= changed["montage"].min() < changed["montage"].max() <= 1


def test_volumes_are_spoilt_before_the_montage_is_made():
    corruption = RandCorruptSegmentationd(prob=1.0, modes={"empty": 1}, spacing=(16, 16, 24))
    item = one_slice(code=0)
    item = qa_augmentation(size=(64, 64), prob=0.0, corruption=corruption)({**item, "truth": item["segmentation"]})
    assert item["code"] == 2.0  # as the rater has it who knows the truth
    assert torch.equal(item["montage"][0], item["montage"][2])
    picture = qa_montage(size=(64, 64))(one_slice())
    assert qa_augmentation(size=(64, 64), prob=0.0, corruption=corruption)(dict(picture))["code"] == 1.0


MODES = {"other_case": 1, "empty": 2}


def test_nothing_is_spoilt_without_volumes_or_probability(tmp_path: Path):
    cases, preprocessing = [qa_case(tmp_path)], qa_preprocessing(**QA_GRID)
    montages = [{"case_id": name, "montage": f"{name}.png", "code": 0} for name in "ab"]
    assert qa_corruption(montages, preprocessing, prob=0.5, modes=MODES) is None
    assert qa_corruption(cases, preprocessing, prob=0, modes=MODES) is None
    assert qa_corruption([], preprocessing, prob=0.5, modes=MODES) is None
    assert qa_corruption([*montages, *cases], preprocessing, prob=0.5, modes=MODES) is not None


def test_another_case_is_lent_only_where_there_are_two(tmp_path: Path):
    preprocessing = qa_preprocessing(**QA_GRID)
    cases = [qa_case(tmp_path, name, seed) for seed, name in enumerate("abcde")]
    one = qa_corruption([cases[0], {**cases[0], "model": "other"}], preprocessing, prob=0.25, modes=MODES)
    assert one is not None
    assert (one.prob, one.weights) == (0.25, {"empty": 2})
    every, some, none = (
        qa_corruption(cases, preprocessing, prob=1.0, modes=MODES, donors=donors) for donors in (16, 2, 0)
    )
    assert every is not None
    assert some is not None
    assert none is not None
    assert every.weights == MODES
    for donor, case in zip(every.donors, cases, strict=True):
        np.testing.assert_array_equal(donor, preprocessing(case)["segmentation"].numpy())
    assert len(some.donors) == 2
    assert (len(none.donors), none.weights) == (0, {"empty": 2})
    unused = qa_corruption(cases, preprocessing, prob=1.0, modes={"empty": 1})
    assert unused is not None
    assert len(unused.donors) == 0


def test_wrong_modes_end_a_configured_run_with_one_line_and_a_damaged_donor_lends_nothing(tmp_path: Path):
    preprocessing = qa_preprocessing(**QA_GRID)
    cases = [qa_case(tmp_path, name) for name in "abc"]
    with pytest.raises(SystemExit, match="^error: modes is {}, expected weights of at least 0, one of them above 0$"):
        qa_corruption(cases[:1], preprocessing, prob=1.0, modes={"other_case": 1})
    path = Path(cases[1]["segmentation"])
    path.write_bytes(path.read_bytes()[:200])
    corruption = qa_corruption(cases, preprocessing, prob=1.0, modes=MODES)
    assert corruption is not None
    assert len(corruption.donors) == 2
