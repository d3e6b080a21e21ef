"""Take codes over that were given elsewhere."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.code_values import ADJUDICATION
from custom_components.data.codes import read_codes
from custom_components.review.review import Review
from custom_components.review.sessions import checked_rater
from custom_components.review.store import Store, now

NAMELESS = "imported"
"""Rater of codes that name none."""


def import_text(review: Review, content: bytes) -> str:
    """Take over what a CSV holds; say in one line what became of it.

    Raises:
        ValueError: it cannot be read as codes.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "import"
        path.write_bytes(content)
        try:
            counts = import_codes(review, path)
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), "the file")) from None
    return in_words(counts)


def in_words(counts: Mapping[str, int]) -> str:
    """What became of the rows, as `import_codes` counts them, in one line."""
    parts = [f"{counts.get('taken', 0)} codes taken over"]
    parts += [f"{counts[name]} {words}" for name, words in _LEFT.items() if counts.get(name)]
    return "; ".join(parts)


_LEFT = {
    "unrated": "rows without a code",
    "unknown": "of cases that are not here, or of other segmentations of them",
    "rated here": "of what the rater coded here",
    "there": "that were there before, or older ones",
    "rejected": "rows that cannot be read",
}


def import_codes(review: Review, path: str | Path) -> Counter[str]:
    """Take over the codes of a file, see `custom_components.data.codes.read_codes`; each only once.

    A code is of the segmentation with its sha256; without one, of that of its model, or of the only one of its case.
    What the same rater coded on the page counts more.

    Returns:
        How many rows were `taken`, and how many not, by the reason.

    Raises:
        ValueError: the file cannot be read as codes.
    """
    table, problems = read_codes(path)
    counts: Counter[str] = Counter(rejected=sum(problem.action == "rejected" for problem in problems))
    named = set(table[CASE_ID])
    digests = {}
    for item in review.store.items("is_there AND fault = ''"):
        if item.case_id in named:
            with suppress(LookupError):  # its file is gone
                digests[item.item] = review.fresh(item).sha256
    with review.store.transaction():
        for row in table.to_dict("records"):
            counts[_import(review, row, digests)] += 1
    return counts


def _import(review: Review, row: Mapping[Any, Any], digests: Mapping[int, str]) -> str:
    if pd.isna(row["code"]):
        return "unrated"
    store = review.store
    found = store.rows("SELECT item, model FROM item WHERE case_id = ? AND is_there AND fault = ''", str(row[CASE_ID]))
    found = [one for one in found if one["item"] in digests]
    if row["segmentation_sha256"]:
        found = [one for one in found if digests[one["item"]] == row["segmentation_sha256"]]
    if row["model"] and (len(found) > 1 or not row["segmentation_sha256"]):
        found = [one for one in found if one["model"] in (row["model"], "")]
    if len(found) != 1:
        return "unknown"
    try:
        item, rater = found[0]["item"], checked_rater(row["rater"] or NAMELESS)
    except ValueError:
        return "rejected"
    if _is_coded_here(store, rater, item):
        return "rated here"
    request = hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()
    before = store.row(
        "SELECT max(request = ?) AS is_same, max(julianday(at)) AS at FROM done WHERE rater = ? AND place = ?",
        request, rater, -item,
    )  # fmt: skip
    at = store.row("SELECT julianday(?) AS at", row["rated_at"])
    if before and (before["is_same"] or (at and at["at"] and before["at"] and at["at"] < before["at"])):
        return "there"
    seconds = None if pd.isna(row["seconds"]) else float(row["seconds"])
    store.run(
        "INSERT INTO event (request, kind, rater, place, item, sha256, code, seconds, at, reason)"
        " VALUES (?, 'rating', ?, ?, ?, ?, ?, ?, ?, ?)",
        request, rater, -item, item, digests[item], int(row["code"]), seconds, row["rated_at"] or now(), row["reason"],
    )  # fmt: skip
    return "taken"


def _is_coded_here(store: Store, rater: str, item: int) -> bool:
    """Whether a rater has coded an item on the page; or has decided about it, if the rater's name says that."""
    name = rater.removesuffix(ADJUDICATION)
    found = store.row(
        "SELECT 1 FROM rating WHERE rater = ? AND item = ? AND place > 0 AND (turn_kind = 'adjudication') = ?",
        name, item, name != rater,
    )  # fmt: skip
    return found is not None
