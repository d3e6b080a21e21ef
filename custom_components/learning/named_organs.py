"""Which organs of a segmentation people approved: those judged ones that the reason of a bad code does not name."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from custom_components.anatomy import JUDGED_ORGANS, ORGAN_NAMES
from custom_components.case_ids import CASE_ID

_ADJECTIVES = {"hepatic": "liver", "splenic": "spleen", "renal": "kidney"}

_KIDNEY = re.compile(r"((?:\b(?:left|right)\b\W*(?:(?:and|or)\b\W*)?)*)\bkidneys?\b")


def named_organs(reason: str) -> frozenset[str]:
    """Find the organs that a rater's words name, in the order and with the words between that people like.

    A kidney without a side is both, and so it is where both sides are named somewhere. Names are English; `hepatic`,
    `splenic` and `renal` name organs too.

    Example:
        >>> sorted(named_organs("Spleen leaks; left kidney missing"))
        ['left_kidney', 'spleen']
        >>> sorted(named_organs("kidneys 0.42"))
        ['left_kidney', 'right_kidney']
        >>> sorted(named_organs("right kidney too small, left too"))
        ['left_kidney', 'right_kidney']
        >>> sorted(named_organs("hepatic dome cut, left renal pelvis"))
        ['left_kidney', 'liver']
        >>> sorted(named_organs("blurred"))
        []
    """
    text = re.sub(r"[\s_]+", " ", reason.lower())
    for adjective, organ in _ADJECTIVES.items():
        text = re.sub(rf"\b{adjective}\b(?! veins?\b)", organ, text)
    found = {name for name in ORGAN_NAMES if re.search(rf"\b{name.replace('_', ' ')}s?\b", text)}
    if mentions := _KIDNEY.findall(text):
        sides = {side for side in ("left", "right") if re.search(rf"\b{side}\b", text)}
        found.update(f"{side}_kidney" for side in (sides if all(mentions) else ("left", "right")))
    return frozenset(found)


def approved_organs(ratings: pd.DataFrame) -> Mapping[str, frozenset[str]]:
    """Find the judged organs of each segmentation that every rater let pass.

    A code 0 lets all pass. Another code lets those pass that its reason does not name, and none if the reason names no
    judged organ: then nobody knows which one it was.

    Args:
        ratings: codes of the segmentations of one folder, as `custom_components.data.codes.load_codes` gives them.

    Returns:
        By case id.
    """
    judged = frozenset(JUDGED_ORGANS)
    approved: dict[str, frozenset[str]] = {}
    rated = ratings.loc[ratings["code"].notna(), [CASE_ID, "code", "reason"]]
    for case_id, code, reason in rated.itertuples(index=False):
        wrong = named_organs("" if pd.isna(reason) else str(reason)) & judged
        passed = judged if code == 0 else judged - wrong if wrong else frozenset()
        approved[case_id] = approved.get(case_id, judged) & passed
    return approved
