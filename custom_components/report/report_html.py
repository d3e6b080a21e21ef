"""The report as one page of HTML that needs nothing else: pictures are inside of it."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from custom_components.data.montage_png import read_montage_png
from custom_components.report import formats
from custom_components.report.pair_png import BROKEN, IMPROVED

TEMPLATE = "report.html.jinja"
CODES_PICTURE, CURVE_PICTURE = "codes.png", "curve.png"
WIDTH = 1000
"""Pixels of a pair of montages in the page; the file beside it has all of them."""

MOST_PAIRS = 24
"""Pairs in the page, so that it stays a few megabytes."""

JPEG_QUALITY = 80


def render(data: Mapping[str, Any], folder: str | Path) -> str:
    """Write the page.

    Args:
        data: see `custom_components.report.report_data`.
        folder: where `codes.png` lies, `curve.png` if the data have curves, and the pictures that the data name.

    Raises:
        OSError: a picture cannot be read.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(formats, name) for name in ("percent", "number", "p_text", "some_of", "counted")
    }
    environment.globals["signed"] = formats.signed
    folder = Path(folder)
    methods = data.get("methods", [])
    return environment.get_template(TEMPLATE).render(
        data=data,
        codes_picture=png_uri(folder / CODES_PICTURE),
        curve_picture=png_uri(folder / CURVE_PICTURE) if data.get("curves") else "",
        shown=[shown_pairs(method["pairs"], len(methods), folder) for method in methods],
    )


def shown_pairs(pairs: Mapping[str, Any] | None, methods: int, folder: Path) -> dict[str, Any]:
    """Choose the pairs of a method that are in the page: each kind gets half of its part, and what the other leaves.

    Args:
        pairs: `drawn`, the best first of each kind.
        methods: number of methods that share the page.
        folder: of the report.

    Returns:
        For each kind the pairs with their `uri`, and `more`, how many are only in the folder.
    """
    drawn = pairs["drawn"] if pairs else []
    by_kind = {kind: [pair for pair in drawn if pair["kind"] == kind] for kind in (IMPROVED, BROKEN)}
    part = max(2, MOST_PAIRS // methods)
    improved = min(len(by_kind[IMPROVED]), max(part // 2, part - len(by_kind[BROKEN])))
    limits = {IMPROVED: improved, BROKEN: part - improved}
    return {
        kind: {
            "pairs": [{**pair, "uri": pair_uri(folder / pair["picture"])} for pair in some[: limits[kind]]],
            "more": max(0, len(some) - limits[kind]),
        }
        for kind, some in by_kind.items()
    }


def png_uri(path: Path) -> str:
    """Put a PNG as it is into a data URI."""
    return _uri(path.read_bytes(), "png")


def pair_uri(path: Path) -> str:
    """Put the two montages of a pair, without the text around them and no wider than `WIDTH`, into a data URI."""
    pixels = read_montage_png(path).movedim(0, -1).mul(255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((WIDTH, picture.height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=JPEG_QUALITY)
    return _uri(file.getvalue(), "jpeg")


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
