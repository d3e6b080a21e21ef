"""Draw what the page shows; what needs torch and MONAI, which the server does without."""

from __future__ import annotations

from collections import Counter
from functools import partial

from monai.transforms import Compose, SelectItemsd

from custom_components.case_ids import CASE_ID
from custom_components.data.cases import Case
from custom_components.data.draw_cases import draw_cases
from custom_components.data.layout import ERROR
from custom_components.data.set_aside import SetAsideDataset
from custom_components.preprocessing import qa_preprocessing
from custom_components.review.cohort import Cohort, Source
from custom_components.review.save_layers import SaveLayers
from custom_components.review.store import Item


def draw_source(cohort: Cohort, source: Source, cases: list[Case], workers: int | None = None) -> Counter[str]:
    """Draw the pictures of a source that are missing; a bar shows how far it is.

    Args:
        cohort: that it is of.
        source: with segmentations.
        cases: as `Cohort.cases` gives them.
        workers: processes; default one for each processor.

    Returns:
        How many were drawn (`ok`), there before (`skipped`), and `set_aside`.

    Raises:
        OSError: the pictures cannot be written.
    """
    return draw_cases(
        cases,
        _transform(cohort, source.model),
        cohort.table(source.model),
        files_of=partial(cohort.files, source.model),
        workers=workers,
    )


def redraw(cohort: Cohort, item: Item) -> str:
    """Draw the picture of one item again; say why it cannot be done, or nothing."""
    return str(SetAsideDataset([cohort.case(item)], _transform(cohort, item.model))[0].get(ERROR, ""))


def _transform(cohort: Cohort, model: str) -> Compose:
    grid = qa_preprocessing(
        pixdim=cohort.pixdim, roi_size=cohort.roi_size, hu_window=cohort.hu_window, body_part=cohort.body_part
    )
    return Compose([grid, SaveLayers(cohort.pictures(model)), SelectItemsd([CASE_ID])])
