"""What a semi-supervised training step costs beside a supervised one: time, memory, and where the time goes.

    python benchmarks/semi_supervised_step.py [--repeats 10]

One step of the bundle `qa_semi_seg` (a labelled and an unlabelled volume of 168 x 168 x 64, batch size 1, random
weights) against one without the unlabelled part, both through MONAI's trainer. Two forward and backward passes cost
twice the time of one and no more memory, as one graph is alive at a time: that is the floor. The ways take turns in
time, and each has a process of its own for its memory.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import fire
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.networks.nets import UNet

from custom_components.data.unlabeled import EndlessBatches
from custom_components.handlers.qa_score_loss import QAScoreLoss
from custom_components.inferers import AutocastInferer, cpu_is_fast_in_bfloat16
from custom_components.losses import MultiSourcedDiceLoss, prepare_batch
from custom_components.networks import QADiscriminator
from custom_components.segmentation_gradients import QAScoreGradient

SHAPE = (168, 168, 64)
WAYS = {"supervised": {}, "QA-score loss": {}, "straight through": {"straight_through": True}}


class Steps:
    """A trainer whose epochs have one step."""

    def __init__(self, way: str, device: str) -> None:
        torch.manual_seed(0)
        item = {"image": torch.rand(1, *SHAPE), "label": torch.randint(0, 13, (1, *SHAPE)), "case_id": "a"}
        network = UNet(3, 1, 13, channels=(32, 64, 128, 256), strides=(2, 2, 2), num_res_units=2).to(device)
        handlers: list[Any] = []
        if way != "supervised":
            gradient = QAScoreGradient([QADiscriminator()], **WAYS[way])
            handlers.append(QAScoreLoss(EndlessBatches([item]), gradient, weight=1.0))
        self.seconds: list[float] = []
        self.trainer = SupervisedTrainer(
            device=torch.device(device),
            max_epochs=1,
            train_data_loader=torch.utils.data.DataLoader([item], batch_size=1),
            prepare_batch=prepare_batch,
            network=network,
            optimizer=torch.optim.Adam(network.parameters(), lr=1e-4),
            loss_function=MultiSourcedDiceLoss(),
            inferer=AutocastInferer(),
            amp=device == "cuda",
            decollate=False,
            train_handlers=handlers,
        )

    def step(self) -> float:
        """Seconds of one step."""
        timer: list[float] = []

        def note() -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            timer.append(time.perf_counter())

        with (
            self.trainer.add_event_handler(Events.ITERATION_STARTED, note),
            self.trainer.add_event_handler(Events.ITERATION_COMPLETED, note),
        ):
            self.trainer.state.max_epochs = 1
            self.trainer.run()
        return timer[1] - timer[0]


def peak_gib(way: str, device: str) -> float:
    """Peak memory of a process that does three steps: of the GPU, or above what it had before the first."""
    steps = Steps(way, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = resident_gib("VmRSS")
    for _ in range(3):
        steps.step()
    return torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else resident_gib("VmHWM") - before


def resident_gib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def main(repeats: int = 10, device: str = "cuda" if torch.cuda.is_available() else "cpu") -> None:
    """Print the table."""
    print(f"{device}, {torch.get_num_threads()} threads, fast bfloat16: {cpu_is_fast_in_bfloat16()}")
    peaks = {}
    for way in WAYS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peaks[way] = pool.submit(peak_gib, way, device).result()
    ways = {way: Steps(way, device) for way in WAYS}
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats + 1):
        for way, steps in ways.items():
            seconds[way].append(steps.step())
    medians = {way: statistics.median(times[1:]) for way, times in seconds.items()}
    for way in WAYS:
        print(f"{way:18} {medians[way]:7.3f} s a step, {medians[way] / medians['supervised']:5.2f} times supervised; "
              f"peak {peaks[way]:5.2f} GiB, {peaks[way] / peaks['supervised']:5.2f} times")  # fmt: skip


if __name__ == "__main__":
    fire.Fire(main)
