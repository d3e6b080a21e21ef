"""How long does it take to score a cohort that is on the network's grid, beside one case at a time?

    python benchmarks/scoring.py [--cases 500] [--rounds 5]

The cases are phantoms of 168 x 168 x 64, CT and segmentation as NIfTI. Whole programs take turns with the parts of the
cohort: `qa_discriminator` with its pictures for people, as it is by default; without them; without them and with the
preprocessed cases on disk (`--cache_dir`, filled before); and a loop over the cases as one would write it with MONAI
and torch (`peers/one_at_a_time.py`), which draws no pictures either. At the end the whole cohort is scored at once.
"""

from __future__ import annotations

import csv
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import fire
import nibabel as nib
import torch
from measure import Programs, aim, link, report

from custom_components.data.phantom import make_phantom
from custom_components.networks import QADiscriminator

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "bundles" / "qa_discriminator" / "configs" / "inference.yaml"
PICTURES, SCORES, CACHED, LOOP = "ours with pictures", "ours", "ours, cached on disk", "one at a time"
DISTINCT = 25


def write_cases(folder: Path, count: int) -> list[str]:
    """Write CTs and their labels; of many cases some are links to others."""
    names = [f"case_{number:03d}.nii.gz" for number in range(count)]
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        if number < DISTINCT:
            phantom = make_phantom((0, number), 0.3, grid="paper")
            for part, volume in (("images", phantom.image), ("labels", phantom.label)):
                nib.save(nib.Nifti1Image(volume, phantom.affine), folder / part / name)
        else:
            for part in ("images", "labels"):
                (folder / part / name).symlink_to(names[number % DISTINCT])
    return names


class Race(Programs):
    """The contestants on parts of the cohort."""

    def __init__(self, folder: Path, weights: Path) -> None:
        super().__init__()
        self.folder, self.weights = folder, weights

    def score(self, way: str, names: Sequence[str], *, called: str = "", counts: bool = True) -> dict[str, float]:
        """Let a contestant score some cases; give the scores."""
        parts = [link([self.folder / part / name for name in names], self.folder / f"some_{part}")
                 for part in ("images", "labels")]  # fmt: skip
        out = Path(tempfile.mkdtemp(dir=self.folder))
        if way == LOOP:
            table = out / "scores.csv"
            command = [sys.executable, str(HERE / "peers" / "one_at_a_time.py"), *map(str, parts), str(table)]
            command += ["--ckpt_path", str(self.weights)]
        else:
            table = out / "qa_scores.csv"
            command = [
                sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", str(CONFIG),
                "--dataset_dir", str(parts[0]), "--segmentation_dir", str(parts[1]), "--output_dir", str(out),
                "--ckpt_path", str(self.weights),
                *(["--png_dir", "null"] if way != PICTURES else []),
                *(["--cache_dir", str(self.folder / "cache")] if way == CACHED else []),
            ]  # fmt: skip
        self.run(called or way, command, len(names), counts=counts)
        with table.open(newline="") as file:
            return {row["case_id"]: float(row["score"]) for row in csv.DictReader(file)}


def main(cases: int = 500, rounds: int = 5) -> None:
    """Run the contestants and write the table; see the head of the file.

    Args:
        cases: of the cohort.
        rounds: its parts.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = write_cases(folder, cases)
        torch.manual_seed(0)
        weights = folder / "model.pt"
        torch.save(QADiscriminator().state_dict(), weights)
        race = Race(folder, weights)
        ways = (LOOP, PICTURES, SCORES, CACHED)
        for way in ways:
            race.score(way, names[:4], counts=False)
        differences = []
        for part in range(rounds):
            some = names[part::rounds]
            race.score(CACHED, some, counts=False)  # fills the cache
            found = {way: race.score(way, some) for way in ways}
            differences += [abs(found[LOOP][case] - found[SCORES][case]) for case in found[LOOP]]
        race.score(SCORES, names, called=f"{SCORES}, whole cohort")
    middle = {way: statistics.median(seconds) for way, seconds in race.seconds.items()}
    report(
        "scoring_cuda" if device == "cuda" else "scoring",
        f"scoring {cases} cases on the network's grid, seconds a case",
        reference=LOOP,
        seconds=race.seconds,
        peaks=race.peaks,
        aims=[
            aim(f"{LOOP} to {SCORES}", middle[LOOP] / middle[SCORES], at_least=5),
            aim(f"{LOOP} to {CACHED}", middle[LOOP] / middle[CACHED], at_least=5),
            aim("largest difference of a score", max(differences), at_most=0.01),
        ],
        device=device,
    )


if __name__ == "__main__":
    fire.Fire(main)
