"""How many montages a second does the discriminator train on and score, and where does the time go?

    python benchmarks/discriminator_speed.py [--cases 24] [--seconds 10]

Volumes in the paper's grid (168 x 168 x 64), weights at random. "Preprocessed" means that CT and segmentation lie in
memory on the grid. The last table is the whole way of the inference, from NIfTI files to `qa_scores.csv`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch

from custom_components.data.montage_png import write_montage_png
from custom_components.data.phantom import make_phantom
from custom_components.inferers import AutocastInferer, cpu_is_fast_in_bfloat16
from custom_components.networks import QADiscriminator
from custom_components.preprocessing import qa_augmentation, qa_corruption, qa_montage, qa_preprocessing
from custom_components.transforms.montage import montage

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "bundles" / "qa_discriminator" / "configs" / "inference.yaml"
MODES = {"organ_missing": 1, "leaked": 1, "shrunken": 1, "fragments": 1, "shifted": 1, "cut_off": 1}


def rate(function: Callable[[], Any], seconds: float, each: int = 1) -> str:
    """How often a second, of `each` things at once, and the most memory that the process has meanwhile."""
    function()
    Path("/proc/self/clear_refs").write_text("5")  # Linux: sets the peak to what is in use now
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        function()
        count += each
    took = time.perf_counter() - start
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20
    return f"{count / took:7.1f} a second, process {peak:.2f} GiB"


def write_cases(folder: Path, count: int) -> list[dict[str, str]]:
    cases = []
    for number in range(count):
        phantom = make_phantom((0, number % 4), 0.3, grid="paper")
        for name, volume in (("images", phantom.image), ("labels", phantom.label)):
            (folder / name).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(volume, phantom.affine), folder / name / f"case_{number:03d}.nii.gz")
        paths = {key: str(folder / name / f"case_{number:03d}.nii.gz") for key, name in
                 (("image", "images"), ("segmentation", "labels"), ("truth", "labels"))}  # fmt: skip
        cases.append({"case_id": f"case_{number:03d}", **paths})
    return cases


def training(seconds: float, item: dict[str, Any], case: dict[str, str]) -> None:
    network = QADiscriminator()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    montages, codes = torch.rand(16, 3, 256, 256), torch.rand(16, 1)
    for name, bfloat16 in (("float32", False), ("bfloat16", True)):
        inferer = AutocastInferer(cpu_bfloat16=bfloat16)

        def step(inferer: AutocastInferer = inferer) -> None:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(inferer(montages, network), codes).backward()
            optimizer.step()

        print(f"training step, batch of 16 montages, {name:9}:          {rate(step, seconds, 16)}")
    corruption = qa_corruption([case], qa_preprocessing(), prob=0.2, modes=MODES)
    augment = qa_augmentation(corruption=corruption)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    print(f"augmented montage of preprocessed volumes, one worker: {rate(lambda: augment(item), seconds)}")
    torch.set_num_threads(threads)


def scoring(seconds: float, item: dict[str, Any], folder: Path) -> None:
    network, inferer = QADiscriminator().eval(), AutocastInferer()
    image, labels = (item[key].as_tensor()[None] for key in ("image", "segmentation"))

    def score() -> None:
        with torch.no_grad():
            inferer(montage(image, labels, size=(256, 256)), network)

    def draw() -> None:
        write_montage_png(folder / "a.png", montage(image, labels)[0], case_id="a")

    print(f"score of preprocessed volumes, one at a time:          {rate(score, seconds)}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print(f"PNG of preprocessed volumes at full size, one process: {rate(draw, seconds)}")
    torch.set_num_threads(threads)


def whole_way(cases: list[dict[str, str]], folder: Path) -> None:
    steps: dict[str, float] = {}
    torch.set_num_threads(1)
    for case in cases[:4]:
        data: Any = {key: case[key] for key in ("case_id", "image", "segmentation")}
        for transform in (*qa_preprocessing().transforms, *qa_montage(png_dir=folder).transforms):
            start = time.perf_counter()
            data = transform(data)
            name = type(transform).__name__
            steps[name] = steps.get(name, 0.0) + (time.perf_counter() - start) / 4
    print("\nin a worker, ms a case:")
    for name, took in sorted(steps.items(), key=lambda pair: -pair[1]):
        if took > 0.001:
            print(f"  {name:24} {1000 * took:6.0f}")
    network = QADiscriminator()
    torch.save(network.state_dict(), folder / "model.pt")
    command = [
        sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", str(CONFIG),
        "--dataset_dir", str(folder / "images"), "--segmentation_dir", str(folder / "labels"),
        "--ckpt_path", str(folder / "model.pt"), "--output_dir", str(folder / "out"),
    ]  # fmt: skip
    seconds = []
    for images in (4, len(cases)):  # the difference has no start of the program in it
        for case in cases[images:]:
            Path(case["image"]).rename(f"{case['image']}.later")
            Path(case["segmentation"]).rename(f"{case['segmentation']}.later")
        start = time.perf_counter()
        subprocess.run([*command, "--overwrite", "true"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
        for case in cases[images:]:
            for key in ("image", "segmentation"):
                Path(f"{case[key]}.later").rename(case[key])
    each = (seconds[1] - seconds[0]) / (len(cases) - 4)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"whole way of the inference: {1 / each:.1f} cases/s ({1000 * each:.0f} ms a case), start of the program "
          f"{seconds[0] - 4 * each:.1f} s, largest process {peak:.2f} GiB")  # fmt: skip


def main(cases: int = 24, seconds: float = 10.0) -> None:
    """Print the rates."""
    print(json.dumps({"threads": torch.get_num_threads(), "fast bfloat16": cpu_is_fast_in_bfloat16()}))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = write_cases(folder, cases)
        item = qa_preprocessing()(listed[0])
        item["code"] = 0.0
        assert np.isfinite(item["image"]).all()
        training(seconds, item, listed[0])
        scoring(seconds, item, folder)
        whole_way(listed, folder)


if __name__ == "__main__":
    fire.Fire(main)
