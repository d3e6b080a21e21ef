"""Weights and training states on disk: a name only ever holds a complete file."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch

from custom_components.files import complete_file

logger = logging.getLogger(__name__)


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a state on the first of several processes; a run that is killed meanwhile leaves the old file as it was."""
    if idist.get_rank() == 0:
        with complete_file(path) as partial:
            torch.save(state, partial)


def keep_previous(path: Path) -> None:
    """Rename a file of an earlier training, `model.pt` to `model.previous.pt`, instead of losing it to a new one."""
    if path.exists() and idist.get_rank() == 0:
        previous = path.with_name(f"{path.stem}.previous{path.suffix}")
        os.replace(path, previous)
        logger.warning("%s is of an earlier training: kept as %s", path, previous)


def is_finite(network: torch.nn.Module) -> bool:
    """Whether no weight is NaN or infinite."""
    return all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def unwrapped(item: Any) -> Any:
    """Return the network inside of a `DistributedDataParallel`; everything else as it is."""
    return item.module if isinstance(item, torch.nn.parallel.DistributedDataParallel) else item


def state_hash(network: torch.nn.Module) -> str:
    """SHA-256 of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
