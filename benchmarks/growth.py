"""How do time and memory grow with the number of cases, and with the slices of one?

    python benchmarks/growth.py [--cases 10,100,1000] [--slices 100,300,600] [--rounds 5]

Inference (`baseline_seg`) and scoring (`qa_discriminator`, without pictures) of small phantoms, and inference of one CT
of 512 x 512 pixels, as whole programs. The slope is the time that one more case, or slice, takes between two sizes; if
the time were not linear, the slopes would differ. Memory is that of all processes together, a page that several share
counts once (Linux). The largest number of cases runs once, the others as often as asked.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np
import torch
from measure import Programs, aim, link, report
from monai.bundle import ConfigParser

from custom_components.data.phantom import make_phantom

BUNDLES = Path(__file__).resolve().parent.parent / "bundles"
DISTINCT = 10


def write_cases(folder: Path, count: int) -> list[Path]:
    """Write small CTs and their labels; of many cases some are links to others."""
    paths = []
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        name = f"case_{number:04d}.nii.gz"
        paths.append(folder / "images" / name)
        phantom = make_phantom((0, number), 0.3) if number < DISTINCT else None
        for part in ("images", "labels"):
            path = folder / part / name
            if phantom is None:
                path.symlink_to(f"case_{number % DISTINCT:04d}.nii.gz")
            else:
                voxels = phantom.image if part == "images" else phantom.label
                nib.save(nib.Nifti1Image(voxels, phantom.affine), path)
    return paths


def write_ct(path: Path, slices: int) -> Path:
    """Write a phantom blown up to 512 x 512 pixels, LPS, int16, 410 x 410 x 600 mm."""
    shape = (512, 512, slices)
    small = make_phantom(0, 0.5).image[::-1, ::-1]
    index = np.ix_(*(np.arange(n) * m // n for n, m in zip(shape, small.shape, strict=True)))
    affine = np.diag([-410 / 512, -410 / 512, 600 / slices, 1])
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(small[index], affine), path)
    return path


def write_weights(folder: Path, bundle: str, *overlays: str) -> Path:
    """Random weights of a bundle's network."""
    parser = ConfigParser()
    parser.read_config([str(BUNDLES / bundle / "configs" / f"{name}.yaml") for name in ("inference", *overlays)])
    torch.manual_seed(0)
    path = folder / f"{bundle}{'_'.join(overlays)}.pt"
    torch.save(parser.get_parsed_content("network_def").state_dict(), path)
    return path


def command(bundle: str, *overlays: str, **options: object) -> list[str]:
    """What a user would type."""
    files = [str(BUNDLES / bundle / "configs" / f"{name}.yaml") for name in ("inference", *overlays)]
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", str(files), *words]


def slopes(seconds: dict[int, float]) -> list[float]:
    """Seconds for one more, between two sizes."""
    return [(seconds[b] - seconds[a]) / (b - a) for a, b in pairwise(sorted(seconds))]


class Growth(Programs):
    """Programs at several sizes."""

    def __init__(self, folder: Path, cases: int) -> None:
        super().__init__()
        self.folder = folder
        self.cases = write_cases(folder / "cases", cases)
        self.weights = {
            "small": write_weights(folder, "baseline_seg", "phantom"),
            "large": write_weights(folder, "baseline_seg"),
            "judge": write_weights(folder, "qa_discriminator"),
        }

    def _some(self, part: str, count: int) -> Path:
        return link([self.folder / "cases" / part / one.name for one in self.cases[:count]], self.folder / part)

    def _out(self) -> str:
        return tempfile.mkdtemp(dir=self.folder)

    def inference(self, count: int) -> list[str]:
        """Segment small cases."""
        images = self._some("images", count)
        options = {"dataset_dir": images, "output_dir": self._out(), "ckpt_path": self.weights["small"]}
        return command("baseline_seg", "phantom", **options)

    def scoring(self, count: int) -> list[str]:
        """Score small cases."""
        folders = {"dataset_dir": self._some("images", count), "segmentation_dir": self._some("labels", count)}
        options = {"output_dir": self._out(), "ckpt_path": self.weights["judge"], "png_dir": "null"}
        return command("qa_discriminator", "phantom", **folders, **options)

    def one_ct(self, slices: int) -> list[str]:
        """Segment one CT."""
        path = self.folder / f"ct_{slices}" / "ct.nii.gz"
        if not path.is_file():
            write_ct(path, slices)
        options = {"dataset_dir": path.parent, "output_dir": self._out(), "ckpt_path": self.weights["large"]}
        return command("baseline_seg", **options)

    def measure(self, what: str, make: Callable[[int], list[str]], sizes: Sequence[int], rounds: int) -> dict[str, Any]:
        """Run each size some times, the largest number of cases once; give slopes and memory."""
        for turn in range(rounds):
            for size in sizes:
                if not turn or size <= 600:
                    self.run(f"{what}, {size}", make(size), 1)
        seconds = {size: statistics.median(self.seconds[f"{what}, {size}"]) for size in sizes}
        peaks = {size: self.peaks[f"{what}, {size}"]["peak_mib"] for size in sizes}
        steps, (least, most) = slopes(seconds), (min(sizes), max(sizes))
        return {
            "seconds_for_one_more": steps,
            "last_slope_to_first": steps[-1] / steps[0],
            "memory_of_most_to_fewest": peaks[most] / peaks[least],
            "mib_for_one_more": (peaks[most] - peaks[least]) / (most - least),
        }


def main(cases: Sequence[int] = (10, 100, 1000), slices: Sequence[int] = (100, 300, 600), rounds: int = 5) -> None:
    """Measure and write the table; see the head of the file.

    Args:
        cases: numbers of small cases.
        slices: of the one CT.
        rounds: runs of each size.
    """
    with tempfile.TemporaryDirectory() as place:
        growth = Growth(Path(place), max(cases))
        ways = {
            "inference, cases": (growth.inference, cases),
            "scoring, cases": (growth.scoring, cases),
            "inference, slices": (growth.one_ct, slices),
        }
        found = {what: growth.measure(what, make, sizes, rounds) for what, (make, sizes) in ways.items()}
    aims = [aim(f"{what}: last slope to the first", one["last_slope_to_first"], at_most=1.15)
            for what, one in found.items()]  # fmt: skip
    flat = "memory of the most to the fewest"
    aims += [aim(f"{what}: {flat}", found[what]["memory_of_most_to_fewest"], at_most=1.1) for what in list(ways)[:2]]
    report(
        "growth",
        f"growth with {', '.join(map(str, cases))} cases, and with {', '.join(map(str, slices))} slices",
        reference=f"inference, cases, {min(cases)}",
        seconds=growth.seconds,
        peaks=growth.peaks,
        aims=aims,
        growth=found,
    )


if __name__ == "__main__":
    fire.Fire(main)
