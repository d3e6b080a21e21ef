"""Each bundle alone in a folder, in an environment with what its metadata names. Slow: makes that environment once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from bundle_runs import arguments
from packaged import NAMES, ROOT, bare_environment, environment_with, package, unzip, write_weights

from custom_components.data.phantom import write_cohort
from custom_components.data.qa_datalist import write_qa_datalist
from custom_components.data.qa_sources import QASource, joined_entries
from custom_components.data.simulated_codes import rate_cohort

pytestmark = pytest.mark.slow


def requirements(name: str) -> list[str]:
    metadata = json.loads((ROOT / "bundles" / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
    own = {
        key: metadata[f"{name}_version"] for key, name in (("monai", "monai"), ("torch", "pytorch"), ("numpy", "numpy"))
    }
    return [f"{key}=={version}" for key, version in {**own, **metadata["required_packages_version"]}.items()]


@pytest.fixture(scope="module")
def python() -> Path:
    assert requirements(NAMES[0]) == requirements(NAMES[1]) == requirements(NAMES[2])  # or each needs its own
    return environment_with("alone", *requirements(NAMES[0]))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, their true labels as segmentations, and codes of these."""
    folder = tmp_path_factory.mktemp("data")
    write_cohort(folder, training=2, validation=1, test=8, seed=0, workers=1)
    rate_cohort(folder / "truth", folder / "truth", folder / "codes.csv")
    source = QASource(codes=folder / "codes.csv", images=folder / "imagesTs", segmentations=folder / "truth")
    write_qa_datalist(folder / "qa_dataset.json", joined_entries([source]), validation=0.25, test=0.25)
    return folder


@pytest.fixture(scope="module")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zips")
    done = package(folder / "dist", write_weights(folder / "weights", *NAMES))
    assert done.returncode == 0, done.stderr
    return folder / "dist"


def run(python: Path, cwd: Path, *words: object) -> str:
    command = [str(python), *map(str, words)]
    done = subprocess.run(command, cwd=cwd, env=bare_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    print(f"{' '.join(map(str, words[:4]))} ... in {cwd.name}: {done.stdout.strip().splitlines()[-1:]}")  # shown by -s
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_each_bundle_trains_and_infers_alone(name: str, python: Path, zips: Path, data: Path, tmp_path: Path):
    root = unzip(zips, tmp_path, name) / name
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    segmentations = {"segmentation_dir": data / "truth"} if name == "qa_discriminator" else {}
    more = {
        "baseline_seg": {},
        "qa_discriminator": {"imagenet_weights": "none", "batch_size": 4},
        "qa_semi_seg": {"pseudo_section": "null", "baseline_path": root / "models" / "model.pt"},
    }[name]
    for number, (cwd, configs) in enumerate([(root, Path("configs")), (elsewhere, root / "configs")]):
        out = tmp_path / f"out{number}"
        words = arguments(
            "inferring", configs / "inference.yaml", dataset_dir=data / "imagesTs", output_dir=out / "results",
            num_workers=0, **segmentations,
        )  # fmt: skip
        run(python, cwd, "-m", "monai.bundle", *words)
        assert (out / "results" / ("qa_scores.csv" if segmentations else "summary.csv")).is_file()
        words = arguments(
            "training", configs / "train.yaml", dataset_dir=data, ckpt_dir=out / "models", output_dir=out / "curve",
            max_epochs=1, num_workers=0, **more,
        )  # fmt: skip
        run(python, cwd, "-m", "monai.bundle", *words)
        assert (out / "models" / "model.pt").is_file()
    assert list(elsewhere.iterdir()) == []


WORKFLOW = """
import torch
from monai.bundle import create_workflow, load

name, data = {name!r}, {data!r}
workflow = create_workflow(config_file="configs/inference.yaml", workflow_type="inference", dataset_dir=data,
                           output_dir="workflow", **{more!r})
assert workflow.check_properties() == []
workflow.run()
workflow.finalize()
weights = load(name, bundle_dir="..", source="github")
network = load(name, bundle_dir="..", source="github", model=workflow.network_def)
scripted, metadata, configs = load(name, bundle_dir="..", source="github", model_file="models/model.ts",
                                   load_ts_module=True, config_files=("inference.json",))
assert metadata["name"] == name and "inference.json" in configs
trained = torch.load("models/model.pt", weights_only=True)
assert all(torch.equal(trained[key], value) for key, value in network.state_dict().items())
assert all(torch.equal(trained[key], value) for key, value in weights.items())
print("workflow and load: done")
"""


@pytest.mark.parametrize("name", NAMES)
def test_workflows_and_load_work_on_each_bundle(name: str, python: Path, zips: Path, data: Path, tmp_path: Path):
    root = unzip(zips, tmp_path, name) / name
    more = {"num_workers": 0} | ({"segmentation_dir": str(data / "truth")} if name == "qa_discriminator" else {})
    script = WORKFLOW.format(name=name, data=str(data / "imagesTs"), more=more)
    assert run(python, root, "-c", script).strip().endswith("workflow and load: done")
    assert torch.load(root / "models" / "model.pt", weights_only=True)
