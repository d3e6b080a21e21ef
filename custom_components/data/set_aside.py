"""A dataset that sets a bad case aside with a reason instead of ending the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset, MetaTensor
from monai.utils import ensure_tuple

from custom_components.case_ids import CASE_ID
from custom_components.data.fingerprint import FINGERPRINT
from custom_components.data.layout import ERROR, LOAD_SECONDS, SKIPPED, SOURCE
from custom_components.user_errors import root_cause

MAX_LENGTH = 300


class SetAsideDataset(Dataset):
    """Load and preprocess cases; a case that fails becomes `{"case_id": ..., "error": reason}`.

    Items that already carry `error` or `skipped` pass without the transform. A good item gets its case id, and its
    fingerprint if it has one, into the meta data of its images, for what writes them, and the seconds that it took.

    Args:
        data: items `{"image": path or paths, "case_id": id, ...}` as `inference_cases` gives them.
        transform: the preprocessing.

    Example:
        >>> def load(item):
        ...     raise ValueError(f"{item['image']}: truncated")
        >>> SetAsideDataset([{"image": "/data/a.nii", "case_id": "a", "source": "a.nii"}], load)[0]
        {'case_id': 'a', 'error': 'a.nii: truncated'}
    """

    def __init__(self, data: Sequence[dict[str, Any]], transform: Callable | None = None) -> None:
        super().__init__(data, transform)

    def _transform(self, index: int) -> dict[str, Any]:
        item = self.data[index]
        for key in (ERROR, SKIPPED):
            if key in item:
                return {CASE_ID: item[CASE_ID], key: item[key]}
        start = time.perf_counter()
        try:
            loaded = super()._transform(index)
        except Exception as error:
            return {CASE_ID: item[CASE_ID], ERROR: one_line_reason(error, item)}
        for value in loaded.values():
            if isinstance(value, MetaTensor):
                value.meta.update({key: item[key] for key in (CASE_ID, FINGERPRINT) if key in item})
        return {**loaded, LOAD_SECONDS: time.perf_counter() - start}


def one_line_reason(error: BaseException, item: dict[str, Any] | None = None) -> str:
    """Why a case failed, in one line without paths of the source system.

    Args:
        error: what was raised; MONAI's wrappers around it are taken off.
        item: the case, whose paths are replaced: that of the image by its `source`, or else the file's name, that of
            a label, segmentation, truth or montage by that word and the file's name.

    Example:
        >>> one_line_reason(MemoryError())
        'out of memory'
    """
    error = root_cause(error)
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        text = type(error).__name__
    elif "Traceback (most recent call last)" in text:
        text = lines[-1]  # MONAI's readers and writers print the original traceback into their text
    else:
        text = lines[0] if isinstance(error, ValueError) else f"{type(error).__name__}: {lines[0]}"
    if is_out_of_memory(error):
        text = "out of memory"
    for path, name in _names(item or {}):
        text = text.replace(path, name)
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 3]}..."


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an exception, without MONAI's wrappers around it, is about memory, of this machine or of its GPU."""
    error = root_cause(error)
    allocator = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or allocator


def _names(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Each path of the item and what to call it, the longest first."""
    names = []
    for key in ("image", "label", "segmentation", "truth", "montage"):
        paths = [str(path) for path in ensure_tuple(item.get(key, ())) if isinstance(path, str | PathLike) and path]
        for path in paths:
            name = str(item.get(SOURCE) or Path(path).name) if key == "image" else f"{key} {Path(path).name}"
            names.append((path, name))
    return sorted(names, key=lambda pair: -len(pair[0]))


def is_dead_worker(error: BaseException | None) -> bool:
    """Say whether an exception, or what it comes from, is torch's about a worker of a `DataLoader` that was killed."""
    while error is not None:
        if "DataLoader worker (pid" in str(error) and isinstance(error, RuntimeError):
            return True
        error = error.__cause__ or error.__context__
    return False
