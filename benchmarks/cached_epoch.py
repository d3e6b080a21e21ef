"""Does the network wait for data in an epoch of 16 cached volumes?

    python benchmarks/cached_epoch.py [--rounds 5] [--volumes 16]

The bundle's trainer with its own loader (cache, augmentation, worker processes) as it is by default; the same
preprocessing, augmentation and network with MONAI's `CacheDataset` and loader as the Model Zoo's bundles configure them
(everything cached, 4 workers, which start anew in each epoch); and with a dataset that reads and preprocesses each
volume again. Seconds are those of an epoch; "waiting" is from asking for a batch to having it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import torch
from ignite.engine import Events
from measure import aim, report, take_turns
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader, Dataset

from custom_components.data.phantom import write_cohort

CONFIG = Path(__file__).resolve().parent.parent / "bundles" / "baseline_seg" / "configs" / "train.yaml"
OURS, ZOO, AGAIN = "ours", "Model Zoo's loader", "recomputing"
IDLE = ("ValidationHandler", "TrainingState", "EpochProgress")


def trainer(cohort: Path, out: Path, device: str) -> tuple[Any, ConfigParser]:
    """The bundle's trainer, without validation and state on disk."""
    parser = ConfigParser()
    parser.read_config(CONFIG)
    parser["datalist"] = str(cohort / "dataset.json")
    parser["ckpt_dir"] = parser["output_dir"] = str(out)
    parser["device"], parser["max_epochs"] = device, 1
    for handler in parser["train#handlers"]:
        if str(handler["_target_"]).endswith(IDLE):
            handler["_disabled_"] = True
    return parser.get_parsed_content("train#trainer"), parser


def loader(name: str, parser: ConfigParser) -> DataLoader:
    """The data of a contestant, with the preprocessing and augmentation of the bundle."""
    data = parser.get_parsed_content("train#dataset#data")
    transform = parser.get_parsed_content("train#preprocessing")
    dataset = CacheDataset(data, transform, cache_rate=1.0, num_workers=4) if name == ZOO else Dataset(data, transform)
    return DataLoader(dataset, batch_size=1, shuffle=True, num_workers=4 if name == ZOO else 2)


def way(name: str, cohort: Path, out: Path, device: str, waiting: dict[str, list[float]]) -> Callable[[], float]:
    """An epoch of a contestant, which also notes how long it waited."""
    engine, parser = trainer(cohort, out, device)
    if name != OURS:
        engine.data_loader = loader(name, parser)
    asked, waited = 0.0, 0.0

    @engine.on(Events.GET_BATCH_STARTED)
    def ask() -> None:
        nonlocal asked
        asked = time.perf_counter()

    @engine.on(Events.GET_BATCH_COMPLETED)
    def have() -> None:
        nonlocal waited
        waited += time.perf_counter() - asked

    def epoch() -> float:
        nonlocal waited
        waited = 0.0
        engine.state.epoch = engine.state.iteration = 0
        started = time.perf_counter()
        engine.run()
        took = time.perf_counter() - started
        waiting[name].append(waited / took)
        return took

    return epoch


def main(rounds: int = 5, volumes: int = 16, device: str = "cuda" if torch.cuda.is_available() else "cpu") -> None:
    """Time the contestants in turns; see the head of the file.

    Args:
        rounds: epochs of each contestant that count.
        volumes: in an epoch.
        device: cpu or cuda.
    """
    names = (OURS, ZOO, AGAIN)
    waiting: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        cohort = Path(place) / "cohort"
        write_cohort(cohort, training=volumes, validation=1, unlabeled=0, test=0, grid="paper")
        ways = {name: way(name, cohort, Path(place) / str(n), device, waiting) for n, name in enumerate(names)}
        seconds = take_turns(ways, rounds, device)
    share = {name: statistics.median(shares[1:]) for name, shares in waiting.items()}
    report(
        "cached_epoch_cuda" if torch.device(device).type == "cuda" else "cached_epoch",
        f"an epoch of {volumes} volumes of 168 x 168 x 64",
        reference=AGAIN,
        seconds=seconds,
        aims=[aim("share of the epoch in which the network waits for data", share[OURS], at_most=0.03)],
        device=device,
        waiting=share,
    )


if __name__ == "__main__":
    fire.Fire(main)
