"""With `cache_dir` the bundles see the same cases, from disk."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_runs import parsed

from custom_components.data.phantom import write_cohort

CONFIGS = Path(__file__).resolve().parents[2] / "bundles"
BUNDLES = ("baseline_seg", "qa_semi_seg", "qa_discriminator")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    datalist = write_cohort(folder, training=3, validation=1, unlabeled=1, test=0)
    content = json.loads(Path(datalist).read_text())
    rated = {
        section: [
            {"image": one["image"], "segmentation": one["label"], "code": 0, "case_id": f"{section}_{n}"}
            for n, one in enumerate(content[section])
        ]
        for section in ("training", "validation")
    }
    (folder / "codes.json").write_text(json.dumps({**rated, "test": []}))
    (folder / "damaged.nii.gz").write_bytes(b"no image")
    return folder


def datasets(bundle: str, cohort: Path, datalist: str | None = None, **override: object) -> dict[str, Any]:
    configs = CONFIGS / bundle / "configs"
    lists = "codes.json" if bundle == "qa_discriminator" else "dataset.json"
    if bundle == "qa_semi_seg":
        override["pseudo_section"] = None
    config = parsed(
        configs / "train.yaml", configs / "phantom.yaml", datalist=str(cohort / (datalist or lists)), **override
    )
    return {name: config.get_parsed_content(f"{name}#dataset") for name in ("train", "validate")}


@pytest.mark.parametrize("bundle", BUNDLES)
def test_cases_are_the_same_with_a_cache_on_disk(bundle: str, cohort: Path, tmp_path: Path):
    plain = datasets(bundle, cohort)
    for turn in ("made", "read"):
        cached = datasets(bundle, cohort, cache_dir=str(tmp_path / bundle))
        assert cached["train"].cache_num == 0, turn
        for name, dataset in plain.items():
            for index in range(len(dataset)):
                expected, found = dataset[index], cached[name][index]
                assert expected.keys() == found.keys()
                for key, value in expected.items():
                    if isinstance(value, torch.Tensor):
                        torch.testing.assert_close(found[key], torch.as_tensor(value).as_subclass(torch.Tensor))
    assert len(list((tmp_path / bundle).glob("*/*.pt"))) == 4


def test_a_damaged_case_is_set_aside_before_the_training(
    cohort: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    content = json.loads((cohort / "dataset.json").read_text())
    content["training"].insert(1, {"image": "damaged.nii.gz", "label": content["training"][0]["label"]})
    (cohort / "with_damaged.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        train = datasets("baseline_seg", cohort, "with_damaged.json", cache_dir=str(tmp_path))["train"]
    assert len(train) == 3
    assert "1 of 4 cases cannot be used and are set aside" in caplog.text
    assert all(train[index]["image"].shape == (1, 64, 64, 32) for index in range(3))


@pytest.mark.parametrize("bundle", ["baseline_seg", "qa_semi_seg"])
def test_an_evaluation_needs_the_way_back_and_takes_no_cache(bundle: str, cohort: Path, tmp_path: Path):
    configs = CONFIGS / bundle / "configs"
    files = [configs / f"{name}.yaml" for name in ("train", "evaluate", "phantom")]
    config = parsed(*files, datalist=str(cohort / "dataset.json"), cache_dir=str(tmp_path / "cache"))
    item = config.get_parsed_content("validate#dataset")[0]
    assert item["image"].applied_operations
    assert not (tmp_path / "cache").exists()
