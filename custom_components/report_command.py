"""The command `python -m custom_components report`: QA codes before and after."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from custom_components.report.before_after import SetFiles
    from custom_components.report.validation_curve import Curve


def report(
    before: str = "",
    after: str = "",
    output: str = "",
    *,
    name_before: str = "before",
    name_after: str = "",
    images: str = "",
    segmentations_before: str = "",
    segmentations_after: str = "",
    truth: str = "",
    scores_before: str = "",
    scores_after: str = "",
    curve: str = "",
    curve_metric: str = "",
    label_set: str = "abdomen12",
    truth_label_set: str = "abdomen12",
    pixdim: tuple[float, ...] = (2.0, 2.0, 6.0),
    roi_size: tuple[int, ...] = (168, 168, 64),
    body_part_path: str = "auto",
    body_part_scores: tuple[float, float] = (-6.0, 6.0),
    body_part_repair: bool = False,
    pairs: int = 6,
    workers: int | None = None,
    counts_before: str = "",
    counts_after: str = "",
) -> str:
    """Compare QA codes before and after, case by case; write a page, print the figures and the path of the page.

    Called as report BEFORE AFTER OUTPUT. Several sets after, such as methods and seeds, are lists with commas; where
    names have the form method/seed, the seeds of a method are summarised. The exit code is 1 if a row was rejected or a
    case set aside. From counts alone: report --counts_before 714,707,606 --counts_after 951,674,402, an unpaired test.

    Args:
        before: CSV of codes; of several raters of a segmentation the majority counts.
        after: CSV of codes, several with commas between them.
        output: folder to write report.html, report.json and pictures to; report if not given. From counts nothing is
            written without it.
        name_before: what the set before is called.
        name_after: what the sets after are called, one name for each.
        images: folder of CTs, or a dataset.json, for pairs of montages; needs the segmentations.
        segmentations_before: their folder; a rating of a segmentation that has changed since does not count.
        segmentations_after: their folders, one for each set after.
        truth: folder of true labels, for the Dice of each organ; needs the segmentations.
        scores_before: qa_scores.csv of the set before.
        scores_after: qa_scores.csv of each set after.
        curve: learning_curve.csv of trainings.
        curve_metric: columns of the curve to draw; val_rmse or val_mean_dice if not given.
        label_set: numbering of the segmentations: abdomen12 (ours), btcv, amos, flare22 or totalsegmentator.
        truth_label_set: numbering of the truth.
        pixdim: voxel size of the montages in mm; 5.25,5.25,12 for phantoms of the small grid.
        roi_size: voxels of a slice, and number of slices; 64,64,32 for phantoms of the small grid.
        body_part_path: weights of a body-part regressor, for the crop to the abdomen; auto: those that a bundle
            has, if any; none: no crop, as for phantoms of the small grid.
        body_part_scores: slice scores of the uppermost and of the lowest slice that are kept.
        body_part_repair: turn slices that are in reverse order, instead of setting the case aside.
        pairs: how many of the largest improvements to draw; new gross failures are drawn all.
        workers: processes that draw; default one for each processor.
        counts_before: number of cases with code 0, 1 and 2, instead of BEFORE.
        counts_after: number of cases with code 0, 1 and 2, instead of AFTER.
    """
    from custom_components.body_part.body_part_crop import chosen_crop
    from custom_components.options import flag
    from custom_components.report.before_after import Volumes
    from custom_components.report.report_text import report_text
    from custom_components.report.write_report import PAGE, write_report

    if counts_before or counts_after:
        if before or after:
            raise ValueError(f"counts are given and the codes {before or after} too, expected one of the two")
        _refuse_beside_counts(
            images=images,
            segmentations_before=segmentations_before,
            segmentations_after=segmentations_after,
            truth=truth,
            scores_before=scores_before,
            scores_after=scores_after,
            curve=curve,
            curve_metric=curve_metric,
        )
        return _from_counts(counts_before, counts_after, (name_before, name_after or "after"), output)
    if not before or not after:
        raise ValueError(f"{'after' if before else 'before'} is not given, expected a CSV of codes")
    if curve_metric and not curve:
        raise ValueError(f"curve_metric is {curve_metric}, expected a curve with it")
    _quiet()
    afters = _sets_after(
        _listed(after),
        names=_listed(name_after),
        segmentations=_listed(segmentations_after),
        scores=_listed(scores_after),
    )
    output = output or "report"
    wanted = body_part_path if images else None  # without images nothing is drawn
    crop = chosen_crop(wanted, body_part_scores, flag(body_part_repair, "body_part_repair"))
    data = write_report(
        output,
        _set(name_before, before, segmentations_before, scores_before),
        afters,
        volumes=Volumes(images, truth, label_set, truth_label_set, pixdim, roi_size, crop, pairs, workers),
        curves=_curves(_listed(curve), _listed(curve_metric), [one.name for one in afters]),
    )
    text = f"{report_text(data)}\n\nsee {Path(output) / PAGE}"
    if trouble := _trouble(data):
        print(text)
        raise SystemExit(f"error: {trouble}; see {Path(output) / PAGE}")
    return text


def _refuse_beside_counts(**given: str) -> None:
    for name, value in given.items():
        if value:
            raise ValueError(
                f"counts are given and {name} {value} too, which needs codes by case: expected one of the two"
            )


def _from_counts(before: str, after: str, names: tuple[str, str], output: str) -> str:
    from custom_components.report.report_text import report_text
    from custom_components.report.write_report import PAGE, write_count_report

    text = report_text(write_count_report(output, _counts("before", before), _counts("after", after), names))
    return f"{text}\n\nsee {Path(output) / PAGE}" if output else text


def _counts(side: str, words: str) -> list[int]:
    try:
        return [int(word) for word in words.strip("()[] ").split(",")]
    except ValueError:
        raise ValueError(f"counts_{side} is {words!r}, expected three whole numbers such as 714,707,606") from None


def _sets_after(
    files: Sequence[str], *, names: Sequence[str], segmentations: Sequence[str], scores: Sequence[str]
) -> list[SetFiles]:
    lists = {"name_after": names, "segmentations_after": segmentations, "scores_after": scores}
    for name, words in lists.items():
        if words and len(words) != len(files):
            raise ValueError(f"{name} has {len(words)} entries, expected {len(files)}, one for each set after")
    return [
        _set(name, file, *(words[number] if words else "" for words in (segmentations, scores)))
        for number, (name, file) in enumerate(zip(names or _default_names(files), files, strict=True))
    ]


def _default_names(files: Sequence[str]) -> list[str]:
    stems = [Path(file).stem for file in files]
    if len(files) == 1:
        return ["after"]
    return stems if len(set(stems)) == len(stems) else [f"after {number}" for number in range(1, len(files) + 1)]


def _set(name: str, codes: str, segmentations: str, scores: str) -> SetFiles:
    from custom_components.report.before_after import SetFiles

    return SetFiles(name, codes, segmentations or None, scores or None)


def _curves(files: Sequence[str], metrics: Sequence[str], names: Sequence[str]) -> list[Curve]:
    """Read the curves; they have the names of the sets after if there are as many of several."""
    from custom_components.report.validation_curve import read_curve

    if len(files) == 1:
        return [read_curve(files[0], metrics=metrics)]
    shown = names if len(names) == len(files) else [f"training {number}" for number in range(1, len(files) + 1)]
    return [read_curve(file, name=name, metrics=metrics) for file, name in zip(files, shown, strict=True)]


def _trouble(data: dict[str, Any]) -> str:
    """What makes the exit code 1: rejected rows, and cases that could not be measured or drawn."""
    sets = [data["before"], *data["methods"]]
    rejected = sum(problem["action"] == "rejected" for one in sets for problem in one["problems"])
    aside = {
        what: sum(len((m[what] or {}).get("set_aside", {})) for m in data["methods"]) for what in ("dice", "pairs")
    }
    parts = [
        f"{rejected} {'row' if rejected == 1 else 'rows'} rejected" if rejected else "",
        f"{aside['dice']} set aside for Dice" if aside["dice"] else "",
        f"{aside['pairs']} pairs of montages not drawn" if aside["pairs"] else "",
    ]
    return ", ".join(part for part in parts if part)


def _quiet() -> None:
    # MONAI says of an optional decoder that it is absent
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "NvImgCodecPydicomReader")


def _listed(words: str) -> list[str]:
    return [word for word in words.split(",") if word]
