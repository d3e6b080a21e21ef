"""Where the montage lies in a PNG that has a strip above and a legend below it."""

from __future__ import annotations

import json

from PIL import Image

AREA = "montage_area"
"""Name of the PNG's text that tells where the montage lies: `[left, top, width, height]` in pixels."""

COMPRESSION = 1
"""Of zlib, 0 to 9. More makes the noise of a CT hardly smaller and takes many times as long."""


def montage_box(picture: Image.Image) -> tuple[int, int, int, int]:
    """The box of the montage in a PNG, without strip and legend: left, top, right, bottom in pixels.

    Raises:
        ValueError: the picture tells of a box that it does not hold.
    """
    text = picture.info.get(AREA)
    if text is None:
        return 0, 0, picture.width, picture.height
    left, top, width, height = (int(number) for number in json.loads(text))
    inside = left >= 0 and top >= 0 and left + width <= picture.width and top + height <= picture.height
    if not inside or width < 1 or height < 1:
        raise ValueError(f"{AREA} is {text}, expected a box inside {picture.width} x {picture.height} pixels")
    return left, top, left + width, top + height
