"""Unlabelled cases of a semi-supervised training: their list, and batches of them without end."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.data import DataLoader, list_data_collate
from torch.utils.data import Dataset, Sampler

from custom_components.case_ids import CASE_ID
from custom_components.data.cases import Case, read_datalist
from custom_components.data.set_aside import ERROR
from custom_components.user_errors import exit_on_user_error

logger = logging.getLogger(__name__)


class NoUsableCaseError(ValueError):
    """Not one of the unlabelled cases can be loaded."""


@exit_on_user_error
def unlabeled_cases(datalist: str | Path, section: str = "unlabeled") -> list[Case]:
    """Read the cases without labels of a Decathlon `dataset.json`; for use in configs.

    Args:
        datalist: the file; an entry is a path relative to it, or `{"image": path}`.
        section: name of the list.

    Returns:
        For `SetAsideDataset`, see `custom_components.data.cases.read_datalist`.

    Raises:
        SystemExit: the list is missing, empty, or of another form; one line, and exit code 1.
    """
    return read_datalist(datalist, section=section)


class EndlessSampler(Sampler[list[int]]):
    """Indices of batches without end: one random order after the other, each of which has every index once.

    The order depends on the seed alone. Several processes share each order: the batches of the same number, one of each
    process, are together what one process would get with so many times the batch size.

    Args:
        length: number of cases.
        batch_size: of one process.
        seed: of the orders.
        start: number of the first batch.
        rank: number of this process.
        world_size: number of processes.

    Example:
        >>> batches = iter(EndlessSampler(3, batch_size=2, seed=0))
        >>> sorted(next(batches) + next(batches)[:1])
        [0, 1, 2]
    """

    def __init__(
        self, length: int, *, batch_size: int, seed: int, start: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[list[int]]:
        """Give batches from `start` on."""
        number, order = self.start, (-1, torch.empty(0))
        while True:
            batch = []
            for place in range(self.batch_size):
                turn, index = divmod((number * self.world_size + self.rank) * self.batch_size + place, self.length)
                if order[0] != turn:
                    order = (turn, self._order(turn))
                batch.append(int(order[1][index]))
            yield batch
            number += 1

    def _order(self, turn: int) -> torch.Tensor:
        return torch.randperm(self.length, generator=torch.Generator().manual_seed((self.seed << 20) + turn))


class EndlessBatches:
    """Iterate over batches of unlabelled cases without end, and go on with the same ones after an interruption.

    A case with an `error` (see `SetAsideDataset`) is left out of its batch, and the log says why, once.

    Args:
        dataset: items `{"image": (1, X, Y, Z), "case_id": ...}`, or with `error`. What is random in it must depend on
            the item alone.
        batch_size: cases in a batch of each process.
        seed: of the order.
        num_workers: processes that load ahead.

    Raises:
        ValueError: `batch_size` is below 1.
        NoUsableCaseError: (in `next`) no case can be loaded.

    Example:
        >>> cases = [{"case_id": name, "image": torch.zeros(1, 2, 2, 2)} for name in "ab"]
        >>> batches = EndlessBatches(cases, batch_size=2)
        >>> next(batches)["image"].shape
        torch.Size([2, 1, 2, 2, 2])
        >>> batches.state_dict()
        {'drawn': 1}
    """

    def __init__(
        self, dataset: Dataset | Sequence[Mapping], *, batch_size: int = 1, seed: int = 0, num_workers: int = 0
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected 1 or more")
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self._drawn = 0
        self._batches: Iterator[Any] | None = None
        self._told: set[str] = set()

    def __iter__(self) -> EndlessBatches:
        """Return itself."""
        return self

    def __next__(self) -> dict[str, Any]:
        """Give the next batch that has a case in it."""
        if self._batches is None:
            self._batches = self._started()
        for _ in range(len(self.dataset) + 1):  # type: ignore[arg-type]
            batch, failed = next(self._batches)
            self._drawn += 1
            self._tell(failed)
            if batch:
                return batch
        count = len(self.dataset)  # type: ignore[arg-type]
        raise NoUsableCaseError(f"none of the {count} unlabelled cases can be loaded; the log says why")

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were drawn."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on after as many batches."""
        self._drawn, self._batches = int(state_dict["drawn"]), None

    def _started(self) -> Iterator[Any]:
        sampler = EndlessSampler(
            len(self.dataset),  # type: ignore[arg-type]
            batch_size=self.batch_size,
            seed=self.seed,
            start=self._drawn,
            rank=idist.get_rank(),
            world_size=idist.get_world_size(),
        )
        loader = DataLoader(
            self.dataset,  # type: ignore[arg-type]
            batch_sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=_collate,
            # by default a loader draws from torch's own generator, and what is random in the training would shift
            generator=torch.Generator().manual_seed(self.seed),
        )
        return iter(loader)

    def _tell(self, failed: Sequence[tuple[str, str]]) -> None:
        for case_id, reason in failed:
            if case_id not in self._told:
                self._told.add(case_id)
                logger.warning("%s: left out of the unlabelled cases: %s", case_id, reason)


def _collate(items: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Split the cases that could be loaded, as a batch, from those that could not, by name and reason."""
    loaded = [{key: item[key] for key in (CASE_ID, "image")} for item in items if ERROR not in item]
    failed = [(str(item[CASE_ID]), str(item[ERROR])) for item in items if ERROR in item]
    return (list_data_collate(loaded) if loaded else {}), failed
