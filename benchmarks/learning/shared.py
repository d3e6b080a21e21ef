"""What all methods of a seed share: cohort, baseline, its results and their codes, judge and watcher."""

from __future__ import annotations

import json

from workbench import FAST, WORKERS, Bench

from custom_components.files import complete_file


def prepare(bench: Bench) -> None:
    """Make the cohort, the baseline, its segmentations with their codes, the judge and the watcher."""
    bench.ours("cohort", "phantom", bench.cohort, **bench.size.cohort)
    _write_sections(bench)
    folder = bench.folder / "baseline"
    bench.bundle(
        "baseline/train", "training", "baseline_seg", "train", datalist=bench.datalist, ckpt_dir=folder / "models",
        output_dir=folder / "training", seed=bench.seed, resume=True, max_epochs=bench.size.baseline_epochs,
        val_interval=20, num_workers=WORKERS, learning_rate=1e-3, **FAST,
    )  # fmt: skip
    first = bench.segment("first", bench.baseline, "unlabeled")
    codes = bench.rate(first)
    bench.discriminator("judge", [(first, codes)])
    bench.discriminator("watcher", [(first, codes)], "watcher")


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
