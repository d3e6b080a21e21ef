"""The QA-score loss on a stock trainer."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import IterationEvents, SupervisedTrainer
from monai.inferers import SimpleInferer
from monai.networks.nets import UNet
from torch import Tensor, nn

from custom_components.checkpoints import state_hash
from custom_components.data.unlabeled import EndlessBatches
from custom_components.handlers.clip_gradients import ClipGradients
from custom_components.handlers.qa_score_loss import QAScoreLoss
from custom_components.handlers.stop_on_nonfinite import NonFiniteError
from custom_components.handlers.training_state import ResumeError
from custom_components.inferers import AutocastInferer
from custom_components.segmentation_gradients import AnchorGradient, QAScoreGradient
from custom_components.transforms.montage import montage

SHAPE, SIZE = (8, 8, 8), (16, 16)
FLOAT32 = AutocastInferer(cpu_bfloat16=False)


def small_unet() -> UNet:
    torch.manual_seed(0)
    return UNet(spatial_dims=3, in_channels=1, out_channels=13, channels=(4, 8), strides=(2,), num_res_units=1)


class Discriminator(nn.Module):
    """A score with a batch normalisation, whose buffers a training mode would change."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(784, 1))

    def forward(self, picture: Tensor) -> Tensor:
        return self.layers(picture)


def volumes(count: int, seed: int) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.rand(1, *SHAPE) for _ in range(count)]


def labelled(count: int = 4) -> list[dict]:
    return [
        {"image": image, "label": (label * 12.99).long()}
        for image, label in zip(volumes(count, 2), volumes(count, 3), strict=True)
    ]


def unlabelled(count: int = 5) -> list[dict]:
    return [{"image": image, "case_id": f"u{number}"} for number, image in enumerate(volumes(count, 4))]


def loss(pred: Tensor, label: Tensor) -> Tensor:
    return nn.functional.cross_entropy(pred, label[:, 0])


def trained(
    *handlers: object,
    network: nn.Module | None = None,
    epochs: int = 1,
    batch_size: int = 1,
    device: str = "cpu",
    **options: object,
) -> tuple[SupervisedTrainer, nn.Module]:
    network = (small_unet() if network is None else network).to(device)
    trainer = SupervisedTrainer(
        device=torch.device(device),
        max_epochs=epochs,
        train_data_loader=DataLoader(Dataset(labelled()), batch_size=batch_size),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        loss_function=loss,
        decollate=False,
        train_handlers=list(handlers),
        **{"inferer": FLOAT32, **options},
    )
    trainer.run()
    return trainer, network


def handler(discriminator: nn.Module | None = None, *, batch_size: int = 1, **options: object) -> QAScoreLoss:
    gradient = QAScoreGradient([discriminator or Discriminator()], size=SIZE, inferer=FLOAT32)
    batches = EndlessBatches(unlabelled(), batch_size=batch_size, seed=7)
    return QAScoreLoss(batches, gradient, **{"weight": 0.5, **options})


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().cpu().flatten() for parameter in network.parameters()])


def hand_written(steps: int, *, weight: float = 0.5, ramp: int = 0, interval: int = 1, every: int = 1) -> nn.Module:
    """The training of `trained(handler())` without engine and handler."""
    network, discriminator = small_unet(), Discriminator().eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    batches, done = EndlessBatches(unlabelled(), seed=7), 0
    for number, item in enumerate(labelled()[:steps], start=1):
        if (number - 1) % every == 0:
            optimizer.zero_grad()
        total = loss(network(item["image"][None]), item["label"][None])
        if number % interval == 0:
            image, done = next(batches)["image"], done + 1
            picture = montage(image, network(image).softmax(1), size=SIZE)
            factor = weight * min(1.0, done / ramp) if ramp else weight
            total = total + factor * discriminator(picture).square().mean()
        (total / every).backward()
        if number % every == 0 or number == steps:
            optimizer.step()
    return network


@pytest.mark.parametrize(
    "options", [{}, {"ramp": 3}, {"interval": 2}, {"every": 2}, {"every": 3}, {"every": 2, "interval": 3}]
)
def test_equals_a_hand_written_step(options: dict):
    given = {name: value for name, value in options.items() if name != "every"}
    _, network = trained(handler(**given), accumulation_steps=options.get("every", 1))
    torch.testing.assert_close(weights(network), weights(hand_written(4, **options)))


class On:
    """A handler that calls a function at an event."""

    def __init__(self, event: object, function: Callable[[SupervisedTrainer], None]) -> None:
        self.event = event
        self.function = function

    def attach(self, trainer: SupervisedTrainer) -> None:
        trainer.add_event_handler(self.event, self.function)


