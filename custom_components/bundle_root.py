"""Where the bundles lie."""

from __future__ import annotations

import json
from pathlib import Path

import custom_components


def find_bundle_root(name: str, default: str = ".") -> str:
    """Find the bundle `name`: in the current directory, below it in `bundles`, or around this package.

    MONAI gives a configuration no way to know its own path, so that `bundle_root: .` works in the bundle's own
    directory only. This one works from the repository too, and from anywhere if the package is installed from it.

    Args:
        name: the bundle's directory and the `name` in its metadata.
        default: what to return if there is none. A bundle that looks for another one names a directory that is not its
            own, or it would take its own weights for those of the other.

    Returns:
        The directory.
    """
    package_parent = Path(custom_components.__file__).resolve().parent.parent
    for base in (Path(), package_parent):
        for root in (base, base / "bundles" / name):
            metadata = root / "configs" / "metadata.json"
            if metadata.is_file() and json.loads(metadata.read_text()).get("name") == name:
                return str(root)
    return default
