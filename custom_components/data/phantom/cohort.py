"""The phantom cohort: synthetic abdominal CTs with organ labels, written as NIfTI and `dataset.json`."""

from __future__ import annotations

import csv
import gzip
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from custom_components.anatomy import ORGANS
from custom_components.data.phantom.grid import Grid, RawForm, find_grid
from custom_components.data.phantom.scan import make_phantom
from custom_components.data.phantom.subject import draw_subject
from custom_components.data.phantom.variation import VARIATION
from custom_components.files import complete_file

SETTINGS_FILE = "phantom.json"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class _Split:
    short: str
    images: str
    labels: str
    labelled: bool
    code: int


_SPLITS = {
    "training": _Split("train", "imagesTr", "labelsTr", True, 0),
    "validation": _Split("val", "imagesTr", "labelsTr", True, 1),
    "unlabeled": _Split("unlabeled", "imagesTs", "truth", False, 2),
    "test": _Split("test", "imagesTs", "truth", False, 3),
}


@dataclass(frozen=True)
class _Case:
    split: str
    index: int
    seed: int
    shifts: tuple[float, float]
    grid: str | Grid | RawForm

    @property
    def case_id(self) -> str:
        return f"phantom_{_SPLITS[self.split].short}_{self.index:03d}"

    @property
    def image(self) -> str:
        return f"{_SPLITS[self.split].images}/{self.case_id}.nii.gz"

    @property
    def label(self) -> str:
        return f"{_SPLITS[self.split].labels}/{self.case_id}.nii.gz"

    @property
    def seeds(self) -> tuple[int, int, int]:
        return self.seed, _SPLITS[self.split].code, self.index

    @property
    def shift(self) -> float:
        return float(np.random.default_rng((*self.seeds, 1)).uniform(*self.shifts))


def write_cohort(
    output_dir: str | os.PathLike[str],
    *,
    training: int = 12,
    validation: int = 4,
    unlabeled: int = 0,
    test: int = 40,
    seed: int = 0,
    shift: float = 1.0,
    least_shift: float = 0.0,
    training_shift: float = 0.0,
    grid: str | Grid | RawForm = "small",
    workers: int | None = None,
) -> Path:
    """Write a phantom cohort and return the path of its `dataset.json`.

    Images go to `imagesTr` (training, validation) and `imagesTs` (unlabeled, test), labels to `labelsTr`.
    The truth of unlabeled and test cases goes to `truth`, which `dataset.json` does not list, together
    with `subjects.csv` (the parameters of every subject). The files depend on the arguments alone, not
    on the number of workers. Called again after an interruption, it keeps the cases that are finished.

    Args:
        output_dir: folder to write to, made if it is absent.
        training: number of labelled training cases.
        validation: number of labelled validation cases.
        unlabeled: number of cases without labels.
        test: number of test cases.
        seed: decides every case.
        shift: unlabeled and test cases draw their shift from `least_shift` to this.
        least_shift: see `shift`; above 0 the cohort has no easy cases.
        training_shift: training and validation cases draw their shift from 0 to this.
        grid: "small", "paper", "raw", "trunk", "long" or a grid.
        workers: processes; default one for each processor.

    Raises:
        ValueError: an argument is out of range, or the folder holds a cohort of other settings.
    """
    counts = {"training": training, "validation": validation, "unlabeled": unlabeled, "test": test}
    for name, count in {**counts, "seed": seed}.items():
        _check_count(name, count, least=0)
    if workers is not None:
        _check_count("workers", workers, least=1)
    limits = {"shift": shift, "least_shift": least_shift, "training_shift": training_shift}
    for name, limit in limits.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit <= 1:
            raise ValueError(f"{name} is {limit!r}, expected a number from 0 to 1")
    if least_shift > shift:
        raise ValueError(f"least_shift is {least_shift}, expected up to {shift}, the shift")
    find_grid(grid)
    root = Path(output_dir)
    _claim(root, {**counts, "seed": seed, **limits, "grid": grid if isinstance(grid, str) else repr(grid)})
    cases = [
        _Case(name, k, seed, (0.0, training_shift) if _SPLITS[name].labelled else (least_shift, shift), grid)
        for name, count in counts.items()
        for k in range(count)
    ]
    _write_cases(cases, root, workers or os.cpu_count() or 1)
    _write_subjects(cases, root / "truth" / "subjects.csv")
    dataset = root / "dataset.json"
    _write_bytes(dataset, json.dumps(_datalist(cases), indent=2).encode())
    return dataset


