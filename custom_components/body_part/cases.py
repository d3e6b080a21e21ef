"""CTs as slices in memory, for the training of a body-part regressor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.data import DataLoader
from tqdm import tqdm

from custom_components.case_ids import CASE_ID
from custom_components.data.layout import ERROR
from custom_components.data.set_aside import SetAsideDataset
from custom_components.user_errors import exit_on_user_error

KEPT = ("image", "height", "landmarks", "organs", CASE_ID)

logger = logging.getLogger(__name__)


@exit_on_user_error
def loaded_cases(
    cases: Sequence[Mapping[str, Any]],
    preprocessing: Callable,
    *,
    least_slices: int = 8,
    set_aside: bool = False,
    num_workers: int = 0,
) -> list[dict[str, Any]]:
    """Load CTs as `body_part_preprocessing` does; for use in configs. One that cannot be used is said and left out.

    Args:
        cases: items with `case_id` and `image`.
        preprocessing: the transform.
        least_slices: without which a CT teaches nothing.
        set_aside: keep such a CT as its `case_id` and the `error`.
        num_workers: processes that read.

    Raises:
        SystemExit: none can be used; one line, and exit code 1.
    """
    dataset = SetAsideDataset([dict(case) for case in cases], preprocessing)
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers, collate_fn=_same)
    kept = []
    for case in tqdm(loader, desc="CTs", unit="CT"):
        count = len(case.get("image", ()))
        reason = case.get(ERROR) or (
            f"has {count} slices, expected at least {least_slices}" if count < least_slices else ""
        )
        if reason:
            logger.warning("%s: left out: %s", case[CASE_ID], reason)
            if set_aside:
                kept.append({CASE_ID: case[CASE_ID], ERROR: reason})
        else:
            kept.append({key: value for key, value in case.items() if key in KEPT})
    if all(ERROR in case for case in kept):
        raise ValueError(f"none of {len(cases)} CTs can be used, expected at least one")
    return kept


def _same(case: dict[str, Any]) -> dict[str, Any]:
    return case


def prepare_slices(
    batchdata: Mapping[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, Any]:
    """Take a regressor's input and target out of a batch: `prepare_batch` of MONAI's engines.

    Returns:
        Slices (B, N, 128, 128) float32 in [0, 1], and where they lie (B, N) in mm; in training, with `mirrored` (B,), a
        pair of both.
    """
    images = batchdata["image"]
    images = images / 255 if images.dtype == torch.uint8 else images
    target = batchdata["height"].to(device, non_blocking=non_blocking)
    if "mirrored" in batchdata:
        target = target, batchdata["mirrored"].to(device, non_blocking=non_blocking)
    return images.to(device=device, non_blocking=non_blocking, **kwargs), target
