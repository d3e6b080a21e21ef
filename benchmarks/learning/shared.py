"""What all methods of a seed share: cohort, baseline, its results and their codes, judge and watcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench import FAST, WORKERS, Bench

from custom_components.files import complete_file


def prepare(bench: Bench) -> None:
    """Make the cohort, the baseline, its segmentations with their codes, the judge and the watcher."""
    bench.ours("cohort", "phantom", bench.cohort, **bench.size.cohort)
    _write_sections(bench)
    if bench.size.coarse_epochs:
        coarse = _train_baseline(bench, "coarse", "phantom", max_epochs=bench.size.coarse_epochs)
        bench.tune("baseline", pseudo_section="null", baseline_path=coarse, max_epochs=bench.size.baseline_epochs)
    else:
        _train_baseline(bench, "baseline", max_epochs=bench.size.baseline_epochs)
    first = bench.segment("first", bench.baseline, "unlabeled")
    codes = bench.rate(first)
    bench.discriminator("judge", [(first, codes)])
    bench.discriminator("watcher", [(first, codes)], "watcher")


def _train_baseline(bench: Bench, name: str, *overlays: str, **options: Any) -> Path:
    """Train a network on the labelled cases; give its weights."""
    folder = bench.folder / name
    bench.bundle(
        f"{name}/train", "training", "baseline_seg", "train", *overlays, datalist=bench.datalist,
        ckpt_dir=folder / "models", output_dir=folder / "training", seed=bench.seed, resume=True,
        val_interval=20, num_workers=WORKERS, learning_rate=1e-3, **FAST, **options,
    )  # fmt: skip
    return folder / "models" / "model.pt"


def _write_sections(bench: Bench) -> None:
    """Split the cohort's unlabelled cases, and write where the truth of each section is."""
    if bench.datalist.is_file():
        return
    content = json.loads((bench.cohort / "dataset.json").read_text())
    unlabeled, rated = content["unlabeled"], bench.size.rated
    if rated:
        content["rated"], content["unlabeled"] = unlabeled[-rated:], unlabeled[:-rated]
    with complete_file(bench.datalist) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")
