"""One code to learn from, where several raters have coded a segmentation."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.code_checks import segmentation_keys
from custom_components.data.code_values import ADJUDICATION

CONSENSUS = "consensus"
"""Name of the rater of a consensus."""

How = Literal["majority", "mean"]


def consensus(table: pd.DataFrame, how: How = "majority") -> pd.DataFrame:
    """Give each segmentation one code of all its raters, or of who decided; where nobody has rated it stays unrated.

    Args:
        table: of codes, one rating of a rater for a segmentation.
        how: `majority` for the most frequent code, of several the worse one; `mean` for a soft target (`Float64`).

    Returns:
        A table of codes sorted by case, with the rater `consensus`, the codes of all in `reason`, and what else is the
        same for all ratings of the segmentation.

    Raises:
        ValueError: `how` is something else.
    """
    if how not in ("majority", "mean"):
        raise ValueError(f"consensus is {how!r}, expected majority or mean")
    table = decided(table)
    dtype = "Float64" if how == "mean" else table["code"].dtype
    rows, places = [], []
    for _, group in table.groupby([table[CASE_ID], segmentation_keys(table)], sort=True):
        codes = group["code"].dropna().sort_values()
        row = {name: _shared(group[name]) for name in table.columns}
        row["seconds"], row["rated_at"], row["rater"] = pd.NA, "", CONSENSUS
        row["code"] = pd.NA if codes.empty else codes.mean() if how == "mean" else codes.mode().max()
        row["reason"] = f"{how} of {', '.join(f'{code:g}' for code in codes)}" if len(codes) else ""
        rows.append(row)
        places.append(group.index[0])
    index = pd.MultiIndex.from_tuples(places, names=table.index.names) if places else table.index[:0]
    result = pd.DataFrame(rows, columns=table.columns, index=index)
    return result.astype({name: table[name].dtype for name in table.columns} | {"code": dtype})


def decided(table: pd.DataFrame) -> pd.DataFrame:
    """Leave of a segmentation about which somebody decided only the decisions.

    Args:
        table: of codes.
    """
    is_decision = table["rater"].str.endswith(ADJUDICATION) & table["code"].notna()
    if not is_decision.any():
        return table
    keys = table[CASE_ID] + "\n" + segmentation_keys(table)
    return table[is_decision | ~keys.isin(keys[is_decision])]


def _shared(cells: pd.Series) -> str:
    """What all ratings say that say something; nothing if they differ."""
    texts = {str(cell) for cell in cells if not pd.isna(cell) and cell != ""}
    return texts.pop() if len(texts) == 1 else ""
