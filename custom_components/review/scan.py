"""Look at a cohort, draw what is missing, put it into the store; in another process, so that the server stays small."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from custom_components.data.cases import Case
from custom_components.review.cohort import Cohort, Source
from custom_components.review.store import Store


class Found(NamedTuple):
    """What a cohort holds.

    Attributes:
        cases: number of cases of all models.
        faults: by case, why one cannot be shown.
    """

    cases: int
    faults: list[tuple[str, str]]


def scan(cohort: Cohort, store_path: Path, workers: int | None = None) -> Found:
    """Take over what is there now into a store.

    Args:
        cohort: to look at.
        store_path: of the store.
        workers: processes that draw; default one for each processor.

    Raises:
        ValueError: a folder is missing or empty, a table of scores cannot be read, or the weights of the body-part
            regressor.
        OSError: the pictures cannot be written.
    """

    def draw(source: Source, cases: list[Case]) -> None:
        from custom_components.review.drawing import draw_source  # imports MONAI, which takes seconds

        draw_source(cohort, source, cases, workers)

    if cohort.body_part:
        _ = cohort.body_part.regressor
    items = cohort.find(draw)
    store = Store(store_path)
    try:
        store.keep_items(items)
    finally:
        store.close()
    return Found(len(items), [(item.case_id, item.fault) for item in items if item.fault])
