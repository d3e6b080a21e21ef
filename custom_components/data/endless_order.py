"""The order of cases that are drawn without end, and how several processes share it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import torch
from torch.utils.data import Sampler


class EndlessOrder:
    """Indices without end: one random permutation after the other, which depend on the seed alone.

    Args:
        length: number of cases.
        seed: of the permutations.

    Example:
        >>> order = EndlessOrder(3, seed=0)
        >>> sorted(next(order.from_place(place)) for place in range(3, 6))
        [0, 1, 2]
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self._latest = (-1, torch.empty(0))

    def from_place(self, place: int) -> Iterator[int]:
        """Give every index once: those from a place to the end of its permutation, then those from its start."""
        number, start = divmod(place, self.length)
        if self._latest[0] != number:
            generator = torch.Generator().manual_seed((self.seed << 20) + number)
            self._latest = (number, torch.randperm(self.length, generator=generator))
        return iter(self._latest[1].roll(-start).tolist())


class EndlessSampler(Sampler[list[int]]):
    """Places of batches without end.

    Several processes share them: the batches of the same number, one of each process, are together what one process
    would get with so many times the batch size.

    Args:
        batch_size: of one process.
        start: number of the first batch.
        rank: number of this process.
        world_size: number of processes.

    Example:
        >>> batches = iter(EndlessSampler(batch_size=2, rank=1, world_size=2))
        >>> next(batches), next(batches)
        ([2, 3], [6, 7])
    """

    def __init__(self, *, batch_size: int, start: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.batch_size = batch_size
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Give batches from `start` on."""
        for number in count(self.start):
            first = (number * self.world_size + self.rank) * self.batch_size
            yield list(range(first, first + self.batch_size))