def _check_count(name: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, expected a whole number of at least {least}")


def _claim(root: Path, settings: dict[str, object]) -> None:
    """Make the folders, or check that the cohort in them has the same settings."""
    wanted = json.loads(json.dumps({**settings, "variation": VARIATION._asdict()}))
    path = root / SETTINGS_FILE
    if path.exists():
        found = {"least_shift": 0.0, **json.loads(path.read_text())}  # cohorts of earlier versions know no other
        for key in wanted:
            if found.get(key) != wanted[key]:
                values = "" if key == "variation" else f" of {found.get(key)!r}, expected {wanted[key]!r}"
                raise ValueError(f"{root} holds a cohort with another {key}{values}; choose another folder")
    elif (root / "dataset.json").exists():
        raise ValueError(f"{root} holds a dataset.json that is not of a phantom cohort; choose another folder")
    for split in _SPLITS.values():
        (root / split.images).mkdir(parents=True, exist_ok=True)
        (root / split.labels).mkdir(parents=True, exist_ok=True)
    _write_bytes(path, json.dumps(wanted, indent=2).encode())


def _write_cases(cases: list[_Case], root: Path, workers: int) -> None:
    missing = [c for c in cases if not ((root / c.image).exists() and (root / c.label).exists())]
    progress = tqdm(total=len(cases), initial=len(cases) - len(missing), desc="phantom cohort", unit="case")
    with progress:
        for _ in _run(missing, root, min(workers, len(missing))):
            progress.update()


def _run(cases: list[_Case], root: Path, workers: int) -> Iterator[None]:
    if workers <= 1:
        for case in cases:
            _write_case(case, root)
            yield
        return
    with _one_thread_each(), ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_write_case, case, root) for case in cases]
        try:
            for future in as_completed(futures):
                future.result()
                yield
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes started meanwhile use one thread for linear algebra: there are enough processes."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _write_case(case: _Case, root: Path) -> None:
    phantom = make_phantom(case.seeds, case.shift, grid=case.grid)
    _write_nifti(root / case.label, phantom.label, phantom.affine)
    _write_nifti(root / case.image, phantom.image, phantom.affine)


def _write_nifti(path: Path, volume: NDArray, affine: NDArray[np.float64]) -> None:
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    _write_bytes(path, gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


def _write_bytes(path: Path, content: bytes) -> None:
    with complete_file(path) as partial:
        partial.write_bytes(content)


def _write_subjects(cases: Iterable[_Case], path: Path) -> None:
    rows = []
    for case in cases:
        subject = draw_subject(np.random.SeedSequence(case.seeds), case.shift)
        rows.append({"case_id": case.case_id, "split": case.split, **subject.info()})
    with complete_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["case_id", "split"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _datalist(cases: list[_Case]) -> dict[str, object]:
    lists: dict[str, list[dict[str, str]]] = {name: [] for name in _SPLITS}
    for case in cases:
        files = {"image": case.image, "label": case.label} if _SPLITS[case.split].labelled else {"image": case.image}
        lists[case.split].append(files)
    return {
        "name": "phantom",
        "description": "Synthetic abdominal CT with 12 organs",
        "labels": {"0": "background", **{str(organ.index): organ.name for organ in ORGANS}},
        "modality": {"0": "CT"},
        **{f"num{name.capitalize()}": len(files) for name, files in lists.items()},
        **lists,
    }
