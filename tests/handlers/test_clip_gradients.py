import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import IterationEvents, SupervisedTrainer
from torch import Tensor, nn

from custom_components.handlers.clip_gradients import ClipGradients
from custom_components.handlers.stop_on_nonfinite import NonFiniteError

ITEMS = [{"image": torch.tensor([float(number)]), "label": torch.tensor([10.0 * number])} for number in range(1, 5)]


def trained(max_norm: float, **options: object) -> tuple[list[float], Tensor]:
    """Norms of the steps, and the weight at the end; the gradient of the weight is -20 n^2 + 2 n^2 w."""
    network, norms = nn.Linear(1, 1, bias=False), []
    nn.init.zeros_(network.weight)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(ITEMS),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1e-3),
        loss_function=nn.MSELoss(),
        decollate=False,
        train_handlers=[ClipGradients(max_norm)],
        **options,
    )

    def note(engine: SupervisedTrainer) -> None:
        if "grad_norm" in engine.state.output:
            norms.append(float(engine.state.output["grad_norm"]))

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    trainer.run()
    return norms, network.weight.detach()


def test_steps_are_no_longer_than_the_limit_and_the_norm_before_is_said():
    norms, weight = trained(max_norm=5.0)
    assert norms[0] == pytest.approx(20.0)
    assert norms[3] > norms[0]
    assert float(weight) == pytest.approx(4 * 5.0 * 1e-3)


def test_without_a_limit_it_measures_only():
    norms, weight = trained(max_norm=0.0)
    expected = 0.0
    for number, norm in enumerate(norms, start=1):
        gradient = 2 * number**2 * (expected - 10)
        assert norm == pytest.approx(-gradient, rel=1e-5)
        expected -= 1e-3 * gradient
    assert float(weight) == pytest.approx(expected, rel=1e-5)


def test_with_accumulation_it_clips_once_a_step():
    norms, weight = trained(max_norm=5.0, accumulation_steps=2)
    assert len(norms) == 2
    assert norms[0] == pytest.approx((20 + 80) / 2)
    assert float(weight) == pytest.approx(2 * 5.0 * 1e-3)


def test_it_clips_at_the_end_of_an_epoch_too_where_the_accumulation_is_incomplete():
    norms, weight = trained(max_norm=5.0, accumulation_steps=3)
    assert norms == pytest.approx([(20 + 80 + 180) / 3, (320 - 32 * 0.005) / 3])
    assert float(weight) == pytest.approx(2 * 5.0 * 1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_norm": -1.0}, "max_norm is -1.0, expected a number of at least 0"),
        ({"max_norm": float("nan")}, "max_norm is nan, expected a number of at least 0"),
        ({"max_nonfinite": 1.5}, "max_nonfinite is 1.5, expected a whole number of at least 0"),
    ],
)
def test_a_number_out_of_range_is_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ClipGradients(**options)


class Overflow:
    """Makes the gradient infinite in some iterations, as an overflow inside of the network's backward pass does."""

    def __init__(self, *iterations: int) -> None:
        self.iterations = iterations

    def attach(self, engine: SupervisedTrainer) -> None:
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: SupervisedTrainer) -> None:
        if engine.state.iteration in self.iterations:
            engine.network.weight.grad.fill_(torch.inf)


@pytest.mark.parametrize("max_norm", [0.0, 5.0])
def test_there_is_no_step_with_a_gradient_that_is_not_finite(max_norm: float, caplog: pytest.LogCaptureFixture):
    network, weights = nn.Linear(1, 1, bias=False), []
    clip = ClipGradients(max_norm, max_nonfinite=1)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(ITEMS),
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3),
        loss_function=nn.MSELoss(),
        decollate=False,
        train_handlers=[Overflow(2, 4), clip],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: weights.append(network.weight.item()))
    with pytest.raises(NonFiniteError, match=r"not finite in 2 steps, the last at epoch 1, iteration 4, .* at most 1;"):
        trainer.run()
    assert weights[1] == weights[0] != weights[2]
    assert network.weight.item() == weights[2]
    assert "the norm of the gradient is inf at epoch 1, iteration 2: no step with it" in caplog.text
    resumed = ClipGradients(max_norm, max_nonfinite=1)
    resumed.load_state_dict(clip.state_dict())
    assert resumed.state_dict() == {"dropped": 2}


@pytest.mark.filterwarnings("ignore:.*CUDA is not available:UserWarning")  # MONAI's trainer autocasts on CUDA alone
def test_with_mixed_precision_it_is_left_to_the_scaler():
    network, clip = nn.Linear(1, 1, bias=False), ClipGradients(5.0, max_nonfinite=0)
    before, scaler = network.weight.item(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(ITEMS[:1]),
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=1e-3),
        loss_function=nn.MSELoss(),
        decollate=False,
        train_handlers=[Overflow(1), clip],
        amp_kwargs={},
    )

    @trainer.on(Events.STARTED)
    def scale() -> None:
        trainer.amp, trainer.scaler = True, scaler

    trainer.run()
    assert network.weight.item() == before
    assert scaler.get_scale() == 512.0
    assert clip.state_dict() == {"dropped": 0}
    assert "grad_norm" not in trainer.state.output
