"""What raters have done so far: counts, pace, agreement, and the codes as a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from custom_components.case_ids import CASE_ID
from custom_components.data.agreement import pair_agreements, ratings_by_rater
from custom_components.data.bootstrap import Estimate
from custom_components.data.code_checks import merge_duplicates
from custom_components.data.code_files import COLUMNS, is_store, read_rows
from custom_components.data.code_values import ADJUDICATION, CODES
from custom_components.files import complete_file
from custom_components.review.store import Store

_FORMULA = frozenset("=+-@\t\r")
SHORTEST = 0.2
"""Seconds under which nobody has looked: a key was held."""


def code_table(store: Store) -> pd.DataFrame:
    """The codes that stand, as a table of codes.

    What was rated of a file that has changed since is not in it, nor are hidden repeats. What has a flag and no code is
    in it without a code.
    """
    rows = store.rows("SELECT * FROM code ORDER BY case_id, model, rater, rated_at")
    table = pd.DataFrame([dict(row) for row in rows], columns=[*COLUMNS])
    texts = [name for name in COLUMNS if name not in ("code", "seconds")]
    table = table.fillna(dict.fromkeys(texts, "")).astype(dict.fromkeys(texts, "string"))
    table["code"] = table["code"].astype("Int64")
    table["seconds"] = table["seconds"].astype("Float64")
    return table


def results(path: Path, to_decide: int) -> dict[str, Any]:
    """Counts, pace and consistency of each rater, and the agreement of each two.

    Args:
        path: of the store.
        to_decide: how many cases wait for a decision.
    """
    store = Store(path)
    try:
        return _results(store, to_decide)
    finally:
        store.close()


def export_csv(path: Path) -> str:
    """The codes of a store as our CSV."""
    return csv_text(code_table_of(path))


def write_export(path: Path, output: str | Path) -> None:
    """Write the codes of a store into a CSV; codes of other cases or raters, and other columns, stay in it.

    Args:
        path: of the store.
        output: CSV of codes.

    Raises:
        ValueError: the file is there and cannot be read as codes, so that something would be lost, or is a store.
        OSError: it cannot be written.
    """
    if is_store(output):
        raise ValueError(f"{output}: is a store of ratings, expected a CSV of codes or none yet")
    ours = code_table_of(path).astype("string").fillna("")
    tables = [ours]
    if Path(output).is_file():
        theirs, problems = read_rows(output)
        if problems:
            raise ValueError(str(problems[0]))
        names = [CASE_ID, "rater", "segmentation_sha256", "model"]
        known = {(case_id, _quoted(rater), *rest) for case_id, rater, *rest in _ever_coded(path)}
        rows = theirs[names].assign(rater=theirs["rater"].map(_quoted)).to_numpy()
        tables.insert(0, theirs[np.array([tuple(row) not in known for row in rows], dtype=bool)])
    merged = pd.concat(tables).fillna("")
    with complete_file(output) as partial:
        partial.write_text(csv_text(merged), encoding="utf-8")


def _ever_coded(path: Path) -> set[tuple[str, str, str, str]]:
    """Case, rater, segmentation and model of all that was ever coded here, also of what was taken back since."""
    store = Store(path)
    try:
        rows = store.rows(
            """
            SELECT DISTINCT case_id, event.rater || CASE turn.kind WHEN 'adjudication' THEN ? ELSE '' END AS rater,
                CASE segmentation WHEN '' THEN '' ELSE event.sha256 END AS segmentation, model
            FROM event JOIN item ON item.item = event.item LEFT JOIN turn USING (rater, place)
            """,
            ADJUDICATION,
        )
        named = {(row["case_id"], row["rater"], row["segmentation"], row["model"]) for row in rows}
        return named | {(case_id, rater, "", model) for case_id, rater, _, model in named}
    finally:
        store.close()


def code_table_of(path: Path) -> pd.DataFrame:
    """The codes that stand in a store, see `code_table`."""
    store = Store(path)
    try:
        return code_table(store)
    finally:
        store.close()


def _results(store: Store, to_decide: int) -> dict[str, Any]:
    raters = [row["rater"] for row in store.rows("SELECT DISTINCT rater FROM rating ORDER BY rater")]
    raters = [rater for rater in raters if not rater.endswith(ADJUDICATION)]
    return {
        "raters": [_of_rater(store, rater) for rater in raters],
        "agreement": _agreement(store),
        "items": store.number("SELECT count(*) FROM item WHERE is_there AND fault = ''"),
        "unrated": store.number(
            "SELECT count(*) FROM item WHERE is_there AND fault = '' AND NOT EXISTS ("
            "SELECT 1 FROM rating WHERE rating.item = item.item AND rating.sha256 IN (item.sha256, ''))"
        ),
        "set_aside": store.number("SELECT count(*) FROM item WHERE is_there AND fault != ''"),
        "to_decide": to_decide,
    }


def _of_rater(store: Store, rater: str) -> dict[str, Any]:
    rows = store.rows(
        "SELECT code, seconds, turn_kind FROM rating JOIN item USING (item) WHERE rater = ? AND is_there"
        " AND turn_kind != 'adjudication' AND rating.sha256 IN (item.sha256, '')",
        rater,
    )
    codes = [row["code"] for row in rows if row["turn_kind"] != "repeat"]
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None and row["seconds"] >= SHORTEST]
    return {
        "rater": rater,
        "counts": [codes.count(code) for code in CODES],
        "median_seconds": float(np.median(seconds)) if seconds else None,
        "consistency": _consistency(store, rater),
    }


def _consistency(store: Store, rater: str) -> dict[str, Any]:
    """How often a rater gave the same code to a segmentation that was shown twice."""
    rows = store.rows(
        """
        SELECT first.code AS first, again.code AS again FROM rating AS again JOIN rating AS first
        ON first.rater = again.rater AND first.item = again.item AND first.sha256 = again.sha256
        AND first.turn_kind = 'first' AND again.turn_kind = 'repeat' WHERE again.rater = ?
        """,
        rater,
    )
    pairs = [(row["first"], row["again"]) for row in rows]
    same = sum(first == again for first, again in pairs)
    kappa = math.nan
    if len({code for pair in pairs for code in pair}) > 1:
        kappa = float(cohen_kappa_score(*zip(*pairs, strict=True), labels=CODES, weights="quadratic"))
    return {"pairs": len(pairs), "same": same, "weighted_kappa": _number(kappa)}


def _agreement(store: Store) -> list[dict[str, Any]]:
    table = code_table(store)
    rated = table[table["code"].notna() & ~table["rater"].str.endswith(ADJUDICATION)]
    if rated["rater"].nunique() < 2:
        return []
    ratings = ratings_by_rater(merge_duplicates(rated.reset_index(drop=True)).table)
    return [
        {
            "raters": [pair.rater_a, pair.rater_b],
            "ratings": pair.ratings,
            "agreement": _estimate(pair.agreement),
            "kappa": _estimate(pair.kappa),
            "weighted_kappa": _estimate(pair.weighted_kappa),
        }
        for pair in pair_agreements(ratings)
    ]


def _estimate(estimate: Estimate) -> list[float | None]:
    return [_number(value) for value in estimate]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def csv_text(table: pd.DataFrame) -> str:
    """A table of codes as our CSV; a name or reason that a spreadsheet would take for a formula gets a quotation mark.

    Example:
        >>> csv_text(pd.DataFrame([["a", 0, "=1+1", 2.0, "", "", "", ""]], columns=[*COLUMNS])).splitlines()[1]
        "a,0,'=1+1,2.0,,,,"
    """
    shown = table[[*COLUMNS, *(name for name in table.columns if name not in COLUMNS)]].copy()
    for name in ("rater", "reason"):
        shown[name] = shown[name].astype(str).map(_quoted)
    return shown.to_csv(index=False, lineterminator="\n")


def _quoted(text: str) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in _FORMULA else text
