"""A whole cycle with real bundles, on few phantoms and with tiny networks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from custom_components.data.phantom import write_cohort

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
GRID = {"pixdim": [5.25, 5.25, 12], "roi_size": [64, 64, 32]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, weights of a network that is trained for some steps, and settings."""
    folder = tmp_path_factory.mktemp("cycle")
    write_cohort(folder / "data", training=3, validation=1, unlabeled=14, test=1, seed=3, workers=1)
    configs = BUNDLES / "baseline_seg" / "configs"
    overlay = folder / "tiny.yaml"
    overlay.write_text("network_def#channels: [4, 8, 16, 32]\n")
    words = ["training", "--config_file", str([*map(str, (configs / "train.yaml", configs / "phantom.yaml", overlay))])]
    words += ["--dataset_dir", folder / "data", "--ckpt_dir", folder / "base", "--output_dir", folder / "base"]
    words += ["--max_epochs", 12, "--val_interval", 12]
    done = run("-m", "monai.bundle", "run", *words)
    assert done.returncode == 0, done.stderr
    return folder


def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, cwd=ROOT)


def cycle(folder: Path, name: str, **settings: object) -> subprocess.CompletedProcess:
    overlays = {bundle: [str(BUNDLES / bundle / "configs" / "phantom.yaml")] for bundle in (
        "baseline_seg", "qa_discriminator", "qa_semi_seg")}  # fmt: skip
    for bundle in ("baseline_seg", "qa_semi_seg"):
        overlays[bundle].append(str(folder / "tiny.yaml"))
    content = {
        "datalist": str(folder / "data" / "dataset.json"), "output_dir": str(folder / name),
        "baseline_path": str(folder / "base" / "model.pt"), "rounds": 1, "requests": 8, "fresh": 4, "rated_cases": 3,
        "overlays": overlays,
        "options": {
            "adversarial": {**GRID, "montage_size": [64, 64], "steps": 2},
            "montage": {**GRID, "workers": 1}, "report": {**GRID, "workers": 1},
            "split": {"validation": 0.2, "test": 0.2},
            "discriminator": {"max_epochs": 1, "montage_size": [64, 64], "num_workers": 0},
            "segment": {"montage_size": [64, 64], "candidate_limit": -9},
            "tune": {
                "max_epochs": 1, "epoch_cases": 4, "montage_size": [64, 64], "monitor_cases": 2, "monitor_interval": 2,
            },
        },
        **settings,
    }  # fmt: skip
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return run("-m", "custom_components", "cycle", folder / f"{name}.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["published", "refreshed", "approved", "ranked", "organs"])
def test_every_learner_goes_through_a_round(folder: Path, learner: str):
    # so small a network fails everywhere: here failures are pseudo-labels too
    numbers = {"name": learner, "weights": [1, 0.3, 0.1], "bursts": 2 if learner == "refreshed" else 1}
    numbers |= {"continued_share": 0.5} if learner == "approved" else {}
    settings = {"learner": numbers, "codes": "simulated", "truth": str(folder / "data" / "truth")}
    settings |= {"rounds": 2, "requests": 0} if learner == "organs" else {}
    done = cycle(folder, learner, **settings)
    assert done.returncode == 0, done.stderr[-2000:]
    out = folder / learner
    last = out / {"refreshed": "round1/burst2", "organs": "round2"}.get(learner, "round1")
    weights = torch.load(last / "models" / "model.pt", weights_only=True)
    before = torch.load(folder / "base" / "model.pt", weights_only=True)
    assert any(not torch.equal(weights[name], before[name]) for name in before)
    assert (out / "round1" / "report" / "report.html").is_file()
    assert (out / "model.pt").is_file()
    assert (last / "training" / "fooling.png").stat().st_size > 5000
    held_out = {entry["case_id"] for entry in json.loads((out / "dataset.json").read_text())["rated"]}
    assert set(pd.read_csv(out / "round1" / "rated_codes.csv")["case_id"]) == held_out
    pseudo = json.loads((out / "round1" / "dataset.json").read_text())["pseudo"]
    assert pseudo
    assert not held_out & {entry["case_id"] for entry in pseudo}
    if learner == "organs":
        asked = set(pd.read_csv(out / "round2" / "first_requests.csv")["case_id"])
        codes = pd.concat(map(pd.read_csv, (out / "round1").glob("[fl]*_codes.csv")))  # first, and left out
        assert asked == set(codes["case_id"]) - set(codes[codes["code"] == 0]["case_id"])
    again = cycle(folder, learner, **settings)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "\n+ python" not in again.stdout  # all was done before


@pytest.mark.slow
def test_a_cycle_waits_for_people_and_goes_on_with_their_codes(folder: Path):
    waited = 0
    for _ in range(6):
        done = cycle(folder, "people", learner="approved", monitor=False)
        if done.returncode != 3:
            break
        waited += 1
        line = done.stderr.splitlines()[-1]
        assert line.startswith("waiting for codes: ")
        missing = Path(line.split("that ")[1].split(" lists")[0])
        ratings = Path(line.split("write the codes to ")[1].split(", and run")[0])
        cases = pd.read_csv(missing, dtype=str)["case_id"]
        montages = Path(line.split("code the montages in ")[1].split(" that")[0])
        assert all((montages / f"{case_id}.png").is_file() for case_id in cases)
        codes = [number % 3 for number in range(len(cases))]
        pd.DataFrame({"case_id": cases, "code": codes, "rater": "a person"}).to_csv(ratings, index=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert waited == 2  # the first segmentations, and the rated cases before and after, mixed
    for side in ("before", "rated"):
        assert set(pd.read_csv(folder / "people" / "round1" / f"{side}_codes.csv")["rater"]) == {"a person"}
    shutil.rmtree(folder / "people")


@pytest.mark.slow
def test_a_mistake_of_the_settings_is_one_line(folder: Path):
    done = cycle(folder, "wrong", learner="approved", baseline_path=str(folder / "absent.pt"))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == f"error: baseline_path is {folder / 'absent.pt'}: no such file"
