"""Make the page of the comparison: its tables in Markdown, and pictures of the codes and scores by method.

    python benchmarks/learning/page.py benchmarks/results/learning.json benchmarks/learning

prints its tables and writes `codes.png` and `scores.png`. Tests are paired by case: what a case gained in all seeds of
a method together is one observation, because the seeds of a case are no independent ones.
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
from scipy.stats import permutation_test

from custom_components.data.bootstrap import percentile_interval
from custom_components.report.qa_plots import COLOURS, NAMES

AGAINST = "continued"
"""The control that every method is compared with."""

BEFORE, BOUNDS = "baseline", ("oracle", "oracle_refined")
STARTS = (BEFORE, AGAINST, "continued_rounds")
RESAMPLES = 99_999
BOOTSTRAPS = 10_000


def main(results: str, folder: str) -> None:
    """Print the tables, and draw the pictures."""
    content = json.loads(Path(results).read_text())
    content["methods"] = in_order(content["methods"])
    print(markdown(summary(content)))
    print("\nby seed, with failures of the baseline that are gone and new ones\n")
    print(markdown(by_seed(content)))
    if content.get("default_method") in content["methods"]:
        print(f"\n{content['default_method']} against each other method\n")
        print(markdown(against_all(content)))
        for bound in (one for one in BOUNDS if one in content["methods"]):
            print("".join(f"\n{gain(content, start, bound)}\n" for start in STARTS if start in content["methods"]))
            if AGAINST in content["methods"]:
                print(f"headroom: {headroom(content, bound)}\n")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, figure in (("codes", draw_codes(content)), ("scores", draw_scores(content))):
        figure.savefig(Path(folder) / f"{name}.png")
        print(f"see {Path(folder) / name}.png")


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


def by_seed(content: dict[str, Any]) -> pd.DataFrame:
    """Make a row of each method: the codes of each seed, and which of the baseline's failures are gone and new."""
    methods = content["methods"]
    before = methods.get(BEFORE, {"runs": []})
    rows = []
    for name, method in methods.items():
        row = {"method": name}
        for run in method["runs"]:
            changed = versus({"runs": [run]}, before).get("failure: gone/new", "")
            row[f"seed {run['seed']}"] = f"{'/'.join(map(str, run['counts']))} (-{changed.replace('/', ', +')})"
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def against_all(content: dict[str, Any]) -> pd.DataFrame:
    """Make a row of each other method: what the default changes against it."""
    methods, default = content["methods"], content["default_method"]
    rows = [
        {"against": name, **versus(methods[default], method)} for name, method in methods.items() if name != default
    ]
    return pd.DataFrame(rows).fillna("")


def gain(content: dict[str, Any], start: str, bound: str) -> str:
    """Say how the default changes successes and failures from a method's, and the share of what the bound changes.

    Only the seeds that all three have count.
    """
    names = (start, content["default_method"], bound)
    methods = [content["methods"].get(name, {"runs": []}) for name in names]
    runs = [{run["seed"]: run["counts"] for run in method["runs"]} for method in methods]
    seeds = sorted(set.intersection(*map(set, runs)))
    if not seeds:
        return f"{start}: no seed has all of {', '.join(names)}"
    before, after, best = (np.mean([counts[seed] for seed in seeds], axis=0) for counts in runs)
    said = [
        f"{what} {before[code]:.1f} to {after[code]:.1f} ({_share(after[code] - before[code], before[code], '+')}), "
        f"{_share(after[code] - before[code], best[code] - before[code])} of the change of {bound}"
        for code, what in ((0, "successes"), (2, "failures"))
    ]
    return f"from {start}: {'; '.join(said)}"


def headroom(content: dict[str, Any], bound: str) -> str:
    """Say how far a bound changes successes and failures from the control's, with 95 % intervals over cases."""
    before, after = (
        pd.DataFrame({run["seed"]: run["codes"] for run in content["methods"][name]["runs"]})
        for name in (AGAINST, bound)
    )
    seeds, cases = before.columns.intersection(after.columns), before.index.intersection(after.index)
    if not len(seeds):
        return f"no seed has both {AGAINST} and {bound}"
    drawn = np.random.default_rng(0).integers(0, len(cases), (BOOTSTRAPS, len(cases)))
    said = []
    for code, what in ((0, "successes"), (2, "failures")):
        counts = [(table.loc[cases, seeds] == code).sum(axis=1).to_numpy() for table in (before, after)]
        sums = [count[drawn].sum(axis=1) for count in counts]
        change = np.divide(sums[1], sums[0], out=np.full(BOOTSTRAPS, np.nan), where=sums[0] > 0) - 1
        low, high = percentile_interval(change)
        whole = _share(counts[1].sum() - counts[0].sum(), counts[0].sum(), "+")
        said.append(f"{what} {whole} (95% interval {low:+.0%} to {high:+.0%})")
    return f"{bound} against {AGAINST}: {', '.join(said)}"


def _share(part: float, whole: float, sign: str = "") -> str:
    return f"{part / whole + 0:{sign}.0%}" if whole else "no share"  # + 0 makes -0 a 0


def versus(method: dict[str, Any], control: dict[str, Any]) -> dict[str, str]:
    """Compare what is no failure any more and what is a new one, and so with successes; with paired tests by case."""
    controls = {run["seed"]: run["codes"] for run in control["runs"]}
    pairs = [
        (case_id, controls[run["seed"]][case_id], code)
        for run in method["runs"]
        if run["seed"] in controls
        for case_id, code in run["codes"].items()
        if case_id in controls[run["seed"]]
    ]
    if not pairs:
        return {}
    table = pd.DataFrame(pairs, columns=["case_id", "before", "after"])
    cells = {}
    for label, code in (("failure", 2), ("success", 0)):
        change = (table["after"] == code).astype(int) - (table["before"] == code).astype(int)
        cells[f"{label}: gone/new"] = f"{(change < 0).sum()}/{(change > 0).sum()}"
        cells[f"{label}: p"] = f"{sign_flip_p(change.groupby(table['case_id']).sum().to_numpy()):.2g}"
    return cells


def sign_flip_p(changes: np.ndarray) -> float:
    """Probability of such a sum of changes, or one further from 0, if the sign of each were a matter of chance."""
    changes = changes[changes != 0]
    if len(changes) < 2:  # either sign of a single one is as far from 0
        return 1.0
    rng = np.random.default_rng(0)
    options = {"permutation_type": "samples", "n_resamples": RESAMPLES, "batch": 10_000, "vectorized": True, "rng": rng}
    return float(permutation_test((changes,), np.sum, **options).pvalue)


def draw_codes(content: dict[str, Any]) -> Figure:
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
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of {content['n_test']} test cases; dots: each seed")
    figure.legend(loc="outside upper center", ncol=3, frameon=False)
    return figure


def draw_scores(content: dict[str, Any]) -> Figure:
    """Draw the mean true code of each method over its mean QA score: where a score falls alone, it deceives."""
    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (name, method) in enumerate(content["methods"].items()):
        scores = [run["score"] for run in method["runs"]]
        codes = [np.average((0, 1, 2), weights=run["counts"]) for run in method["runs"]]
        marker = "osD^vPX*<"[place // 10]
        axes.plot(scores, codes, marker, color=f"C{place % 10}", label=name)
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color="grey", linewidth=1, zorder=0, label="a score that tells the code")
    axes.set_xlabel("mean QA score of the test cases, lower is better")
    axes.set_ylabel("mean true code, lower is better")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    fire.Fire(main)
