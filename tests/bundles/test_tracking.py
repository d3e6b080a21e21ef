"""`--tracking mlflow`, as MONAI has it by default: a local SQLite store, which is read back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from bundle_runs import TORCHRUN, arguments, monai_bundle, parsed

from custom_components.networks import QADiscriminator

pytestmark = pytest.mark.slow
mlflow = pytest.importorskip("mlflow", reason="pip install mlflow")

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
CHANNELS = [4, 8, 16, 32]
SMALL = {"channels": CHANNELS, "num_workers": 0, "val_interval": 1, "max_epochs": 2}


def configs(bundle: str, *names: str) -> list[Path]:
    return [BUNDLES / bundle / "configs" / f"{name}.yaml" for name in names]


def tracked(run_id: str, files: list[Path], output: Path, *, processes: int = 1, **override: object) -> dict:
    """Run with tracking; returns the steps and values of each metric of the only run in the store."""
    launcher = TORCHRUN if processes > 1 else ()
    words = arguments(run_id, *files, output_dir=output, tracking="mlflow", **override)
    done = monai_bundle(*words, launcher=launcher, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    store = mlflow.MlflowClient(f"sqlite:///{output}/mlruns.db")
    experiment = store.get_experiment_by_name("monai_experiment")
    (run,) = store.search_runs(experiment.experiment_id)
    assert run.info.status == "FINISHED"
    names = run.data.metrics
    return {name: {m.step: m.value for m in store.get_metric_history(run.info.run_id, name)} for name in names}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of a baseline and of a discriminator, at random."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    network = parsed(*configs("qa_semi_seg", "train"), channels=CHANNELS).get_parsed_content("network_def")
    torch.save(network.state_dict(), folder / "baseline.pt")
    torch.save(QADiscriminator().state_dict(), folder / "discriminator.pt")
    return {"baseline_path": folder / "baseline.pt", "discriminator_paths": folder / "discriminator.pt"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of mlflow's own
def test_semi_supervised_training_logs_its_score_and_what_the_watchers_see(
    cohort: Path, start: dict[str, Path], tmp_path: Path
):
    found = tracked(
        "training", configs("qa_semi_seg", "train", "train_published", "phantom"), tmp_path, ckpt_dir=tmp_path,
        dataset_dir=cohort, monitor_interval=3, montage_size=[64, 64], watcher_paths=start["discriminator_paths"],
        **start, **SMALL,
    )  # fmt: skip
    curve = pd.read_csv(tmp_path / "learning_curve.csv").set_index("epoch")
    for ours, theirs in (("train_qa_score", "epoch_qa_score"), ("train_qa_loss", "epoch_qa_loss")):
        assert found[theirs] == pytest.approx(curve[ours].to_dict())
    assert found["val_mean_dice"] == pytest.approx(curve["val_mean_dice"].to_dict())
    looks = pd.read_csv(tmp_path / "fooling.csv").set_index("iteration")
    for name in ("score", "watcher_score"):
        assert found[f"fooling_{name}"] == pytest.approx({1: looks[name][3], 2: looks[name][8]})
    assert list(found["train_loss"]) == list(range(1, 9))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_two_processes_are_one_tracked_training_whose_network_segments_tracked(cohort: Path, tmp_path: Path):
    files = configs("baseline_seg", "train", "phantom", "multi_gpu_train")
    found = tracked("training", files, tmp_path, processes=2, dataset_dir=cohort, ckpt_dir=tmp_path, **SMALL)
    curve = pd.read_csv(tmp_path / "learning_curve.csv").set_index("epoch")
    assert found["epoch_loss"] == pytest.approx(curve["train_loss"].to_dict())
    assert len(found["train_loss"]) == 4
    files = configs("baseline_seg", "inference", "phantom")
    options = {"channels": CHANNELS, "num_workers": 0, "ckpt_dir": tmp_path, "dataset_dir": cohort / "imagesTs"}
    tracked("inferring", files, tmp_path / "segmentations", processes=2, **options)
    assert (pd.read_csv(tmp_path / "segmentations" / "summary.csv")["status"] == "ok").all()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_training_and_scoring_of_the_discriminator_are_tracked(cohort: Path, tmp_path: Path):
    cases = sorted((cohort / "labelsTr").glob("*.nii.gz"))
    entries = [
        {"image": str(cohort / "imagesTr" / path.name), "segmentation": str(path), "code": number % 3}
        for number, path in enumerate(cases)
    ]
    for entry in entries:
        entry["case_id"] = Path(entry["image"]).name.removesuffix(".nii.gz")
    lists = {"training": entries[:-2], "validation": entries[-2:-1], "test": entries[-1:]}
    (tmp_path / "qa_dataset.json").write_text(json.dumps(lists))
    small = {"num_workers": 0, "montage_size": [64, 64]}
    found = tracked(
        "training", configs("qa_discriminator", "train", "phantom"), tmp_path, dataset_dir=tmp_path, max_epochs=2,
        batch_size=2, imagenet_weights="none", ckpt_dir=tmp_path, coverage=0.4, **small,
    )  # fmt: skip
    assert set(found) >= {"epoch_loss", "train_loss", "val_rmse", "val_accuracy"}
    shutil.copytree(cohort / "labelsTr", tmp_path / "labels")
    tracked(
        "inferring", configs("qa_discriminator", "inference", "phantom"), tmp_path / "scores", ckpt_dir=tmp_path,
        dataset_dir=cohort / "imagesTr", segmentation_dir=tmp_path / "labels", **small,
    )  # fmt: skip
    assert pd.read_csv(tmp_path / "scores" / "qa_scores.csv")["score"].notna().all()
