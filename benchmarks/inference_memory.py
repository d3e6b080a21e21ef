"""How much memory does inference need on a very large CT, and are its labels those of the plain way?

    pip install -e .[benchmarks]
    python benchmarks/inference_memory.py [--shape 512,512,600] [--plain_shape 320,320,160] [--ckpt_path model.pt]

The first volume, twice in one folder, goes through `monai.bundle run inferring` with its default settings, so that one
image is read ahead. Memory is the peak of the sum over all processes of the run, in which a page that several of them
share counts once (Linux only). On the second, smaller volume the same network output is turned into labels twice: as
the bundle does it, and by MONAI's `Invertd` of all 13 softmax channels followed by argmax. Without a checkpoint the
network has random weights: its labels are more ragged than real ones, so that the time is an upper bound.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import fire
import nibabel as nib
import numpy as np
import psutil
import torch
from monai.bundle import ConfigParser
from monai.transforms import Activationsd, AsDiscreted, Compose, Invertd

from custom_components.data.phantom import make_phantom

CONFIG = Path(__file__).resolve().parent.parent / "bundles" / "baseline_seg" / "configs" / "inference.yaml"


def write_ct(path: Path, shape: Sequence[int]) -> None:
    """Write a phantom blown up to `shape`, LPS, int16, 410 x 410 x 600 mm."""
    small = make_phantom(0, 0.5).image[::-1, ::-1]
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(shape, small.shape, strict=True)))
    x, y, z = 410 / shape[0], 410 / shape[1], 600 / shape[2]
    nib.save(nib.Nifti1Image(small[index], np.diag([-x, -y, z, 1])), path)


def _memory(process: psutil.Process) -> int:
    """Bytes that a process and its descendants hold, shared pages counted once."""
    held = 0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            held += one.memory_full_info().pss
    return held


def _config(folder: Path) -> ConfigParser:
    torch.manual_seed(0)
    parser = ConfigParser()
    parser.read_config(CONFIG)
    parser["dataset_dir"], parser["output_dir"] = str(folder / "in"), str(folder / "out")
    return parser


def bundle_run(folder: Path, ckpt_path: Path) -> tuple[float, float]:
    """Return seconds and peak GiB of the bundle's inference on the CTs in `folder`."""
    command = [sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", str(CONFIG)]
    command += ["--dataset_dir", str(folder / "in"), "--output_dir", str(folder / "out")]
    started, peak = time.perf_counter(), 0
    run = subprocess.Popen([*command, "--ckpt_path", str(ckpt_path)], stdout=subprocess.DEVNULL)
    process = psutil.Process(run.pid)
    while run.poll() is None:
        peak = max(peak, _memory(process))
        time.sleep(0.05)
    if run.returncode:
        raise SystemExit(f"error: inference ended with exit code {run.returncode}")
    return time.perf_counter() - started, peak / 2**30


def agreement(folder: Path, ckpt_path: Path) -> dict[str, float]:
    """Return the share of equal voxels, and the seconds of either way, on the CT in `folder`."""
    parser = _config(folder)
    parser["postprocessing#output_dir"] = None
    preprocessing = parser.get_parsed_content("preprocessing")
    item = preprocessing({"image": str(next((folder / "in").iterdir()))})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(ckpt_path, weights_only=True))
    with torch.no_grad():
        item["pred"] = network(item["image"][None].as_tensor())[0]
    plain = Compose(
        [
            Activationsd("pred", softmax=True),
            Invertd("pred", preprocessing, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
        ]
    )
    labels, seconds = {}, {}
    for name, way in (("ours", parser.get_parsed_content("postprocessing")), ("plain", plain)):
        started = time.perf_counter()
        labels[name] = way(dict(item))["pred"].as_tensor().to(torch.uint8)
        seconds[f"{name}_seconds"] = time.perf_counter() - started
    return {"equal_voxels": (labels["ours"] == labels["plain"]).double().mean().item(), **seconds}


def main(
    shape: Sequence[int] = (512, 512, 600),
    plain_shape: Sequence[int] = (320, 320, 160),
    ckpt_path: str | None = None,
) -> None:
    """Measure, print, and write `benchmarks/results/inference_memory.json`.

    Args:
        shape: of the volume whose memory is measured.
        plain_shape: of the volume on which both ways are compared.
        ckpt_path: weights of the bundle's network at the full grid; random if not given.
    """
    table: dict[str, object] = {
        "shape": list(shape),
        "plain_shape": list(plain_shape),
        "weights": ckpt_path or "random",
    }
    for name, size in (("large", shape), ("small", plain_shape)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "in").mkdir()
            write_ct(folder / "in" / "ct.nii.gz", size)
            weights = Path(ckpt_path) if ckpt_path else folder / "model.pt"
            if not ckpt_path:
                torch.save(_config(folder).get_parsed_content("network_def").state_dict(), weights)
            if name == "large":
                shutil.copy(folder / "in" / "ct.nii.gz", folder / "in" / "again.nii.gz")
                table["bundle_seconds"], table["peak_gib"] = bundle_run(folder, weights)
            else:
                table |= agreement(folder, weights)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "inference_memory.json").write_text(json.dumps(table, indent=2))
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    fire.Fire(main)
