"""Is a training that fools its discriminator flagged before its codes are worse, and one that does not let alone?

    python benchmarks/learning/monitor.py OUT --seed 0

After `run.py` with the same OUT and seed, and with what the monitor of a cycle has: a watcher that also learnt from
segmentations which were changed until the judge liked them, the successes among the coded segmentations as what is
good, and the baseline as the start. The published recipe is trained in short pieces, at its own learning rate, a tenth
of the comparison's; after each the rated cases are segmented and coded, and compared with the baseline's codes. The
first round of the default is trained to its end; its first steps, and those of labels alone, at both learning rates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fire
import pandas as pd
import yaml
from methods import DEFAULT, GREYS, MOVED, first, tune_round
from workbench import CONFIGS, TUNING, Bench

from custom_components.data.code_values import CODES
from custom_components.learning.fooling import FoolingRule, Look
from custom_components.report.comparison import mcnemar_exact

CODED = (2, 4, 8, 12, 24, 48, 96)
"""Iterations after which the rated cases are coded: the recipe fools its discriminator within a dozen."""

LOOK = 12
"""Iterations from one look to the next; there are some before the first of them too."""

OTHERS = 48
"""Iterations that the other trainings are watched for."""

EPOCH = 2
"""Iterations in an epoch of all these trainings."""

PUBLISHED_RATE = 1e-4


ADVERSARIAL = 40
"""Segmentations that are changed until the judge likes them, as many as in a cycle."""


def main(out: str, seed: int = 0) -> None:
    """Follow the published recipe, and print what the monitor and the rater say; then what it says of the others."""
    bench = Bench(Path(out).absolute(), seed)
    coded = bench.folder / DEFAULT / "round1" / "dataset.json"
    watched = {
        "watcher_paths": _watcher(bench), "datalist": coded, "reference_section": "pseudo",
        "monitor_start_path": bench.baseline,
    }  # fmt: skip
    short = {**watched, "epoch_cases": EPOCH, "lr_power": 0, "monitor_interval": LOOK}
    _follow_published(bench, short)
    name = f"monitor/{DEFAULT}"
    tune_round(bench, name, number=1, rounds=2, **bench.size.monitor, **watched, **MOVED, **GREYS)
    print(f"first round of {DEFAULT}: {_verdict(bench.folder / name / 'training')}")
    for path in sorted(path for one in ("published", DEFAULT) for path in (bench.folder / one).rglob("fooling.csv")):
        print(f"{path.parent.parent.relative_to(bench.folder)} of run.py: {_verdict(path.parent)}")
    for source, options in (("labels", {"pseudo_section": "null"}), (DEFAULT, {**MOVED, **GREYS})):
        for rate in (TUNING["learning_rate"], PUBLISHED_RATE):
            begun = f"monitor/{source}_{rate}"
            bench.tune(begun, max_epochs=OTHERS // EPOCH, learning_rate=rate, **short, **options)
            print(f"first {OTHERS} iterations of {source} at {rate}: {_verdict(bench.folder / begun / 'training')}")


def _watcher(bench: Bench) -> Path:
    """Train a watcher as a cycle does: also on what fools the judge."""
    segmentations, codes = first(bench)
    fooling = bench.folder / "monitor" / "adversarial"
    grid = yaml.safe_load((CONFIGS["qa_discriminator"] / f"{bench.size.overlay}.yaml").read_text())
    bench.ours(
        "monitor/adversarial", "adversarial", bench.cohort / "imagesTs", segmentations, fooling, codes=codes,
        discriminator_path=bench.judge, count=ADVERSARIAL, body_part_path="none",
        **{name: ",".join(map(str, grid[name])) for name in ("pixdim", "roi_size")},
    )  # fmt: skip
    return bench.discriminator("monitor/watcher", [(segmentations, codes), (fooling, fooling / "codes.csv")], "watcher")


def _follow_published(bench: Bench, options: dict[str, Any]) -> None:
    name = "monitor/published"
    weights, training = bench.folder / name / "models" / "model.pt", bench.folder / name / "training"
    before = _codes(bench, bench.segment("results/baseline", bench.baseline, "rated"))
    rows = [{"iteration": 0, **_compared(before, before)}]
    for iteration in CODED:
        bench.tune(
            name, "train_published", step=f"tune{iteration}", max_epochs=iteration // EPOCH,
            learning_rate=PUBLISHED_RATE, **options,
        )  # fmt: skip
        folder = bench.segment(f"{name}/after{iteration}", weights, "rated")
        rows.append({"iteration": iteration, **_compared(before, _codes(bench, folder))})
    columns = ["iteration", "score", "watcher_score", "implausible", "bias", "drift"]
    looks = pd.read_csv(training / "fooling.csv")[columns]
    print(looks.merge(pd.DataFrame(rows), "left", "iteration").round(3).to_string(index=False, na_rep=""))
    print(f"published: {_verdict(training)}; see {training / 'fooling.png'}")


def _codes(bench: Bench, folder: Path) -> pd.Series:
    return pd.read_csv(bench.rate(folder)).set_index("case_id")["code"]


def _compared(before: pd.Series, now: pd.Series) -> dict[str, Any]:
    """The codes 0/1/2, how many cases have a worse and a better one than before, and whether that is by chance."""
    counts = "/".join(str((now == code).sum()) for code in CODES)
    worse, better = (int((sign * (now - before) > 0).sum()) for sign in (1, -1))
    return {"0/1/2": counts, "worse": worse, "better": better, "p_value": mcnemar_exact(better, worse).p_value}


def _verdict(training: Path) -> str:
    """What the rule says of the looks of a training, whatever rule was in use then."""
    table = pd.read_csv(training / "fooling.csv")
    looks = [Look(**{name: row.get(name, {}) for name in Look._fields}) for row in table.to_dict("records")]
    reasons = (FoolingRule().reason(looks[:count]) for count in range(1, len(looks) + 1))
    flagged = next(filter(None, reasons), None)
    return f"flagged, {flagged}" if flagged else "not flagged"


if __name__ == "__main__":
    fire.Fire(main)
