"""How much memory does inference need on a very large CT, and are its labels those of the plain way?

    python benchmarks/inference_memory.py [--shape 512,512,600] [--plain_shape 320,320,160]

The first volume goes through `monai.bundle run inferring` in a process of its own, whose peak resident memory is read.
On the second, smaller one the same network output is turned into labels twice: as the bundle does it, and by MONAI's
`Invertd` of all 13 softmax channels followed by argmax. The network has random weights: its labels are more ragged than
real ones, so that the time is an upper bound.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import fire
import nibabel as nib
import numpy as np
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


def _config(folder: Path) -> ConfigParser:
    torch.manual_seed(0)
    parser = ConfigParser()
    parser.read_config(CONFIG)
    parser["dataset_dir"], parser["output_dir"] = str(folder / "in"), str(folder / "out")
    return parser


def bundle_run(folder: Path) -> tuple[float, float]:
    """Return seconds and peak resident GiB of the bundle's inference on the CT in `folder`."""
    torch.save(_config(folder).get_parsed_content("network_def").state_dict(), folder / "model.pt")
    command = [sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", str(CONFIG)]
    command += ["--dataset_dir", str(folder / "in"), "--output_dir", str(folder / "out"), "--num_workers", "0"]
    started = time.perf_counter()
    subprocess.run([*command, "--ckpt_path", str(folder / "model.pt")], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def agreement(folder: Path) -> dict[str, float]:
    """Return the share of equal voxels, and the seconds of either way, on the CT in `folder`."""
    parser = _config(folder)
    parser["postprocessing#output_dir"] = None
    preprocessing = parser.get_parsed_content("preprocessing")
    item = preprocessing({"image": str(next((folder / "in").iterdir()))})
    with torch.no_grad():
        item["pred"] = parser.get_parsed_content("network_def").eval()(item["image"][None].as_tensor())[0]
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


def main(shape: Sequence[int] = (512, 512, 600), plain_shape: Sequence[int] = (320, 320, 160)) -> None:
    """Measure, print, and write `benchmarks/results/inference_memory.json`."""
    table: dict[str, object] = {"shape": list(shape), "plain_shape": list(plain_shape)}
    for name, size in (("large", shape), ("small", plain_shape)):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "in").mkdir()
            write_ct(folder / "in" / "ct.nii.gz", size)
            if name == "large":
                table["bundle_seconds"], table["peak_gib"] = bundle_run(folder)
            else:
                table |= agreement(folder)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "inference_memory.json").write_text(json.dumps(table, indent=2))
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    fire.Fire(main)
