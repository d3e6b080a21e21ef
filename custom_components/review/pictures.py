"""The PNG files that the page shows."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from custom_components.data.montage_area import AREA, COMPRESSION, montage_box
from custom_components.files import complete_file
from custom_components.review.cohort import Cohort
from custom_components.review.layers import LAYERS
from custom_components.review.store import Item


def picture_file(cohort: Cohort, item: Item, layer: str) -> Path:
    """The file of a layer; a ready montage has only one, without the strip that names its case.

    Raises:
        KeyError: there is no such layer.
        LookupError: a ready montage cannot be read.
    """
    if layer not in LAYERS or (not item.segmentation and layer != "ct"):
        raise KeyError(layer)
    if item.segmentation:
        return cohort.layer(item, layer)
    try:
        return _without_strip(cohort, item)
    except (OSError, SyntaxError, ValueError) as error:
        raise LookupError(f"the montage cannot be read: {error}".replace(item.montage, item.case_id)) from None


def _without_strip(cohort: Cohort, item: Item) -> Path:
    with Image.open(item.montage) as picture:
        if picture.format == "PNG" and AREA not in picture.info:
            return Path(item.montage)
        path = cohort.layer(item, item.sha256[:16])
        if not path.is_file():
            with complete_file(path) as partial:
                shown = picture.crop(montage_box(picture)).convert("RGB")
                shown.save(partial, format="PNG", compress_level=COMPRESSION)
    return path
