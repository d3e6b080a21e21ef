"""Package the three bundles, each as a zip that is complete by itself.

    python ci/package_bundles.py [--output dist] [--weights FOLDER]

FOLDER holds <bundle>/models/model.pt, as the quick start leaves them; without it weights are looked for in `bundles`
and then in `quickstart`. `<name>_v<version>.zip` holds the bundle's configurations, guides and licence, this package,
and its weights, also as TorchScript; without weights it says so. The same input gives the same bytes.

The configurations get the numbers that weights were trained with, as `training_state.pt` beside them has them: what
segments on another grid than it learned on segments badly.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import fire
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is packed is the package beside this script

import custom_components  # noqa: E402
from custom_components.body_part.body_part_crop import WEIGHTS as BODY_PART  # noqa: E402
from custom_components.body_part.body_part_crop import BodyPartCrop  # noqa: E402
from custom_components.bundle_root import package_files  # noqa: E402
from custom_components.data.conformal import interval_path  # noqa: E402
from custom_components.user_errors import exit_on_user_error  # noqa: E402

PACKAGE = Path(custom_components.__file__).resolve().parent
NAMES = ("baseline_seg", "qa_discriminator", "qa_semi_seg")
NUMBERS = ("pixdim", "roi_size", "hu_window", "channels", "montage_size", "view")
"""Settings of a training that its inference must share."""
STAMP = (1980, 1, 1, 0, 0, 0)
"""Time of all files: the earliest that a zip can hold."""


@exit_on_user_error
def package_bundles(output: str = "dist", weights: str | None = None) -> None:
    """Package the three bundles.

    Args:
        output: folder for the zips.
        weights: folder with `<bundle>/models/model.pt`; None: `bundles` or else `quickstart`.

    Raises:
        SystemExit: the bundles differ in version, weights are those of another network, the state of a training cannot
            be read, or the weights of the body-part regressor that others were trained with are not there; one line,
            and exit code 1.
    """
    folders = [Path(weights)] if weights else [ROOT / "bundles", ROOT / "quickstart"]
    if weights and not Path(weights).is_dir():
        raise ValueError(f"{weights}: no such folder, expected <bundle>/models/model.pt in it")
    version = _common_version()
    Path(output).mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        with tempfile.TemporaryDirectory() as work:
            staged = Path(work) / name
            note = _stage(name, staged, folders)
            path = Path(output) / f"{name}_v{version}.zip"
            _write_zip(staged, path)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {note}")


def _common_version() -> str:
    versions = {"custom_components": custom_components.__version__}
    for name in NAMES:
        metadata = json.loads((ROOT / "bundles" / name / "configs" / "metadata.json").read_text(encoding="utf-8"))
        versions[name] = metadata["version"]
    if len(set(versions.values())) > 1:
        raise ValueError(f"versions differ, expected one for all that is released together: {versions}")
    return custom_components.__version__


def _stage(name: str, staged: Path, folders: list[Path]) -> str:
    """Gather what a bundle holds, and say which weights it got."""
    source = ROOT / "bundles" / name
    for part in ("configs", "docs"):
        shutil.copytree(source / part, staged / part)
    shutil.copy2(source / "LICENSE", staged)
    for path in package_files(PACKAGE):
        target = staged / PACKAGE.name / path.relative_to(PACKAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    models = staged / "models"
    models.mkdir()
    body_part = _first(folders, f"baseline_seg/models/{BODY_PART}")
    if body_part:
        shutil.copy2(body_part, models)
    found = _first(folders, f"{name}/models/model.pt")
    if not found:
        (models / "README.md").write_text(
            "This bundle comes without weights: `python -m monai.bundle run training --config_file configs/train.yaml "
            "--dataset_dir DATA` makes them, see docs/README.md.\n"
        )
        return "WITHOUT WEIGHTS"
    shutil.copy2(found, models / "model.pt")
    if interval_path(found).is_file():
        shutil.copy2(interval_path(found), models)
    numbers = _set_numbers(staged, found.with_name("training_state.pt"), body_part)
    made = f"weights of {found}{numbers}"
    _export(staged, made)
    return made


def _first(folders: list[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _set_numbers(staged: Path, state: Path, body_part: Path | None) -> str:
    """Write the numbers of a training into the configurations; say which were others there, or that none are known."""
    if not state.is_file():
        return f", numbers as in the repository: no {state.name} beside it"
    settings = _settings_in(state)
    numbers = {key: settings[key] for key in NUMBERS if key in settings}
    if settings.get("body_part") is None:
        numbers["body_part_path"] = None
    else:
        _check_crop(settings["body_part"], staged, body_part, state)
    changed = {}
    for file in ("train.yaml", "inference.yaml"):
        changed |= _rewrite(staged / "configs" / file, numbers)
    shape = "montage_size" if staged.name == "qa_discriminator" else "roi_size"
    if shape in changed:
        _set_shapes(staged / "configs" / "metadata.json", settings[shape])
    return f", with {', '.join(f'{key} {value}' for key, value in changed.items())}" if changed else ""


def _settings_in(state: Path) -> dict[str, Any]:
    try:
        return torch.load(state, map_location="cpu", weights_only=True).get("settings", {})
    except (RuntimeError, UnpicklingError, EOFError, AttributeError) as error:
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"{state} cannot be read, expected the state of a training: {why}") from error


def _check_crop(text: str, staged: Path, body_part: Path | None, state: Path) -> None:
    if body_part is None:
        raise ValueError(f"{state}: trained with a crop to the abdomen, expected baseline_seg/models/{BODY_PART}")
    scores = yaml.safe_load((staged / "configs" / "inference.yaml").read_text())["body_part_scores"]
    ours = str(BodyPartCrop(str(body_part), scores))
    if ours.removesuffix(", repaired") != text.removesuffix(", repaired"):
        raise ValueError(f"{state}: trained with the crop {text!r}, but {body_part} makes it {ours!r}")


def _rewrite(config: Path, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Set top-level numbers of a configuration, and give those that were others; comments stay."""
    text, changed = config.read_text(encoding="utf-8"), {}
    before = yaml.safe_load(text)
    for key, value in numbers.items():
        if key in before and before[key] != value:
            text = re.sub(rf"(?m)^{key}: (\[[^\]]*\]|\$.*?(?=  #|$)|\S+)", f"{key}: {json.dumps(value)}", text)
            changed[key] = value
    if yaml.safe_load(text) != {**before, **changed}:
        raise ValueError(f"{config.name}: cannot set {', '.join(changed)} in it, expected each on a line of its own")
    config.write_text(text, encoding="utf-8")
    return changed


