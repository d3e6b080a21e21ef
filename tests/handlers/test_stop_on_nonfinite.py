from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedTrainer

from custom_components.handlers.stop_on_nonfinite import NonFiniteError, StopOnNonFiniteLoss


def make_trainer(labels: list[float], names: str | None = "abcd", **options) -> SupervisedTrainer:
    """One weight and one epoch with a batch of two; `weights` holds the weight after each iteration."""
    items = [{"image": torch.ones(1), "label": torch.tensor([label])} for label in labels]
    if names:
        items = [{**item, "case_id": name} for item, name in zip(items, names, strict=False)]
    network = torch.nn.Linear(1, 1)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=DataLoader(items, batch_size=2),
        network=network,
        optimizer=torch.optim.Adam(network.parameters()),
        loss_function=torch.nn.L1Loss(),
        train_handlers=[StopOnNonFiniteLoss()],
        **options,
    )
    trainer.weights = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: trainer.weights.append(network.weight.item()))
    return trainer


@pytest.mark.parametrize("decollate", [True, False])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_stops_before_the_weights_change(value, decollate):
    trainer = make_trainer([1.0, 2.0, 3.0, value], decollate=decollate)
    with pytest.raises(NonFiniteError, match=rf"^loss is {value} at epoch 1, iteration 2 \(case c, d\)"):
        trainer.run()
    assert trainer.weights == [trainer.network.weight.item()]
    assert math.isfinite(trainer.weights[-1])


def test_lets_finite_losses_pass():
    trainer = make_trainer([1.0, 2.0, 3.0, 1e30])
    trainer.run()
    assert len(trainer.weights) == 2


def test_works_without_case_ids():
    with pytest.raises(RuntimeError, match="case without name"):
        make_trainer([math.nan], names=None).run()
