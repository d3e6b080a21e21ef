import pytest
import torch
from ignite.engine import Engine, Events

from custom_components.data.seeded_dataset import SeededCacheDataset
from custom_components.handlers.seed_epoch import SeedEpoch
from custom_components.handlers.stop_on_nonfinite import NonFiniteError
from custom_components.handlers.training_state import ResumeError, TrainingState


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
    run(tmp_path / "training_state.pt", epochs=2, resume=False)
    trainer, _ = run(tmp_path / "training_state.pt", epochs=4, resume=True)
    assert trainer.rates == pytest.approx([0.1 * 2 / 4, 0.1 * 1 / 4])


def test_other_settings_are_refused(tmp_path):
    run(tmp_path / "training_state.pt", epochs=1, resume=False, settings={"learning_rate": 0.1, "roi_size": (8, 8)})
    with pytest.raises(ResumeError, match=r"training_state\.pt was saved with learning_rate 0\.1, this run has 0\.2"):
        run(tmp_path / "training_state.pt", epochs=2, resume=True, settings={"learning_rate": 0.2})
    run(tmp_path / "training_state.pt", epochs=2, resume=True, settings={"learning_rate": 0.1, "roi_size": [8, 8]})


def test_a_setting_may_be_a_text_of_the_command_line(tmp_path):
    run(tmp_path / "training_state.pt", epochs=1, resume=False, settings={"floor": None, "straight_through": False})
    run(tmp_path / "training_state.pt", epochs=2, resume=True, settings={"floor": "null", "straight_through": "False"})
    with pytest.raises(ResumeError, match=r"saved with straight_through False, this run has True"):
        run(tmp_path / "training_state.pt", epochs=3, resume=True, settings={"straight_through": "true"})


def test_state_of_another_network_and_a_damaged_one_are_refused_in_one_line(tmp_path):
    run(tmp_path / "training_state.pt", epochs=1, resume=False)
    with pytest.raises(
        ResumeError, match=r"training_state\.pt does not fit this configuration: .*size mismatch"
    ) as caught:
        run(tmp_path / "training_state.pt", epochs=2, resume=True, features=2)
    assert "\n" not in str(caught.value)
    whole = (tmp_path / "training_state.pt").read_bytes()
    (tmp_path / "training_state.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ResumeError, match=r"training_state\.pt cannot be read") as caught:
        run(tmp_path / "training_state.pt", epochs=2, resume=True)
    assert "\n" not in str(caught.value)


def test_finished_training_has_nothing_left_to_do(tmp_path):
    _, first = run(tmp_path / "training_state.pt", epochs=2, resume=False)
    trainer, second = run(tmp_path / "training_state.pt", epochs=2, resume=True)
    assert trainer.state.iteration == 6
    assert torch.equal(first.weight, second.weight)


def test_nothing_to_resume_starts_from_the_beginning_and_says_so(tmp_path, caplog):
    trainer, _ = run(tmp_path / "training_state.pt", epochs=1, resume=True)
    assert trainer.state.epoch == 1
    assert "nothing to resume" in caplog.text


def test_other_number_of_cases_is_refused(tmp_path):
    run(tmp_path / "training_state.pt", epochs=1, resume=False)
    with pytest.raises(ValueError, match="saved with 3 iterations an epoch, this run has 2"):
        run(tmp_path / "training_state.pt", epochs=2, resume=True, data=(1.0, 2.0))


@pytest.mark.parametrize("data", [(1.0, 2.0), (1.0, 2.0, 3.0)], ids=["fewer iterations", "as many iterations"])
def test_other_number_of_processes_is_refused(tmp_path, data):
    path = tmp_path / "training_state.pt"
    run(path, epochs=1, resume=False)
    torch.save({**torch.load(path, weights_only=True), "processes": 2}, path)
    with pytest.raises(ResumeError, match=r"saved by 2 processes, this run has 1: resume with as many"):
        run(path, epochs=2, resume=True, data=data)


def test_a_state_without_a_number_of_processes_is_of_any(tmp_path):
    path = tmp_path / "training_state.pt"
    run(path, epochs=1, resume=False)
    state = torch.load(path, weights_only=True)
    assert state.pop("processes") == 1
    torch.save(state, path)
    trainer, _ = run(path, epochs=2, resume=True)
    assert trainer.state.epoch == 2


def test_state_is_on_disk_before_the_next_epoch_starts(tmp_path):
    seen = []
    network = torch.nn.Linear(1, 1)
    trainer = Engine(lambda engine, batch: None)
    trainer.state.max_epochs, trainer.state.epoch_length = 2, 1
    TrainingState(tmp_path / "training_state.pt", {"network": network}).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda: seen.append((tmp_path / "training_state.pt").exists()))
    trainer.run([0], max_epochs=2)
    assert seen == [False, True]


def test_weights_that_are_not_finite_never_replace_the_last_good_state(tmp_path):
    network = torch.nn.Linear(1, 1)

    def step(engine: Engine, batch: float) -> None:
        torch.nn.init.constant_(network.weight, batch)

    trainer = Engine(step)
    trainer.state.max_epochs, trainer.state.epoch_length = 1, 1
    TrainingState(tmp_path / "training_state.pt", {"network": network}).attach(trainer)
    trainer.run([2.0], max_epochs=1)
    with pytest.raises(NonFiniteError, match="network holds weights that are NaN or infinite after epoch 2"):
        trainer.run([float("nan")], max_epochs=2)
    assert torch.load(tmp_path / "training_state.pt", weights_only=True)["network"]["weight"].item() == 2.0


def test_a_new_training_keeps_the_state_of_the_one_before(tmp_path):
    run(tmp_path / "training_state.pt", epochs=2, resume=False)
    run(tmp_path / "training_state.pt", epochs=1, resume=False)
    iterations = [torch.load(tmp_path / name, weights_only=True)["trainer"]["iteration"] for name in
                  ("training_state.previous.pt", "training_state.pt")]  # fmt: skip
    assert iterations == [6, 3]
