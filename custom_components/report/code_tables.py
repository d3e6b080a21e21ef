"""QA codes as text for a terminal: how many there are of each, and how far raters agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.agreement import SEGMENTATION, Estimate, GroupAgreement, PairAgreement
from custom_components.data.code_values import CODES

NOT_NAMED = "(not named)"


def count_codes(table: pd.DataFrame) -> pd.DataFrame:
    """Count the ratings of each code: of all, and where they are named of each rater and of each model.

    Args:
        table: of codes.

    Returns:
        Columns `of, cases, rows, code_0, code_1, code_2, unrated, median_seconds`.
    """
    rows = [_counts("all", table)]
    for name in ("rater", "model"):
        if (table[name] != "").any():
            rows += [_counts(f"{name} {value or NOT_NAMED}", part) for value, part in table.groupby(name, sort=True)]
    return pd.DataFrame(rows)


def _counts(name: str, table: pd.DataFrame) -> dict[str, object]:
    return {
        "of": name,
        "cases": table[CASE_ID].nunique(),
        "rows": len(table),
        **{f"code_{code}": int((table["code"] == code).sum()) for code in CODES},
        "unrated": int(table["code"].isna().sum()),
        "median_seconds": table["seconds"].median() if table["seconds"].notna().any() else pd.NA,
    }


def text_of(table: pd.DataFrame) -> str:
    """Lay a table out in columns, names to the left; a cell without a value is empty."""
    names = [str(column).replace("_", " ") for column in table.columns]
    cells = [["" if pd.isna(cell) else _cell(cell) for cell in row] for row in table.itertuples(index=False)]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    is_text = [pd.api.types.is_string_dtype(dtype) for dtype in table.dtypes]
    lines = [
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, is_text, strict=True)
        )
        for row in (names, *cells)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else " ".join(str(value).split())


def agreement_text(pairs: Sequence[PairAgreement], group: GroupAgreement) -> str:
    """Write agreement as text, with 95 % intervals: a row for each two raters, and a line for all together.

    Args:
        pairs: as `pair_agreements` gives them.
        group: as `group_agreement` gives it.
    """
    rows = [
        {
            "raters": f"{pair.rater_a or NOT_NAMED}, {pair.rater_b or NOT_NAMED}",
            "both_rated": pair.ratings,
            "agreement": _percent(pair.agreement),
            "kappa": _number(pair.kappa),
            "weighted_kappa": _number(pair.weighted_kappa),
        }
        for pair in pairs
    ]
    together = (
        f"{group.raters} ratings each of {group.ratings} segmentations: agreement {_percent(group.agreement)}, "
        f"Fleiss' kappa {_number(group.kappa)}; {group.left_out} with another number of ratings left out"
        if group.ratings
        else f"no segmentation has two ratings; {group.left_out} have fewer"
    )
    return f"{text_of(pd.DataFrame(rows))}\n\n{together}"


def disagreement_text(table: pd.DataFrame) -> str:
    """Write disagreements as text; what tells the segmentations of a case apart is cut short, or left out.

    Args:
        table: as `disagreements` gives it.
    """
    if table[CASE_ID].is_unique:
        return text_of(table.drop(columns=SEGMENTATION))
    return text_of(table.assign(**{SEGMENTATION: table[SEGMENTATION].str[:12]}))


def _number(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "undefined"
    return f"{estimate.value:.2f} [{_or_unknown(estimate.low, '.2f')}, {_or_unknown(estimate.high, '.2f')}]"


def _percent(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "undefined"
    low, high = (_or_unknown(100 * bound, ".0f") for bound in estimate[1:])
    return f"{100 * estimate.value:.1f} % [{low}, {high}]"


def _or_unknown(number: float, form: str) -> str:
    return "?" if math.isnan(number) else format(number, form)
