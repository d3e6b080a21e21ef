"""Weights and training states on disk: a name only ever holds a complete file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from custom_components.data.writers import partial_path


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state on the first of several processes, under a temporary name, then rename it.

    A run that is killed meanwhile leaves the old file as it was, and one with the name of `partial_path`, which the
    next save replaces.
    """
    if idist.get_rank() != 0:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def unwrapped(item: Any) -> Any:
    """Return the network inside of a `DistributedDataParallel`; everything else as it is."""
    return item.module if isinstance(item, torch.nn.parallel.DistributedDataParallel) else item
