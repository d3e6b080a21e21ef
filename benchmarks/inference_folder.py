"""How long does a folder of CTs take from disk to disk, and how much memory, beside the Model Zoo's way and nnU-Net?

    pip install -e .[benchmarks]
    python benchmarks/inference_folder.py [--cases 40] [--rounds 5] [--ckpt_path model.pt] [--channels 32,64,128,256]

The CTs are phantoms in the form in which they come from hospitals: 512 x 512 pixels, 40 to 400 slices, any orientation.
Contestants are whole programs, started anew for each part of the folder: this project's `inferring` as it is by
default; the same network in a configuration put together as in the Model Zoo (`peers/zoo_inference.yaml`); the same
network in nnU-Net's predictor (`peers/nnunet_inference.py`). They take turns with the parts of the folder, so that each
of them does every CT once; then this project's does the whole folder at once. "Bound" is reading the file with nibabel,
the network alone, and writing the labels with nibabel, one after the other in one process that is running already.

Memory is that of all processes together, a page that several share counts once (Linux). Without `--ckpt_path` the
weights are random, and all contestants have ragged labels to write.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from measure import Programs, aim, link, report, wait
from monai.networks.nets import UNet

from custom_components.data.phantom import make_phantom
from custom_components.inferers import AutocastInferer

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "bundles" / "baseline_seg" / "configs" / "inference.yaml"
OURS, WHOLE, ZOO, NNUNET, BOUND = "ours", "ours, whole folder", "Model Zoo's way", "nnU-Net v2", "bound"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def write_cts(folder: Path, count: int) -> list[Path]:
    """Write CTs in raw form; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"case_{number:03d}.nii.gz" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.is_file():
            phantom = make_phantom((0, number), 0.3, grid="raw")
            nib.save(nib.Nifti1Image(phantom.image, phantom.affine), path)
    return paths


def command(name: str, folder: Path, out: Path, weights: Path, channels: Sequence[int]) -> list[str]:
    """What a user would type."""
    words = [str(number) for number in channels]
    if name == NNUNET:
        script = [sys.executable, str(HERE / "peers" / "nnunet_inference.py"), str(folder), str(out)]
        return [*script, "--ckpt_path", str(weights), "--channels", ",".join(words)]
    config, run = (HERE / "peers" / "zoo_inference.yaml", "run") if name == ZOO else (CONFIG, "inferring")
    return [
        sys.executable, "-m", "monai.bundle", "run", run, "--config_file", str(config), "--dataset_dir", str(folder),
        "--output_dir", str(out), "--ckpt_path", str(weights), "--channels", f"[{', '.join(words)}]",
    ]  # fmt: skip


def label_path(name: str, out: Path, case: str) -> Path:
    """Where a contestant writes the labels of a case."""
    return out / f"{case}.nii.gz" if name == NNUNET else out / case / f"{case}_seg.nii.gz"


def bound(path: Path, labels: Path, network: torch.nn.Module) -> float:
    """Seconds of reading, network and writing of one CT, and nothing else."""
    written = np.asarray(nib.load(labels).dataobj)
    image = torch.rand(1, 1, 168, 168, 64)
    started = time.perf_counter()
    volume = nib.load(path)
    np.asarray(volume.dataobj, np.float32)
    with torch.no_grad():
        AutocastInferer()(image.to(DEVICE), network)
    wait(DEVICE)
    with tempfile.TemporaryDirectory() as folder:
        nib.save(nib.Nifti1Image(written, volume.affine), Path(folder) / "labels.nii.gz")
    return time.perf_counter() - started


def dice(one: Path, other: Path) -> float:
    """Dice of all organs together, where both say the same organ."""
    a, b = (np.asarray(nib.load(path).dataobj) for path in (one, other))
    return float(2 * ((a == b) & (a > 0)).sum() / max(1, (a > 0).sum() + (b > 0).sum()))


