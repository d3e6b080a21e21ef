import shutil
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser

import custom_components
from custom_components.bundle import load_weights, run_training
from custom_components.bundle_root import checked_root, find_bundle_root
from custom_components.handlers.training_state import ResumeError

ROOT = Path(custom_components.__file__).resolve().parents[1]
HERE = "baseline_seg"


def write_metadata(root: Path, content: bytes = b'{"name": "%b"}' % HERE.encode()) -> Path:
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "metadata.json").write_bytes(content)
    return root


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
    monkeypatch.chdir(write_metadata(tmp_path))
    assert find_bundle_root(HERE) == "."
    assert find_bundle_root("no_such_bundle") == "."
    assert find_bundle_root("no_such_bundle", "../no_such_bundle") == "../no_such_bundle"


@pytest.mark.parametrize(
    ("form", "folder"),
    [
        ("{}", "a bundle"),
        ("{}", "Doe, J"),
        ("{}", "it's [1]"),
        ("--config_file={}", "Doe, J"),
        ("{},other.yaml", "a bundle"),
        ("['{}','other.yaml']", "Doe, J"),
        ('("{}", "other.yaml")', "it's [1]"),
    ],
)
def test_the_bundle_of_the_configuration_that_runs_wins(
    form: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = write_metadata(tmp_path / folder)
    monkeypatch.chdir(ROOT)
    config = form.format(root / "configs" / "train.yaml")
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", config, "--datalist", str(tmp_path / "dataset.json")])
    assert find_bundle_root(HERE) == str(root)
    assert find_bundle_root("qa_semi_seg") == "bundles/qa_semi_seg"


@pytest.mark.parametrize(
    ("cwd", "config", "found"), [("configs", "train.yaml", ".."), (".", "configs/train.yaml", ".")]
)
def test_a_configuration_may_be_named_from_inside_its_bundle(
    cwd: str, config: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = write_metadata(tmp_path)
    monkeypatch.chdir(root / cwd)
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "--config_file", config])
    assert find_bundle_root(HERE) == found


@pytest.mark.parametrize("content", [b"", b'{"name": ', b"\xff\xfe"])
def test_damaged_metadata_is_told_in_one_line(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    metadata = write_metadata(tmp_path, content) / "configs" / "metadata.json"
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", "--config_file", str(tmp_path / "configs" / "train.yaml")])
    with pytest.raises(SystemExit, match=rf"^error: {metadata} is no JSON, expected the metadata of a bundle: .+$"):
        find_bundle_root(HERE)


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
        raise ResumeError("training_state.pt was saved with seed 1, this run has 2")

    def broken(engine: Engine, batch: object) -> None:
        raise ValueError("a defect")

    for step, expected in ((refuse, SystemExit), (broken, ValueError)):
        trainer = Engine(step)
        trainer.run = lambda trainer=trainer: Engine.run(trainer, [0], max_epochs=1)  # as MONAI's trainers
        with pytest.raises(expected, match=r"training_state\.pt was saved|a defect"):
            run_training(trainer)


def test_a_bundle_that_carries_another_package_is_refused(tmp_path: Path):
    package = Path(custom_components.__file__).parent
    assert checked_root(tmp_path) == str(tmp_path)  # it carries none
    shutil.copytree(package, tmp_path / "custom_components", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "custom_components" / "__pycache__").mkdir()
    (tmp_path / "custom_components" / "__pycache__" / "left.pyc").write_bytes(b"what Python leaves")
    assert checked_root(str(tmp_path)) == str(tmp_path)
    init = tmp_path / "custom_components" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{custom_components.__version__}"', '"9.0.0"'))
    wanted = rf"^error: {tmp_path} carries custom_components 9\.0\.0 \(\w{{12}}\), but {custom_components.__version__} "
    with pytest.raises(SystemExit, match=wanted):
        checked_root(tmp_path)


def test_a_handler_that_is_switched_off_leaves_the_list():
    config = ConfigParser({
        "off": {"_target_": "custom_components.handlers.progress.EpochProgress", "_disabled_": True},
        "on": {"_target_": "custom_components.handlers.progress.EpochProgress"},
        "handlers": [{"_target_": "custom_components.bundle.handler", "of": f"@{name}"} for name in ("off", "on")],
    })  # fmt: skip
    assert config.get_parsed_content("handlers") == [config.get_parsed_content("on")]
