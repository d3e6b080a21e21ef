from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

import custom_components
from custom_components.bundle import load_weights, run_training
from custom_components.bundle_root import find_bundle_root
from custom_components.handlers.training_state import ResumeError

ROOT = Path(custom_components.__file__).resolve().parents[1]
HERE = "baseline_seg"


@pytest.mark.parametrize(
    ("cwd", "found"),
    [
        (ROOT, f"bundles/{HERE}"),
        (ROOT / "bundles" / HERE, "."),
        (ROOT / "tests", str(ROOT / "bundles" / HERE)),
    ],
    ids=["repository", "bundle", "elsewhere"],
)
def test_bundle_is_found_from_anywhere(cwd: Path, found: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(cwd)
    assert find_bundle_root(HERE) == found


def test_an_unzipped_bundle_in_the_current_directory_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(f'{{"name": "{HERE}"}}')
    monkeypatch.chdir(tmp_path)
    assert find_bundle_root(HERE) == "."
    assert find_bundle_root("no_such_bundle") == "."
    assert find_bundle_root("no_such_bundle", "../no_such_bundle") == "../no_such_bundle"


def test_weights_are_loaded_or_their_lack_is_said_in_one_line(tmp_path: Path):
    network, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    torch.save(other.state_dict(), tmp_path / "model.pt")
    load_weights(network, tmp_path / "model.pt", "make it")
    assert torch.equal(network.weight, other.weight)

    with pytest.raises(SystemExit, match=r"^error: no weights at .*absent\.pt: make them with `make it`"):
        load_weights(network, tmp_path / "absent.pt", "make it")
    (tmp_path / "text.pt").write_text("no weights")
    torch.save(torch.nn.Linear(3, 1).state_dict(), tmp_path / "wide.pt")
    for name in ("text.pt", "wide.pt"):
        with pytest.raises(SystemExit, match=rf"{name} holds no weights of this network") as caught:
            load_weights(network, tmp_path / name, "make it")
        assert "\n" not in str(caught.value)


def test_a_training_that_cannot_resume_ends_with_one_line_and_a_defect_with_its_traceback():
    def refuse(engine: Engine, batch: object) -> None:
        raise ResumeError("last.pt was saved with seed 1, this run has 2")

    def broken(engine: Engine, batch: object) -> None:
        raise ValueError("a defect")

    for step, expected in ((refuse, SystemExit), (broken, ValueError)):
        trainer = Engine(step)
        trainer.run = lambda trainer=trainer: Engine.run(trainer, [0], max_epochs=1)  # as MONAI's trainers
        with pytest.raises(expected, match=r"last\.pt was saved|a defect"):
            run_training(trainer)
