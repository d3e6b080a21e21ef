"""Plot what the discriminator says and what the rater says of the same held-out cases, over the steps of a training.

    python benchmarks/score_and_code.py FOLDER OUT.png

`published_recipe.sh` calls it: `FOLDER/baseline/test.csv` has the codes before, `FOLDER/published/epochN/test.csv`
those after N epochs, and `test/summary.csv` beside them the scores.
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
    rows = []
    for step, path in sorted(found.items()):
        codes = pd.read_csv(f"{path}.csv").set_index("case_id")["code"]
        scores = pd.read_csv(path / "summary.csv").set_index("case_id")["score"]
        shares = {code: (codes == code).mean() for code in COLOURS}
        rows.append({"step": step, "cases": len(codes), "score": scores.mean(), "code": codes.mean(), **shares})
    table = pd.DataFrame(rows).set_index("step")
    print(table.round(3).to_string())
    figure = Figure(figsize=(8, 7), dpi=120, layout="constrained")
    means, parts = figure.subplots(2, sharex=True)
    means.plot(
        table.index, table["score"], marker="o", color="tab:blue", label="QA score, what the network is trained for"
    )
    means.plot(table.index, table["code"], marker="s", color="black", label="code of the rater, who knows the truth")
    means.set(ylabel="mean over the held-out cases", title=f"{int(table['cases'].iloc[0])} held-out cases")
    bottom = 0.0
    for code, colour in COLOURS.items():
        parts.bar(table.index, table[code], bottom=bottom, width=120, color=colour, label=f"{code} {NAMES[code]}")
        bottom = bottom + table[code]
    parts.set(ylabel="share of the codes", xlabel="steps of training on")
    for axes in (means, parts):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(output)
    print(f"see {output}")


if __name__ == "__main__":
    fire.Fire(main)
