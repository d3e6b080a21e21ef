"""Files whose final name only ever holds something complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(path: str | os.PathLike, writer: str = "") -> Path:
    """The name that a file has while it is written: hidden, in the same folder, with the same suffix.

    Args:
        path: of the file.
        writer: tells processes apart that write the same file.

    Example:
        >>> partial_path("out/a/a_seg.nii.gz").as_posix()
        'out/a/.partial_a_seg.nii.gz'
    """
    path = Path(path)
    return path.with_name(f".partial_{writer}{path.name}")


def utf8_path(path: str | os.PathLike) -> str:
    """Return a path as text for ITK, which opens only names in UTF-8.

    Raises:
        ValueError: it holds other bytes.
    """
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("its name, or that of a folder, is not UTF-8: rename it") from None
    return text


@contextmanager
def complete_file(path: str | os.PathLike, writer: str = "") -> Iterator[Path]:
    """Give the name to write to, and rename it when all is written; after an error nothing is left of it.

    The folder is made if it is missing. A killed run leaves at most a file with the name of `partial_path`, which the
    next attempt replaces.

    Args:
        path: of the file.
        writer: tells processes apart that write the same file.

    Raises:
        OSError: the disk is full or the folder not writable; what had the final name before is still there.
    """
    path, partial = Path(path), partial_path(path, writer)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
