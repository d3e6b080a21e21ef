"""Pseudo-labels: segmentations that people coded become labels of a training, weighted by their code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from custom_components.anatomy import ORGAN_NAMES
from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of, volume_files
from custom_components.data.cases import read_datalist
from custom_components.data.code_values import CODES
from custom_components.data.datalist import copy_datalist
from custom_components.data.layout import ERROR
from custom_components.data.listed_images import absolute_paths
from custom_components.learning.named_organs import approved_organs

APPROVED = (1.0, 0.3, 0.0)
"""Weight of a segmentation by its code: a success counts in full, what is inaccurate a little, a failure never."""


class Coded(NamedTuple):
    """Segmentations of one folder and what people think of them.

    Attributes:
        segmentations: folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`.
        codes: the folder's table of codes, one row a rating, as `custom_components.data.codes.load_codes` gives it.
        scores: QA scores by case, for segmentations that have no code.
    """

    segmentations: Path
    codes: pd.DataFrame
    scores: Mapping[str, float] = {}


class _Best(NamedTuple):
    """The best segmentation of a case so far, and whether people said so."""

    code: float
    path: Path
    is_by_people: bool

    def beats(self, other: _Best | None) -> bool:
        """Whether it counts instead of an earlier one: of equal codes the one of people, of such the later."""
        return other is None or (self.code, not self.is_by_people) <= (other.code, not other.is_by_people)


class PseudoLabels(NamedTuple):
    """What became of the cases.

    Attributes:
        counts: how many pseudo-labels have each code.
        left_out: why the other cases have none, by case id.
    """

    counts: Counter[float]
    left_out: dict[str, str]


def write_pseudo_labels(
    output: str | Path,
    datalist: str | Path,
    coded: Sequence[Coded],
    *,
    weights: Sequence[float] = APPROVED,
    accept_below: float | None = None,
    by_organ: bool = False,
    section: str = "unlabeled",
    pseudo_section: str = "pseudo",
    coded_section: str = "coded",
) -> PseudoLabels:
    """Write a datalist with two further sections: all coded cases, and those of them that become pseudo-labels.

    An entry is `image`, `label` (the segmentation), `case_id` and `code`, of a pseudo-label also `weight`; `accepted`
    is true where the score alone says that it is good. Where a case was segmented several times, the best coded one
    counts, of several such the last that people coded. Several ratings of one segmentation are averaged, and the weight
    of a code between two codes lies between theirs.

    Args:
        output: JSON to write; all other sections of the datalist stand in it too, with paths that hold there.
        datalist: Decathlon `dataset.json`.
        coded: folders of segmentations with their codes, in the order of the rounds.
        weights: of the codes 0, 1 and 2; a weight of 0 is no pseudo-label.
        accept_below: a segmentation without a code and with a lower QA score counts as coded 0, unless people coded the
            same file in another folder; None: only people say.
        by_organ: a segmentation coded 1 or 2 whose reason names organs is a label, of weight 1, of the judged organs
            that it does not name (`label_set`), see `approved_organs`; several of a case may give one each.
        section: whose cases get pseudo-labels.
        pseudo_section: name of the pseudo-labels.
        coded_section: name of all that has a code, failures too.

    Raises:
        ValueError: a weight is negative, the datalist cannot be read or has no such section, a folder holds no
            segmentations, or no case gets a pseudo-label.
    """
    if len(weights) != len(CODES) or not all(weight >= 0 for weight in weights):
        raise ValueError(
            f"weights is {list(weights)}, expected {len(CODES)} numbers of 0 or more, for the codes 0, 1, 2"
        )
    datalist, output = Path(datalist), Path(output)
    images, left_out = _images(datalist, section)
    best = _best_of(coded, accept_below)
    passed = _passed(coded) if by_organ else {}
    entries: list[dict[str, Any]] = []
    all_coded: list[dict[str, Any]] = []
    for case_id, image in images.items():
        if case_id not in best:
            left_out[case_id] = "no code"
            continue
        code, path, is_by_people = best[case_id]
        entry = {CASE_ID: case_id, "image": image, "label": str(path.absolute()), "code": code}
        if not is_by_people:
            entry["accepted"] = True
        all_coded.append(entry)
        if code and passed.get(case_id):
            entries += _partial_labels(entry, passed[case_id])
        elif weight := float(np.interp(code, CODES, weights)):
            entries.append({**entry, "weight": weight})
        else:
            left_out[case_id] = f"code {code:g}"
    if not entries:
        raise ValueError(
            f"{output}: none of {len(images)} cases has a code with a weight above 0, expected one at least"
        )
    copy_datalist(datalist, output, {pseudo_section: entries, coded_section: all_coded})
    return PseudoLabels(Counter(entry["code"] for entry in entries), left_out)


def _images(datalist: Path, section: str) -> tuple[dict[str, str | list[str]], dict[str, str]]:
    """The images by case id, and why others are left out."""
    images: dict[str, str | list[str]] = {}
    left_out: dict[str, str] = {}
    for case in read_datalist(datalist, section=section):
        if ERROR in case:
            left_out[case[CASE_ID]] = case[ERROR]
        else:
            images[case[CASE_ID]] = absolute_paths(case["image"])
    return images, left_out


def _partial_labels(entry: Mapping[str, Any], organs: Mapping[str, Path]) -> list[dict[str, Any]]:
    """An entry for each segmentation that has organs which passed."""
    labels = sorted(set(organs.values()))
    return [
        {
            **entry,
            CASE_ID: f"{entry[CASE_ID]}{f'_organs{number}' if number else ''}",
            "label": str(label.absolute()),
            "label_set": [name for name in ORGAN_NAMES if organs.get(name) == label],
            "weight": 1.0,
        }
        for number, label in enumerate(labels)
    ]


def _best_of(coded: Sequence[Coded], accept_below: float | None) -> dict[str, _Best]:
    """The best segmentation of each case that people, or their scores, say something about."""
    best: dict[str, _Best] = {}
    limit = -math.inf if accept_below is None else accept_below
    people = {} if accept_below is None else _files_of_people(coded)
    for one in coded:
        paths, codes = volume_files(one.segmentations), _mean_codes(one.codes)
        found = {name: _Best(code, paths[name][-1], True) for name, code in codes.items() if name in paths}
        for name in paths.keys() - codes.keys():
            if one.scores.get(name, math.inf) < limit and not _is_among(paths[name][-1], people.get(name, [])):
                found[name] = _Best(0.0, paths[name][-1], False)
        best |= {name: new for name, new in found.items() if new.beats(best.get(name))}
    return best


def _passed(coded: Sequence[Coded]) -> dict[str, dict[str, Path]]:
    """By case id and organ the last segmentation in which the organ passed."""
    passed: dict[str, dict[str, Path]] = {}
    for one in coded:
        paths = volume_files(one.segmentations)
        for case_id, organs in approved_organs(one.codes).items():
            if case_id in paths:
                passed.setdefault(case_id, {}).update(dict.fromkeys(organs, paths[case_id][-1]))
    return passed


def _files_of_people(coded: Sequence[Coded]) -> dict[str, list[Path]]:
    """The files by case id that have a code."""
    found: dict[str, list[Path]] = {}
    for one in coded:
        paths = volume_files(one.segmentations)
        for case_id in _mean_codes(one.codes).keys() & paths.keys():
            found.setdefault(case_id, []).append(paths[case_id][-1])
    return found


def _is_among(path: Path, others: Sequence[Path]) -> bool:
    return bool(others) and sha256_of(path) in {sha256_of(other) for other in others}


def _mean_codes(table: pd.DataFrame) -> Mapping[str, float]:
    rated = table[table["code"].notna()]
    return rated.groupby(CASE_ID)["code"].mean().astype(float).to_dict()
