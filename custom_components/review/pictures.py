"""The PNG files that the page shows."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from custom_components.data.montage_area import AREA, COMPRESSION, montage_box
from custom_components.files import complete_file
from custom_components.review.cohort import Cohort, leaves_folder
from custom_components.review.layers import LAYERS
from custom_components.review.store import Item


def picture_file(cohort: Cohort, item: Item, layer: str) -> Path:
    """The file of a layer; a ready montage has only one, without the strip that names its case.

    Raises:
        KeyError: there is no such layer.
        ValueError: a ready montage cannot be read.
    """
    if layer not in LAYERS or (not item.segmentation and layer != "ct"):
        raise KeyError(layer)
    if item.segmentation:
        return cohort.layer(item, layer)
    try:
        return _without_strip(cohort, item)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"its montage cannot be read: {error}") from None


END = b"IEND\xaeB`\x82"
"""Of a whole PNG."""


def read_picture(cohort: Cohort, item: Item, layer: str) -> bytes:
    """The PNG of a layer, whole.

    Raises:
        KeyError: there is no such layer.
        ValueError: it cannot be read, or is broken.
    """
    path = picture_file(cohort, item, layer)
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]):
            is_whole = END in content[-4096:]
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"its picture {path} cannot be read: {error}") from None
    if not is_whole:
        raise ValueError(f"its picture {path} breaks off")
    return content


def _without_strip(cohort: Cohort, item: Item) -> Path:
    if leaves_folder(item.montage):
        raise OSError("it is a link that leaves the folder of montages")
    with Image.open(item.montage) as picture:
        if picture.format == "PNG" and AREA not in picture.info:
            return Path(item.montage)
        path = cohort.layer(item, item.sha256[:16])
        if not path.is_file():
            with complete_file(path) as partial:
                shown = picture.crop(montage_box(picture)).convert("RGB")
                shown.save(partial, format="PNG", compress_level=COMPRESSION)
    return path
