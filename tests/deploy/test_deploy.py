"""A packaged bundle in MONAI Deploy: the SDK's operator gives the labels that `inferring` gives.

It makes an environment with the SDK of its own, which takes minutes and 8 GB; DEPLOY_VENV names its folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from packaged import environment_with, package, unzip, write_weights

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "apps" / "monai_deploy"

pytestmark = pytest.mark.slow


def command(*words: object, cwd: Path = ROOT, path: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command; only what `path` says is on the way of its imports."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    words = tuple(map(str, words))
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800, check=False)


def succeed(*words: object, cwd: Path = ROOT) -> None:
    done = command(*words, cwd=cwd)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.fixture(scope="module")
def deploy_python() -> Path:
    """The interpreter of an environment with the SDK."""
    lines = (APP / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return environment_with("deploy", *(line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()))


class Case(NamedTuple):
    """The unzipped bundle, a CT, and what `inferring` makes of it."""

    bundle: Path
    image: Path
    expected: nib.Nifti1Image


@pytest.fixture(scope="module")
def case(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A packaged and unzipped bundle, and a phantom in another orientation than the network's.

    Its weights are random: their labels change from voxel to voxel, so that a small difference of the grid shows.
    """
    folder = tmp_path_factory.mktemp("deploy")
    done = package(folder / "dist", write_weights(folder / "weights", "baseline_seg"))
    assert done.returncode == 0, done.stderr
    unzip(folder / "dist", folder, "baseline_seg")
    (folder / "images").mkdir()
    image, phantom = folder / "images" / "turned.nii.gz", nib.load(next((cohort / "imagesTs").glob("*.nii.gz")))
    turned = nib.orientations.ornt_transform(nib.io_orientation(phantom.affine), nib.orientations.axcodes2ornt("SLP"))
    nib.save(phantom.as_reoriented(turned), image)
    succeed(
        sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", "configs/inference.yaml",
        "--dataset_dir", image.parent, "--output_dir", folder / "out", cwd=folder / "baseline_seg",
    )  # fmt: skip
    return Case(folder / "baseline_seg", image, nib.load(folder / "out" / "turned" / "turned_seg.nii.gz"))


@pytest.fixture
def app(deploy_python: Path, case: Case, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Run the app on the case; results go to the test's folder."""

    def run(model: Path, path: Path | None = None) -> subprocess.CompletedProcess:
        words = (deploy_python, APP / "app.py", "--model", model, "--input", case.image, "--output", tmp_path)
        return command(*words, cwd=tmp_path, path=path)

    return run


@pytest.mark.parametrize("form", ["TorchScript with its configuration in it", "folder"])
def test_the_operator_gives_the_labels_of_inferring(form: str, app: Callable, case: Case, tmp_path: Path):
    done = app(case.bundle) if form == "folder" else app(case.bundle / "models" / "model.ts", path=case.bundle)
    assert done.returncode == 0, done.stderr[-2000:]
    found = nib.load(tmp_path / "turned_seg.nii.gz")
    assert nib.aff2axcodes(found.affine) == ("S", "L", "P")
    assert np.allclose(found.affine, nib.load(case.image).affine)
    assert found.shape == case.expected.shape
    assert found.get_data_dtype() == np.uint8
    ours, theirs = np.asarray(case.expected.dataobj), np.asarray(found.dataobj)
    labels = np.unique(ours)
    assert len(labels) > 5
    for label in labels:
        a, b = ours == label, theirs == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= 0.999, label


def test_a_torchscript_alone_lacks_the_package(app: Callable, case: Case, tmp_path: Path):
    done = app(case.bundle / "models" / "model.ts")
    assert done.returncode != 0
    assert "ModuleNotFoundError" in done.stderr
    assert "custom_components" in done.stderr
    assert not list(tmp_path.glob("*.nii.gz"))


def test_a_renamed_torchscript_loses_its_configuration(app: Callable, case: Case, tmp_path: Path):
    (tmp_path / "other.ts").write_bytes((case.bundle / "models" / "model.ts").read_bytes())
    done = app(tmp_path / "other.ts", path=case.bundle)
    assert done.returncode != 0
    assert "Sizes of tensors must match" in done.stderr  # the CT reached the network as it was
    assert not list(tmp_path.glob("*.nii.gz"))
