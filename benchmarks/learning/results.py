"""What a method reached: codes, Dice, score, cases fixed and broken, ratings, seconds."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from methods import DEFAULT, Outcome
from workbench import ROOT, Bench

from custom_components.anatomy import JUDGED_ORGANS, ORGANS
from custom_components.data.code_values import CODES
from custom_components.data.layout import segmentation_path
from custom_components.files import complete_file

RESULTS = ROOT / "benchmarks" / "results"
CHOSEN_ON = "100 rated cases that are neither learnt from nor in the test"


def measure(bench: Bench, name: str, outcome: Outcome) -> dict[str, Any]:
    """Segment a section with what a method left, have it coded, and measure."""
    folder = bench.segment(f"results/{name}", outcome.weights, bench.test, **outcome.inference)
    if "rated_segmentations" in outcome.inference:  # the score is the discriminator's, whoever has chosen
        bench.segment(f"results/{name}", outcome.weights, bench.test, step="score")
    codes = pd.read_csv(bench.rate(folder)).set_index("case_id")["code"].sort_index()
    summary = pd.read_csv(folder / "summary.csv").set_index("case_id")
    dice = np.array([_dice(bench, folder, case_id) for case_id in codes.index])
    is_core = [organ.name in JUDGED_ORGANS for organ in ORGANS]
    return {
        "seed": bench.seed,
        "counts": [int((codes == code).sum()) for code in CODES],
        "core_dice": _mean(dice[:, is_core]),
        "dice": _mean(dice),
        "score": round(float(summary["score"].mean()), 4),
        "ratings": outcome.ratings,
        "seconds": round(outcome.seconds, 1),
        "codes": {str(case_id): int(code) for case_id, code in codes.items()},
    }


def _machine() -> str:
    """The GPU, or else the processor with the number of its cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{platform.machine()}, {names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _dice(bench: Bench, folder: Path, case_id: str) -> list[float]:
    """Dice of each organ; nan where neither has it."""
    found = np.asarray(nib.load(segmentation_path(folder, case_id)).dataobj)
    truth = np.asarray(nib.load(bench.truth / f"{case_id}.nii.gz").dataobj)
    values = []
    for organ in ORGANS:
        a, b = found == organ.index, truth == organ.index
        total = np.count_nonzero(a) + np.count_nonzero(b)
        values.append(2 * np.count_nonzero(a & b) / total if total else np.nan)
    return values


def _mean(dice: np.ndarray) -> float:
    """Mean over cases of the mean over organs."""
    return round(float(np.nanmean(np.nanmean(dice, axis=1))), 4)


def print_table(runs: dict[str, dict[str, Any]]) -> None:
    """Print what is there so far."""
    rows = [
        {"method": name, "0/1/2": "/".join(map(str, run["counts"])), **{key: run[key] for key in (
            "core_dice", "dice", "score", "ratings", "seconds")}}
        for name, run in runs.items()
    ]  # fmt: skip
    print(pd.DataFrame(rows).to_string(index=False), flush=True)


def write_results(bench: Bench, runs: dict[str, dict[str, Any]]) -> Path:
    """Put the runs of a seed into the results, in place of earlier ones of the same method and seed; give the file."""
    path = RESULTS / bench.size.results
    content = json.loads(path.read_text()) if path.is_file() else {"methods": {}}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    measured = {"git": commit, "machine": _machine()}
    for name, run in runs.items():
        others = [one for one in content["methods"].get(name, {}).get("runs", []) if one["seed"] != run["seed"]]
        content["methods"][name] = {"runs": sorted([*others, {**run, **measured}], key=lambda one: one["seed"])}
    content |= {
        "default_method": DEFAULT,
        "n_test": len(next(iter(runs.values()))["codes"]),
        "chosen_on": CHOSEN_ON if bench.size.rated else f"{CHOSEN_ON}, at the small size",
        **measured,
    }
    order = ("default_method", "methods", "n_test", "chosen_on", "git", "machine")
    with complete_file(path) as partial:
        partial.write_text(json.dumps({key: content[key] for key in order}, indent=1) + "\n", encoding="utf-8")
    return path
