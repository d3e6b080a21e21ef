"""Weights to package, packages, and environments to try them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from bundle_runs import parsed

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("baseline_seg", "qa_discriminator", "qa_semi_seg")
NUMBERS = {
    "pixdim": [5.25, 5.25, 12.0], "roi_size": [64, 64, 32], "hu_window": [-175.0, 275.0], "channels": [4, 8, 16, 32],
    "body_part": None,
}  # fmt: skip
"""Those of the phantom cohort, and a small network."""


def numbers_of(name: str) -> dict[str, object]:
    """Settings of the training that would have made the weights of a bundle."""
    if name == "qa_discriminator":
        return {key: value for key, value in NUMBERS.items() if key != "channels"} | {"montage_size": [128, 128]}
    return dict(NUMBERS)


def write_weights(folder: Path, *names: str) -> Path:
    """Write `<bundle>/models/model.pt` and the state of the training that would have made it."""
    for number, name in enumerate(names):
        torch.manual_seed(number)
        numbers = numbers_of(name)
        given = {"channels": NUMBERS["channels"]} if "channels" in numbers else {}
        network = parsed(ROOT / "bundles" / name / "configs" / "inference.yaml", **given).get_parsed_content(
            "network_def"
        )
        models = folder / name / "models"
        models.mkdir(parents=True)
        torch.save(network.state_dict(), models / "model.pt")
        torch.save({"settings": numbers}, models / "training_state.pt")
    return folder


def package(output: Path, weights: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "ci/package_bundles.py", "--output", str(output), "--weights", str(weights)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


def unzip(packages: Path, folder: Path, *names: str) -> Path:
    for path in sorted(packages.glob("*.zip")):
        if not names or path.name.startswith(names):
            zipfile.ZipFile(path).extractall(folder)
    return folder


def environment_with(name: str, *requirements: str) -> Path:
    """Give the python of an environment with these alone; made once, in `.venv-<name>` or the folder `<NAME>_VENV`."""
    folder = Path(os.environ.get(f"{name.upper()}_VENV", ROOT / f".venv-{name}"))
    stamp, wanted = folder / ".installed", json.dumps(requirements)
    python = folder / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *requirements], check=True)
        stamp.write_text(wanted)
    return python


def bare_environment() -> dict[str, str]:
    """What a user's shell has, without what these tests run in."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
