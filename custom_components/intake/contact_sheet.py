"""Pages with a small picture of each image; those that cannot be used have a red frame and the reason."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from custom_components.files import complete_file
from custom_components.intake.tile import BOX

COLUMNS, ROWS = 6, 8
MARGIN, TEXT_HEIGHT, FONT_SIZE = 8, 34, 14
"""In pixels."""
LINE = 42
"""Letters that fit beneath a tile."""
BACKGROUND, FRAME, TEXT = (24, 24, 24), (90, 90, 90), (230, 230, 230)
RED = (235, 60, 50)


class Shown(NamedTuple):
    """A tile (rows, columns) with its case id, and the reason if the case is left out."""

    case_id: str
    tile: NDArray[np.uint8]
    reason: str = ""


def write_contact_sheets(folder: str | Path, shown: Sequence[Shown]) -> list[Path]:
    """Write `contact_sheet.png`, and further pages of 48 as `contact_sheet_2.png` and so on.

    Pages of an earlier run that are not needed any more are removed.

    Raises:
        OSError: a file cannot be written.
    """
    folder, count = Path(folder), COLUMNS * ROWS
    pages = [shown[start : start + count] for start in range(0, len(shown), count)]
    paths = [folder / f"contact_sheet{f'_{number}' if number > 1 else ''}.png" for number in range(1, len(pages) + 1)]
    for path, page in zip(paths, pages, strict=True):
        with complete_file(path) as partial:
            draw_page(page).save(partial)
    for old in folder.glob("contact_sheet*.png"):
        if old not in paths:
            old.unlink()
    return paths


def draw_page(shown: Sequence[Shown]) -> Image.Image:
    """Draw one page, as large as it has to be."""
    columns = min(COLUMNS, max(1, len(shown)))
    rows = -(-len(shown) // COLUMNS)
    width, height = 2 * BOX + 2 * MARGIN, BOX + TEXT_HEIGHT + 2 * MARGIN
    page = Image.new("RGB", (columns * width, rows * height), BACKGROUND)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(FONT_SIZE)
    for number, one in enumerate(shown):
        left, top = number % COLUMNS * width + MARGIN, number // COLUMNS * height + MARGIN
        page.paste(Image.fromarray(one.tile), (left, top))
        for inset in range(3 if one.reason else 1):
            box = (left - 1 - inset, top - 1 - inset, left + 2 * BOX + inset, top + BOX + inset)
            draw.rectangle(box, outline=RED if one.reason else FRAME)
        draw.text((left, top + BOX + 3), textwrap.shorten(one.case_id, LINE, placeholder="…"), TEXT, font)
        if one.reason:
            draw.text((left, top + BOX + 18), textwrap.shorten(one.reason, LINE, placeholder=" …"), RED, font)
    return page
