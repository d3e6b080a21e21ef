"""Compare ways to learn from QA codes, each from the same baselines and with the same number of steps.

    python benchmarks/learning/run.py OUT --seed 0 --methods continued,ranked_both --section rated
    python benchmarks/learning/run.py OUT --seed 0 --section test
    python benchmarks/learning/run.py OUT2 --size paper --section test --methods baseline,continued,organ_rounds,oracle

What was done in OUT is not done again. The second command writes the result of each method of the proof, as soon as it
is there, into `benchmarks/results/learning.json`, beside those of other seeds; settings are chosen with the first one
only, on cases that nothing learns from and that are not in the test. There other ideas can be run too, by name.
"""

from __future__ import annotations

from pathlib import Path

import fire
from methods import METHODS, TRIED
from results import measure, print_table, write_results
from shared import prepare
from workbench import SIZES, Bench


def main(
    out: str, seed: int = 0, methods: str | tuple[str, ...] = "all", section: str = "rated", size: str = "small"
) -> None:
    """Run methods for a seed, measure them on a section, and print the table."""
    names = methods.split(",") if isinstance(methods, str) else list(methods)
    names = list(METHODS) if names == ["all"] else names
    if section not in ("rated", "test"):
        raise SystemExit(f"error: section is {section!r}, expected rated or test")
    known = METHODS if section == "test" else METHODS | TRIED
    if unknown := sorted(set(names) - set(known)):
        raise SystemExit(f"error: method {unknown[0]!r} is unknown, expected some of {', '.join(known)}")
    if size not in SIZES:
        raise SystemExit(f"error: size is {size!r}, expected one of {', '.join(SIZES)}")
    bench = Bench(Path(out).absolute(), seed, section, SIZES[size])
    prepare(bench)
    runs = {}
    for name in names:
        runs[name] = measure(bench, name, known[name](bench))
        print_table(runs)
        if section == "test":
            print(f"see {write_results(bench, {name: runs[name]})}")


if __name__ == "__main__":
    fire.Fire(main)
