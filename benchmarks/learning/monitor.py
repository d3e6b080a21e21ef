"""Is a training that fools its discriminator flagged before its codes are worse, and one that does not let alone?

    python benchmarks/learning/monitor.py OUT --seed 0

After `run.py` with the same OUT and seed. The published recipe is trained in short pieces, at its own learning rate, a
tenth of the comparison's; after each the rated cases are segmented and coded. The default method was watched while
`run.py` trained it; its first steps, and those of labels alone, are watched here at both learning rates.
"""

from __future__ import annotations

import json
from pathlib import Path

import fire
import pandas as pd
from methods import DEFAULT, GREYS, MOVED
from workbench import TUNING, Bench

from custom_components.data.code_values import CODES

CODED = (2, 4, 8, 12, 24, 48, 96)
"""Iterations after which the rated cases are coded: the recipe fools its discriminator within a dozen."""

LOOK = 12
"""Iterations from one look to the next; there are some before the first of them too."""

OTHERS = 48
"""Iterations that the other trainings are watched for."""

EPOCH = 2
"""Iterations in an epoch of all these trainings."""

PUBLISHED_RATE = 1e-4


def main(out: str, seed: int = 0) -> None:
    """Follow the published recipe, and print what the monitor and the rater say; then what it says of the default."""
    bench = Bench(Path(out).absolute(), seed)
    name = "monitor/published"
    rows = [{"iteration": 0, **_counts(bench, bench.segment("results/baseline", bench.baseline, "rated"))}]
    coded = bench.folder / DEFAULT / "round1" / "dataset.json"
    watched = {
        "epoch_cases": EPOCH, "lr_power": 0, "watcher_paths": bench.watcher, "monitor_interval": LOOK,
        "datalist": coded, "reference_section": "pseudo",
    }  # fmt: skip
    for iteration in CODED:
        bench.tune(
            name, "train_published", step=f"tune{iteration}", max_epochs=iteration // EPOCH,
            learning_rate=PUBLISHED_RATE, **watched,
        )  # fmt: skip
        weights = bench.folder / name / "models" / "model.pt"
        folder = bench.segment(f"{name}/after{iteration}", weights, "rated")
        rows.append({"iteration": iteration, **_counts(bench, folder)})
    training = bench.folder / name / "training"
    columns = ["iteration", "score", "watcher_score", "implausible", "bias", "drift"]
    looks = pd.read_csv(training / "fooling.csv")[columns]
    print(looks.merge(pd.DataFrame(rows), "left", "iteration").round(3).to_string(index=False, na_rep=""))
    print(f"published: {_verdict(training)}; see {training / 'fooling.png'}")
    for path in sorted((bench.folder / DEFAULT).rglob("fooling.json")):
        print(f"{path.parent.parent.relative_to(bench.folder)}: {_verdict(path.parent)}")
    for source, options in (("labels", {"pseudo_section": "null"}), (DEFAULT, {**MOVED, **GREYS})):
        for rate in (TUNING["learning_rate"], PUBLISHED_RATE):
            begun = f"monitor/{source}_{rate}"
            bench.tune(begun, max_epochs=OTHERS // EPOCH, learning_rate=rate, **watched, **options)
            print(f"first {OTHERS} iterations of {source} at {rate}: {_verdict(bench.folder / begun / 'training')}")


def _counts(bench: Bench, folder: Path) -> dict[str, int]:
    codes = pd.read_csv(bench.rate(folder))["code"]
    return {f"code {code}": int((codes == code).sum()) for code in CODES}


def _verdict(training: Path) -> str:
    flagged = json.loads((training / "fooling.json").read_text())["flagged"]
    return f"flagged, {flagged}" if flagged else "not flagged"


if __name__ == "__main__":
    fire.Fire(main)
