from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose

from custom_components.anatomy import INDEX
from custom_components.data.phantom import GRIDS, make_phantom
from custom_components.data.rater import rate
from custom_components.data.seeded_dataset import SeededCacheDataset
from custom_components.transforms.corrupt_segmentation import RandCorruptSegmentationd
from custom_components.transforms.corruption_modes import MODES

SPACING = GRIDS["small"].spacing


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(1, 0.0)


@pytest.fixture(scope="module")
def donor():
    return make_phantom(2, 0.5).label


def item(phantom, *, truth: bool, code: float = 0, meta: bool = True) -> dict:
    affine = torch.from_numpy(phantom.affine)
    grey = torch.from_numpy(np.clip((phantom.image + 175) / 450, 0, 1).astype(np.float32))[None]
    label = torch.from_numpy(phantom.label.copy())[None]
    volumes = {"image": grey, "segmentation": label, **({"truth": label.clone()} if truth else {})}
    if meta:
        volumes = {key: MetaTensor(volume, affine=affine) for key, volume in volumes.items()}
    return {**volumes, "code": code}


def draws(transform, data, count):
    transform.set_random_state(0)
    return [transform(data) for _ in range(count)]


def test_with_a_truth_the_code_is_the_raters(phantom, donor):
    transform = RandCorruptSegmentationd(prob=0.9, donors=[donor])
    seen = draws(transform, item(phantom, truth=True), 80)
    for after in seen:
        assert type(after["code"]) is float
        assert after["code"] == rate(after["segmentation"][0].numpy(), phantom.label, spacing=SPACING)
    assert {after["code"] for after in seen} == {0, 1, 2}
    assert {after["corruption"] for after in seen} == {*MODES, ""}


@pytest.mark.parametrize("code", [0, 1, 2])
def test_without_a_truth_only_certain_codes_are_given(phantom, donor, code):
    transform = RandCorruptSegmentationd(prob=1.0, donors=[donor])
    seen = draws(transform, item(phantom, truth=False, code=code), 60)
    judged = [INDEX[name] for name in ("spleen", "right_kidney", "left_kidney", "liver")]
    for after in seen:
        labels = after["segmentation"][0].numpy()
        same = np.array_equal(labels, phantom.label)
        assert same == (after["corruption"] == "")
        where = np.isin(labels, judged) | np.isin(phantom.label, judged)
        assert after["code"] == (code if np.array_equal(labels[where], phantom.label[where]) else 2)
    spoilt = sum(after["corruption"] != "" for after in seen)
    assert spoilt > 50 if code < 2 else spoilt < 20


def test_another_mode_is_tried_where_the_drawn_one_is_not_certain(phantom):
    transform = RandCorruptSegmentationd(prob=1.0, modes={"shifted": 1e6, "empty": 1.0})
    names = {after["corruption"] for after in draws(transform, item(phantom, truth=False, code=1), 20)}
    assert "empty" in names
    lone = RandCorruptSegmentationd(prob=1.0, modes={"shifted": 1.0})
    assert "" in {after["corruption"] for after in draws(lone, item(phantom, truth=False, code=1), 20)}


def test_an_organ_outside_the_field_of_view_can_neither_go_missing_nor_become_a_failure(phantom):
    spleen = INDEX["spleen"]
    absent = phantom._replace(label=np.where(phantom.label == spleen, 0, phantom.label).astype(np.uint8))
    only = absent._replace(label=np.where(phantom.label == INDEX["stomach"], phantom.label, 0).astype(np.uint8))
    transform = RandCorruptSegmentationd(prob=1.0, modes={"organ_missing": 1.0})
    for after in draws(transform, item(absent, truth=True), 20):
        assert after["code"] == rate(after["segmentation"][0].numpy(), absent.label, spacing=SPACING)
    assert {after["code"] for after in draws(transform, item(only, truth=True), 5)} == {0}
    assert {after["code"] for after in draws(transform, item(only, truth=False), 5)} == {0}


def test_an_empty_segmentation_stays_as_it_is_where_a_mode_has_nothing_to_spoil(phantom):
    empty = phantom._replace(label=np.zeros_like(phantom.label))
    modes = {name: 1.0 for name in MODES if name not in ("noise", "other_case")}
    for after in draws(RandCorruptSegmentationd(prob=1.0, modes=modes), item(empty, truth=False, code=2), 10):
        assert (after["code"], after["corruption"]) == (2.0, "")
        assert not after["segmentation"].any()


