import pytest
import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanSquaredError, from_engine

from custom_components.handlers.best_weights import BestWeights


def evaluator_of(network: torch.nn.Module, handler: BestWeights) -> SupervisedEvaluator:
    metric = MeanSquaredError(output_transform=from_engine(["pred", "label"]))
    return SupervisedEvaluator(
        device="cpu",
        val_data_loader=[{"image": torch.ones(1, 1, 1), "label": torch.ones(1, 1, 1)}],
        network=network,
        key_val_metric={"error": metric},
        metric_cmp_fn=lambda now, before: now < before,
        val_handlers=[handler],
    )


def test_best_weights_are_those_of_the_best_epoch_also_after_a_resume(tmp_path):
    network = torch.nn.Linear(1, 1, bias=False)

    def validate(handler: BestWeights, evaluator: SupervisedEvaluator, epoch: int, weight: float) -> None:
        torch.nn.init.constant_(network.weight, weight)
        evaluator.run(epoch)

    best = BestWeights(network, tmp_path / "model.pt")
    evaluator = evaluator_of(network, best)
    for epoch, weight in enumerate((3.0, 1.5, 2.0), start=1):
        validate(best, evaluator, epoch, weight)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 1.5

    later = BestWeights(network, tmp_path / "model.pt")
    evaluator = evaluator_of(network, later)
    later.load_state_dict(best.state_dict())
    validate(later, evaluator, 4, 1.9)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 1.5
    validate(later, evaluator, 5, 1.1)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == pytest.approx(1.1)


def test_weights_of_an_earlier_training_are_kept_under_another_name(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pt")
    network = torch.nn.Linear(1, 1, bias=False)
    evaluator = evaluator_of(network, BestWeights(network, tmp_path / "model.pt"))
    for epoch, weight in enumerate((3.0, 1.5), start=1):
        torch.nn.init.constant_(network.weight, weight)
        evaluator.run(epoch)
    assert torch.load(tmp_path / "model.previous.pt", weights_only=True)["weight"].item() == 1.0
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].item() == 1.5


def test_a_run_that_goes_on_from_before_its_first_validation_keeps_the_earlier_weights(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pt")
    network = torch.nn.Linear(1, 1, bias=False)
    killed = BestWeights(network, tmp_path / "model.pt")
    evaluator_of(network, killed)
    later = BestWeights(network, tmp_path / "model.pt")
    evaluator = evaluator_of(network, later)
    later.load_state_dict(killed.state_dict())
    evaluator.run(1)
    assert torch.load(tmp_path / "model.previous.pt", weights_only=True)["weight"].item() == 1.0
    kept = (tmp_path / "model.previous.pt").read_bytes()

    third = BestWeights(network, tmp_path / "model.pt")
    evaluator = evaluator_of(network, third)
    third.load_state_dict(later.state_dict())
    torch.nn.init.constant_(network.weight, 1.0)
    evaluator.run(2)
    assert (tmp_path / "model.previous.pt").read_bytes() == kept


def test_weights_that_are_not_finite_are_never_kept(tmp_path):
    network = torch.nn.Linear(1, 1, bias=False)
    evaluator = evaluator_of(network, BestWeights(network, tmp_path / "model.pt"))
    torch.nn.init.constant_(network.weight, float("inf"))
    evaluator.run(1)
    assert not (tmp_path / "model.pt").exists()
