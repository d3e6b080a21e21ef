"""Montages of one case before and after, side by side: the largest improvements, and every new gross failure."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from monai.transforms import Compose
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from custom_components.anatomy import LabelSet
from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.case_ids import CASE_ID
from custom_components.data.layout import ERROR
from custom_components.data.qa_inference import Found, volume_case
from custom_components.data.set_aside import SetAsideDataset, one_line_reason
from custom_components.preprocessing import qa_preprocessing
from custom_components.report.comparison import FAILURE
from custom_components.report.pair_png import BROKEN, IMPROVED, Pair, write_pair
from custom_components.transforms.montaged import Montaged

SIDES = ("before", "after")

logger = logging.getLogger(__name__)


class PairRun(NamedTuple):
    """The pairs that were drawn, and why the others were not, by case id."""

    drawn: list[Pair]
    set_aside: dict[str, str]


def choose_pairs(cases: pd.DataFrame, improvements: int) -> list[Pair]:
    """Choose the cases to show: the largest improvements, then every new gross failure, the worst first.

    Among equal changes of the code that of a gross failure comes first, and then the larger change of the score.

    Args:
        cases: `before, after, score_before, score_after`, with the case id as index.
        improvements: how many of these at most.
    """
    pairs = [
        Pair(str(row.Index), "", int(row.before), int(row.after), float(row.score_before), float(row.score_after))
        for row in cases.itertuples()
    ]
    better = sorted((pair for pair in pairs if pair.after < pair.before), key=_largest_change)
    broken = sorted((pair for pair in pairs if pair.before < FAILURE == pair.after), key=_largest_change)
    return [
        *(pair._replace(kind=IMPROVED) for pair in better[:improvements]),
        *(pair._replace(kind=BROKEN) for pair in broken),
    ]


def draw_pairs(
    pairs: Sequence[Pair],
    images: Found,
    segmentations: tuple[Found, Found],
    output_dir: str | Path,
    *,
    names: tuple[str, str] = ("before", "after"),
    label_set: LabelSet = "abdomen12",
    pixdim: Sequence[float] = (2.0, 2.0, 6.0),
    roi_size: Sequence[int] = (168, 168, 64),
    body_part: BodyPartCrop | None = None,
    workers: int = 0,
) -> PairRun:
    """Draw each pair as `<output_dir>/<kind>_<case_id>.png`, the montage before on the left and after on the right.

    A case that cannot be drawn is set aside with its reason.

    Args:
        pairs: as `choose_pairs` gives them.
        images: CTs by case id, see `custom_components.data.case_files.image_files`.
        segmentations: before and after, by case id, see `custom_components.data.case_files.volume_files`.
        output_dir: where to; made if missing.
        names: what the two sets are called in the pictures.
        label_set: how the segmentations are numbered.
        pixdim: voxel size in mm, see `qa_preprocessing`.
        roi_size: voxels of a slice, and the number of slices.
        body_part: the slices that are kept.
        workers: processes.

    Raises:
        OSError: a picture cannot be written.
    """
    items = [_item(pair.case_id, images, segmentations, label_set) for pair in pairs]
    grid = qa_preprocessing(pixdim=pixdim, roi_size=roi_size, body_part=body_part)
    dataset = SetAsideDataset(items, PairOfMontages(grid))
    loader = DataLoader(dataset, batch_size=None, num_workers=min(workers, len(items)))
    drawn, set_aside = [], {}
    with logging_redirect_tqdm():
        for pair, item in zip(pairs, tqdm(loader, desc="pairs", unit="case"), strict=True):
            if ERROR in item:
                set_aside[pair.case_id] = item[ERROR]
                logger.warning("%s: no pair of montages: %s", pair.case_id, item[ERROR])
            else:
                write_pair(Path(output_dir) / pair.file, pair, (item["before"], item["after"]), names)
                drawn.append(pair)
    return PairRun(drawn, set_aside)


class PairOfMontages:
    """Make the montages of `{"before": item, "after": item}`, each (3, rows, columns) uint8.

    Args:
        preprocessing: `qa_preprocessing`.

    Raises:
        ValueError: (when called) one of the two cannot be made; one line that says which.
    """

    def __init__(self, preprocessing: Compose) -> None:
        self.preprocessing = preprocessing
        self.montaged = Montaged(size=None)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the two montages."""
        return {side: self._montage(side, data[side]) for side in SIDES}

    def _montage(self, side: str, item: dict[str, Any]) -> Tensor:
        try:
            picture = self.montaged(self.preprocessing(item))["montage"]
        except Exception as error:
            raise ValueError(f"{side}: {one_line_reason(error, item)}") from error
        return picture.mul(255).add(0.5).clamp(0, 255).to(torch.uint8)


def remove_pairs(folder: str | Path) -> None:
    """Remove the pictures of an earlier run from a folder and its subfolders, which would pass for those of this one.

    Raises:
        OSError: the folder is not writable.
    """
    for kind in (IMPROVED, BROKEN):
        for path in Path(folder).rglob(f"{kind}_*.png"):
            path.unlink()


def folder_name(name: str) -> str:
    """Turn the name of a set into that of a folder.

    Example:
        >>> folder_name("ranked/seed 1"), folder_name("../..")
        ('ranked_seed_1', '_')
    """
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"


def _largest_change(pair: Pair) -> tuple[int, int, float, str]:
    score_change = pair.score_after - pair.score_before
    size = 0.0 if math.isnan(score_change) else -abs(score_change)
    return -abs(pair.after - pair.before), -max(pair.before, pair.after), size, pair.case_id


def _item(case_id: str, images: Found, segmentations: tuple[Found, Found], label_set: LabelSet) -> dict[str, Any]:
    """The cases of both sides, or why one of them cannot be drawn."""
    item: dict[str, Any] = {CASE_ID: case_id}
    for side, found in zip(SIDES, segmentations, strict=True):
        case = volume_case(case_id, images, found)
        if ERROR in case:
            return {CASE_ID: case_id, ERROR: f"{side}: {case[ERROR]}"}
        item[side] = {**case, "label_set": label_set}
    return item
