"""What does one supervised training step cost: through the bundle, in a bare loop, and as the Model Zoo configures it?

    python benchmarks/train_step.py [--rounds 5] [--steps 3] [--size 168,168,64] [--device cuda]

A step is everything between asking for a batch and the end of the last handler of the iteration; the batch lies in
memory. The bare loop is the reference: the bundle's network, loss and optimizer without an engine, in float32 and in
bfloat16 (on a GPU with the autocast that the bundle has there). "Model Zoo" is MONAI's `SupervisedTrainer` in float32
with the loss, postprocessing, metric and handlers of the Zoo's `spleen_ct_segmentation` around the same network.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import fire
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Accuracy
from measure import aim, in_own_process, peak_of_calls, report, take_turns, wait
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.handlers import StatsHandler, TensorBoardStatsHandler, from_engine
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Activationsd, AsDiscreted, Compose

from custom_components.inferers import cpu_is_fast_in_bfloat16
from custom_components.losses import MultiSourcedDiceLoss

CONFIG = Path(__file__).resolve().parent.parent / "bundles" / "baseline_seg" / "configs" / "train.yaml"
BARE, BARE_LOW, BUNDLE, BUNDLE_LOW, ZOO = (
    "bare loop, float32", "bare loop, low precision", "bundle, float32", "bundle, low precision", "Model Zoo, float32"
)  # fmt: skip
NAMES = (BARE, BARE_LOW, BUNDLE, BUNDLE_LOW, ZOO)
CLASSES = 13

Batch = dict[str, torch.Tensor]
Steps = Callable[[], list[float]]
"""Does some steps and gives the seconds of each."""


def _batch(size: Sequence[int]) -> Batch:
    torch.manual_seed(0)
    label = torch.randint(0, CLASSES, (1, 1, *size), dtype=torch.uint8)
    return {"image": torch.rand(1, 1, *size), "label": label, "annotated": torch.ones(1, CLASSES, dtype=torch.bool)}


def _network(device: str) -> UNet:
    torch.manual_seed(0)
    return UNet(3, 1, CLASSES, (32, 64, 128, 256), (2, 2, 2), num_res_units=2).to(device).train()


def bare_steps(batch: Batch, low: bool, steps: int, device: str) -> Steps:
    """Steps without an engine."""
    network = _network(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss_function = MultiSourcedDiceLoss(cross_entropy_weight=1.0)
    on_gpu = torch.device(device).type == "cuda"
    scaler = torch.amp.GradScaler("cuda", enabled=on_gpu and low)
    dtype = torch.float16 if on_gpu else torch.bfloat16

    def run() -> list[float]:
        seconds = []
        for _ in range(steps):
            started = wait(device)
            image, label = (batch[key].to(device) for key in ("image", "label"))
            optimizer.zero_grad()
            with torch.autocast(torch.device(device).type, dtype=dtype, enabled=low):
                pred = network(image)
            loss = loss_function(pred.float(), label)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            loss.item()
            seconds.append(wait(device) - started)
        return seconds

    return run


def bundle_steps(batch: Batch, low: bool, steps: int, device: str, folder: Path) -> Steps:
    """Steps of the bundle's trainer with all its handlers but validation, state on disk and progress bar."""
    parser = ConfigParser()
    parser.read_config(CONFIG)
    parser["ckpt_dir"] = parser["output_dir"] = str(folder)
    parser["device"] = device
    parser["roi_size"] = list(batch["image"].shape[2:])
    parser["inferer#cpu_bfloat16"] = low
    for section in ("train", "validate"):  # never read, as the batches below are what is trained on
        parser[f"{section}#dataset#data"], parser[f"{section}#dataset#cache_num"] = [{}], 0
    parser["train#trainer#train_data_loader"] = [batch] * steps
    parser["train#trainer#amp"] = low and torch.device(device).type == "cuda"
    parser["max_epochs"] = 1
    for handler in parser["train#handlers"]:
        if str(handler["_target_"]).endswith(("ValidationHandler", "TrainingState", "EpochProgress")):
            handler["_disabled_"] = True
    return _timed(parser.get_parsed_content("train#trainer"), device)


