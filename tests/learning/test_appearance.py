"""Labelled CTs in the greys of a cohort."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from custom_components.anatomy import INDEX
from custom_components.learning.appearance import organ_appearance
from custom_components.preprocessing import ct_preprocessing
from custom_components.transforms.organ_greys import organ_greys

LIVER = INDEX["liver"]


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Four cases whose liver has 50, 100, 150 and 200 HU."""
    label = np.zeros((16, 16, 16), np.uint8)
    label[:8] = LIVER
    entries = []
    for number, hu in enumerate((50, 100, 150, 200)):
        image = np.where(label == LIVER, hu, -100).astype(np.int16)
        for kind, volume in (("image", image), ("label", label)):
            nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / f"{kind}{number}.nii.gz")
        entries.append({"image": f"image{number}.nii.gz", "label": f"label{number}.nii.gz"})
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries[:1], "coded": entries}))
    return tmp_path / "dataset.json"


def preprocessing():
    return ct_preprocessing(pixdim=(1, 1, 1), roi_size=(16, 16, 16), hu_window=(0, 200), with_label=True)


def test_greys_come_from_the_sections_segmentations(cohort: Path):
    change = organ_appearance(cohort, "coded", preprocessing(), prob=1.0)
    greys = change.greys[:, LIVER].tolist()
    assert greys == pytest.approx([0.25, 0.5, 0.75, 1.0])
    item = preprocessing()({"image": cohort.parent / "image0.nii.gz", "label": cohort.parent / "label0.nii.gz"})
    seen = {
        round(float(organ_greys(change.set_random_state(seed)(item)["image"], item["label"])[LIVER]), 2)
        for seed in range(30)
    }
    assert seen == {0.25, 0.5, 0.75, 1.0}


def test_so_many_evenly_spaced_cases_are_looked_at(cohort: Path):
    change = organ_appearance(cohort, "coded", preprocessing(), count=2)
    assert change.greys[:, LIVER].tolist() == pytest.approx([0.25, 0.75])


def test_greys_of_failures_can_be_drawn_more_often(cohort: Path):
    content = json.loads(cohort.read_text())
    for entry, code in zip(content["coded"], (0, 1, 1.5, 2), strict=True):
        entry["code"] = code
    del content["coded"][0]["code"]
    cohort.write_text(json.dumps(content))
    item = preprocessing()({"image": cohort.parent / "image0.nii.gz", "label": cohort.parent / "label0.nii.gz"})

    def seen(weights: tuple[float, ...]) -> list[float]:
        change = organ_appearance(cohort, "coded", preprocessing(), prob=1.0, weights=weights)
        return [
            round(float(organ_greys(change.set_random_state(seed)(item)["image"], item["label"])[LIVER]), 2)
            for seed in range(60)
        ]

    assert set(seen((0, 0, 1))) == {0.75, 1.0}
    assert set(seen((1, 0, 0))) == {0.25}
    assert seen((0, 0, 1)).count(1.0) > seen((0, 0, 1)).count(0.75)
    with pytest.raises(SystemExit, match=r"coded: no case has a code with a weight above 0 in \[0, 0, 0\]"):
        seen((0, 0, 0))


def test_a_broken_case_is_left_out(cohort: Path, caplog):
    (cohort.parent / "image1.nii.gz").write_bytes(b"no image")
    (cohort.parent / "label2.nii.gz").unlink()
    change = organ_appearance(cohort, "coded", preprocessing())
    assert change.greys[:, LIVER].tolist() == pytest.approx([0.25, 1.0])
    assert sum("coded: " in record.message for record in caplog.records) == 2


@pytest.mark.parametrize(("section", "prob"), [(None, 0.5), ("null", 0.5), ("coded", 0.0)])
def test_without_it_nothing_changes(cohort: Path, section, prob):
    assert organ_appearance(cohort, section, preprocessing(), prob=prob) is None


def test_mistakes_are_one_line(cohort: Path):
    with pytest.raises(SystemExit, match="section 'other' not found, found training, coded"):
        organ_appearance(cohort, "other", preprocessing())
    with pytest.raises(SystemExit, match="appearance_prob is 2, expected a number from 0 to 1"):
        organ_appearance(cohort, "coded", preprocessing(), prob=2)
    for number in range(4):
        (cohort.parent / f"image{number}.nii.gz").write_bytes(b"no image")
    with pytest.raises(SystemExit, match="coded: none of 4 cases can be loaded"):
        organ_appearance(cohort, "coded", preprocessing())


def test_the_same_seed_gives_the_same_item(cohort: Path):
    change = organ_appearance(cohort, "coded", preprocessing(), prob=0.5)
    item = preprocessing()({"image": cohort.parent / "image0.nii.gz", "label": cohort.parent / "label0.nii.gz"})
    first, again = (change.set_random_state(3)(item)["image"] for _ in range(2))
    assert torch.equal(first, again)
