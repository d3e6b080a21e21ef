"""Write the kept figures into `benchmarks/README.md`.

    python benchmarks/figures.py

Between `<!-- figures: NAME -->` and `<!-- end of figures -->` comes what `benchmarks/results/NAME.json` says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measure import KEPT, markdown

PAGE = Path(__file__).parent / "README.md"
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def described(content: Mapping[str, Any]) -> str:
    """A benchmark's command, machine and tables, as Markdown."""
    machine = content["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    where = machine.get("gpu") or f"{machine['processor']}, {machine['cores']} cores, {machine['capability']}"
    rates = ", ".join(
        f"{label} {machine[key]:,.0f} {unit}"
        for key, label, unit in (
            ("copy_gb_s", "copying", "GB/s"),
            ("float32_gflop_s", "matrix product in float32", "GFLOP/s"),
            ("bfloat16_gflop_s", "in bfloat16", "GFLOP/s"),
        )
    )
    return f"`{content['command']}`\n\n{markdown(content)}\n\n{where}; {rates}; {packages}.\n"


def filled(page: str) -> str:
    """The page with the kept figures."""

    def fill(block: re.Match[str]) -> str:
        path = KEPT / f"{block[2]}.json"
        text = described(json.loads(path.read_text())) if path.is_file() else "Not measured yet.\n"
        return f"{block[1]}\n{text}\n{block[3]}"

    return BLOCK.sub(fill, page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
