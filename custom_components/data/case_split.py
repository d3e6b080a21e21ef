"""Split rated cases into training, validation and test."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.code_values import CODES, nearest_code

SECTIONS = ("training", "validation", "test")


def split_cases(table: pd.DataFrame, *, validation: float = 0.1, test: float = 0.1, seed: int = 0) -> dict[str, str]:
    """Give each rated case a section, so that every section has its share of each code.

    All segmentations of a case are in one section. Where each case has one segmentation, a code is in every section if
    three cases have it, and in training and test if two have it. The result does not depend on the order of the rows.
    Unrated rows are left out, and with them cases that have no others. Soft codes count as the nearest code.

    Cases are placed one by one where most are still wanted, first those with the rarest code that suffices for all
    sections (after Sechidis et al., *On the stratification of multi-label data*, ECML PKDD 2011). Scikit-learn's
    `StratifiedGroupKFold` knows only folds of one size, and none for a code with fewer cases than there are folds.

    Args:
        table: with the columns `case_id, code`, a row for each segmentation.
        validation: share of the cases; with 0 there is no such section.
        test: share of the cases.
        seed: of the order of the cases.

    Returns:
        The section of each case, sorted by case.

    Raises:
        ValueError: the shares are not from 0 to less than 1 together, or the cases do not suffice for the sections.

    Example:
        >>> table = pd.DataFrame({"case_id": list("abcdef"), "code": [0, 0, 0, 0, 2, 2]})
        >>> sections = split_cases(table, validation=0, test=0.3)
        >>> sorted(sections.values()), sections["e"] == sections["f"]
        (['test', 'test', 'training', 'training', 'training', 'training'], False)
    """
    shares = section_shares(validation=validation, test=test)
    codes = codes_of_cases(table)
    totals = Counter(code for of_case in codes.values() for code in of_case)
    enough = sum(share > 0 for share in shares.values())
    wanted = {code: _wanted(totals[code], shares) for code in CODES}
    order = sorted(codes, key=lambda case_id: hashlib.sha256(f"{seed}/{case_id}".encode()).digest())
    sections: dict[str, str] = {}
    while waiting := [case_id for case_id in order if case_id not in sections]:
        numbers = Counter(code for case_id in waiting for code in codes[case_id])
        rarest = min(numbers, key=lambda code: (totals[code] < enough, numbers[code], -code))
        for case_id in waiting:
            if rarest in codes[case_id]:
                sections[case_id] = _most_wanting(wanted, rarest)
                for code in codes[case_id]:
                    wanted[code][sections[case_id]] -= 1
    for section, share in shares.items():
        if share and section not in sections.values():
            found = f"{len(codes)} cases are rated, at most {max(totals.values(), default=0)} with the same code"
            raise ValueError(f"{section} would be empty: {found}, expected at least {enough} with the same code")
    return dict(sorted(sections.items()))


def section_shares(*, validation: float, test: float) -> dict[str, float]:
    """Give the share of each section; training has the rest.

    Raises:
        ValueError: a share is negative, or nothing is left for training.
    """
    for name, share in (("validation", validation), ("test", test)):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ValueError(f"{name} is {share!r}, expected a share from 0 to less than 1")
    training = round(1 - validation - test, 10)
    if training <= 0:
        raise ValueError(f"validation and test are {validation} and {test}, expected less than 1 together")
    return dict(zip(SECTIONS, (training, float(validation), float(test)), strict=True))


def codes_of_cases(table: pd.DataFrame) -> dict[str, set[int]]:
    """Collect the codes of each case that has any."""
    codes: dict[str, set[int]] = {}
    for case_id, code in zip(table[CASE_ID], table["code"], strict=True):
        if not pd.isna(code):
            codes.setdefault(str(case_id), set()).add(nearest_code(float(code)))
    return codes


def _wanted(number: int, shares: Mapping[str, float]) -> dict[str, float]:
    """How many cases of a code each section should have: its share, and at least one while there are enough."""
    sections = [section for section in ("training", "test", "validation") if shares[section]]
    wanted = {section: float(place < number) for place, section in enumerate(sections)}
    above = {section: max(shares[section] * number - 1, 0.0) for section in sections}
    spare = max(number - len(sections), 0) / (sum(above.values()) or 1.0)
    return {section: one + spare * above[section] for section, one in wanted.items()}


def _most_wanting(wanted: Mapping[int, Mapping[str, float]], code: int) -> str:
    """The section that wants the code most; of several the one that wants cases most, then the first."""
    return max(wanted[code], key=lambda name: (round(wanted[code][name], 6), sum(row[name] for row in wanted.values())))