class Race(Programs):
    """The contestants on the parts of a folder."""

    def __init__(self, work: Path, cts: Sequence[Path], weights: Path, channels: Sequence[int]) -> None:
        super().__init__()
        self.work, self.cts, self.weights, self.channels = work, cts, weights, channels

    def out(self, name: str) -> Path:
        """Where the labels of a contestant are."""
        return self.work / "out" / name.replace(" ", "_")

    def segment(self, name: str, cts: Sequence[Path], *, counts: bool = True) -> None:
        """Let a contestant segment some CTs."""
        part = link(cts, self.work / "part")
        self.run(name, command(name, part, self.out(name), self.weights, self.channels), len(cts), counts=counts)


def main(
    cases: int = 40,
    rounds: int = 5,
    ckpt_path: str | None = None,
    channels: Sequence[int] = (32, 64, 128, 256),
    folder: str | None = None,
    peers: Sequence[str] = (ZOO, NNUNET),
) -> None:
    """Run the contestants and write the table; see the head of the file.

    Args:
        cases: CTs in the folder.
        rounds: parts of it.
        ckpt_path: weights of the bundle's network at the full grid.
        channels: of that network.
        folder: for CTs and results, so that they are kept; by default one that is deleted at the end.
        peers: who takes part beside this project.
    """
    place = Path(folder) if folder else Path(tempfile.mkdtemp())
    try:
        torch.manual_seed(0)
        network = UNet(3, 1, 13, tuple(channels), (2, 2, 2), num_res_units=2).to(DEVICE).eval()
        weights = Path(ckpt_path) if ckpt_path else place / "model.pt"
        place.mkdir(parents=True, exist_ok=True)
        if not ckpt_path:
            torch.save(network.state_dict(), weights)
        network.load_state_dict(torch.load(weights, weights_only=True))
        shutil.rmtree(place / "out", ignore_errors=True)
        race = Race(place, write_cts(place / "cts", cases), weights, channels)
        names = [OURS, *peers]
        for name in names:
            race.segment(name, race.cts[:1], counts=False)  # so that all programs are in the system's memory
        shutil.rmtree(place / "out")
        for part in range(rounds):
            for name in names:
                race.segment(name, race.cts[part::rounds])
        race.segment(WHOLE, race.cts)
        print_report(race, network, ckpt_path)
    finally:
        if not folder:
            shutil.rmtree(place)


def print_report(race: Race, network: torch.nn.Module, ckpt_path: str | None) -> dict[str, Any]:
    """Compare times, memory and labels."""
    ours = {path.name: label_path(OURS, race.out(OURS), path.name.removesuffix(".nii.gz")) for path in race.cts}
    race.seconds[BOUND] = [bound(path, ours[path.name], network) for path in race.cts]
    middle = {name: statistics.median(values) for name, values in race.seconds.items()}
    aims = [
        aim("the whole folder, to the bound of a CT", middle[WHOLE] / statistics.mean(race.seconds[BOUND]), at_most=1.5)
    ]
    agreement = {}
    for name in (ZOO, NNUNET):
        if name in middle:
            found = [
                dice(path, label_path(name, race.out(name), ct.removesuffix(".nii.gz"))) for ct, path in ours.items()
            ]
            agreement[name] = {"median_dice": statistics.median(found), "lowest_dice": min(found)}
            aims.append(aim(f"{name} to ours, time", middle[name] / middle[OURS], at_least=5 if name == ZOO else 2))
    if ZOO in middle:
        aims.append(
            aim(
                "memory, ours to the Model Zoo's way",
                race.peaks[OURS]["peak_mib"] / race.peaks[ZOO]["peak_mib"],
                at_most=0.333,
            )
        )
        aims.append(aim("lowest Dice with the Model Zoo's way", agreement[ZOO]["lowest_dice"], at_least=0.999))
    slices = [nib.load(path).shape[2] for path in race.cts]
    return report(
        "inference_folder_cuda" if DEVICE == "cuda" else "inference_folder",
        f"a folder of {len(race.cts)} raw CTs, {min(slices)} to {max(slices)} slices, seconds a CT",
        reference=BOUND,
        seconds=race.seconds,
        peaks=race.peaks,
        aims=aims,
        device=DEVICE,
        agreement=agreement,
        weights="random" if ckpt_path is None else "trained",
        channels=list(race.channels),
    )


if __name__ == "__main__":
    fire.Fire(main)
