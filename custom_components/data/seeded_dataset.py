"""A cached dataset whose random transforms depend on seed, epoch and item alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset
from monai.transforms import Compose

from custom_components.user_errors import exit_on_user_error, root_cause


class SeededCacheDataset(CacheDataset):
    """MONAI's `CacheDataset`, with random transforms seeded by (seed, epoch, index).

    An item of an epoch is the same whatever was drawn before it: with any number of workers, and in a run that was
    killed and resumed. The epoch lies in shared memory, so persistent workers see it change.

    Args:
        data: items, as for `CacheDataset`.
        transform: flat `Compose` of deterministic, then random transforms.
        seed: of the random transforms.
        **kwargs: of `CacheDataset`.

    Raises:
        SystemExit: items cannot be loaded; one line that says which and why, and exit code 1.
    """

    @exit_on_user_error
    def __init__(self, data: Sequence, transform: Compose | Callable, seed: int = 0, **kwargs: Any) -> None:
        self.seed = seed
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._faults: dict[int, str] = {}
        super().__init__(data, transform, **kwargs)
        if self._faults:
            reasons = [self._faults[index] for index in sorted(self._faults)]
            several = f"{len(reasons)} of {len(data)} cases cannot be used: " if len(reasons) > 1 else ""
            raise ValueError(several + "; ".join(reasons))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next items belong to."""
        self._epoch.fill_(epoch)

    def _load_cache_item(self, idx: int) -> Any:
        """Load an item; what is wrong with one is told when all were tried, so that a list is repaired at once."""
        try:
            return super()._load_cache_item(idx)
        except Exception as error:
            cause = root_cause(error)
            if not isinstance(cause, ValueError | OSError):
                raise
            self._faults[idx] = str(cause)
            return None

    def _transform(self, index: int) -> Any:
        if isinstance(self.transform, Compose):
            sequence = np.random.SeedSequence((self.seed, int(self._epoch), index % len(self)))
            self.transform.set_random_state(seed=int(sequence.generate_state(1)[0]))
        return super()._transform(index)
