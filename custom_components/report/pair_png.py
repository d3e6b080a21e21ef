"""One case before and after as a PNG: two montages side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin
from torch import Tensor

from custom_components.data.montage_area import AREA, COMPRESSION
from custom_components.data.montage_png import STRIP_HEIGHT, organ_legend, text_strip
from custom_components.files import complete_file
from custom_components.report.qa_plots import NAMES
from custom_components.transforms.montage import ALPHA

IMPROVED, BROKEN = "improved", "broken"
GAP = 16
"""Pixels between the two montages."""


class Pair(NamedTuple):
    """A case to show: `improved` or `broken`, and its codes and scores (nan without one) before and after."""

    case_id: str
    kind: str
    before: int
    after: int
    score_before: float
    score_after: float

    @property
    def file(self) -> str:
        """Name of its picture."""
        return f"{self.kind}_{self.case_id}.png"


def write_pair(path: str | Path, pair: Pair, montages: tuple[Tensor, Tensor], names: tuple[str, str]) -> None:
    """Write two montages as one PNG, with the case id, name, code and score of each, and the organs' colours.

    `custom_components.data.montage_png.read_montage_png` reads the two without the text.

    Args:
        path: PNG to write; has its name only when it is complete.
        pair: what they are of.
        montages: before and after, each (3, rows, columns) uint8.
        names: what the two sets are called.

    Raises:
        OSError: the file cannot be written.
    """
    headings = _headings(pair, names)
    pictures = [montage.movedim(0, -1).numpy() for montage in montages]
    height, width = pictures[0].shape[:2]
    columns = [np.concatenate([text_strip(text, width), p]) for text, p in zip(headings, pictures, strict=True)]
    gap = np.zeros((STRIP_HEIGHT + height, GAP, 3), np.uint8)
    body = np.concatenate([columns[0], gap, columns[1]], axis=1)
    whole = np.concatenate([text_strip(pair.case_id, body.shape[1]), body, organ_legend(body.shape[1], ALPHA)])
    info = PngImagePlugin.PngInfo()
    info.add_text(AREA, json.dumps([0, 2 * STRIP_HEIGHT, body.shape[1], height]))
    with complete_file(path) as partial:
        Image.fromarray(whole).save(partial, format="PNG", compress_level=COMPRESSION, pnginfo=info)


def _headings(pair: Pair, names: tuple[str, str]) -> tuple[str, str]:
    codes, scores = (pair.before, pair.after), (pair.score_before, pair.score_after)
    parts = [
        f"{name}: code {code} ({NAMES[code]}){'' if math.isnan(score) else f', score {score:.2f}'}"
        for name, code, score in zip(names, codes, scores, strict=True)
    ]
    return parts[0], parts[1]
