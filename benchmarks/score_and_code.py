"""Plot what discriminators and the rater say of the same held-out cases, over the steps of a training.

    python benchmarks/score_and_code.py FOLDER OUT.png

`published_recipe.sh` calls it: `FOLDER/baseline/test.csv` has the codes before, `FOLDER/published/epochN/test.csv`
those after N epochs; `test/summary.csv` beside them has the scores of the discriminator that gave the gradient, and
`test_second/qa_scores.csv` those of one that never did. Only cases that have all of them at every step are counted.
"""

from __future__ import annotations

import re
from pathlib import Path

import fire
import pandas as pd
from matplotlib.figure import Figure

from custom_components.report.qa_plots import COLOURS, NAMES

STEPS_AN_EPOCH = 12


def main(folder: str, output: str) -> None:
    """Print the table and draw the picture."""
    root = Path(folder)
    found = {0: root / "baseline" / "test"}
    for path in root.glob("published/epoch*"):
        found[STEPS_AN_EPOCH * int(re.sub(r"\D", "", path.name))] = path / "test"
    steps = {step: read_step(path) for step, path in sorted(found.items())}
    cases = set.intersection(*(set(table.index[table.notna().all(axis=1)]) for table in steps.values()))
    every = set.union(*(set(table.index) for table in steps.values()))
    if not cases:
        raise SystemExit(f"error: {root}: no case has code and scores at all of the steps {', '.join(map(str, steps))}")
    if cases != every:
        print(f"{len(every - cases)} of {len(every)} cases lack a code or a score at some step and are left out")
    means = pd.DataFrame({step: table.loc[sorted(cases)].mean() for step, table in steps.items()}).T
    for code in COLOURS:
        means[code] = [(table.loc[sorted(cases), "code"] == code).mean() for table in steps.values()]
    means.index.name = "step"
    print(f"{len(cases)} cases\n{means.round(3).to_string()}")
    draw(means, len(cases)).savefig(output)
    print(f"see {output}")


def read_step(path: Path) -> pd.DataFrame:
    """Read code, score and the second discriminator's score of each case, nan where there is none."""
    files = {
        "code": (Path(f"{path}.csv"), "code"),
        "score": (path / "summary.csv", "score"),
        "second score": (Path(f"{path}_second") / "qa_scores.csv", "score"),
    }
    return pd.DataFrame({name: pd.read_csv(file).set_index("case_id")[key] for name, (file, key) in files.items()})


def draw(table: pd.DataFrame, cases: int) -> Figure:
    """Draw the means over the shares of the codes."""
    figure = Figure(figsize=(8, 7), dpi=120, layout="constrained")
    means, parts = figure.subplots(2, sharex=True)
    means.plot(table.index, table["score"], marker="o", label="QA score, what the network is trained for")
    means.plot(table.index, table["second score"], marker="^", label="QA score of a discriminator without a say in it")
    means.plot(table.index, table["code"], marker="s", color="black", label="code of the rater, who knows the truth")
    means.set(ylabel="mean over the held-out cases", title=f"{cases} held-out cases")
    parts.stackplot(
        table.index,
        *(table[code] for code in COLOURS),
        colors=list(COLOURS.values()),
        labels=[f"{code} {NAMES[code]}" for code in COLOURS],
    )
    parts.set(ylabel="share of the codes", xlabel="steps of training on", ylim=(0, 1))
    parts.set_xscale("symlog", linthresh=max(1, min(table.index[1:], default=1)))  # most happens in the first steps
    parts.set_xticks(list(table.index), [str(step) for step in table.index], rotation=45, ha="right")
    parts.margins(x=0.01)
    parts.minorticks_off()
    for axes in (means, parts):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize="small")
    return figure


if __name__ == "__main__":
    fire.Fire(main)
