"""The report of a cohort before and after: what it is made from, and the work that makes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from custom_components.anatomy import LabelSet, label_map
from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.data.case_files import image_files, volume_files
from custom_components.grid_settings import checked_pixdim, checked_roi_size
from custom_components.options import check_number
from custom_components.report.code_sets import CodeSet, Matched, match, read_code_set
from custom_components.report.comparison import Comparison, compare_codes
from custom_components.report.dice_comparison import OrganChange, SetDice, compare_dice, measure_dice
from custom_components.report.montage_pairs import PairRun, choose_pairs, draw_pairs, folder_name, remove_pairs
from custom_components.report.score_check import ScoreCheck, check_scores

PAIRS = "pairs"
"""Folder of the pairs of montages in that of the report."""


@dataclass(frozen=True)
class SetFiles:
    """Where one set of codes is: its name, the CSV, and if there are any its segmentations and scores."""

    name: str
    codes: str | Path
    segmentations: str | Path | None = None
    scores: str | Path | None = None


@dataclass(frozen=True)
class Volumes:
    """What of the volumes enters the report.

    Attributes:
        images: folder of CTs, for pairs of montages.
        truth: folder of true label maps, for Dice.
        label_set: how segmentations are numbered.
        truth_label_set: how the truth is numbered.
        pixdim: voxel size of the montages in mm.
        roi_size: voxels of a slice, and the number of slices.
        body_part: the slices that are kept.
        improvements: how many of the largest improvements are drawn; new gross failures are drawn all.
        workers: processes that draw; None for one for each processor.
    """

    images: str | Path | None = None
    truth: str | Path | None = None
    label_set: LabelSet = "abdomen12"
    truth_label_set: LabelSet = "abdomen12"
    pixdim: Sequence[float] = (2.0, 2.0, 6.0)
    roi_size: Sequence[int] = (168, 168, 64)
    body_part: BodyPartCrop | None = None
    improvements: int = 6
    workers: int | None = None


@dataclass(frozen=True)
class DiceChanges:
    """Dice by organ, cases that could not be measured by side and case id, and cases without segmentation or truth."""

    organs: list[OrganChange]
    set_aside: dict[str, str]
    without: list[str]


@dataclass(frozen=True)
class Method:
    """One set after against the set before; `pairs_dir` is the folder of its pictures in that of the report."""

    after: CodeSet
    matched: Matched
    comparison: Comparison
    scores: ScoreCheck | None
    dice: DiceChanges | None = None
    pairs: PairRun | None = None
    pairs_dir: str = PAIRS


@dataclass(frozen=True)
class Cohort:
    """The set before, and every set after against it."""

    before: CodeSet
    methods: list[Method] = field(default_factory=list)

    @property
    def has_same_cases(self) -> bool:
        """Whether all methods are compared over the same cases."""
        return all(method.matched.cases.index.equals(self.methods[0].matched.cases.index) for method in self.methods)

    @property
    def has_same_scored(self) -> bool:
        """Whether the scores of all methods are compared over the same cases."""
        places = ["score_before", "score_after"]
        scored = [method.matched.cases.dropna(subset=places).index for method in self.methods]
        return all(one.equals(scored[0]) for one in scored)


def compare_cohort(before: SetFiles, afters: Sequence[SetFiles], volumes: Volumes, output_dir: str | Path) -> Cohort:
    """Read, match and compare; draw the pairs of montages below `output_dir`.

    Raises:
        ValueError: an input is missing, has another form or no rated case in common with the others; nothing is written
            then.
        OSError: a picture cannot be written.
    """
    _check(before, afters, volumes)
    old, *new = (
        read_code_set(one.codes, name=one.name, segmentations=one.segmentations, scores=one.scores)
        for one in (before, *afters)
    )
    matches = [match(old, after) for after in new]
    scores = [_scores(before, one, matched) for one, matched in zip(afters, matches, strict=True)]
    dice = _dice(before, afters, matches, volumes)
    remove_pairs(Path(output_dir) / PAIRS)
    pairs = _pairs(before, afters, matches, volumes, Path(output_dir))
    methods = [
        Method(
            after,
            matched,
            compare_codes(matched.cases["before"].tolist(), matched.cases["after"].tolist()),
            scores[number],
            dice[number] if dice else None,
            pairs[number] if pairs else None,
            _pairs_dir(afters, number),
        )
        for number, (after, matched) in enumerate(zip(new, matches, strict=True))
    ]
    return Cohort(old, methods)


def _check(before: SetFiles, afters: Sequence[SetFiles], volumes: Volumes) -> None:
    names = [one.name for one in (before, *afters)]
    if len(set(map(folder_name, names))) < len(names):
        raise ValueError(f"names are {', '.join(map(repr, names))}, expected different ones")
    for what, folder in (("images", volumes.images), ("truth", volumes.truth)):
        if folder and not all(one.segmentations for one in (before, *afters)):
            raise ValueError(f"{what} is {folder}, expected the segmentations before and after with it")
    if len({bool(one.scores) for one in (before, *afters)}) > 1:
        raise ValueError("scores are given of some of the sets, expected those before and after, or none")
    checked_pixdim(volumes.pixdim)
    checked_roi_size(volumes.roi_size)
    if isinstance(volumes.improvements, bool) or not isinstance(volumes.improvements, int) or volumes.improvements < 0:
        raise ValueError(f"pairs is {volumes.improvements!r}, expected a whole number of 0 or more")
    if volumes.workers is not None:
        check_number(volumes.workers, "workers", 0, whole=True)
    for label_set in (volumes.label_set, volumes.truth_label_set):
        label_map(label_set)


def _scores(before: SetFiles, after: SetFiles, matched: Matched) -> ScoreCheck | None:
    found = check_scores(matched.cases)
    if found is None and before.scores:
        raise ValueError(f"{before.scores} and {after.scores}: no compared case is in both, expected at least one")
    return found


def _dice(
    before: SetFiles, afters: Sequence[SetFiles], matches: Sequence[Matched], volumes: Volumes
) -> list[DiceChanges]:
    if not volumes.truth:
        return []
    cases = [list(matched.cases.index) for matched in matches]
    old = _measured(before, {case for some in cases for case in some}, volumes)
    changes = []
    for one, compared in zip(afters, cases, strict=True):
        new = _measured(one, set(compared), volumes)
        before_of_cases = old.table.loc[old.table.index.intersection(compared)]
        changes.append(
            DiceChanges(
                compare_dice(before_of_cases, new.table),
                {
                    f"{side}: {case}": reason
                    for side, measured in (("before", old), ("after", new))
                    for case, reason in measured.set_aside.items()
                    if case in compared
                },
                sorted({case for case in (*old.without, *new.without) if case in compared}),
            )
        )
    return changes


def _measured(one: SetFiles, cases: set[str], volumes: Volumes) -> SetDice:
    assert one.segmentations is not None
    assert volumes.truth is not None
    numbering = {"label_set": volumes.label_set, "truth_label_set": volumes.truth_label_set}
    return measure_dice(cases, one.segmentations, volumes.truth, **numbering)


def _pairs(
    before: SetFiles, afters: Sequence[SetFiles], matches: Sequence[Matched], volumes: Volumes, output_dir: Path
) -> list[PairRun]:
    if not volumes.images:
        return []
    assert before.segmentations is not None
    images = image_files(volumes.images, skip_dir=before.segmentations)
    old, *new = (volume_files(one.segmentations) for one in (before, *afters) if one.segmentations)
    return [
        draw_pairs(
            choose_pairs(matched.cases, volumes.improvements),
            images,
            (old, segmentations),
            output_dir / _pairs_dir(afters, number),
            names=(before.name, one.name),
            label_set=volumes.label_set,
            pixdim=volumes.pixdim,
            roi_size=volumes.roi_size,
            body_part=volumes.body_part,
            workers=os.cpu_count() or 1 if volumes.workers is None else volumes.workers,
        )
        for number, (one, matched, segmentations) in enumerate(zip(afters, matches, new, strict=True))
    ]


def _pairs_dir(afters: Sequence[SetFiles], number: int) -> str:
    return PAIRS if len(afters) == 1 else f"{PAIRS}/{folder_name(afters[number].name)}"
