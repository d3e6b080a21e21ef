import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from torch import Tensor, nn

from custom_components.handlers.clip_gradients import ClipGradients

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


def test_a_negative_limit_is_refused():
    with pytest.raises(ValueError, match=r"max_norm is -1\.0, expected 0 or more"):
        ClipGradients(-1.0)