def _set_shapes(metadata: Path, size: list[int]) -> None:
    text = metadata.read_text(encoding="utf-8")
    text = re.sub(r'"spatial_shape": \[\d[^\]]*\]', f'"spatial_shape": {json.dumps(list(size))}', text)
    metadata.write_text(text, encoding="utf-8")


def _export(staged: Path, made: str) -> None:
    """Write the network as TorchScript, with metadata and the configuration of the inference in it."""
    command = [
        sys.executable, "-m", "monai.bundle", "ckpt_export", "network_def", "--filepath", "models/model.ts",
        "--ckpt_file", "models/model.pt", "--meta_file", "configs/metadata.json",
        "--config_file", "configs/inference.yaml",
    ]  # fmt: skip
    # the order in which TorchScript writes the attributes of a module is that of a set of texts
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=staged, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason is given"])[-1].strip()[:300]
        raise ValueError(f"{made}: the network cannot be written as TorchScript: {why}")
    _leave_out_paths(staged / "models" / "model.ts")


def _leave_out_paths(scripted: Path) -> None:
    """Rewrite a TorchScript without the paths of its source, and without a number that depends on them."""
    partial = scripted.with_suffix(".partial")
    with zipfile.ZipFile(scripted) as archive, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as rewritten:
        for entry in archive.infolist():
            if not entry.filename.endswith((".debug_pkl", "/.data/serialization_id")):
                rewritten.writestr(zipfile.ZipInfo(entry.filename, STAMP), archive.read(entry))
    partial.replace(scripted)


def _write_zip(staged: Path, path: Path) -> None:
    """Write a folder as a zip, whose bytes depend on names and contents alone; an earlier one stays until then."""
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in package_files(staged):
            entry = zipfile.ZipInfo(file.relative_to(staged.parent).as_posix(), STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # else it depends on the machine that makes it
            archive.writestr(entry, file.read_bytes())
    partial.replace(path)


if __name__ == "__main__":
    fire.Fire(package_bundles)
