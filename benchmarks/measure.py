"""What the benchmarks share: turns of the ways, peaks of memory, the machine, and the figures that are kept.

A benchmark has a name, a question, and ways to do the same thing, one of which is the reference: the others are told
as ratios to it, from the same run. Its figures go to `benchmarks/results/latest/<name>.json`; `compare.py` sets them
beside those that are kept in `benchmarks/results`, and `figures.py` writes these into `benchmarks/README.md`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

KEPT = Path(__file__).parent / "results"
LATEST = KEPT / "latest"
PACKAGES = ("torch", "torchvision", "monai", "pytorch-ignite", "numpy", "nibabel", "nnunetv2")

Way = Callable[[], Any]
"""Does the work once; what it returns is its seconds, if it is a number or several, or else of no interest."""


def wait(device: str | torch.device = "cpu") -> float:
    """Give the time when a device has done what it was told."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def take_turns(ways: Mapping[str, Way], rounds: int, device: str = "cpu") -> dict[str, list[float]]:
    """Run the ways in turns, so that what else the machine does falls on all; give the seconds of each.

    Args:
        ways: by name; one that returns seconds is believed.
        rounds: that count; one more before them warms up.
        device: where they work.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            started = wait(device)
            told = way()
            took = wait(device) - started
            if turn:
                seconds[name] += [float(one) for one in told] if isinstance(told, Sequence) else [_number(told, took)]
    return seconds


def _number(told: Any, took: float) -> float:
    return float(told) if isinstance(told, int | float) else took


def resident_mib(field: str = "VmRSS") -> float:
    """Memory of this process (Linux): `VmRSS` is what it holds, `VmHWM` the most that it held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 2**10


def peak_of_calls(way: Way, device: str = "cpu", calls: int = 3) -> dict[str, float]:
    """Give the highest memory of this process while a way runs, in MiB, and how far that is above what it held before.

    Of a GPU, what torch has allocated.
    """
    if torch.device(device).type == "cuda":
        before = torch.cuda.memory_allocated() / 2**20
        torch.cuda.reset_peak_memory_stats()
    else:
        before = resident_mib()
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is in use now
    for _ in range(calls):
        way()
    on_gpu = torch.device(device).type == "cuda"
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else resident_mib("VmHWM")
    return {"peak_mib": peak, "rise_mib": peak - before}


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


class ProcessPeak:
    """Highest memory of a running command and its descendants together; a page that several share counts once (Linux).

    Args:
        interval: seconds between two looks.
    """

    def __init__(self, interval: float = 0.05) -> None:
        self.interval = interval

    def run(self, command: Sequence[str], **options: Any) -> tuple[float, float]:
        """Run a command; give its seconds and its peak in MiB.

        Raises:
            SystemExit: it fails; with the end of what it printed.
        """
        with tempfile.TemporaryFile("w+") as output:
            started = time.perf_counter()
            run = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
            self._done, self._peak = threading.Event(), 0
            watcher = threading.Thread(target=self._watch, args=(run.pid,))
            watcher.start()
            code = run.wait()
            took = time.perf_counter() - started
            self._done.set()
            watcher.join()
            if code:
                output.seek(0)
                raise SystemExit(f"error: {' '.join(command)} ended with exit code {code}\n{output.read()[-2000:]}")
        return took, self._peak / 2**20

    def _watch(self, pid: int) -> None:
        import psutil

        process = psutil.Process(pid)
        while not self._done.wait(self.interval):
            held = 0
            try:
                for one in (process, *process.children(recursive=True)):
                    held += one.memory_full_info().pss
            except psutil.Error:  # one of them has just ended
                continue
            self._peak = max(self._peak, held)


class Programs:
    """Whole programs on parts of a folder: seconds a case, and the highest memory."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.peaks: dict[str, dict[str, float]] = {}
        self._runner = ProcessPeak()

    def run(self, name: str, command: Sequence[str], cases: int, *, counts: bool = True) -> None:
        """Run a program over some cases; one that warms up does not count."""
        seconds, peak = self._runner.run(command)
        if counts:
            self.seconds.setdefault(name, []).append(seconds / cases)
            self.peaks[name] = {"peak_mib": max(self.peaks.get(name, {}).get("peak_mib", 0.0), peak)}
            print(f"{name}: {seconds / cases:.3f} s a case, {peak:.0f} MiB", file=sys.stderr, flush=True)


def link(paths: Sequence[Path], folder: Path) -> Path:
    """Make a folder of links to files, anew; give it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in paths:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def machine(device: str = "cpu") -> dict[str, Any]:
    """Describe the machine: processor or GPU, packages, and two bounds measured now: copying and multiplying."""
    described: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "packages": {package: found for package in PACKAGES if (found := _version(package))},
    }
    if torch.device(device).type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return {**described, **bounds(device)}


