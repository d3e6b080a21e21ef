from __future__ import annotations

import pandas as pd
import pytest
import torch
from ignite.engine import Events
from matplotlib.image import imread
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanSquaredError, ValidationHandler, from_engine
from torch.optim.lr_scheduler import ExponentialLR

from custom_components.handlers.learning_curve import LearningCurve

ITEMS = [{"image": torch.tensor([float(i)]), "label": torch.tensor([2.0 * i])} for i in range(4)]


class Training:
    """Learn to double a number; validate every second epoch."""

    def __init__(self, output_dir, max_epochs=4, curve_first=False, decollate=True):
        torch.manual_seed(0)
        device, network = torch.device("cpu"), torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
        self.losses: dict[int, list[float]] = {}
        self.evaluator = SupervisedEvaluator(
            device=device,
            val_data_loader=DataLoader(ITEMS),
            network=network,
            key_val_metric={"val_mse": MeanSquaredError(output_transform=from_engine(["pred", "label"]))},
        )

        @self.evaluator.on(Events.EPOCH_COMPLETED)
        def add_metrics(engine):
            engine.state.metrics.update(tensor=torch.tensor(0.5), vector=torch.ones(2))

        self.curve = LearningCurve(output_dir, self.evaluator, lower_is_better=True)
        handlers = [ValidationHandler(2, self.evaluator), self.curve]
        self.trainer = SupervisedTrainer(
            device=device,
            max_epochs=max_epochs,
            train_data_loader=DataLoader(ITEMS, batch_size=2),
            network=network,
            optimizer=optimizer,
            loss_function=torch.nn.MSELoss(),
            decollate=decollate,
            train_handlers=[
                *handlers[:: -1 if curve_first else 1],
                LrScheduleHandler(ExponentialLR(optimizer, 0.5), print_lr=False),
            ],
        )

        @self.trainer.on(Events.ITERATION_COMPLETED)
        def record(engine):
            output = engine.state.output
            loss = torch.as_tensor((output[0] if decollate else output)["loss"]).item()
            self.losses.setdefault(engine.state.epoch, []).append(loss)


@pytest.mark.parametrize("curve_first", [True, False])
@pytest.mark.parametrize("decollate", [True, False])
def test_table_holds_losses_rates_and_metrics(tmp_path, curve_first, decollate):
    training = Training(tmp_path / "new", curve_first=curve_first, decollate=decollate)
    training.trainer.run()
    table = pd.read_csv(tmp_path / "new" / "learning_curve.csv")
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    assert table["train_loss"].tolist() == pytest.approx([sum(x) / 2 for x in training.losses.values()])
    assert table["learning_rate"].tolist() == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    assert table["val_mse"].notna().tolist() == [False, True, False, True]
    assert table["val_mse"].iloc[3] == pytest.approx(float(training.evaluator.state.metrics["val_mse"]))
    assert table["tensor"].iloc[1] == 0.5
    assert "vector" not in table
    assert imread(tmp_path / "new" / "learning_curve.png").std() > 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "learning_curve.csv",
        "learning_curve.png",
    }


@pytest.mark.parametrize("curve_first", [True, False])
def test_files_are_complete_after_each_validation(tmp_path, curve_first):
    training = Training(tmp_path, curve_first=curve_first)
    seen = []

    @training.trainer.on(Events.EPOCH_STARTED(once=3))
    def look(engine):
        seen.append(pd.read_csv(tmp_path / "learning_curve.csv"))
        assert (tmp_path / "learning_curve.png").exists()

    training.trainer.run()
    assert seen[0]["train_loss"].notna().tolist() == [True, True]
    assert seen[0]["val_mse"].notna().tolist() == [False, True]


def test_history_survives_a_checkpoint(tmp_path):
    first = Training(tmp_path, max_epochs=2)
    first.trainer.run()
    torch.save(first.curve.state_dict(), tmp_path / "state.pt")

    second = Training(tmp_path)
    second.curve.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    second.trainer.state.epoch, second.trainer.state.iteration = 2, 4
    second.trainer.run()
    table = pd.read_csv(tmp_path / "learning_curve.csv")
    assert table["epoch"].tolist() == [1, 2, 3, 4]
    pd.testing.assert_frame_equal(table[:2], first.curve.history(), check_dtype=False)


def test_works_without_validation(tmp_path):
    training = Training(tmp_path)
    curve = LearningCurve(tmp_path / "alone")
    curve.attach(training.trainer)
    training.trainer.run()
    assert list(pd.read_csv(tmp_path / "alone" / "learning_curve.csv")) == [
        "epoch",
        "learning_rate",
        "train_loss",
    ]
    assert (tmp_path / "alone" / "learning_curve.png").exists()
