"""What does one training step cost through the bundle, against a bare PyTorch loop with the same network and loss?

    python benchmarks/train_step.py [--rounds 6] [--steps 3] [--size 168,168,64]

The contestants take turns in one process. A step of the bundle is everything between asking for a batch and the end
of the last handler of the iteration; its batch lies in memory, as does that of the bare loop.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import fire
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.networks.nets import UNet

from custom_components.losses import MultiSourcedDiceLoss

CONFIG = Path(__file__).resolve().parent.parent / "bundles" / "baseline_seg" / "configs" / "train.yaml"


def _batch(size: Sequence[int]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    label = torch.randint(0, 13, (1, 1, *size), dtype=torch.uint8)
    return {
        "image": torch.rand(1, 1, *size),
        "label": label,
        "annotated": torch.ones(1, 13, dtype=torch.bool),
    }


def bundle_steps(batch: dict[str, torch.Tensor], bfloat16: bool, steps: int, folder: Path) -> Callable[[], list[float]]:
    """Return a function that runs `steps` training steps of the bundle's trainer and gives their seconds."""
    parser = ConfigParser()
    parser.read_config(CONFIG)
    parser["ckpt_dir"] = parser["output_dir"] = str(folder)
    parser["roi_size"] = list(batch["image"].shape[2:])
    parser["inferer#cpu_bfloat16"] = bfloat16
    parser["train#dataset#data"], parser["validate#dataset#data"] = [], []
    parser["train#trainer#train_data_loader"] = [batch] * steps
    parser["max_epochs"] = 1
    for place in (5, 6, 9):  # validations, progress bar
        parser[f"train#handlers#{place}#_disabled_"] = True
    trainer = parser.get_parsed_content("train#trainer")
    seconds: list[float] = []

    @trainer.on(Events.GET_BATCH_STARTED)
    def start(engine: Engine) -> None:
        engine.state.step_started = time.perf_counter()

    @trainer.on(Events.ITERATION_COMPLETED)
    def stop(engine: Engine) -> None:
        seconds.append(time.perf_counter() - engine.state.step_started)

    def run() -> list[float]:
        seconds.clear()
        trainer.state.epoch = trainer.state.iteration = 0
        trainer.run()
        return list(seconds)

    return run


def bare_steps(batch: dict[str, torch.Tensor], bfloat16: bool, steps: int) -> Callable[[], list[float]]:
    """Return a function that runs `steps` training steps without MONAI's engine and gives their seconds."""
    network = UNet(3, 1, 13, (32, 64, 128, 256), (2, 2, 2), num_res_units=2).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss_function = MultiSourcedDiceLoss(cross_entropy_weight=1.0)

    def run() -> list[float]:
        seconds = []
        for _ in range(steps):
            started = time.perf_counter()
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
                pred = network(batch["image"])
            loss = loss_function(pred.float(), batch["label"])
            loss.backward()
            optimizer.step()
            loss.item()
            seconds.append(time.perf_counter() - started)
        return seconds

    return run


def main(rounds: int = 6, steps: int = 3, size: Sequence[int] = (168, 168, 64)) -> None:
    """Time the contestants in turns and print medians and ratios; JSON goes to `benchmarks/results`.

    Args:
        rounds: turns of each contestant; the first one warms up and does not count.
        steps: training steps in a turn.
        size: voxels of the volume.
    """
    batch = _batch(size)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    contestants = {}
    for name, bfloat16 in (("float32", False), ("bfloat16", True)):
        contestants[f"bare {name}"] = bare_steps(batch, bfloat16, steps)
        contestants[f"bundle {name}"] = bundle_steps(batch, bfloat16, steps, results)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, run in contestants.items():
            taken = run()
            if turn:
                seconds[name] += taken
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    table = {
        "size": list(size),
        "steps": (rounds - 1) * steps,
        "median_seconds": medians,
        "bundle_to_bare_float32": medians["bundle float32"] / medians["bare float32"],
        "bundle_to_bare_bfloat16": medians["bundle bfloat16"] / medians["bare bfloat16"],
        "float32_to_bfloat16": medians["bundle float32"] / medians["bundle bfloat16"],
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
    }
    (results / "train_step.json").write_text(json.dumps(table, indent=2))
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    fire.Fire(main)
