"""Draw what the page shows; what needs torch and MONAI, which the server does without."""

from __future__ import annotations

from collections import Counter

from monai.transforms import Compose, SelectItemsd

from custom_components.case_ids import CASE_ID
from custom_components.data.draw_cases import draw_cases
from custom_components.data.layout import ERROR
from custom_components.data.set_aside import SetAsideDataset
from custom_components.preprocessing import qa_preprocessing
from custom_components.review.cohort import Cohort
from custom_components.review.save_layers import SaveLayers
from custom_components.review.store import Item


def draw(cohort: Cohort, workers: int | None = None) -> Counter[str]:
    """Draw all pictures of a cohort that are missing; a bar shows how far it is.

    Returns:
        How many were drawn (`ok`), there before (`skipped`), and `set_aside`.

    Raises:
        OSError: the pictures cannot be written.
    """
    counts: Counter[str] = Counter()
    for source in cohort.sources:
        if source.segmentations and not cohort.is_drawn(source):
            transform, files = (
                _transform(cohort, source.model),
                lambda one, model=source.model: cohort.files(model, one),
            )
            table = cohort.table(source.model)
            counts += draw_cases(cohort.cases(source), transform, table, files_of=files, workers=workers)
    return counts


def redraw(cohort: Cohort, item: Item) -> str:
    """Draw the picture of one item again; say why it cannot be done, or nothing."""
    return str(SetAsideDataset([cohort.case(item)], _transform(cohort, item.model))[0].get(ERROR, ""))


def _transform(cohort: Cohort, model: str) -> Compose:
    grid = qa_preprocessing(pixdim=cohort.pixdim, roi_size=cohort.roi_size, hu_window=cohort.hu_window)
    return Compose([grid, SaveLayers(cohort.pictures(model)), SelectItemsd([CASE_ID])])
