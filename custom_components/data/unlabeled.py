"""Unlabelled cases of a semi-supervised training: their list, and batches of them without end."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from monai.data import DataLoader, list_data_collate
from torch.utils.data import Dataset

from custom_components.case_ids import CASE_ID
from custom_components.data.cases import Case, read_datalist
from custom_components.data.endless_order import EndlessOrder, EndlessSampler
from custom_components.data.layout import ERROR
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


class LoadableCases(Dataset):
    """Cases by their place in an endless order; for one that cannot be loaded the next of its permutation that can.

    Which case is at a place depends on nothing else, so that all processes, and a resumed training, agree on it.

    Args:
        dataset: items with `case_id` and `image`, or with `case_id` and `error`.
        order: of its indices.

    Example:
        >>> cases = [{"case_id": "a", "image": 1}, {"case_id": "b", "error": "no CT"}]
        >>> loadable = LoadableCases(cases, EndlessOrder(2, seed=0))
        >>> [loadable[place][0]["case_id"] for place in range(4)]
        ['a', 'a', 'a', 'a']
    """

    def __init__(self, dataset: Dataset | Sequence[Mapping[str, Any]], order: EndlessOrder) -> None:
        self.dataset = dataset
        self.order = order

    def __getitem__(self, place: int) -> tuple[Mapping[str, Any], list[tuple[str, str]]]:
        """Load a case, an empty one if there is none; and those before it that failed, by case id and reason."""
        failed: list[tuple[str, str]] = []
        for index in self.order.from_place(place):
            item = self.dataset[index]
            if ERROR not in item:
                return {key: item[key] for key in (CASE_ID, "image")}, failed
            failed.append((str(item[CASE_ID]), str(item[ERROR])))
        return {}, failed


class EndlessBatches:
    """Iterate over batches of unlabelled cases without end, and go on with the same ones after an interruption.

    For a case with an `error` (see `SetAsideDataset`) another one comes, and the log says why, once.

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
        """Give the next batch."""
        if self._batches is None:
            self._batches = self._started()
        batch, failed = next(self._batches)
        self._drawn += 1
        self._tell(failed)
        if not batch:
            raise NoUsableCaseError(f"none of the {self._length} unlabelled cases can be loaded; the log says why")
        return batch

    @property
    def _length(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were drawn."""
        return {"drawn": self._drawn}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on after as many batches."""
        self._drawn, self._batches = int(state_dict["drawn"]), None

    def _started(self) -> Iterator[Any]:
        sampler = EndlessSampler(
            batch_size=self.batch_size,
            start=self._drawn,
            rank=idist.get_rank(),
            world_size=idist.get_world_size(),
        )
        loader = DataLoader(
            LoadableCases(self.dataset, EndlessOrder(self._length, self.seed)),
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


def _collate(
    places: Sequence[tuple[Mapping[str, Any], list[tuple[str, str]]]],
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Make a batch, empty if no case can be loaded, and list what failed."""
    loaded = [item for item, _ in places if item]
    return (list_data_collate(loaded) if loaded else {}), [one for _, failed in places for one in failed]
