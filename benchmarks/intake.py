"""How long `intake` takes for a folder of DICOM files, and how much memory.

    python benchmarks/intake.py FOLDER --files 10000 --pixels 256

writes so many CT slices of so many pixels a side into FOLDER, 100 in a series, runs the command in a process of its own
and once more, where nothing is left to do. Prints seconds, files a second, and the memory of its processes together.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import fire
import numpy as np
import psutil
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SLICES = 100


def main(folder: str, files: int = 10_000, pixels: int = 256, workers: int | None = None) -> None:
    """Make the folder, measure and print the figures."""
    archive = make_archive(Path(folder) / f"{files}_files_of_{pixels}", files, pixels)
    output = Path(folder) / f"intake_{time.strftime('%H%M%S')}"
    words = ["intake", str(archive), "--output", str(output), "--body_part_path", ""]
    words += [] if workers is None else ["--workers", str(workers)]
    seconds, mib = measured(words)
    again, _ = measured(words)
    found = {
        "files": files,
        "pixels": pixels,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seconds": round(seconds, 1),
        "files_per_second": round(files / seconds),
        "mib": round(mib),
        "seconds_again": round(again, 1),
    }
    print(json.dumps(found, indent=1))


def make_archive(folder: Path, files: int, pixels: int) -> Path:
    """Write series of a body in air, each another one; what is there stays."""
    body = body_of(pixels)
    for number in range(-(-files // SLICES)):
        series = folder / f"{number:04d}"
        if not (series / "done.txt").is_file():
            series.mkdir(parents=True, exist_ok=True)
            write_series(series, np.roll(body, number, axis=1), min(SLICES, files - number * SLICES))
            (series / "done.txt").touch()
    return folder


def body_of(pixels: int) -> NDArray[np.int16]:
    """Slices (Z, Y, X) in HU of fat around soft tissue, with noise."""
    side = np.linspace(-1, 1, pixels)
    radius = np.hypot(side[:, None], side)
    plane = np.select([radius < 0.6, radius < 0.75], [50.0, -100.0], -1000.0)
    noise = np.random.default_rng(0).normal(0, 15, (SLICES, pixels, pixels))
    return np.rint(plane + noise).astype(np.int16)


def write_series(folder: Path, slices: NDArray[np.int16], count: int) -> None:
    """Write the slices as a scanner would, without suffix."""
    uid = generate_uid()
    for number in range(count):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds = Dataset()
        ds.file_meta = meta
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.3", uid, "CT"
        ds.ImageType, ds.PatientName = ["ORIGINAL", "PRIMARY", "AXIAL"], "Some^Name"
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 3.0 * number], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing = [400 / slices.shape[1]] * 2
        ds.Rows, ds.Columns = slices.shape[1:]
        ds.BitsAllocated = ds.BitsStored = 16
        ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 15, 1, 1
        ds.PhotometricInterpretation = "MONOCHROME2"
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.PixelData = (slices[number] + 1024).astype(np.int16).tobytes()
        pydicom.dcmwrite(folder / f"IM{number:04d}", ds, enforce_file_format=True)


def measured(words: list[str]) -> tuple[float, float]:
    """Run the command; return its seconds, and the largest memory of its processes together in MiB."""
    start, largest = time.perf_counter(), 0.0
    command = [sys.executable, "-m", "custom_components", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        largest = max(largest, memory_of(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - start, largest


def memory_of(pid: int) -> float:
    """MiB of a process and those that it started; what they share counts once in each."""
    try:
        parent = psutil.Process(pid)
        return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)]) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


if __name__ == "__main__":
    fire.Fire(main)
