r"""Compare ways to learn from QA codes, each from the same baselines and with the same number of steps.

    python benchmarks/learning/run.py OUT --seed 0 --methods continued,ranked_both --section rated
    python benchmarks/learning/run.py OUT --seed 0 --section test
    python benchmarks/learning/run.py OUT2 --size paper --section test --jobs 4 \
        --methods baseline,continued,approved,organ_rounds,oracle

What was done in OUT is not done again. The second command writes the result of each method of the proof, as soon as it
is there, into `benchmarks/results/learning.json`, beside those of other seeds; settings are chosen with the first one
only, on cases that nothing learns from and that are not in the test. There other ideas can be run too, by name. The
third one does it once at the paper's grid and writes `learning_paper_grid.json`; its methods run beside each other, so
their seconds say little.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import fire
from methods import METHODS, TRIED
from results import measure, print_table, write_results
from shared import prepare
from workbench import SIZES, Bench


def main(
    out: str,
    seed: int = 0,
    methods: str | tuple[str, ...] = "all",
    section: str = "rated",
    size: str = "small",
    jobs: int = 1,
) -> None:
    """Run methods for a seed, so many at a time, measure them on a section, and print the table."""
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
    pool = ThreadPoolExecutor(jobs)
    waiting = {pool.submit(lambda name=name: measure(bench, name, known[name](bench))): name for name in names}
    try:
        for done in as_completed(waiting):
            name = waiting[done]
            runs[name] = done.result()
            print_table(runs)
            if section == "test":
                print(f"see {write_results(bench, {name: runs[name]})}")
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    fire.Fire(main)
