"""How good a discriminator is: its scores against the codes that people gave."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, cohen_kappa_score, confusion_matrix, roc_auc_score

from custom_components.case_ids import CASE_ID
from custom_components.data.bootstrap import Estimate, percentile_interval
from custom_components.data.code_values import CODES, nearest_code

Array = NDArray[np.float64]


class Rated(NamedTuple):
    """Rated segmentations and their scores: code and score, the nearest codes of both, and the interval's ends."""

    code: Array
    score: Array
    true_class: NDArray[np.int64]
    found_class: NDArray[np.int64]
    low: Array
    high: Array


Metric = Callable[[Rated], float]


def _share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(of[among].mean()) if among.any() else math.nan


def _recall(code: int) -> Metric:
    return lambda rated: _share(rated.found_class == code, rated.true_class == code)


def _against_rest(code: int, measure: Callable[..., float]) -> Metric:
    """A measure of how well the score tells a code from the other two; for code 0 low scores count."""

    def metric(rated: Rated) -> float:
        positive = rated.true_class == code
        if positive.all() or not positive.any():
            return math.nan
        return float(measure(positive, rated.score if code else -rated.score))

    return metric


def _kappa(rated: Rated) -> float:
    if len(set(rated.true_class) | set(rated.found_class)) < 2:
        return math.nan
    return float(cohen_kappa_score(rated.true_class, rated.found_class, weights="quadratic", labels=list(CODES)))


def _spearman(rated: Rated) -> float:
    constant = np.ptp(rated.code) == 0 or np.ptp(rated.score) == 0
    return math.nan if constant else float(spearmanr(rated.code, rated.score).statistic)


METRICS: Mapping[str, tuple[str, Metric]] = {
    "accuracy": ("nearest code is the true one", lambda r: float((r.true_class == r.found_class).mean())),
    "recall_0": ("of the successes, share found", _recall(0)),
    "recall_1": ("of the acceptable, share found", _recall(1)),
    "recall_2": ("of the gross failures, share found", _recall(2)),
    "quadratic_kappa": ("quadratic weighted kappa", _kappa),
    "mae": ("mean absolute error, in codes", lambda r: float(np.abs(r.score - r.code).mean())),
    "rmse": ("root mean squared error, in codes", lambda r: float(np.sqrt(((r.score - r.code) ** 2).mean()))),
    "spearman": ("Spearman's rank correlation", _spearman),
    "auroc_failure": ("AUROC of code 2 against the rest", _against_rest(2, roc_auc_score)),
    "ap_failure": ("average precision of code 2", _against_rest(2, average_precision_score)),
    "auroc_success": ("AUROC of code 0 against the rest", _against_rest(0, roc_auc_score)),
    "ap_success": ("average precision of code 0", _against_rest(0, average_precision_score)),
    "failures_called_success": (
        "of the gross failures, share called 0",
        lambda r: _share(r.found_class == 0, r.true_class == 2),
    ),
    "successes_called_failure": (
        "of the successes, share called 2",
        lambda r: _share(r.found_class == 2, r.true_class == 0),
    ),
    "off_by_more_than_half": (
        "share of scores off by more than 0.5",
        lambda r: float((np.abs(r.score - r.code) > 0.5).mean()),
    ),
    "off_by_more_than_one": (
        "share of scores off by more than 1",
        lambda r: float((np.abs(r.score - r.code) > 1).mean()),
    ),
    "interval_coverage": ("share of codes inside the interval", lambda r: _coverage(r)),
    "interval_width": ("mean width of the interval, in codes", lambda r: float((r.high - r.low).mean())),
}
"""Each measure by name: what it is, and how it is computed. NaN where the cases do not define it."""


def _coverage(rated: Rated) -> float:
    if np.isnan(rated.low).any():
        return math.nan
    return float(((rated.low <= rated.code) & (rated.code <= rated.high)).mean())


def rated_of(table: pd.DataFrame) -> Rated:
    """Take the arrays out of a table with `code`, `score`, and `low` and `high` if there is an interval."""
    columns = (
        table[name] if name in table else pd.Series(np.nan, table.index) for name in ("code", "score", "low", "high")
    )
    code, score, low, high = (column.to_numpy(np.float64) for column in columns)
    true_class, found_class = (np.array([nearest_code(x) for x in values], np.int64) for values in (code, score))
    return Rated(code, score, true_class, found_class, low, high)


def evaluate(table: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> dict[str, Estimate]:
    """Measure scores against codes, with 95 % percentile bootstrap intervals.

    Cases are resampled, not rows: several segmentations of one case are not independent. A measure that is not defined
    in more than 5 % of the resamples, such as the recall of a code that few cases have, has no interval.

    Args:
        table: a row a rated segmentation: `case_id, code, score`, and `low, high`.
        resamples: bootstrap samples.
        seed: of the resampling.

    Returns:
        The measures of `METRICS`; NaN where the cases do not define one.

    Raises:
        ValueError: the table is empty.
    """
    if table.empty:
        raise ValueError("no rated case was scored, expected at least one")
    rated = rated_of(table)
    rows_of_case = [np.asarray(rows) for rows in table.groupby(CASE_ID).indices.values()]
    rng = np.random.default_rng(seed)
    samples: dict[str, list[float]] = {name: [] for name in METRICS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for _ in range(resamples):
            drawn = rng.integers(len(rows_of_case), size=len(rows_of_case))
            rows = np.concatenate([rows_of_case[case] for case in drawn])
            sample = Rated(*(values[rows] for values in rated))
            for name, (_text, metric) in METRICS.items():
                samples[name].append(metric(sample))
        return {
            name: Estimate(metric(rated), *percentile_interval(samples[name]))
            for name, (_text, metric) in METRICS.items()
        }


def confusion(table: pd.DataFrame) -> NDArray[np.int64]:
    """Count the segmentations by true code (rows) and nearest code of the score (columns), (3, 3)."""
    rated = rated_of(table)
    return confusion_matrix(rated.true_class, rated.found_class, labels=list(CODES))


def metrics_json(table: pd.DataFrame, estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Lay an evaluation out for a JSON file; what is not defined is null."""
    numbers = {
        name: {key: None if math.isnan(value) else value for key, value in estimate._asdict().items()}
        for name, estimate in estimates.items()
    }
    return {
        "segmentations": len(table),
        "cases": int(table[CASE_ID].nunique()),
        "confusion": {"rows": "true code", "columns": "nearest code of the score", "counts": confusion(table).tolist()},
        "intervals": "95 %, percentile bootstrap over cases",
        "metrics": numbers,
    }


def metrics_table(estimates: Mapping[str, Estimate]) -> Table:
    """Lay an evaluation out for a terminal or a text file."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for name, (text, _metric) in METRICS.items():
        value, low, high = estimates[name]
        shown = "" if math.isnan(value) else f"{value:.3f}"
        table.add_row(text, shown, "" if math.isnan(value) or math.isnan(low) else f"{low:.3f} to {high:.3f}")
    return table


def confusion_table(counts: NDArray[np.int64]) -> Table:
    """Lay a confusion matrix out for a terminal or a text file."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("true code")
    for code in CODES:
        table.add_column(f"found {code}", justify="right")
    for code, row in zip(CODES, counts, strict=True):
        table.add_row(str(code), *(str(count) for count in row))
    return table
