"""How far two discriminators agree on the same segmentations, and how far they err together.

    python benchmarks/discriminator_agreement.py FOLDER NAME [NAME ...]

`phantom_discriminator.sh` calls it: `FOLDER/NAME` has `codes.csv` and the folders `scores1` and `scores2`.
"""

from __future__ import annotations

from pathlib import Path

import fire
import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from custom_components.report.qa_metrics import confusion, confusion_table, evaluate, metrics_table


def main(folder: str, *names: str) -> None:
    """Print the measures of both and of their agreement."""
    tables = []
    for name in names:
        root = Path(folder) / str(name)
        table = pd.read_csv(root / "codes.csv").set_index("case_id")[["code"]]
        for number in (1, 2):
            scores = pd.read_csv(root / f"scores{number}" / "qa_scores.csv").set_index("case_id")
            table = table.join(scores[["score", "low", "high"]].add_suffix(str(number)), how="inner")
        tables.append(table.reset_index())
    both = pd.concat(tables, ignore_index=True)
    for number in (1, 2):
        columns = {f"{name}{number}": name for name in ("score", "low", "high")}
        one = both[["case_id", "code", *columns]].rename(columns=columns)
        print(f"discriminator {number}, {len(one)} segmentations of {one.case_id.nunique()} new cases")
        Console().print(metrics_table(evaluate(one)), confusion_table(confusion(one)))
    scores = both[["score1", "score2"]].to_numpy()
    codes = np.floor(scores + 0.5).clip(0, 2).astype(int)
    errors = scores - both[["code"]].to_numpy()
    wrong = codes != both[["code"]].to_numpy()
    print(f"same code: {np.mean(codes[:, 0] == codes[:, 1]):.1%}; quadratic weighted kappa "
          f"{cohen_kappa_score(*codes.T, weights='quadratic'):.3f}; Spearman's correlation of the scores "
          f"{spearmanr(*scores.T).statistic:.3f}, of their errors {spearmanr(*errors.T).statistic:.3f}")  # fmt: skip
    print(f"wrong: 1 {wrong[:, 0].mean():.1%}, 2 {wrong[:, 1].mean():.1%}, both {wrong.all(axis=1).mean():.1%}; "
          f"wrong where they agree: {wrong[codes[:, 0] == codes[:, 1], 0].mean():.1%}")  # fmt: skip


if __name__ == "__main__":
    fire.Fire(main)
