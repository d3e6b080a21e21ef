import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.handlers.averaged_weights import AveragedWeights


def averages(momentum: float, values: list[float]) -> list[float]:
    """The averaged weight after each iteration; the weight itself starts at 0 and takes the values one by one."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    handler, seen = AveragedWeights(network, momentum), []
    trainer = Engine(lambda engine, value: torch.nn.init.constant_(network.weight, value))
    handler.attach(trainer)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(handler.ema_model.weight.item()))
    trainer.run(values, max_epochs=1)
    return seen


def test_first_iterations_leave_the_initial_weights_quickly():
    first, second = averages(0.01, [1.0, 1.0])
    assert first == pytest.approx(9 / 11)
    assert second == pytest.approx(1 - (2 / 11) * (3 / 12))


def test_later_the_newest_weights_count_the_momentum():
    *_, before, after = averages(0.25, [1.0] * 26 + [5.0])  # 9 / (10 + 26) is 0.25
    assert after == pytest.approx(0.75 * before + 0.25 * 5.0)


def test_the_average_is_no_part_of_the_training():
    network = torch.nn.Linear(1, 1)
    handler = AveragedWeights(network, 0.1)
    assert handler.ema_model is not network
    assert not any(parameter.requires_grad for parameter in handler.ema_model.parameters())


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_momentum_out_of_range_is_refused(momentum: float):
    with pytest.raises(ValueError, match="momentum"):
        AveragedWeights(torch.nn.Linear(1, 1), momentum)


@pytest.mark.parametrize("handle_buffers", ["copy", "update"])
def test_statistics_of_batch_normalisation_are_copied_or_averaged(handle_buffers):
    network = torch.nn.BatchNorm1d(1, momentum=1.0)  # its statistics are those of the last batch
    averaged = AveragedWeights(network, momentum=0.5, handle_buffers=handle_buffers)
    trainer = Engine(lambda engine, batch: network(batch))
    averaged.attach(trainer)
    trainer.run([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])])
    # 9/11, then 9/12 of the newest, from 0
    expected = {"copy": 6.0, "update": 2 * 9 / 11 * 3 / 12 + 6 * 9 / 12}[handle_buffers]
    assert averaged.ema_model.running_mean.item() == pytest.approx(expected)


def test_weights_that_are_loaded_as_the_training_starts_are_where_the_average_starts():
    network = torch.nn.Linear(1, 1, bias=False)
    handler, seen = AveragedWeights(network, 0.01), []
    trainer = Engine(lambda engine, batch: None)
    trainer.add_event_handler(Events.STARTED, lambda: torch.nn.init.constant_(network.weight, 7.0))
    handler.attach(trainer)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: seen.append(handler.ema_model.weight.item()))
    trainer.run([0], max_epochs=1)
    assert seen == [7.0]
