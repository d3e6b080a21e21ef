"""A cached dataset whose random transforms depend on seed, epoch and item alone."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from monai.data import CacheDataset
from monai.transforms import Compose

from custom_components.case_ids import case_name
from custom_components.data.set_aside import is_out_of_memory, one_line_reason
from custom_components.transforms.cached_on_disk import CachedOnDisk
from custom_components.user_errors import exit_on_user_error

NO_CASES = (
    "no cases: train#dataset#data and validate#dataset#data need one at least; "
    "MONAI Label needs 3 labels or more, or another val_split"
)
"""An engine without batches ends as if all were well, and leaves no weights."""

logger = logging.getLogger(__name__)


class SeededCacheDataset(CacheDataset):
    """MONAI's `CacheDataset`, with random transforms seeded by (seed, epoch, index).

    An item of an epoch is the same whatever was drawn before it: with any number of workers, and in a run that was
    killed and resumed. The epoch lies in shared memory, so persistent workers see it change.

    An item that cannot be loaded into the cache, in memory or by `CachedOnDisk`, is set aside: the log says which and
    why, and `data` is without it. Of several processes all set aside what one of them cannot load, so that they stay in
    step.

    Args:
        data: items, as for `CacheDataset`.
        transform: flat `Compose` of deterministic, then random transforms.
        seed: of the random transforms.
        **kwargs: of `CacheDataset`.

    Raises:
        SystemExit: there are no items, or none can be loaded; one line that says why, and exit code 1.
    """

    @exit_on_user_error
    def __init__(self, data: Sequence, transform: Compose | Callable, seed: int = 0, **kwargs: Any) -> None:
        if not len(data):
            raise ValueError(NO_CASES)
        self.seed = seed
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._faults: dict[int, str] = {}
        super().__init__(data, transform, **kwargs)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next items belong to."""
        self._epoch.fill_(epoch)

    def set_data(self, data: Sequence) -> None:
        """Load other items into the cache."""
        self._faults.clear()
        super().set_data(data)
        self._fill_disk()
        if faults := _of_all_processes(self._faults):
            self._set_aside(faults)

    def _fill_disk(self) -> None:
        """Bring to disk what stays out of memory, each process its share, so that bad cases are known beforehand."""
        first = self.transform.transforms[0] if isinstance(self.transform, Compose) else None
        if not isinstance(first, CachedOnDisk) or self.cache_num == len(self.data):
            return
        rank, processes = (dist.get_rank(), dist.get_world_size()) if _in_a_group() else (0, 1)
        indices = range(self.cache_num + rank, len(self.data), processes)
        with ThreadPool(self.num_workers) as pool:
            for _ in pool.imap_unordered(lambda index: self._bring_to_disk(first, index), indices):
                pass

    def _bring_to_disk(self, cached: CachedOnDisk, index: int) -> None:
        with contextlib.suppress(OSError):  # the loading tells of it
            if cached.has(self.data[index]):
                return
        self._load_cache_item(index)

    def _set_aside(self, faults: dict[int, str]) -> None:
        reasons = "; ".join(faults[index] for index in sorted(faults))
        if len(faults) == len(self.data):
            raise ValueError(f"none of {len(self.data)} cases can be used: {reasons}")
        logger.warning("%d of %d cases cannot be used and are set aside: %s", len(faults), len(self.data), reasons)
        kept = [index for index in range(len(self.data)) if index not in faults]
        self._cache = [self._cache[index] for index in kept if index < self.cache_num]
        self.data = [self.data[index] for index in kept]
        self.cache_num = len(self._cache)

    def _load_cache_item(self, idx: int) -> Any:
        try:
            return super()._load_cache_item(idx)
        except Exception as error:  # a file may be damaged in many ways
            if is_out_of_memory(error):
                raise
            self._faults[idx] = _named_reason(error, self.data[idx])
            return None

    def _transform(self, index: int) -> Any:
        if isinstance(self.transform, Compose):
            sequence = np.random.SeedSequence((self.seed, int(self._epoch), index % len(self)))
            self.transform.set_random_state(seed=int(sequence.generate_state(1)[0]))
        return super()._transform(index)


def _named_reason(error: BaseException, item: Any) -> str:
    if not isinstance(item, dict):
        return one_line_reason(error)
    name, reason = case_name(item, "image"), one_line_reason(error, item)
    return reason if name in reason else f"{name}: {reason}"


def _in_a_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _of_all_processes(faults: dict[int, str]) -> dict[int, str]:
    if not _in_a_group():
        return faults
    gathered: list[dict[int, str]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, faults)
    return {index: reason for one in gathered for index, reason in one.items()}
