"""The body-part regressor, trained as users train it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle_runs import bundle_run

from custom_components.body_part.network import SliceRegressor
from custom_components.body_part.regressor import BodyPartRegressor
from custom_components.data.phantom import RawForm, write_cohort
from custom_components.data.readers import read_volume

CONFIG = Path(__file__).resolve().parents[2] / "bundles" / "baseline_seg" / "configs" / "body_part.yaml"
SMALL = {"max_epochs": 2, "epoch_batches": 3, "batch_size": 2, "val_interval": 1, "num_workers": 0}


@pytest.fixture(scope="module")
def trunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunks")
    write_cohort(
        folder, training=4, validation=1, test=0, unlabeled=1, grid=RawForm(64, slice_mm=(8.0, 8.1)), workers=2
    )
    (folder / "imagesTs" / "phantom_unlabeled_000.nii.gz").write_bytes(b"broken")
    return folder


def test_training_leaves_calibrated_weights_and_goes_on(trunks: Path, tmp_path: Path):
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    run = bundle_run("training", CONFIG, **options)
    assert run.returncode == 0, run.stderr
    assert "phantom_unlabeled_000: left out: " in run.stderr + run.stdout
    assert "top of the liver: -4.00" in run.stderr + run.stdout
    regressor = BodyPartRegressor.load(tmp_path / "models" / "body_part.pt")
    found = regressor(read_volume(trunks / "imagesTr" / "phantom_val_000.nii.gz"))
    assert len(found.scores) == len(found.slices.images)
    more = bundle_run("training", CONFIG, **options | {"resume": True, "max_epochs": 3})
    assert more.returncode == 0, more.stderr


def test_too_few_landmarks_are_one_line_and_the_weights_stay(trunks: Path, tmp_path: Path):
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    run = bundle_run("training", CONFIG, **options | {"calibration_section": "validation", "max_epochs": 1})
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("error: 1 labelled cases show the ")
    network = SliceRegressor()
    network.load_state_dict(torch.load(tmp_path / "models" / "body_part.pt", weights_only=True))
    with pytest.raises(ValueError, match="is not calibrated"):
        BodyPartRegressor(network)


def test_a_list_without_labels_ends_before_the_training(trunks: Path, tmp_path: Path):
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    run = bundle_run("training", CONFIG, **options | {"calibration_section": "unlabeled"})
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "label" in last
    assert not (tmp_path / "models").exists()
