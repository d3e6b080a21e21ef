"""Montages as PNG files, with a strip that names the case and a legend of colours outside of the picture itself."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from custom_components.anatomy import ORGANS
from custom_components.data.montage_area import AREA, COMPRESSION, montage_box
from custom_components.files import complete_file
from custom_components.transforms.montage import ALPHA

_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

STRIP_HEIGHT = 28
LEGEND_ROW_HEIGHT = 22
FONT_SIZE = 13
MARGIN = 8
SWATCH = (28, 14)
TEXT_COLOUR = (235, 235, 235)


def write_montage_png(path: str | Path, montage: Tensor, *, case_id: str = "", alpha: float = ALPHA) -> Path:
    """Write a montage, its case id above it and the organs' colours below it.

    Args:
        path: PNG to write; has its name only when it is complete.
        montage: (3, rows, columns) in [0, 1].
        case_id: what stands above the montage. Nothing else of the case enters the file.
        alpha: of the overlay, for the legend.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written.
    """
    picture = montage.detach().movedim(0, -1).mul(255).add(0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    height, width = picture.shape[:2]
    legend = organ_legend(width, alpha)
    whole = np.zeros((STRIP_HEIGHT + height + len(legend), width, 3), np.uint8)
    whole[:STRIP_HEIGHT] = text_strip(case_id, width)
    whole[STRIP_HEIGHT : STRIP_HEIGHT + height] = picture
    whole[STRIP_HEIGHT + height :] = legend
    info = PngImagePlugin.PngInfo()
    info.add_text(AREA, json.dumps([0, STRIP_HEIGHT, width, height]))
    with complete_file(path) as partial:
        Image.fromarray(whole).save(partial, format="PNG", compress_level=COMPRESSION, pnginfo=info)
    return Path(path)


def read_montage_png(path: str | Path) -> Tensor:
    """Read the montage of a PNG, without strip and legend; of a foreign PNG or JPEG the whole picture.

    Returns:
        (3, rows, columns) float32 in [0, 1].

    Raises:
        ValueError: the file cannot be read as a picture; one line that names it.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode not in _EIGHT_BIT_MODES:
                raise ValueError(f"its pixels are of mode {picture.mode}, expected 8 bits a channel")
            area = montage_box(picture)
            pixels = np.asarray(picture.convert("RGB").crop(area))
    except UnidentifiedImageError:
        raise ValueError(f"{path}: no picture of a known format, expected PNG or JPEG") from None
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path}: cannot be read: {reason}") from error
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 255


def text_strip(text: str, width: int) -> np.ndarray:
    """Draw a text on black, `(STRIP_HEIGHT, width, 3)` uint8; shortened in its middle if it is too long."""
    strip = Image.new("RGB", (width, STRIP_HEIGHT))
    draw, font = ImageDraw.Draw(strip), _font()
    shown, left, right = text, len(text), 0
    while shown and draw.textlength(shown, font) > width - 2 * MARGIN and left + right > 2:
        left, right = (left + right) // 2, (left + right - 1) // 2
        shown = f"{text[:left]}…{text[len(text) - right :]}"
    draw.text((MARGIN, STRIP_HEIGHT // 2), shown, TEXT_COLOUR, font, anchor="lm")
    return np.asarray(strip)


@lru_cache(maxsize=8)
def organ_legend(width: int, alpha: float) -> np.ndarray:
    """Draw name and colour of each organ, as it looks over black to white, in as many columns as fit.

    Args:
        width: in pixels.
        alpha: of the overlay.

    Returns:
        (rows, width, 3) uint8.
    """
    font = _font()
    names = [organ.name.replace("_", " ") for organ in ORGANS]
    cell = SWATCH[0] + 3 * MARGIN + max(int(font.getlength(name)) for name in names) + 1
    columns = max(1, min(6, width // cell))
    rows = -(-len(names) // columns)
    legend = Image.new("RGB", (width, rows * LEGEND_ROW_HEIGHT + 2 * MARGIN))
    draw = ImageDraw.Draw(legend)
    greys = np.linspace(0, 255, SWATCH[0])[None, :, None]
    for number, (organ, name) in enumerate(zip(ORGANS, names, strict=True)):
        row, column = divmod(number, columns)
        left, middle = column * (width // columns) + MARGIN, MARGIN + row * LEGEND_ROW_HEIGHT + LEGEND_ROW_HEIGHT // 2
        blended = (1 - alpha) * greys + alpha * np.array(organ.colour)
        swatch = np.broadcast_to(blended.round().astype(np.uint8), (SWATCH[1], SWATCH[0], 3))
        legend.paste(Image.fromarray(np.ascontiguousarray(swatch)), (left, middle - SWATCH[1] // 2))
        draw.text((left + SWATCH[0] + MARGIN, middle), name, TEXT_COLOUR, font, anchor="lm")
    return np.asarray(legend)


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)
