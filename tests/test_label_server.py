"""Requests of MONAI Label, without its server; with it: tests/apps."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle_runs import parsed

from custom_components.data.conformal import ScoreInterval, write_interval
from custom_components.label_server import kept_label, score_params

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def studies(cohort: Path, tmp_path: Path) -> Path:
    """One image of which a server keeps an original and a final label, and one without label."""
    for tag in ("final", "original"):
        (tmp_path / "labels" / tag).mkdir(parents=True)
        shutil.copy(cohort / "labelsTr" / "phantom_train_000.nii.gz", tmp_path / "labels" / tag)
    shutil.copy(cohort / "imagesTr" / "phantom_train_000.nii.gz", tmp_path)
    shutil.copy(cohort / "imagesTr" / "phantom_train_001.nii.gz", tmp_path)
    return tmp_path


def test_a_request_becomes_the_montage_that_a_run_scores_and_an_answer(studies: Path, tmp_path: Path):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    write_interval(ScoreInterval(0.9, 0.5, 100), weights)
    config = parsed(
        ROOT / "bundles" / "qa_discriminator" / "configs" / "inference.yaml", pixdim=[5.25, 5.25, 12.0],
        roi_size=[64, 64, 32], montage_size=[64, 64], body_part_path=None, ckpt_path=str(weights),
    )  # fmt: skip
    (before,), (after,) = (config.get_parsed_content(name) for name in ("pre_transforms", "post_transforms"))
    image = str(studies / "phantom_train_000.nii.gz")
    request = before({"image": image, "image_path": image, "device": "cpu"})
    label = studies / "labels" / "final" / "phantom_train_000.nii.gz"
    item = {"image": image, "segmentation": str(label), "case_id": "phantom_train_000"}
    transform = config.get_parsed_content("dataset#transform")
    assert torch.equal(request["image"], transform(item)["montage"])
    answer = after({**request, "pred": torch.tensor([1.75])})
    assert answer["result"] == {"score": 1.75, "code": 2, "interval": [1.25, 2.0]}
    assert np.array_equal(answer["pred"][0], np.asarray(nib.load(label).dataobj))
    assert torch.equal(answer["image"].affine, answer["pred"].affine)


def test_the_final_label_is_scored_before_the_original_one_unless_a_tag_is_named(studies: Path):
    image = studies / "phantom_train_000.nii.gz"
    assert kept_label(image).parent.name == "final"
    assert kept_label(image, "original").parent.name == "original"
    (studies / "labels" / "final" / "phantom_train_000.nii.gz").unlink()
    assert kept_label(image).parent.name == "original"


def test_a_missing_label_and_a_tag_that_leads_elsewhere_are_told(studies: Path):
    wanted = "case phantom_train_001: no segmentation to score, expected a label with the tag final or original"
    with pytest.raises(ValueError, match=f"^{wanted}$"):
        kept_label(studies / "phantom_train_001.nii.gz")
    for tag in ("../..", "..", "", 5, ["final"]):
        with pytest.raises(ValueError, match=r"^label_tag is .*, expected a name without slashes and leading dot$"):
            kept_label(studies / "phantom_train_001.nii.gz", tag)


def test_without_an_interval_the_answer_says_so(tmp_path: Path):
    assert score_params(0.2, tmp_path / "model.pt") == {"score": 0.2, "code": 0, "interval": None}
    assert score_params(0.49996, tmp_path / "model.pt")["code"] == 1  # of the score that is written, 0.5
    with pytest.raises(ValueError, match="^score is nan, expected a finite number"):
        score_params(float("nan"), tmp_path / "model.pt")
