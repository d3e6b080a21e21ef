"""Where methods are compared: one cohort, one baseline and one judge for a seed, and commands that run once."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from custom_components.files import complete_file

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
CONFIGS = {name: ROOT / "bundles" / name / "configs" for name in ("baseline_seg", "qa_discriminator", "qa_semi_seg")}

FAST = {
    "network": "$@network_def.to(@device, memory_format=torch.channels_last_3d)",
    "train#trainer#compile": not torch.cuda.is_available(),
}
"""Makes a step on a processor a third shorter; on a GPU these trainings are too short to pay for compiling."""

WORKERS = min(4, (os.cpu_count() or 1) // 4)
"""Processes that augment for one training; few processors do nothing but train."""

TUNING = {
    "epoch_cases": 12, "learning_rate": 1e-3, "lr_power": 0.9, "ema_momentum": 0.005, "labelled_share": 0.2,
    "loss#cross_entropy_weight": 1, "val_interval": 100, "keep": "last", "num_workers": WORKERS, **FAST,
}  # fmt: skip
"""What all methods have in common; with `Size.tuning_epochs` they make the same number of steps.

On the rated cases the true labels of the unlabelled cases give 42/42/16 after 2400 steps at a steady 5e-4, half of them
on labelled cases, and 49/39/12 after 4800 steps so; labels alone have 40/31/29. Cross entropy beside Dice
makes 45/39/16 of 42/37/21 after 1800 steps, from another baseline of 37/34/29.
"""

JUDGE = {"max_epochs": 30, "num_workers": max(2, WORKERS)}

_steps: defaultdict[Path, Lock] = defaultdict(Lock)


@dataclass(frozen=True)
class Size:
    """How large a comparison is.

    Attributes:
        cohort: options of `phantom`.
        rated: how many of the unlabelled cases, the last, are not learnt from: settings are chosen on them.
        baseline_epochs: of 12 steps each.
        coarse_epochs: of the baseline before that, at the phantom grid; 0: none.
        tuning_epochs: the same of each method.
        results: name of the file of results.
        overlay: of the bundles, which sets the grid.
        network: options of the network that segments.
        monitor: options of the fooling monitor.
    """

    cohort: dict[str, Any]
    rated: int
    baseline_epochs: int
    tuning_epochs: int
    results: str
    overlay: str | None = None
    coarse_epochs: int = 0
    network: dict[str, Any] = field(default_factory=dict)
    monitor: dict[str, Any] = field(default_factory=lambda: {"monitor_interval": 240})


SIZES = {
    "small": Size(
        {"training": 12, "validation": 4, "unlabeled": 700, "test": 300, "seed": 41, "least_shift": 0.1},
        rated=100, baseline_epochs=800, tuning_epochs=400, results="learning.json", overlay="phantom",
    ),
    "paper": Size(
        {"training": 12, "validation": 2, "unlabeled": 60, "test": 60, "seed": 41, "least_shift": 0.1,
         "grid": "paper"},
        rated=0, baseline_epochs=50, tuning_epochs=12, results="learning_paper_grid.json", coarse_epochs=200,
        network={"network_def#channels": [16, 32, 64, 128]}, monitor={"monitor_interval": 36, "monitor_cases": 12},
    ),
}  # fmt: skip
"""Without the easiest tenth of the shifts, whose cases a baseline nearly all solves: with them one had codes 0/1/2 of
39, 34 and 27 per cent, and has 32, 38 and 30 without. After 800 epochs a network on 12 small volumes gains nothing
more, see `phantom_difficulty.sh`. The paper's grid has what two hours of two cores without bfloat16 allow: half of
the bundle's channels, and a baseline that learns at the small grid first.
"""


@dataclass(frozen=True)
class Bench:
    """Files of one seed of the comparison.

    Attributes:
        out: folder of the whole comparison.
        seed: of the baseline, the judge and the methods.
        test: section that is segmented for the result: `rated` while settings are chosen, `test` once.
        size: of the comparison.
    """

    out: Path
    seed: int
    test: str = "rated"
    size: Size = SIZES["small"]

    @property
    def cohort(self) -> Path:
        return self.out / "cohort"

    @property
    def datalist(self) -> Path:
        return self.cohort / "sections.json"

    @property
    def truth(self) -> Path:
        return self.cohort / "truth"

    @property
    def folder(self) -> Path:
        return self.out / f"seed{self.seed}"

    @property
    def baseline(self) -> Path:
        return self.folder / "baseline" / "models" / "model.pt"

    @property
    def judge(self) -> Path:
        return self.folder / "judge" / "models" / "model.pt"

    @property
    def watcher(self) -> Path:
        return self.folder / "watcher" / "models" / "model.pt"

    def run(self, name: str, *words: Any) -> float:
        """Run `python WORDS` unless it was run before; give the seconds that it took. Threads may share a step."""
        mark = self.folder / "steps" / f"{name.replace('/', '.')}.json"
        with _steps[mark]:
            if mark.is_file():
                return float(json.loads(mark.read_text())["seconds"])
            return self._run(name, mark, words)

    def _run(self, name: str, mark: Path, words: tuple[Any, ...]) -> float:
        text = shlex.join(map(str, words))
        print(f"\n# {name}\n+ python {text}", flush=True)
        begun = mark.with_suffix(".begun")
        before = float(begun.read_text()) if begun.is_file() else 0.0
        start = time.perf_counter()
        path = os.pathsep.join(filter(None, (str(HERE), str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        begun.parent.mkdir(parents=True, exist_ok=True)
        with subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, env=environment) as process:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                begun.write_text(str(before + time.perf_counter() - start))  # counts if this run is cut off
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        seconds = before + time.perf_counter() - start
        with complete_file(mark) as partial:
            partial.write_text(json.dumps({"command": text, "seconds": round(seconds, 1)}) + "\n")
        begun.unlink()
        return seconds

    def bundle(self, name: str, run_id: str, bundle: str, *configs: str | Path, **options: Any) -> float:
        """Run a bundle on the comparison's grid; a config without a suffix is one of the bundle's."""
        files = [str(CONFIGS[bundle] / f"{one}.yaml") if isinstance(one, str) else str(one) for one in configs]
        if self.size.overlay:
            files.append(str(CONFIGS[bundle] / f"{self.size.overlay}.yaml"))
        if bundle != "qa_discriminator":
            options = {**self.size.network, **options}
        listed = f"[{','.join(map(repr, files))}]"
        return self.run(name, "-m", "monai.bundle", "run", run_id, "--config_file", listed, *_flags(options))

    def ours(self, name: str, *words: Any, **options: Any) -> float:
        """Run a command of the package."""
        return self.run(name, "-m", "custom_components", *words, *_flags(options))

    def tune(
        self, name: str, *overlays: str | Path, datalist: Path | None = None, step: str = "tune", **options: Any
    ) -> float:
        """Train the baseline on, into `<name>/models/model.pt`; with another step and more epochs from there on."""
        folder = self.folder / name
        settings = {
            "datalist": datalist or self.datalist, "baseline_path": self.baseline, "discriminator_paths": self.judge,
            "ckpt_dir": folder / "models", "output_dir": folder / "training", "seed": self.seed, "resume": True,
            "max_epochs": self.size.tuning_epochs, **TUNING, **options,
        }  # fmt: skip
        return self.bundle(f"{name}/{step}", "training", "qa_semi_seg", "train", *overlays, **settings)

    def segment(
        self,
        name: str,
        weights: Path,
        section: str,
        datalist: Path | None = None,
        step: str = "segment",
        **options: Any,
    ) -> Path:
        """Segment a section, into `<name>/<section>`, and score it if the judge is there."""
        folder = self.folder / name / section
        if self.judge.is_file():
            options = {"discriminator_path": self.judge, **options}
        self.bundle(
            f"{name}/{step}_{section}", "inferring", "qa_semi_seg", "inference", datalist=datalist or self.datalist,
            section=section, ckpt_path=weights, output_dir=folder, num_workers=min(1, WORKERS), **options,
        )  # fmt: skip
        return folder

    def rate(self, folder: Path, *, requests: Path | None = None) -> Path:
        """Have a folder coded by the simulated rater."""
        codes = folder.with_name(f"{folder.name}_codes.csv")
        name = f"{folder.relative_to(self.folder)}/rate"
        self.ours(name, "rate", folder, self.truth, codes, **({"cases": requests} if requests else {}))
        return codes

    def leave_out(self, name: str, segmentations: Path, codes: Path) -> Path:
        """Write what was not coded 0 again without the organ that is named."""
        folder = self.folder / name / "unlabeled"
        self.ours(f"{name}/leave_out", "leave_out_organs", folder, segmentations=segmentations, codes=codes)
        return folder

    def pseudo_labels(self, name: str, *coded: tuple[Path, Path], **options: Any) -> Path:
        """Make a datalist with pseudo-labels of folders and their codes."""
        output = self.folder / name / "dataset.json"
        segmentations, codes = (",".join(str(pair[place]) for pair in coded) for place in (0, 1))
        self.ours(
            f"{name}/pseudo_labels", "pseudo_labels", output, datalist=self.datalist, segmentations=segmentations,
            codes=codes, **options,
        )  # fmt: skip
        return output

    def discriminator(
        self,
        name: str,
        coded: list[tuple[Path, Path]],
        *overlays: str,
        scores: Sequence[Path | str] = (),
        **options: Any,
    ) -> Path:
        """Train a discriminator on folders and their codes, without their truth; perhaps with the scores they had."""
        folder = self.folder / name
        segmentations, codes = (",".join(str(pair[place]) for pair in coded) for place in (0, 1))
        images = ",".join([str(self.cohort / "imagesTs")] * len(coded))
        self.ours(
            f"{name}/split", "codes", "split", folder / "qa_dataset.json", codes=codes, segmentations=segmentations,
            images=images, validation=0.1, test=0.1, seed=self.seed, scores=",".join(map(str, scores)) or None,
        )  # fmt: skip
        self.bundle(
            f"{name}/train", "training", "qa_discriminator", "train", *overlays,
            datalist=folder / "qa_dataset.json", ckpt_dir=folder / "models", output_dir=folder / "training",
            seed=self.seed, resume=True, **{**JUDGE, **options},
        )  # fmt: skip
        return folder / "models" / "model.pt"


def _flags(options: dict[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        if value is None:
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        words += [f"--{name}", text]
    return words
