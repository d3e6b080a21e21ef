"""Is a training that fools its discriminator flagged before its codes are worse, and one that gets better let alone?

    python benchmarks/learning/monitor.py OUT --seed 0

After `run.py` with the same OUT and seed. The published recipe is trained in short pieces, at its own learning rate, a
tenth of the comparison's; after each the rated cases are segmented and coded. The default method was watched while
`run.py` trained it.
"""

from __future__ import annotations

import json
from pathlib import Path

import fire
import pandas as pd
from methods import DEFAULT
from workbench import Bench

from custom_components.data.code_values import CODES

EPOCHS = (1, 2, 4, 8, 16, 32)
EPOCH = 3
"""Iterations in an epoch: the recipe fools its discriminator within a dozen."""

LOOK = 12
"""Iterations from one look to the next; the first are looked into too."""


def main(out: str, seed: int = 0) -> None:
    """Follow the published recipe, and print what the monitor and the rater say; then what it says of the default."""
    bench = Bench(Path(out).absolute(), seed)
    name = "monitor/published"
    rows = [{"iteration": 0, **_counts(bench, bench.segment("results/baseline", bench.baseline, "rated"))}]
    for epochs in EPOCHS:
        bench.tune(
            name, "train_published", step=f"tune{epochs}", max_epochs=epochs, epoch_cases=EPOCH, learning_rate=1e-4,
            lr_power=0, watcher_paths=bench.watcher, monitor_interval=LOOK,
        )  # fmt: skip
        weights = bench.folder / name / "models" / "model.pt"
        folder = bench.segment(f"{name}/after{epochs}", weights, "rated")
        rows.append({"iteration": epochs * EPOCH, **_counts(bench, folder)})
    training = bench.folder / name / "training"
    looks = pd.read_csv(training / "fooling.csv")[["iteration", "score", "watcher_score", "implausible", "bias"]]
    print(looks.merge(pd.DataFrame(rows), "left", "iteration").round(3).to_string(index=False, na_rep=""))
    print(f"published: {_verdict(training)}; see {training / 'fooling.png'}")
    for path in sorted((bench.folder / DEFAULT).rglob("fooling.json")):
        print(f"{path.parent.parent.relative_to(bench.folder)}: {_verdict(path.parent)}")


def _counts(bench: Bench, folder: Path) -> dict[str, int]:
    codes = pd.read_csv(bench.rate(folder))["code"]
    return {f"code {code}": int((codes == code).sum()) for code in CODES}


def _verdict(training: Path) -> str:
    flagged = json.loads((training / "fooling.json").read_text())["flagged"]
    return f"flagged, {flagged}" if flagged else "not flagged"


if __name__ == "__main__":
    fire.Fire(main)
