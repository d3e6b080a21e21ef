"""A report as plain data: what report.json holds, and what the page and the text are written from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from custom_components import __version__
from custom_components.data.code_problems import Problem
from custom_components.data.code_values import CODES
from custom_components.report.before_after import Cohort, DiceChanges, Method
from custom_components.report.code_sets import CodeSet, shown_case_id
from custom_components.report.comparison import FAILURE, Comparison, Share
from custom_components.report.pair_png import Pair
from custom_components.report.qa_plots import NAMES
from custom_components.report.score_check import warning_of
from custom_components.report.seeds import summarise_seeds
from custom_components.report.unpaired import CountComparison
from custom_components.report.validation_curve import Curve, best_epoch

CHANGES = {
    "fixed": "gross failures that became success or acceptable (2 to 0 or 1)",
    "broken": "successes or acceptable ones that became gross failures (0 or 1 to 2)",
    "improved": "cases with a lower code than before",
    "worse": "cases with a higher code than before",
}
"""What is counted as which change."""


def cohort_data(cohort: Cohort, curves: Sequence[Curve] = ()) -> dict[str, Any]:
    """Lay a comparison out as plain data; what is not defined is None.

    Args:
        cohort: as `custom_components.report.before_after.compare_cohort` gives it.
        curves: of trainings.
    """
    data = {
        "version": __version__,
        "codes": {str(code): NAMES[code] for code in CODES},
        "intervals": "95 %: Wilson for shares, Bonett and Price for paired differences, bootstrap over cases for Dice",
        "before": _set_data(cohort.before),
        "has_same_cases": cohort.has_same_cases,
        "has_same_scored": cohort.has_same_scored,
        "sets": _rows(cohort),
        "methods": [_method_data(method) for method in cohort.methods],
        "seeds": summarise_seeds({method.after.name: method.comparison for method in cohort.methods}),
        "curves": [_curve_data(curve) for curve in curves],
    }
    return plain(data)


def counts_data(found: CountComparison, names: tuple[str, str]) -> dict[str, Any]:
    """Lay the comparison of two sets of counts out as plain data.

    Args:
        found: as `compare_counts` gives it.
        names: of the two sets.
    """
    sides = zip(names, (found.before, found.after), (True, False), strict=True)
    data = {
        "version": __version__,
        "codes": {str(code): NAMES[code] for code in CODES},
        "intervals": "95 %: Wilson for shares, Newcombe for differences",
        "sets": [_row(name, shares, is_before=is_before) for name, shares, is_before in sides],
        "unpaired": {
            "differences": [_by_code(code, one) for code, one in zip(CODES, found.differences, strict=True)],
            "tests": [_by_code(code, one) for code, one in zip(CODES, found.classes, strict=True)],
            "overall": found.overall,
        },
    }
    return plain(data)


def plain(value: Any) -> Any:
    """Turn named tuples, arrays and numpy's numbers into what JSON knows; numbers that are not finite become None."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _rows(cohort: Cohort) -> list[dict[str, Any]]:
    """A row for each set; the set before has one for each method where these have codes or scores of other cases."""
    rows: list[dict[str, Any]] = []
    has_one_before = cohort.has_same_cases and cohort.has_same_scored
    for number, method in enumerate(cohort.methods):
        comparison, scores = method.comparison, method.scores
        if number == 0 or not has_one_before:
            name = cohort.before.name if has_one_before else f"{cohort.before.name} (cases of {method.after.name})"
            score = scores.score_before if scores else None
            rows.append(_row(name, comparison.before, comparison.mean_before, score, is_before=True))
        score = scores.score_after if scores else None
        rows.append(_row(method.after.name, comparison.after, comparison.mean_after, score, is_before=False))
    return rows


def _row(
    name: str, shares: Sequence[Share], mean_code: float | None = None, score: float | None = None, *, is_before: bool
) -> dict[str, Any]:
    if mean_code is None:
        mean_code = sum(code * share.share for code, share in zip(CODES, shares, strict=True))
    return {
        "name": name,
        "is_before": is_before,
        "cases": shares[0].total,
        "shares": [_by_code(code, share) for code, share in zip(CODES, shares, strict=True)],
        "mean_code": mean_code,
        "mean_score": score,
    }


def _by_code(code: int, value: Any) -> dict[str, Any]:
    return {"code": code, "name": NAMES[code], **value._asdict()}


def _set_data(one: CodeSet) -> dict[str, Any]:
    return {
        "name": one.name,
        "file": one.file,
        "rated": len(one.codes),
        "without_segmentation_file": one.without_file,
        "not_checked": one.not_checked,
        "problems": [_problem_data(problem) for problem in one.problems],
    }


def _problem_data(problem: Problem) -> dict[str, Any]:
    """A problem without what could tell of the source system: folders, and the other cells of the row."""
    return {
        "line": problem.line,
        "case_id": shown_case_id(problem.case_id),
        "field": problem.field,
        "found": shown_case_id(problem.found),
        "expected": problem.expected.replace(problem.file, PurePath(problem.file).name),
        "action": problem.action,
    }


def _method_data(method: Method) -> dict[str, Any]:
    comparison, cases = method.comparison, method.matched.cases
    return {
        **_set_data(method.after),
        "compared": len(cases),
        "differences": [_by_code(code, one) for code, one in zip(CODES, comparison.differences, strict=True)],
        "table": comparison.table,
        "changes": {name: {"what": what, "cases": _changed(cases, name)} for name, what in CHANGES.items()},
        "tests": _tests(comparison),
        "scores": method.scores and {**method.scores._asdict(), "is_fooled": method.scores.is_fooled},
        "warning": warning_of(method.scores, method.after.name),
        "left_out": method.matched.left_out,
        "left_out_cases": len({case for some in method.matched.left_out.values() for case in some}),
        "dice": method.dice and _dice_data(method.dice),
        "pairs": method.pairs
        and {
            "drawn": [_pair_data(pair, method.pairs_dir) for pair in method.pairs.drawn],
            "set_aside": method.pairs.set_aside,
        },
        "cases": cases.reset_index().to_dict("records"),
    }


def _changed(cases: pd.DataFrame, name: str) -> list[str]:
    before, after = cases["before"], cases["after"]
    chosen = {
        "fixed": (before == FAILURE) & (after < FAILURE),
        "broken": (before < FAILURE) & (after == FAILURE),
        "improved": after < before,
        "worse": after > before,
    }[name]
    return list(cases.index[chosen])


def _tests(comparison: Comparison) -> dict[str, Any]:
    return {name: getattr(comparison, name) for name in ("success", "failure", "shares", "codes")}


def _dice_data(dice: DiceChanges) -> dict[str, Any]:
    return {"organs": dice.organs, "set_aside": dice.set_aside, "without": dice.without}


def _pair_data(pair: Pair, folder: str) -> dict[str, Any]:
    return {**pair._asdict(), "picture": f"{folder}/{pair.file}"}


def _curve_data(curve: Curve) -> dict[str, Any]:
    best = {metric: best_epoch(curve, metric) for metric in curve.metrics}
    columns = ["epoch", *curve.metrics]
    return {
        "name": curve.name,
        "best": {metric: {"epoch": epoch, "value": value} for metric, (epoch, value) in best.items()},
        "values": {column: curve.history[column].tolist() for column in columns},
    }
