"""NiiVue, the viewer of volumes, where an installed package brings it."""

from __future__ import annotations

import importlib.util
import re
from functools import lru_cache
from pathlib import Path

PACKAGE = "ipyniivue"
"""A widget for notebooks; the ES module in it holds all of NiiVue, but exports only the widget."""

_CONSTRUCTED = re.compile(r"Creating new Niivue instance.{0,200}?=\s*new (\w+)\(", re.S)


@lru_cache(maxsize=1)
def niivue_module() -> str | None:
    """The ES module of the installed package, made to export `Niivue` too; None if there is none that can be."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "static" / "widget.js"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    found = _CONSTRUCTED.search(text)
    return f"{text}\nexport {{ {found[1]} as Niivue }};\n" if found else None
