"""Evaluation and inference go on where a case is bad, and say so: through `monai.bundle`, as users run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from monai.bundle import ConfigParser

from custom_components.data.layout import segmentation_path

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "baseline_seg" / "configs"
CHANNELS = [4, 8, 16, 32]


def run(run_id: str, *names: str, **override: object) -> subprocess.CompletedProcess:
    configs = [str(CONFIGS / f"{name}.yaml") for name in (*names, "phantom")]
    pairs = {"config_file": configs, "network_def#channels": CHANNELS, **override}
    words = [str(word) for name, value in pairs.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-m", "monai.bundle", "run", run_id, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of weights that find background everywhere."""
    folder = tmp_path_factory.mktemp("models")
    parser = ConfigParser()
    parser.read_config([str(CONFIGS / "train.yaml"), str(CONFIGS / "phantom.yaml")])
    parser["network_def#channels"] = CHANNELS
    parser.parse()
    state = parser.get_parsed_content("network_def").state_dict()
    torch.save({name: torch.zeros_like(value) for name, value in state.items()}, folder / "model.pt")
    return folder


@pytest.fixture
def dataset(cohort: Path, tmp_path: Path) -> Path:
    """Folder with one good case and three bad ones, in the sections `mixed` and `bad` of its dataset.json."""
    listed = json.loads((cohort / "dataset.json").read_text())
    image, label = (cohort / listed["training"][0][key] for key in ("image", "label"))
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("good", "cut", "moved", "missing"):
        (folder / f"{name}.nii.gz").write_bytes(image.read_bytes())
    (folder / "good_label.nii.gz").write_bytes(label.read_bytes())
    (folder / "cut_label.nii.gz").write_bytes(label.read_bytes()[:1000])
    source = nib.load(label)
    affine = source.affine.copy()
    affine[2, 3] += 12
    nib.save(nib.Nifti1Image(np.asarray(source.dataobj), affine), folder / "moved_label.nii.gz")
    entries = [
        {"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"} for name in ("cut", "good", "missing", "moved")
    ]
    sections = {"mixed": entries, "bad": [entries[0], entries[2]]}
    (folder / "dataset.json").write_text(json.dumps(sections))
    return folder


def evaluate(dataset: Path, weights: Path, output: Path, section: str) -> subprocess.CompletedProcess:
    return run(
        "evaluating", "train", "evaluate", dataset_dir=dataset, ckpt_dir=weights, output_dir=output, section=section
    )


def test_evaluation_sets_bad_cases_aside_and_measures_the_others(dataset: Path, weights: Path, tmp_path: Path):
    done = evaluate(dataset, weights, tmp_path / "out", "mixed")
    assert done.returncode == 1
    assert f"error: 3 of 4 cases set aside; see {tmp_path}/out/set_aside.csv" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    metrics = pd.read_csv(tmp_path / "out" / "organ_metrics.csv")
    assert metrics["case_id"].unique().tolist() == ["good"]
    assert metrics.loc[metrics["organ"] == "liver", "dice"].tolist() == [0]
    reasons = pd.read_csv(tmp_path / "out" / "set_aside.csv").set_index("case_id")["reason"]
    assert list(reasons.index) == ["cut", "missing", "moved"]
    assert reasons["cut"].startswith("label cut_label.nii.gz: truncated or damaged")
    assert reasons["missing"] == "mixed[2] names the label missing_label.nii.gz, which does not exist"
    assert "label lies up to 12.00 mm off the grid of pred" in reasons["moved"]
    assert str(dataset) not in "".join(reasons)


def test_evaluation_of_bad_cases_only_ends_with_one_line(dataset: Path, weights: Path, tmp_path: Path):
    done = evaluate(dataset, weights, tmp_path / "out", "bad")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: 2 of 2 cases set aside; see {tmp_path}/out/set_aside.csv"
    assert "Traceback" not in done.stderr
    assert len(pd.read_csv(tmp_path / "out" / "organ_metrics.csv")) == 0


def test_a_case_done_again_that_now_fails_keeps_no_old_segmentation(dataset: Path, weights: Path, tmp_path: Path):
    images, output = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for name in ("good", "spoilt"):
        (images / f"{name}.nii.gz").write_bytes((dataset / "good.nii.gz").read_bytes())
        segmentation_path(output, name).parent.mkdir(parents=True)
        segmentation_path(output, name).write_bytes((dataset / "good_label.nii.gz").read_bytes())
    (images / "spoilt.nii.gz").write_bytes((dataset / "good.nii.gz").read_bytes()[:5000])
    places = {"dataset_dir": images, "ckpt_dir": weights, "output_dir": output}
    done = run("inferring", "inference", **places, num_workers=0, overwrite=True)
    assert done.returncode == 1
    summary = pd.read_csv(output / "summary.csv").set_index("case_id")
    assert summary["status"].to_dict() == {"good": "ok", "spoilt": "set_aside"}
    assert not segmentation_path(output, "spoilt").exists()
    assert not np.asarray(nib.load(segmentation_path(output, "good")).dataobj).any()
