"""What got slower, or takes more memory, since the figures that are kept?

    python benchmarks/compare.py [NAME ...] [--tolerance 0.1] [--keep]

Compares `results/latest/<name>.json`, which a benchmark has just written, with `results/<name>.json`, by the ratio of
each way to the reference of the same run, the bare loop: so the machines may differ. A way is slower if its ratio is
larger by more than the tolerance, and not only by the spread of the runs. Exit code 1 if something is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import fire
from measure import KEPT, LATEST

SLOWER, FASTER, SAME, NEW, GONE = "slower", "faster", "same", "new", "gone"
MORE = "more memory"


def verdicts(kept: Mapping[str, Any], latest: Mapping[str, Any], tolerance: float) -> dict[str, list[str]]:
    """Say of each way of two runs of a benchmark what became of it.

    Args:
        kept: figures as `measure.report` writes them.
        latest: the same of a later run.
        tolerance: relative change that does not matter.
    """
    found = {}
    for name in [*kept["ways"], *(name for name in latest["ways"] if name not in kept["ways"])]:
        if name not in latest["ways"]:
            found[name] = [GONE]
        elif name not in kept["ways"]:
            found[name] = [NEW]
        else:
            (low_a, middle_a, high_a), (low_b, middle_b, high_b) = (_ratios(one, name) for one in (kept, latest))
            slower = middle_b > middle_a * (1 + tolerance) and low_b > high_a
            faster = middle_b < middle_a / (1 + tolerance) and high_b < low_a
            more = _memory(latest, name) > _memory(kept, name) * (1 + tolerance)
            found[name] = [SLOWER if slower else FASTER if faster else SAME, *([MORE] if more else [])]
    return found


def _ratios(content: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of a way, in times the median of the reference."""
    reference, way = content["ways"][content["reference"]]["median"], content["ways"][name]
    return way["low"] / reference, way["median"] / reference, way["high"] / reference


def _memory(content: Mapping[str, Any], name: str) -> float:
    """Peak in times that of the reference where that has one: torch itself differs from machine to machine."""
    ways = content["ways"]
    peak, reference = ways[name].get("peak_mib"), ways[content["reference"]].get("peak_mib")
    return 0.0 if not peak else peak / (reference or 1.0)


def main(*names: str, tolerance: float = 0.1, keep: bool = False) -> None:
    """Print what became of each way, and end with exit code 1 if one is slower or takes more memory.

    Args:
        *names: of benchmarks; all that were run lately if none is given.
        tolerance: relative change that does not matter.
        keep: keep the latest figures in place of the others.

    Raises:
        SystemExit: something is slower, or there is nothing to compare.
    """
    paths = [LATEST / f"{name}.json" for name in names] or sorted(LATEST.glob("*.json"))
    missing = [path.stem for path in paths if not path.is_file()]
    if missing or not paths:
        raise SystemExit(f"error: no latest figures of {', '.join(missing) or 'any benchmark'}: run it first")
    worse = []
    for path in paths:
        latest, kept = json.loads(path.read_text()), KEPT / path.name
        if kept.is_file():
            before = json.loads(kept.read_text())
            print(f"{path.stem}: {before['machine']['processor']} -> {latest['machine']['processor']}")
            for name, found in verdicts(before, latest, tolerance).items():
                ratios = [f"{_ratios(one, name)[1]:.2f}" if name in one["ways"] else "-" for one in (before, latest)]
                print(f"  {name:40} {ratios[0]:>7} -> {ratios[1]:>7} times {latest['reference']}: {', '.join(found)}")
                worse += [f"{path.stem}: {name}"] if {SLOWER, MORE}.intersection(found) else []
        else:
            print(f"{path.stem}: no kept figures")
        if keep:
            shutil.copy(path, kept)
    if worse:
        raise SystemExit(f"error: slower or larger than the kept figures: {'; '.join(worse)}")


if __name__ == "__main__":
    fire.Fire(main)