def zoo_steps(batch: Batch, steps: int, device: str, folder: Path) -> Steps:
    """Steps of a trainer that is configured as in the Zoo's `spleen_ct_segmentation`, in float32."""
    network = _network(device)
    first_loss = from_engine(["loss"], first=True)
    trainer = SupervisedTrainer(
        device=torch.device(device),
        max_epochs=1,
        train_data_loader=[batch] * steps,
        network=network,
        loss_function=DiceCELoss(
            include_background=False, to_onehot_y=True, softmax=True, squared_pred=True, batch=True,
            smooth_nr=1e-5, smooth_dr=1e-5, lambda_dice=0.5, lambda_ce=0.5,
        ),
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-4),
        inferer=SimpleInferer(),
        postprocessing=Compose(
            [
                Activationsd("pred", softmax=True),
                AsDiscreted(["pred", "label"], argmax=[True, False], to_onehot=CLASSES),
            ]
        ),
        key_train_metric={"train_accuracy": Accuracy(output_transform=from_engine(["pred", "label"]))},
        train_handlers=[
            StatsHandler(tag_name="train_loss", output_transform=first_loss),
            TensorBoardStatsHandler(log_dir=str(folder), tag_name="train_loss", output_transform=first_loss),
        ],
        amp=False,
    )  # fmt: skip
    return _timed(trainer, device)


def _timed(trainer: SupervisedTrainer, device: str) -> Steps:
    seconds: list[float] = []

    @trainer.on(Events.GET_BATCH_STARTED)
    def start(engine: Engine) -> None:
        engine.state.step_started = wait(device)

    def stop(engine: Engine) -> None:
        seconds.append(wait(device) - engine.state.step_started)

    def run() -> list[float]:
        seconds.clear()
        trainer.state.epoch = trainer.state.iteration = 0
        trainer.run()
        return list(seconds)

    # after the handlers that are there, metrics too, which the engine attaches when it runs for the first time
    trainer.add_event_handler(Events.STARTED, lambda: _last(trainer, stop))
    return run


def _last(trainer: SupervisedTrainer, stop: Callable[[Engine], None]) -> None:
    if trainer.has_event_handler(stop, Events.ITERATION_COMPLETED):
        trainer.remove_event_handler(stop, Events.ITERATION_COMPLETED)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)


def way(name: str, steps: int, size: Sequence[int], device: str, folder: Path) -> Steps:
    """The steps of one contestant."""
    batch = _batch(size)
    if name == ZOO:
        return zoo_steps(batch, steps, device, folder)
    if name in (BARE, BARE_LOW):
        return bare_steps(batch, name == BARE_LOW, steps, device)
    return bundle_steps(batch, name == BUNDLE_LOW, steps, device, folder)


def peak(name: str, size: Sequence[int], device: str) -> dict[str, float]:
    """Memory of one contestant; for a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return peak_of_calls(way(name, 1, size, device, Path(folder)), device)


def main(
    rounds: int = 5,
    steps: int = 3,
    size: Sequence[int] = (168, 168, 64),
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    low: bool | None = None,
) -> None:
    """Time the contestants in turns; see the head of the file.

    Args:
        rounds: turns of each contestant that count.
        steps: training steps in a turn.
        size: voxels of the volume.
        device: cpu or cuda.
        low: whether low precision takes part; by default where it is used: on a GPU, and on a processor with
            instructions for it, as others emulate it ten times slower.
    """
    on_gpu = torch.device(device).type == "cuda"
    fast = on_gpu or cpu_is_fast_in_bfloat16()
    names = [name for name in NAMES if name not in (BARE_LOW, BUNDLE_LOW) or (fast if low is None else low)]
    peaks = {name: in_own_process(peak, name, size, device) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        ways = {name: way(name, steps, size, device, Path(folder) / str(n)) for n, name in enumerate(names)}
        seconds = take_turns(ways, rounds, device)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    default = BUNDLE_LOW if fast and BUNDLE_LOW in names else BUNDLE
    pairs = [(one, bare) for one, bare in ((BUNDLE, BARE), (BUNDLE_LOW, BARE_LOW)) if one in names]
    report(
        "train_step_cuda" if on_gpu else "train_step",
        f"one supervised training step, {' x '.join(map(str, size))}",
        reference=BARE,
        seconds=seconds,
        peaks=peaks,
        aims=[
            *(aim(f"{one} to {bare}", middle[one] / middle[bare], at_most=1.05) for one, bare in pairs),
            aim(f"{ZOO} to {default}", middle[ZOO] / middle[default], at_least=2 if on_gpu else 1.5),
        ],
        device=device,
        fast_bfloat16=cpu_is_fast_in_bfloat16(),
    )


if __name__ == "__main__":
    fire.Fire(main)
