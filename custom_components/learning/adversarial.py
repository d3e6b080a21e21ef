"""Segmentations that please a discriminator more than people: what a watcher should have seen before."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn

from custom_components.anatomy import NUM_CLASSES
from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import image_files, sha256_of, volume_files
from custom_components.data.codes import write_codes
from custom_components.data.label_files import read_label
from custom_components.data.layout import ERROR, segmentation_path
from custom_components.data.qa_inference import volume_case
from custom_components.data.set_aside import SetAsideDataset
from custom_components.options import check_number
from custom_components.preprocessing import segmentation_postprocessing
from custom_components.segmentation_gradients import QAScoreGradient
from custom_components.transforms.certain_code import certain_code

CERTAINTY = 4.0
"""Logit of the label that a voxel has at the start, about four fifths of probability."""

logger = logging.getLogger(__name__)


class Fooled(NamedTuple):
    """A segmentation after the steps: labels (1, 1, X, Y, Z), and the score of their montage before and after."""

    labels: Tensor
    before: float
    after: float


def fool(
    image: Tensor, labels: Tensor, gradient: QAScoreGradient, *, steps: int = 20, step: float = 2.0, goal: float = 0.0
) -> Fooled:
    """Change a segmentation until its discriminator likes it: steps against the gradient at its logits.

    Args:
        image: (1, 1, X, Y, Z) in [0, 1].
        labels: (1, 1, X, Y, Z) of an integer type.
        gradient: of the discriminator.
        steps: at most.
        step: greatest change of a logit in a step.
        goal: score of the hard montage at which the steps end.
    """
    check_number(steps, "steps", 1, whole=True)
    logits = CERTAINTY * _one_hot(labels)
    best, before = labels, float(gradient.score(image, labels))
    after = before
    for _ in range(steps):
        slope = gradient(image, logits).gradient
        largest = float(slope.abs().max())
        if after <= goal or not largest > 0:
            break
        logits -= step / largest * slope
        hard = logits.argmax(1, keepdim=True).to(labels.dtype)
        score = float(gradient.score(image, hard))
        if score < after:
            best, after = hard, score
    return Fooled(best, before, after)


def fool_cohort(
    images: str | Path,
    segmentations: str | Path,
    output_dir: str | Path,
    gradient: QAScoreGradient,
    preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    cases: Sequence[str] | None = None,
    steps: int = 20,
) -> dict[str, Fooled]:
    """Change segmentations of a folder until their discriminator likes them, and write those that it likes better.

    A case that cannot be read is set aside with a warning.

    Args:
        images: folder of CTs, or a list of them, see `custom_components.data.case_files.image_files`.
        segmentations: folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`.
        output_dir: where `<case>/<case>_seg.nii.gz` go, on the grids of the CTs.
        gradient: of the discriminator.
        preprocessing: `custom_components.preprocessing.qa_preprocessing`, of the discriminator's grid.
        cases: ids; all that have a segmentation if not given.
        steps: see `fool`.

    Returns:
        What became of each case that is written, without its labels.

    Raises:
        ValueError: a folder holds no such files.
    """
    cts, labels = image_files(images, skip_dir=segmentations), volume_files(segmentations)
    chosen = sorted(labels) if cases is None else [case_id for case_id in cases if case_id in labels]
    dataset = SetAsideDataset([volume_case(case_id, cts, labels) for case_id in chosen], preprocessing)
    write = segmentation_postprocessing(output_dir=output_dir)
    written = {}
    for item in (dataset[number] for number in range(len(dataset))):
        if ERROR in item:
            logger.warning("%s: set aside: %s", item[CASE_ID], item[ERROR])
            continue
        image, before = (torch.as_tensor(item[key]).as_subclass(Tensor)[None] for key in ("image", "segmentation"))
        found = fool(image, before, gradient, steps=steps)
        if found.after < found.before:
            write({"image": item["image"], "pred": CERTAINTY * _one_hot(found.labels)[0]})
            written[item[CASE_ID]] = found._replace(labels=found.labels[:0])
            logger.info("%s: score %.2f, was %.2f", item[CASE_ID], found.after, found.before)
    return written


def write_certain_codes(
    before_dir: str | Path, after_dir: str | Path, codes: pd.DataFrame, output: str | Path
) -> Counter[int]:
    """Write the codes of changed segmentations that leave no choice, whatever the unknown truth is.

    Args:
        before_dir: folder of the segmentations that people coded.
        after_dir: folder of the changed ones.
        codes: of the former, one row a rating, see `custom_components.data.codes.load_codes`.
        output: CSV to write.

    Returns:
        How many there are of each code; the other cases have no row.
    """
    given = codes[codes["code"].notna()].groupby(CASE_ID)["code"].mean()
    before, after = volume_files(before_dir), volume_files(after_dir)
    rows = []
    for case_id in sorted(after.keys() & before.keys() & set(given.index)):
        first, second = read_label(before[case_id][-1]), read_label(after[case_id][-1])
        spacing = [float(mm) for mm in first.pixdim]
        code = certain_code(first[0].numpy(), second[0].numpy(), float(given[case_id]), spacing=spacing)
        if code is not None:
            digest = sha256_of(segmentation_path(after_dir, case_id))
            rows.append({CASE_ID: case_id, "code": round(code), "rater": "certain", "segmentation_sha256": digest})
    table = pd.DataFrame(rows, columns=[CASE_ID, "code", "rater", "segmentation_sha256"])
    write_codes(table, output)
    return Counter(int(code) for code in table["code"])


def _one_hot(labels: Tensor) -> Tensor:
    return nn.functional.one_hot(labels[:, 0].long(), NUM_CLASSES).movedim(-1, 1).float()
