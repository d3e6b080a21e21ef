import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanSquaredError, from_engine

from custom_components.data.seeded_dataset import SeededCacheDataset
from custom_components.handlers.training_state import BestWeights, ResumeError, SeedEpoch, TrainingState


def trainer_of(weight: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> Engine:
    def step(engine: Engine, batch: float) -> float:
        optimizer.zero_grad()
        loss = (weight * torch.rand(1) - batch).square().sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    return Engine(step)


def stop() -> None:
    raise KeyboardInterrupt


def run(
    path, epochs: int, resume: bool, data=(1.0, 2.0, 3.0), settings=None, features: int = 1, stop_at: int = 0
) -> tuple[Engine, torch.nn.Module]:
    torch.manual_seed(1)
    network = torch.nn.Linear(features, 1, bias=False)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: max(0.0, 1 - epoch / epochs))
    trainer = trainer_of(network.weight, optimizer)
    trainer.rates = []
    dataset = SeededCacheDataset([{}], torch.nn.Identity(), cache_num=0, progress=False)
    SeedEpoch(dataset, seed=3).attach(trainer)
    objects = {"network": network, "optimizer": optimizer, "schedule": schedule}
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: schedule.step())
    TrainingState(path, objects, resume=resume, settings=settings).attach(trainer)
    if stop_at:
        trainer.add_event_handler(Events.ITERATION_STARTED(once=stop_at), stop)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: trainer.rates.append(optimizer.param_groups[0]["lr"]))
    # MONAI's engines know their number of epochs and iterations before the run.
    trainer.state.max_epochs, trainer.state.epoch_length = epochs, len(data)
    trainer.run(data, max_epochs=epochs)
    return trainer, network


def test_resumed_training_ends_with_the_same_weights(tmp_path):
    _, whole = run(tmp_path / "whole.pt", epochs=5, resume=False)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts.pt", epochs=5, resume=False, stop_at=8)
    trainer, parts = run(tmp_path / "parts.pt", epochs=5, resume=True)
    assert trainer.state.epoch == 5
    assert torch.equal(whole.weight, parts.weight)


def test_more_epochs_go_on_with_the_longer_schedule(tmp_path):
    run(tmp_path / "last.pt", epochs=2, resume=False)
    trainer, _ = run(tmp_path / "last.pt", epochs=4, resume=True)
    assert trainer.rates == pytest.approx([0.1 * 2 / 4, 0.1 * 1 / 4])


def test_other_settings_are_refused(tmp_path):
    run(tmp_path / "last.pt", epochs=1, resume=False, settings={"learning_rate": 0.1, "roi_size": (8, 8)})
    with pytest.raises(ResumeError, match=r"last\.pt was saved with learning_rate 0\.1, this run has 0\.2"):
        run(tmp_path / "last.pt", epochs=2, resume=True, settings={"learning_rate": 0.2})
    run(tmp_path / "last.pt", epochs=2, resume=True, settings={"learning_rate": 0.1, "roi_size": [8, 8]})


def test_state_of_another_network_and_a_damaged_one_are_refused_in_one_line(tmp_path):
    run(tmp_path / "last.pt", epochs=1, resume=False)
    with pytest.raises(ResumeError, match=r"last\.pt does not fit this configuration: .*size mismatch") as caught:
        run(tmp_path / "last.pt", epochs=2, resume=True, features=2)
    assert "\n" not in str(caught.value)
    whole = (tmp_path / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ResumeError, match=r"last\.pt cannot be read") as caught:
        run(tmp_path / "last.pt", epochs=2, resume=True)
    assert "\n" not in str(caught.value)


def test_finished_training_has_nothing_left_to_do(tmp_path):
    _, first = run(tmp_path / "last.pt", epochs=2, resume=False)
    trainer, second = run(tmp_path / "last.pt", epochs=2, resume=True)
    assert trainer.state.iteration == 6
    assert torch.equal(first.weight, second.weight)


def test_nothing_to_resume_starts_from_the_beginning_and_says_so(tmp_path, caplog):
    trainer, _ = run(tmp_path / "last.pt", epochs=1, resume=True)
    assert trainer.state.epoch == 1
    assert "nothing to resume" in caplog.text


def test_other_number_of_cases_is_refused(tmp_path):
    run(tmp_path / "last.pt", epochs=1, resume=False)
    with pytest.raises(ValueError, match="saved with 3 iterations an epoch, this run has 2"):
        run(tmp_path / "last.pt", epochs=2, resume=True, data=(1.0, 2.0))


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


def test_state_is_on_disk_before_the_next_epoch_starts(tmp_path):
    seen = []
    network = torch.nn.Linear(1, 1)
    trainer = Engine(lambda engine, batch: None)
    trainer.state.max_epochs, trainer.state.epoch_length = 2, 1
    TrainingState(tmp_path / "last.pt", {"network": network}).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: seen.append((tmp_path / "last.pt").exists()))
    trainer.run([0], max_epochs=2)
    assert seen == [False, True]