def test_gradient_reaches_every_parameter_of_the_network_and_none_of_the_discriminator():
    discriminator, before = Discriminator(), {}

    def keep(trainer: SupervisedTrainer) -> None:
        before.update({name: parameter.grad.clone() for name, parameter in trainer.network.named_parameters()})

    def compare(trainer: SupervisedTrainer) -> None:
        for name, parameter in trainer.network.named_parameters():
            assert (parameter.grad - before[name]).abs().sum() > 0, name
        trainer.terminate()

    handlers = On(IterationEvents.BACKWARD_COMPLETED, keep), handler(discriminator)
    trained(*handlers, On(Events.ITERATION_COMPLETED, compare))
    assert before
    assert all(parameter.grad is None for parameter in discriminator.parameters())


def test_discriminator_stays_as_it_was_with_its_buffers():
    discriminator = Discriminator()
    before = state_hash(discriminator)
    trained(handler(discriminator), epochs=2)
    assert state_hash(discriminator) == before
    assert not discriminator.training


@pytest.mark.parametrize("what", ["weight", "buffer"])
def test_a_discriminator_that_changes_is_an_error(what: str):
    discriminator = Discriminator()

    def spoil(trainer: SupervisedTrainer) -> None:
        layer = discriminator.layers[1]
        with torch.no_grad():
            (layer.weight if what == "weight" else layer.running_mean).add_(1e-3)

    with pytest.raises(RuntimeError, match="discriminator 0 was changed by the training"):
        trained(handler(discriminator), On(Events.ITERATION_COMPLETED, spoil))


def test_weight_zero_trains_as_without_it():
    _, without = trained()
    _, network = trained(handler(weight=0.0))
    assert torch.equal(weights(network), weights(without))


def test_score_falls_when_trained_on_it_alone():
    scores: list[float] = []

    def note(trainer: SupervisedTrainer) -> None:
        scores.append(abs(float(trainer.state.output["qa_score"])))

    trained(handler(weight=50.0), On(Events.ITERATION_COMPLETED, note), epochs=10)
    assert sum(scores[-5:]) < 0.5 * sum(scores[:5])


def test_output_has_loss_score_and_anchor():
    teacher = small_unet()
    trainer, _ = trained(handler(anchor=AnchorGradient(teacher, FLOAT32)))
    output = trainer.state.output
    torch.testing.assert_close(output["qa_loss"], output["qa_score"].square())
    assert float(output["anchor_loss"]) > 0


def test_anchor_holds_the_network_at_its_teacher():
    distances = []
    for anchor_weight in (0.0, 5.0):
        teacher = small_unet()
        qa_loss = handler(weight=5.0, anchor=AnchorGradient(teacher, FLOAT32), anchor_weight=anchor_weight)
        _, network = trained(qa_loss, epochs=3)
        image = torch.stack(volumes(5, 4))
        with torch.no_grad():
            distances.append(float((network(image).softmax(1) - teacher(image).softmax(1)).abs().mean()))
    assert distances[1] < distances[0]