def bounds(device: str = "cpu") -> dict[str, float]:
    """Measure the rate of copying (GB read and written a second) and of a matrix product (GFLOP a second)."""
    source = torch.ones(2**26, device=device)  # 256 MiB
    target = torch.empty_like(source)
    copied = min(_once(lambda: target.copy_(source), device) for _ in range(5))
    found = {"copy_gb_s": 2 * source.numel() * 4 / copied / 1e9}
    size = 4096 if torch.device(device).type == "cuda" else 1024
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.ones(size, size, device=device, dtype=dtype)
        took = min(_once(lambda matrix=matrix: matrix @ matrix, device) for _ in range(5))
        found[f"{str(dtype).removeprefix('torch.')}_gflop_s"] = 2 * size**3 / took / 1e9
    return {key: round(value, 1) for key, value in found.items()}


def _once(way: Way, device: str) -> float:
    started = wait(device)
    way()
    return wait(device) - started


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles (of few values the lowest and highest), and how many there are."""
    ends = statistics.quantiles(values, n=4) if len(values) > 4 else [min(values), 0, max(values)]
    return {"median": statistics.median(values), "low": ends[0], "high": ends[2], "runs": len(values)}


def aim(what: str, found: float, *, at_most: float | None = None, at_least: float | None = None) -> dict[str, Any]:
    """Set what was found beside what was wanted."""
    met = (at_most is None or found <= at_most) and (at_least is None or found >= at_least)
    wanted = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
    return {"what": what, "aim": wanted, "found": round(found, 4), "met": met}


def report(
    name: str,
    question: str,
    *,
    reference: str,
    seconds: Mapping[str, Sequence[float]],
    peaks: Mapping[str, Mapping[str, float]] | None = None,
    aims: Sequence[Mapping[str, Any]] = (),
    device: str = "cpu",
    **more: Any,
) -> dict[str, Any]:
    """Print the figures of a benchmark, write them to `results/latest/<name>.json`, and return them.

    Args:
        name: of the script.
        question: what it answers.
        reference: the way that the others are compared with.
        seconds: of each run of each way.
        peaks: memory of each way, in MiB.
        aims: see `aim`.
        device: where they worked.
        **more: further figures.
    """
    base = statistics.median(seconds[reference])
    ways = {
        way: {**spread(values), "ratio": statistics.median(values) / base, **(peaks or {}).get(way, {})}
        for way, values in seconds.items()
    }
    content = {
        "name": name,
        "question": question,
        "command": " ".join(["python", "benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]]),
        "machine": machine(device),
        "reference": reference,
        "ways": ways,
        "aims": list(aims),
        **more,
    }
    LATEST.mkdir(parents=True, exist_ok=True)
    (LATEST / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    print(markdown(content))
    return content


def markdown(content: Mapping[str, Any]) -> str:
    """Tell a benchmark's figures as Markdown: a table of the ways, and one of the aims."""
    ways = content["ways"]
    memory = [key for key in ("peak_mib", "rise_mib") if any(key in way for way in ways.values())]
    head = ["way", "median", "quartiles", "runs", f"times {content['reference']}"]
    rows = [
        [name, _seconds(way["median"]), f"{_seconds(way['low'])} to {_seconds(way['high'])}", str(way["runs"]),
         f"{way['ratio']:.2f}", *(f"{way[key]:.0f} MiB" if key in way else "" for key in memory)]
        for name, way in ways.items()
    ]  # fmt: skip
    head += [{"peak_mib": "peak memory", "rise_mib": "above what it held before"}[key] for key in memory]
    text = _table(head, rows)
    if content["aims"]:
        met = {True: "yes", False: "**no**"}
        aims = [[one["what"], one["aim"], f"{one['found']:.4g}", met[one["met"]]] for one in content["aims"]]
        text += "\n\n" + _table(["aim", "wanted", "found", "met"], aims)
    return text


def _seconds(value: float) -> str:
    return f"{1000 * value:.1f} ms" if value < 0.1 else f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
