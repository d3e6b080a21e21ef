"""Images that an earlier run, or one that was interrupted, has looked at: they are not read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

import custom_components
from custom_components.data.fingerprint import fingerprint
from custom_components.files import complete_file
from custom_components.intake.found import Found, Image

if TYPE_CHECKING:
    from custom_components.intake.check_image import Looked

VERSION = f"{custom_components.__version__} 2"
"""Changes when the checks change, so that what was found with others does not count."""


class Finished:
    """A file of facts and a tile for each image that was looked at, without its path.

    Args:
        folder: where they are.
        settings: what the results depend on beside the image, such as the weights.
    """

    def __init__(self, folder: str | Path, settings: str = "") -> None:
        self.folder = Path(folder)
        self.settings = settings

    def name_of(self, image: Image) -> str:
        """Name that changes when the files of an image change, or what is known of it from elsewhere.

        Raises:
            OSError: a file is gone.
        """
        known = json.dumps(image.found.to_json(), sort_keys=True)
        parts = (VERSION, self.settings, image.key, fingerprint(list(image.paths)), known)
        return hashlib.sha256("/".join(parts).encode()).hexdigest()[:24]

    def read(self, name: str) -> Found | None:
        """Read what was found, or None if there is nothing or it is of another version."""
        try:
            return Found.from_json(json.loads((self.folder / f"{name}.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def read_tile(self, name: str) -> NDArray[np.uint8] | None:
        """Read the tile, or None if there is none."""
        try:
            with Picture.open(self.folder / f"{name}.png") as picture:
                return np.asarray(picture.convert("L"))
        except OSError:
            return None

    def write(self, name: str, looked: Looked) -> None:
        """Write the tile, and then the facts: where they are, all is there.

        Raises:
            OSError: the disk is full.
        """
        if looked.tile is not None:
            with complete_file(self.folder / f"{name}.png") as partial:
                Picture.fromarray(looked.tile).save(partial)
        with complete_file(self.folder / f"{name}.json") as partial:
            partial.write_text(json.dumps(looked.found.to_json()), "utf-8")
