"""Make the page of the comparison: its table in Markdown, and a picture of the codes by method.

    python benchmarks/learning/page.py benchmarks/results/learning.json benchmarks/learning

prints its tables and writes `codes.png`. Tests are paired, by case, over all seeds of a method together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fire
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from methods import METHODS
from statsmodels.stats.contingency_tables import mcnemar

from custom_components.report.qa_plots import COLOURS, NAMES

AGAINST = "continued"
"""The control that every method is compared with."""

BEFORE, BOUND = "baseline", "oracle"


def main(results: str, folder: str) -> None:
    """Print the table, and draw the picture."""
    content = json.loads(Path(results).read_text())
    content["methods"] = in_order(content["methods"])
    print(markdown(summary(content)))
    default = content["methods"].get(content.get("default_method", ""))
    if default:
        print(f"\n{content['default_method']} against each other method\n")
        print(markdown(against_all(content)))
        for name in (BEFORE, AGAINST):
            print(f"\n{gain(content, name)}")
    path = Path(folder) / "codes.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(content).savefig(path)
    print(f"see {path}")


def in_order(methods: dict[str, Any]) -> dict[str, Any]:
    """Put methods into the order of `methods.METHODS`, whichever was run first."""
    return {name: methods[name] for name in [*METHODS, *methods] if name in methods}


def summary(content: dict[str, Any]) -> pd.DataFrame:
    """Make a row of each method: means over its seeds, and what changed against the control."""
    methods = content["methods"]
    rows = []
    for name, method in methods.items():
        runs = method["runs"]
        counts = np.mean([run["counts"] for run in runs], axis=0)
        row: dict[str, Any] = {
            "method": name,
            "seeds": len(runs),
            "0/1/2": "/".join(f"{count:.0f}" for count in counts),
        }
        row |= {key: f"{np.mean([run[key] for run in runs]):.3f}" for key in ("core_dice", "dice", "score")}
        row |= {key: f"{np.mean([run[key] for run in runs]):.0f}" for key in ("ratings", "seconds")}
        row |= versus(method, methods.get(AGAINST, {"runs": []}))
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def against_all(content: dict[str, Any]) -> pd.DataFrame:
    """Make a row of each other method: what the default changes against it."""
    methods, default = content["methods"], content["default_method"]
    rows = [
        {"against": name, **versus(methods[default], method)} for name, method in methods.items() if name != default
    ]
    return pd.DataFrame(rows).fillna("")


def gain(content: dict[str, Any], start: str) -> str:
    """Say how the default changes successes and failures from a method's, and the share of what the bound changes.

    Only the seeds that all three have count.
    """
    names = (start, content["default_method"], BOUND)
    methods = [content["methods"].get(name, {"runs": []}) for name in names]
    runs = [{run["seed"]: run["counts"] for run in method["runs"]} for method in methods]
    seeds = sorted(set.intersection(*map(set, runs)))
    if not seeds:
        return f"{start}: no seed has all of {', '.join(names)}"
    before, after, bound = (np.mean([counts[seed] for seed in seeds], axis=0) for counts in runs)
    said = [
        f"{what} {before[code]:.1f} to {after[code]:.1f} ({(after[code] - before[code]) / before[code]:+.0%}), "
        f"{(after[code] - before[code]) / (bound[code] - before[code]):.0%} of the {BOUND}'s change"
        for code, what in ((0, "successes"), (2, "failures"))
    ]
    return f"from {start}: {'; '.join(said)}"


def versus(method: dict[str, Any], control: dict[str, Any]) -> dict[str, str]:
    """Compare by case and seed: failures fixed and created, and the exact McNemar tests."""
    controls = {run["seed"]: run["codes"] for run in control["runs"]}
    pairs = [
        (controls[run["seed"]][case_id], code)
        for run in method["runs"]
        if run["seed"] in controls
        for case_id, code in run["codes"].items()
        if case_id in controls[run["seed"]]
    ]
    if not pairs:
        return {}
    before, after = np.array(pairs).T
    cells = {}
    for label, is_it in (("failure", lambda codes: codes == 2), ("success", lambda codes: codes == 0)):
        a, b = is_it(before), is_it(after)
        square = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
        lost, gained = square[0][1], square[1][0]
        p = mcnemar(square, exact=True).pvalue
        cells[f"{label}: gone/new"] = f"{lost}/{gained}"
        cells[f"{label}: p"] = f"{p:.2g}"
    return cells


def draw(content: dict[str, Any]) -> Figure:
    """Draw the shares of the codes by method, and those of each seed as dots."""
    methods = content["methods"]
    figure = Figure(figsize=(9, 0.5 * len(methods) + 1.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (_, method) in enumerate(methods.items()):
        shares = np.array([np.array(run["counts"]) / sum(run["counts"]) for run in method["runs"]])
        left = 0.0
        for code in COLOURS:
            axes.barh(
                place, shares[:, code].mean(), left=left, color=COLOURS[code], label=NAMES[code] if not place else None
            )
            left += shares[:, code].mean()
        for column in (shares[:, 0], 1 - shares[:, 2]):
            axes.plot(column, np.full(len(column), place), "o", color="black", markersize=3)
    axes.set_yticks(range(len(methods)), list(methods))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of {content['n_test']} test cases; dots: each seed")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncol=3, frameon=False)
    return figure


def markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    fire.Fire(main)
