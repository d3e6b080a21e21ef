"""Compare ways to learn from QA codes, each from the same baselines and with the same number of steps.

    python benchmarks/learning/run.py OUT --seed 0 --methods continued,ranked_both --section rated
    python benchmarks/learning/run.py OUT --seed 0 --section test

What was done in OUT is not done again. The second command writes the results of all methods into
`benchmarks/results/learning.json`, beside those of other seeds; settings are chosen with the first one only, on cases
that nothing learns from and that are not in the test.
"""

from __future__ import annotations

from pathlib import Path

import fire
from methods import METHODS
from results import RESULTS, measure, print_table, write_results
from shared import prepare
from workbench import Bench


def main(out: str, seed: int = 0, methods: str | tuple[str, ...] = "all", section: str = "rated") -> None:
    """Run methods for a seed, measure them on a section, and print the table."""
    names = methods.split(",") if isinstance(methods, str) else list(methods)
    names = list(METHODS) if names == ["all"] else names
    if unknown := sorted(set(names) - set(METHODS)):
        raise SystemExit(f"error: method {unknown[0]!r} is unknown, expected some of {', '.join(METHODS)}")
    if section not in ("rated", "test"):
        raise SystemExit(f"error: section is {section!r}, expected rated or test")
    bench = Bench(Path(out).absolute(), seed, section)
    prepare(bench)
    runs = {}
    for name in names:
        runs[name] = measure(bench, name, METHODS[name](bench))
        print_table(runs)
    if section == "test":
        write_results(bench, runs)
        print(f"see {RESULTS}")


if __name__ == "__main__":
    fire.Fire(main)
