"""The packages: what is in them, that they are the same each time, and that they work from anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import torch
from body_part_volumes import write_regressor
from bundle_runs import arguments, parsed
from packaged import NAMES, NUMBERS, ROOT, bare_environment, numbers_of, package, unzip, write_weights

from custom_components import __version__
from custom_components.body_part.body_part_crop import BodyPartCrop


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_weights(tmp_path_factory.mktemp("weights"), "baseline_seg", "qa_discriminator")
    write_regressor(folder / "baseline_seg" / "models" / "body_part.pt")
    return folder


@pytest.fixture(scope="module")
def packages(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    done = package(folder, weights)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(folder / f"{name}_v{__version__}.zip") for name in NAMES]
    assert lines[2].endswith("WITHOUT WEIGHTS")
    assert (
        "with pixdim [5.25, 5.25, 12.0], roi_size [64, 64, 32], channels [4, 8, 16, 32], body_part_path None"
        in lines[0]
    )
    return folder


def test_packages_hold_all_that_a_bundle_needs(packages: Path, weights: Path):
    sources = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / "custom_components").rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}  # fmt: skip
    for name in NAMES:
        with zipfile.ZipFile(packages / f"{name}_v{__version__}.zip") as archive:
            files = {one.removeprefix(f"{name}/"): archive.read(one) for one in archive.namelist()}
        assert {one: data for one, data in files.items() if one.startswith("custom_components/")} == sources
        assert {"LICENSE", "configs/metadata.json", "configs/inference.yaml", "configs/train.yaml", "docs/README.md",
                "models/body_part.pt"} <= files.keys()  # fmt: skip
        assert files["models/body_part.pt"] == (weights / "baseline_seg" / "models" / "body_part.pt").read_bytes()
        has_weights = name != "qa_semi_seg"
        assert ("models/model.pt" in files) == ("models/model.ts" in files) == has_weights
        assert ("models/README.md" in files) != has_weights
        assert not [one for one in files if "__pycache__" in one or one.startswith("models/training_state")]


def test_configurations_have_the_numbers_of_the_weights(packages: Path, tmp_path: Path):
    unzip(packages, tmp_path)
    for name in NAMES:
        for file in ("train.yaml", "inference.yaml"):
            ours, packed = (parsed(folder / name / "configs" / file) for folder in (ROOT / "bundles", tmp_path))
            names = ("pixdim", "roi_size", "channels", "montage_size")
            changed = {key: value for key, value in numbers_of(name).items() if key in names}
            changed["body_part_path"] = None
            wanted = {key: value for key, value in changed.items() if key in ours.config and name != "qa_semi_seg"}
            assert packed.config == {**ours.config, **wanted}
    for name, size in (("baseline_seg", [64, 64, 32]), ("qa_discriminator", [128, 128])):
        metadata = json.loads((tmp_path / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
        data = metadata["network_data_format"]
        assert data["inputs"]["image"]["spatial_shape"] == size
        assert data["outputs"]["pred"]["spatial_shape"] == (size if name == "baseline_seg" else [])


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")  # MONAI exports no other form
def test_torchscript_is_the_network_of_the_weights(packages: Path, tmp_path: Path):
    root = unzip(packages, tmp_path, "baseline_seg") / "baseline_seg"
    network = parsed(root / "configs" / "inference.yaml").get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(root / "models" / "model.pt", weights_only=True))
    extra = {"metadata.json": "", "inference.json": ""}
    scripted = torch.jit.load(str(root / "models" / "model.ts"), _extra_files=extra)
    with zipfile.ZipFile(root / "models" / "model.ts") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert [name for name, data in files.items() if b"site-packages" in data or str(tmp_path).encode() in data] == []
    image = torch.rand(1, 1, 64, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(scripted(image), network(image))
    assert json.loads(extra["metadata.json"])["name"] == "baseline_seg"
    assert json.loads(extra["inference.json"])["roi_size"] == [64, 64, 32]


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(packages: Path, weights: Path, tmp_path: Path):
    done = package(tmp_path, weights, PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    for path in sorted(packages.iterdir()):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_a_package_works_from_anywhere(packages: Path, cohort: Path, tmp_path: Path):
    root = unzip(packages, tmp_path / "bundles", "baseline_seg") / "baseline_seg"
    (tmp_path / "elsewhere").mkdir()
    labels = {}
    for name, cwd, config in [("own", root, Path("configs/inference.yaml")),
                              ("elsewhere", tmp_path / "elsewhere", root / "configs" / "inference.yaml")]:  # fmt: skip
        words = arguments(
            "inferring", config, dataset_dir=cohort / "imagesTs", output_dir=tmp_path / f"{name}_out", num_workers=0
        )
        command = [sys.executable, "-m", "monai.bundle", *words]
        done = subprocess.run(command, cwd=cwd, env=bare_environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        table = pd.read_csv(tmp_path / f"{name}_out" / "summary.csv")
        assert set(table["status"]) == {"ok"}
        labels[name] = table.drop(columns="seconds")
    pd.testing.assert_frame_equal(*labels.values())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_cannot_be_packaged_is_one_line(weights: Path, tmp_path: Path):
    done = package(tmp_path / "out", tmp_path / "absent")
    assert done.stderr == f"error: {tmp_path / 'absent'}: no such folder, expected <bundle>/models/model.pt in it\n"
    folder = write_weights(tmp_path / "cropped", "baseline_seg")
    state = folder / "baseline_seg" / "models" / "training_state.pt"
    crop = BodyPartCrop(str(weights / "baseline_seg" / "models" / "body_part.pt"))
    torch.save({"settings": {**NUMBERS, "body_part": str(crop)}}, state)
    done = package(tmp_path / "out", folder)
    assert done.returncode == 1
    wanted = "trained with a crop to the abdomen, expected baseline_seg/models/body_part.pt"
    assert done.stderr == f"error: {state}: {wanted}\n"
    state.write_bytes(state.read_bytes()[:200])
    done = package(tmp_path / "out", folder)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {state} cannot be read, expected the state of a training: ")
    assert done.stderr.count("\n") == 1
    state.unlink()
    done = package(tmp_path / "out", folder)  # of a smaller network than the configurations have it then
    assert done.returncode == 1
    made = f"weights of {state.with_name('model.pt')}, numbers as in the repository: no training_state.pt beside it"
    assert done.stderr.startswith(f"error: {made}: the network cannot be written as TorchScript: size mismatch for ")
    assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out").glob("*.zip"))