class Broken(Discriminator):
    """NaN for every score but each third."""

    calls = 0

    def forward(self, picture: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(picture) * (1.0 if self.calls % 3 == 0 else torch.nan)


def test_a_gradient_that_is_not_finite_is_left_out_counted_and_logged(caplog):
    qa_loss = handler(Broken())
    _, network = trained(qa_loss)
    state = qa_loss.state_dict()
    assert (state["done"], state["left_out"], state["drawn"]) == (1, 3, 4)
    assert bool(weights(network).isfinite().all())
    assert "the gradient of the QA score is not finite at epoch 1, iteration 1 (case u" in caplog.text
    with pytest.raises(NonFiniteError, match=r"not finite for 3 unlabelled batches, .* expected at most 2"):
        trained(handler(Broken(), max_nonfinite=2))


def test_a_resumed_training_goes_on_with_ramp_and_cases():
    _, whole = trained(handler(ramp=10), epochs=2)
    first = handler(ramp=10)
    _, network = trained(first)
    second = handler(ramp=10)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    trained(second, network=network)
    torch.testing.assert_close(weights(network), weights(whole), rtol=0, atol=0)


def test_another_discriminator_or_number_of_cases_is_refused_on_resuming():
    state = handler().state_dict()
    handler().load_state_dict(state)
    other = Discriminator()
    nn.init.constant_(other.layers[1].running_mean, 1.0)
    with pytest.raises(
        ResumeError, match=r"^saved with discriminators \['\w{64}'\], this run has discriminators \['\w{64}"
    ):
        handler(other).load_state_dict(state)
    with pytest.raises(
        ResumeError, match=r"^saved with unlabeled cases 4, this run has unlabeled cases 5: resume with"
    ):
        handler().load_state_dict({**state, "unlabeled_cases": 4})


def test_works_with_a_compiled_network():
    _, compiled = trained(handler(), compile=True, compile_kwargs={"backend": "aot_eager"})
    torch.testing.assert_close(weights(compiled), weights(hand_written(4)))


@pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")  # MONAI's trainer autocasts on CUDA alone
@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_the_scaler_of_mixed_precision_changes_nothing(max_norm: float):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def scale(trainer: SupervisedTrainer) -> None:
        trainer.amp, trainer.scaler = True, scaler

    scaled = trained(On(Events.STARTED, scale), handler(), ClipGradients(max_norm), amp_kwargs={})[1]
    assert scaler.get_scale() == 1024.0
    torch.testing.assert_close(weights(scaled), weights(trained(handler(), ClipGradients(max_norm))[1]))


class Saved:
    """A tensor that autograd keeps for a backward pass, counted in bytes as long as it is kept."""

    alive = peak = 0

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        Saved.alive += tensor.nbytes
        Saved.peak = max(Saved.peak, Saved.alive)

    def __del__(self) -> None:
        Saved.alive -= self.tensor.nbytes


def peak_of_saved_bytes(*handlers: object) -> int:
    Saved.alive = Saved.peak = 0
    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        trained(*handlers)
    return Saved.peak


def test_one_graph_is_alive_at_a_time():
    supervised = peak_of_saved_bytes()
    assert supervised > 0
    assert peak_of_saved_bytes(handler()) < 1.2 * supervised


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("amp", [False, True])
def test_on_a_gpu_it_trains_as_on_the_cpu(amp: bool):
    scaler = torch.amp.GradScaler("cuda", init_scale=1024.0, enabled=amp)

    def scale(trainer: SupervisedTrainer) -> None:
        trainer.amp, trainer.scaler = amp, scaler if amp else None

    discriminator = Discriminator()
    handlers = On(Events.STARTED, scale), handler(discriminator), ClipGradients()
    _, network = trained(*handlers, device="cuda", amp_kwargs={})
    assert {parameter.device.type for parameter in discriminator.parameters()} == {"cuda"}
    torch.testing.assert_close(weights(network), weights(hand_written(4)), rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("weight", -1.0, "a number of at least 0"),
        ("weight", float("nan"), "a number of at least 0"),
        ("interval", 0, "a whole number of at least 1"),
        ("interval", 1.5, "a whole number of at least 1"),
        ("ramp", -1, "a whole number of at least 0"),
        ("anchor_weight", -0.5, "a number of at least 0"),
        ("anchor_weight", float("inf"), "a number of at least 0"),
        ("max_nonfinite", float("nan"), "a whole number of at least 0"),
    ],
)
def test_a_number_out_of_range_is_refused(name: str, value: float, expected: str):
    with pytest.raises(ValueError, match=f"^{name} is {value}, expected {expected}$"):
        handler(**{name: value})


class Plain(nn.Module):
    """A network that takes plain tensors only, as a compiled one does."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = small_unet()

    def forward(self, image: Tensor) -> Tensor:
        assert type(image) is Tensor
        return self.unet(image)


def test_any_inferer_gets_a_plain_tensor():
    items = [{**item, "image": MetaTensor(item["image"])} for item in unlabelled()]
    gradient = QAScoreGradient([Discriminator()], size=SIZE, inferer=FLOAT32)
    qa_loss = QAScoreLoss(EndlessBatches(items, seed=7), gradient, weight=0.5)
    _, network = trained(qa_loss, network=Plain(), inferer=SimpleInferer())
    torch.testing.assert_close(weights(network), weights(hand_written(4)))


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("", 4),
        pytest.param("--accumulation_steps 2", 2, marks=pytest.mark.slow),
        pytest.param("--interval 2", 4, marks=pytest.mark.slow),
        ("--accumulation_steps 2 --interval 3", 2),
        ("--accumulation_steps 3 --cases 8", 4),
        # what is left out is exchanged by other means, but DistributedDataParallel makes up for it in the next pass
        ("--broken", 4),
    ],
)
def test_two_processes_equal_one_and_exchange_gradients_once_a_step(tmp_path: Path, words: str, steps: int):
    program = Path(__file__).with_name("qa_score_loss_processes.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for command in ([sys.executable], launcher):
        command = [*command, str(program), str(tmp_path), *words.split()]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    one, *two = (torch.load(tmp_path / name, weights_only=True) for name in ("1_0.pt", "2_0.pt", "2_1.pt"))
    assert torch.equal(two[0]["weights"], two[1]["weights"])
    torch.testing.assert_close(two[0]["weights"], one["weights"])
    assert [part["steps"] for part in (one, *two)] == [steps] * 3
    assert [part["exchanged"] for part in two] == [steps] * 2
