"""What does a semi-supervised training step cost beside a supervised one, in time and memory?

    python benchmarks/semi_supervised_step.py [--rounds 10] [--device cuda]

One step of the bundle `qa_semi_seg` (a labelled and an unlabelled volume of 168 x 168 x 64, batch size 1, random
weights) against one without the unlabelled part, both through MONAI's trainer. Two forward and backward passes cost
twice the time of one and no more memory, as one graph is alive at a time: that is the floor. The Mean Teacher is
written as is usual with MONAI: an `iteration_update` of the trainer, in which the student sees both volumes as one
batch, the averaged network predicts the unlabelled one, and one loss of both parts goes back.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import fire
import torch
from measure import aim, in_own_process, peak_of_calls, report, take_turns
from monai.engines import SupervisedTrainer
from monai.networks.nets import UNet
from monai.utils import CommonKeys

from custom_components.data.unlabeled import EndlessBatches
from custom_components.handlers.qa_score_loss import QAScoreLoss
from custom_components.inferers import AutocastInferer, cpu_is_fast_in_bfloat16
from custom_components.losses import MultiSourcedDiceLoss, prepare_batch
from custom_components.networks import QADiscriminator
from custom_components.segmentation_gradients import QAScoreGradient

SUPERVISED, FLOOR, OURS, STRAIGHT, TEACHER = (
    "supervised", "twice supervised", "QA-score loss", "QA-score loss, straight through", "Mean Teacher"
)  # fmt: skip
NAMES = (SUPERVISED, FLOOR, OURS, STRAIGHT, TEACHER)


def way(name: str, size: Sequence[int], device: str) -> Callable[[], None]:
    """One step of a contestant."""
    torch.manual_seed(0)
    item = {"image": torch.rand(1, *size), "label": torch.randint(0, 13, (1, *size)), "case_id": "a"}
    network = UNet(3, 1, 13, channels=(32, 64, 128, 256), strides=(2, 2, 2), num_res_units=2).to(device)
    options: dict[str, Any] = {}
    if name in (OURS, STRAIGHT):
        gradient = QAScoreGradient([QADiscriminator()], straight_through=name == STRAIGHT)
        options["train_handlers"] = [QAScoreLoss(EndlessBatches([item]), gradient, weight=1.0)]
    if name == TEACHER:
        options["iteration_update"] = mean_teacher(deepcopy(network).requires_grad_(False), item["image"][None])
    trainer = SupervisedTrainer(
        device=torch.device(device),
        max_epochs=1,
        train_data_loader=torch.utils.data.DataLoader([item], batch_size=1),
        prepare_batch=prepare_batch,
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-4),
        loss_function=MultiSourcedDiceLoss(),
        inferer=AutocastInferer(),
        amp=torch.device(device).type == "cuda",
        decollate=False,
        **options,
    )

    def step() -> None:
        for _ in range(2 if name == FLOOR else 1):
            trainer.state.max_epochs = 1
            trainer.run()

    return step


def mean_teacher(teacher: UNet, unlabeled: torch.Tensor) -> Callable[[SupervisedTrainer, dict], dict]:
    """Make the update of a trainer with a Mean Teacher (Tarvainen and Valpola 2017)."""

    def update(engine: SupervisedTrainer, batch: dict) -> dict:
        image, label = engine.prepare_batch(batch, engine.state.device, engine.non_blocking)[:2]
        other = unlabeled.to(engine.state.device)
        engine.network.train()
        engine.optimizer.zero_grad()
        with torch.autocast("cuda", enabled=engine.amp):
            with torch.no_grad():
                wanted = engine.inferer(other + 0.05 * torch.randn_like(other), teacher).softmax(1)
            pred = engine.inferer(torch.cat([image, other]), engine.network)
            loss = engine.loss_function(pred[:1], label) + (pred[1:].softmax(1) - wanted).square().mean()
        if engine.scaler is None:
            loss.backward()
            engine.optimizer.step()
        else:
            engine.scaler.scale(loss).backward()
            engine.scaler.step(engine.optimizer)
            engine.scaler.update()
        with torch.no_grad():
            for old, new in zip(teacher.parameters(), engine.network.parameters(), strict=True):
                old.lerp_(new, 0.01)
        return {CommonKeys.PRED: pred[:1], CommonKeys.LOSS: loss.item()}

    return update


def peak(name: str, size: Sequence[int], device: str) -> dict[str, float]:
    """Memory of three steps; for a process of its own."""
    return peak_of_calls(way(name, size, device), device)


def main(
    rounds: int = 10,
    size: Sequence[int] = (168, 168, 64),
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Time the contestants in turns; see the head of the file.

    Args:
        rounds: turns of each contestant that count.
        size: voxels of a volume.
        device: cpu or cuda.
    """
    peaks = {name: in_own_process(peak, name, size, device) for name in NAMES}
    seconds = take_turns({name: way(name, size, device) for name in NAMES}, rounds, device)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    whole, rise = ({name: found[key] for name, found in peaks.items()} for key in ("peak_mib", "rise_mib"))
    report(
        "semi_supervised_step_cuda" if torch.device(device).type == "cuda" else "semi_supervised_step",
        f"one semi-supervised training step, {' x '.join(map(str, size))}",
        reference=SUPERVISED,
        seconds=seconds,
        peaks=peaks,
        aims=[
            aim("time, to twice the supervised step", middle[OURS] / middle[FLOOR], at_most=1.15),
            aim("peak memory, to the supervised step", whole[OURS] / whole[SUPERVISED], at_most=1.15),
            aim("the same above what the process held", rise[OURS] / rise[SUPERVISED], at_most=1.15),
        ],
        device=device,
        fast_bfloat16=cpu_is_fast_in_bfloat16(),
    )


if __name__ == "__main__":
    fire.Fire(main)