def test_is_reproducible_and_leaves_its_input_alone(phantom, donor):
    data, donors = item(phantom, truth=True), [donor.copy()]
    before = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in data.items()}
    runs = [draws(RandCorruptSegmentationd(prob=0.7, donors=donors), data, 30) for _ in "ab"]
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first["segmentation"], second["segmentation"])
        assert (first["code"], first["corruption"]) == (second["code"], second["corruption"])
    assert data.keys() == before.keys()
    for key, value in before.items():
        assert torch.equal(data[key], value) if isinstance(value, torch.Tensor) else data[key] == value
    assert np.array_equal(donors[0], donor)
    assert 0 < sum(after["corruption"] == "" for after in runs[0]) < 30


def test_share_of_spoilt_items_is_prob(phantom):
    transform = RandCorruptSegmentationd(prob=0.3, modes={"empty": 1.0})
    spoilt = [after["corruption"] == "empty" for after in draws(transform, item(phantom, truth=True), 300)]
    assert np.mean(spoilt) == pytest.approx(0.3, abs=0.08)
    assert not any(
        after["corruption"] for after in draws(RandCorruptSegmentationd(prob=0.0), item(phantom, truth=True), 5)
    )


def test_weights_say_how_often_a_mode_is_drawn(phantom):
    transform = RandCorruptSegmentationd(prob=1.0, modes={"empty": 3.0, "upside_down": 1.0, "noise": 0.0})
    names = [after["corruption"] for after in draws(transform, item(phantom, truth=True), 200)]
    assert set(names) == {"empty", "upside_down"}
    assert names.count("empty") / 200 == pytest.approx(0.75, abs=0.1)


@pytest.mark.parametrize("meta", [True, False])
def test_type_meta_and_dtype_of_the_segmentation_are_kept(phantom, meta):
    transform = RandCorruptSegmentationd(prob=1.0, modes={"empty": 1.0}, spacing=None if meta else SPACING)
    data = item(phantom, truth=False, code=1, meta=meta)
    after = transform(data)
    assert type(after["segmentation"]) is type(data["segmentation"])
    assert (after["segmentation"].dtype, after["segmentation"].shape) == (torch.uint8, (1, 64, 64, 32))
    assert after["code"] == 2.0
    if meta:
        assert torch.equal(after["segmentation"].affine, data["segmentation"].affine)
    for key in ("image",):
        assert after[key] is data[key]


def test_an_image_is_not_needed(phantom):
    data = item(phantom, truth=True)
    del data["image"]
    assert {after["code"] for after in draws(RandCorruptSegmentationd(prob=1.0), data, 40)} == {0, 1, 2}


def test_items_collate_and_depend_on_seed_epoch_and_index_alone(phantom):
    data = [item(phantom, truth=True, code=torch.tensor(0.0), meta=False) for _ in range(4)]
    batches = []
    for _ in "ab":
        dataset = SeededCacheDataset(
            data, Compose([RandCorruptSegmentationd(prob=0.8, spacing=SPACING)]), seed=5, progress=False
        )
        batches.append(next(iter(DataLoader(dataset, batch_size=4))))
    assert batches[0]["code"].shape == (4,)
    assert all(isinstance(name, str) for name in batches[0]["corruption"])
    assert torch.equal(batches[0]["segmentation"], batches[1]["segmentation"])


def test_errors_tell_what_was_found(phantom, donor):
    with pytest.raises(ValueError, match=r"modes holds \['melted'\], expected some of \['organ_missing', 'leaked'"):
        RandCorruptSegmentationd(modes={"melted": 1.0})
    with pytest.raises(ValueError, match=r"modes is {'empty': 0}, expected weights"):
        RandCorruptSegmentationd(modes={"empty": 0})
    with pytest.raises(ValueError, match=r"modes is {'empty': -1}, expected weights"):
        RandCorruptSegmentationd(modes={"empty": -1})
    with pytest.raises(ValueError, match="other_case but there are no donors"):
        RandCorruptSegmentationd(modes={"other_case": 1.0})
    corrupt = RandCorruptSegmentationd(prob=1.0, modes={"other_case": 1.0}, donors=[donor[1:]])
    with pytest.raises(ValueError, match=r"donor has shape \(63, 64, 32\), expected \(64, 64, 32\)"):
        corrupt(item(phantom, truth=True))
    corrupt = RandCorruptSegmentationd(prob=1.0, modes={"empty": 1.0})
    with pytest.raises(ValueError, match="no meta data, expected the argument spacing"):
        corrupt(item(phantom, truth=True, meta=False))
    wrong = {**item(phantom, truth=True), "image": torch.zeros(1, 64, 64, 31)}
    with pytest.raises(ValueError, match=r"'image': \(1, 64, 64, 31\)"):
        corrupt(wrong)
