"""Several processes that do one folder together, under torchrun or each for itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import pandas as pd
import pytest
import torch
from bundle_runs import TORCHRUN, arguments, monai_bundle, parsed

from custom_components.networks import QADiscriminator

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
CHANNELS = {"network_def#channels": [4, 8, 16, 32]}
CASES = ["a", "b", "c", "d", "e"]

KILL = """
+imports: [$import os, $import signal, $import time, $from ignite.engine import Events]
+handlers:
  - "$type('Kill', (), {'attach': lambda self, engine: engine.add_event_handler(Events.ITERATION_COMPLETED(once=1),
     lambda: os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0'
     and os.kill(os.getpid(), signal.SIGKILL))})()"
"""
"""Overlay: the second process is killed after the first of its two cases, unless it was restarted."""


@pytest.fixture(scope="module")
def folder(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five CTs and weights at random."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "in").mkdir()
    for case, path in zip(CASES, sorted(cohort.rglob("images*/*.nii.gz")), strict=False):
        shutil.copy(path, folder / "in" / f"{case}.nii.gz")
    torch.manual_seed(0)
    config = parsed(BUNDLES / "baseline_seg" / "configs" / "inference.yaml", **CHANNELS)
    torch.save(config.get_parsed_content("network_def").state_dict(), folder / "unet.pt")
    torch.save(QADiscriminator().state_dict(), folder / "discriminator.pt")
    (folder / "kill.yaml").write_text(KILL)
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """Folder of the segmentations that one process makes."""
    done = monai_bundle(*segmentation_of(folder, folder / "alone"))
    assert done.returncode == 0, done.stderr
    return folder / "alone"


@pytest.fixture(scope="module")
def scores(folder: Path, alone: Path) -> pd.DataFrame:
    """Their scores, of one process."""
    done = monai_bundle(*scoring_of(folder, folder / "scores"))
    assert done.returncode == 0, done.stderr
    return table(folder / "scores", "qa_scores.csv")


def configs(bundle: str) -> list[Path]:
    return [BUNDLES / bundle / "configs" / f"{name}.yaml" for name in ("inference", "phantom")]


def segmentation_of(folder: Path, output: Path, bundle: str = "baseline_seg", *overlays: Path, **override) -> list[str]:
    places = {"dataset_dir": folder / "in", "output_dir": output, "ckpt_path": folder / "unet.pt"}
    options = {**CHANNELS, "num_workers": 0, **places, **override}
    return arguments("inferring", *configs(bundle), *overlays, **options)


def scoring_of(folder: Path, output: Path, *overlays: Path, **override: object) -> list[str]:
    places = {"dataset_dir": folder / "in", "segmentation_dir": folder / "alone", "output_dir": output}
    options = {"ckpt_path": folder / "discriminator.pt", "montage_size": [64, 64], "num_workers": 0}
    return arguments("inferring", *configs("qa_discriminator"), *overlays, **{**places, **options, **override})


def together(*words: object, restarts: int = 0) -> subprocess.CompletedProcess:
    launcher = (*TORCHRUN, "--max_restarts", str(restarts))
    return monai_bundle(*words, launcher=launcher, env={**os.environ, "OMP_NUM_THREADS": "1"})


def times_done(done: subprocess.CompletedProcess, status: str) -> dict[str, int]:
    """How often the log of all processes says so of each case."""
    found = re.findall(rf"\[\d+/\d+\] (\w+): {status}", done.stdout + done.stderr)
    return {case: found.count(case) for case in sorted(set(found))}


def table(output: Path, name: str = "summary.csv") -> pd.DataFrame:
    return pd.read_csv(output / name).drop(columns=["seconds", "status", "reason"]).set_index("case_id")


def test_a_killed_process_is_restarted_and_its_cases_are_finished(folder: Path, alone: Path, tmp_path: Path):
    done = together(*segmentation_of(folder, tmp_path, "baseline_seg", folder / "kill.yaml"), restarts=1)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("process 2 of 2: 2 of 5 cases") == 2  # once more after it was killed
    segmented, skipped = (times_done(done, status) for status in ("ok", "skipped"))
    # a process may be killed between a row and its line in the log: then the next start alone tells of the case
    assert set(segmented) | set(skipped) == set(CASES)
    assert set(segmented.values()) == {1}
    assert list(pd.read_csv(tmp_path / "summary.csv")["case_id"]) == CASES
    pd.testing.assert_frame_equal(table(tmp_path), table(alone))
    for case in CASES:
        one, other = (nib.load(out / case / f"{case}_seg.nii.gz") for out in (tmp_path, alone))
        assert (one.get_fdata() == other.get_fdata()).all()


@pytest.mark.slow
def test_a_case_that_is_set_aside_ends_no_other_process_and_the_exit_code_tells(folder: Path, tmp_path: Path):
    shutil.copytree(folder / "in", tmp_path / "in")
    (tmp_path / "in" / "a.nii.gz").write_text("no image at all")
    words = segmentation_of(
        folder, tmp_path / "out", "qa_semi_seg",
        dataset_dir=tmp_path / "in", discriminator_path=folder / "discriminator.pt", measure=True,
    )  # fmt: skip
    done = together(*words)
    assert done.returncode == 1
    assert "error: 1 of 3 cases set aside" in done.stderr
    assert times_done(done, "ok") == dict.fromkeys(CASES[1:], 1)
    summary = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("case_id")
    assert summary["status"].to_dict() == {"a": "set_aside"} | dict.fromkeys(CASES[1:], "ok")
    assert summary["score"][CASES[1:]].notna().all()
    assert list(pd.read_csv(tmp_path / "out" / "measurements.csv")["case_id"]) == CASES[1:]

    shutil.copy(folder / "in" / "a.nii.gz", tmp_path / "in" / "a.nii.gz")
    again = monai_bundle(*words)
    assert again.returncode == 0, again.stderr
    assert times_done(again, "ok") == {"a": 1}
    assert times_done(again, "skipped") == dict.fromkeys(CASES[1:], 1)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_scores_of_a_killed_run_are_completed_by_one_process(folder: Path, scores: pd.DataFrame, tmp_path: Path):
    killed = together(*scoring_of(folder, tmp_path, folder / "kill.yaml"))
    assert killed.returncode != 0
    done = monai_bundle(*scoring_of(folder, tmp_path))
    assert done.returncode == 0, done.stderr
    done_before = times_done(killed, r"-?\d+\.\d+")
    assert "b" in done_before
    assert "d" not in done_before
    assert done_before | times_done(done, r"-?\d+\.\d+") == dict.fromkeys(CASES, 1)
    assert set(done_before) & set(times_done(done, r"-?\d+\.\d+")) == set()
    assert pd.read_csv(tmp_path / "qa_scores.csv")["score"].is_monotonic_decreasing
    pd.testing.assert_frame_equal(table(tmp_path, "qa_scores.csv"), scores)


@pytest.mark.slow
def test_jobs_that_never_meet_do_one_folder_also_more_jobs_than_cases(folder: Path, alone: Path, tmp_path: Path):
    (tmp_path / "in").mkdir()
    shutil.copy(folder / "in" / "a.nii.gz", tmp_path / "in")
    for rank in (1, 0):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"}
        words = segmentation_of(folder, tmp_path / "out", dataset_dir=tmp_path / "in")
        done = monai_bundle(*words, env=environment)
        assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(table(tmp_path / "out"), table(alone).head(1))


def test_half_of_the_environment_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for bundle in ("baseline_seg", "qa_discriminator", "qa_semi_seg"):
        with pytest.raises(SystemExit, match="^error: WORLD_SIZE is 2 and RANK is not set, expected both or none"):
            parsed(*configs(bundle)).get_parsed_content("share")
