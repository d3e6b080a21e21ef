"""Keep on disk what a preprocessing makes of a case, for cohorts that are larger than memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.transforms import Transform

from custom_components import __version__
from custom_components.data.fingerprint import fingerprint
from custom_components.files import complete_file

SETTINGS = "settings.json"

logger = logging.getLogger(__name__)


class CachedOnDisk(Transform):
    """Do a preprocessing once for each case, and read its result from disk afterwards.

    A result is taken again only while all that decides it is the same: the files by their paths, sizes and times, the
    numbers of the preprocessing, and the versions of this package and of MONAI. Several processes, on several machines
    too, may share a folder: a file has its name only when it is complete. One that is damaged is made again. What fails
    is not kept. Tensors lose their meta data, with or without a result on disk, so that a segmentation cannot be taken
    back to the image's own grid.

    Args:
        transform: deterministic.
        cache_dir: folder for results, 9 MB for a volume of 168 x 168 x 64 with its label map. For other settings there
            is another folder in it, with a `settings.json` that tells them; whichever is of no use may be deleted.
        keys: of the files in an item.
        also: keys of what else in an item decides the result.
        settings: of the preprocessing.

    Raises:
        OSError: (when called) a file of the item cannot be looked at.

    Example::

        load = CachedOnDisk(Compose([...]), "cache", keys=["image"], settings={"pixdim": [2, 2, 6]})
    """

    def __init__(
        self,
        transform: Callable[[Mapping], Mapping],
        cache_dir: str | Path,
        *,
        keys: Sequence[str],
        also: Sequence[str] = (),
        settings: Mapping[str, Any],
    ) -> None:
        self.transform = transform
        self.keys, self.also = tuple(keys), tuple(also)
        versions = {"custom_components": __version__, "monai": monai.__version__}
        self.settings = json.dumps({**settings, **versions}, indent=2, sort_keys=True, default=str)
        self.folder = Path(cache_dir) / _digest(self.settings)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with what the preprocessing made of it."""
        path = self.path_of(data)
        kept = _read(path)
        if kept is None:
            made = self.transform(dict(data))
            kept = {key: _plain(value) for key, value in made.items() if key not in data or value is not data[key]}
            self._write(path, kept)
        return {**data, **kept}

    def has(self, data: Mapping[Hashable, Any]) -> bool:
        """Whether there is a result for an item.

        Raises:
            OSError: a file of the item cannot be looked at.
        """
        return self.path_of(data).is_file()

    def path_of(self, data: Mapping[Hashable, Any]) -> Path:
        """Where the result for an item lies, or is to lie."""
        parts = [[key, data.get(key)] for key in self.also]
        for key in self.keys:
            if key in data:
                paths = data[key] if isinstance(data[key], list | tuple) else [data[key]]
                parts.append([key, [os.path.abspath(path) for path in paths], fingerprint(paths)])
        return self.folder / f"{_digest(json.dumps(parts, default=str))}.pt"

    def _write(self, path: Path, kept: Mapping[Hashable, Any]) -> None:
        try:
            if not (self.folder / SETTINGS).is_file():
                with complete_file(self.folder / SETTINGS, _writer()) as partial:
                    partial.write_text(self.settings + "\n")
            with complete_file(path, _writer()) as partial:
                torch.save(kept, partial)
        except OSError as error:  # such as a full disk: slower, but no less right
            logger.warning("%s: a preprocessed case cannot be kept: %s", self.folder.parent, error.strerror)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def _writer() -> str:
    return f"{socket.gethostname()}_{os.getpid()}_{threading.get_ident()}_"


def _read(path: Path) -> dict[Hashable, Any] | None:
    if not path.is_file():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # a file may be damaged in many ways
        logger.warning("%s: cannot be read, and is made again: %s", path.name, type(error).__name__)
        return None


def _plain(value: Any) -> Any:
    """A tensor alone, without meta data, and without the whole of which it is a part; other things as they are."""
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor):
        return value.detach().as_subclass(torch.Tensor).clone(memory_format=torch.contiguous_format)
    return value
