from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from monai.data import DataLoader
from monai.transforms import Compose, Lambda, RandGaussianNoised, ScaleIntensityd

from custom_components.data.seeded_dataset import SeededCacheDataset
from custom_components.user_errors import root_cause


def noisy(count: int = 4, seed: int = 0) -> SeededCacheDataset:
    transform = Compose([ScaleIntensityd("image"), RandGaussianNoised("image", prob=1.0)])
    data = [{"image": torch.arange(8.0).reshape(1, 2, 2, 2)} for _ in range(count)]
    return SeededCacheDataset(data, transform, seed=seed, progress=False)


def epoch_of(dataset: SeededCacheDataset, epoch: int) -> list[torch.Tensor]:
    dataset.set_epoch(epoch)
    return [torch.as_tensor(dataset[index]["image"]) for index in range(len(dataset))]


def test_item_depends_on_seed_epoch_and_index_alone():
    fresh, used = noisy(), noisy()
    for epoch in (1, 2):
        epoch_of(used, epoch)
    assert all(torch.equal(a, b) for a, b in zip(epoch_of(fresh, 3), epoch_of(used, 3), strict=True))


def test_items_differ_between_epochs_indices_and_seeds():
    dataset = noisy()
    first, second = epoch_of(dataset, 1), epoch_of(dataset, 2)
    other_seed = epoch_of(noisy(seed=1), 1)
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other_seed[0])


def test_persistent_workers_see_the_epoch_change():
    plain, dataset = noisy(), noisy()
    loader = DataLoader(dataset, num_workers=1, persistent_workers=True)
    for epoch in (1, 2):
        dataset.set_epoch(epoch)
        items = [torch.as_tensor(batch["image"][0]) for batch in loader]
        assert all(torch.equal(a, b) for a, b in zip(items, epoch_of(plain, epoch), strict=True))


def refuse_odd(item: dict[str, int]) -> dict[str, int]:
    if item["number"] % 2:
        raise ValueError("upside down")
    return item


def listed(count: int, first: int = 0) -> list[dict[str, object]]:
    return [{"case_id": f"case_{number}", "number": number} for number in range(first, first + count)]


def numbers(dataset: SeededCacheDataset) -> list[int]:
    return [dataset[place]["number"] for place in range(len(dataset))]


@pytest.mark.parametrize("cache_rate", [1.0, 0.5])
def test_a_case_that_cannot_be_used_is_set_aside(cache_rate: float, caplog: pytest.LogCaptureFixture):
    cases = [*listed(4), *listed(1, 4), *listed(1, 6), *listed(1, 8), *listed(1, 10)]
    dataset = SeededCacheDataset(cases, Compose([Lambda(refuse_odd)]), progress=False, cache_rate=cache_rate)
    assert numbers(dataset) == [item["number"] for item in dataset.data] == [0, 2, 4, 6, 8, 10]
    reasons = "case_1: upside down; case_3: upside down"
    assert caplog.messages == [f"2 of 8 cases cannot be used and are set aside: {reasons}"]


def test_there_must_be_a_case_that_can_be_used():
    with pytest.raises(SystemExit, match="^error: none of 1 cases can be used: case_1: upside down$"):
        SeededCacheDataset(listed(1, 1), Compose([Lambda(refuse_odd)]), progress=False)


def test_there_must_be_a_case():
    wanted = "^error: no cases: train#dataset#data and validate#dataset#data need one at least; MONAI Label needs 3 "
    with pytest.raises(SystemExit, match=wanted):
        SeededCacheDataset([], Compose([]), progress=False)


def test_a_machine_without_memory_is_no_fault_of_the_cases():
    def load(item: object) -> None:
        raise MemoryError

    with pytest.raises(RuntimeError) as caught:
        SeededCacheDataset([0], Compose([Lambda(load)]), progress=False)
    assert isinstance(root_cause(caught.value), MemoryError)


def load_on(rank: int, path: str, queue: mp.SimpleQueue) -> None:
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)

    def load(item: dict[str, int]) -> dict[str, int]:
        if item["number"] == rank:  # another one in each process
            raise OSError("no answer from the disk")
        return item

    queue.put(numbers(SeededCacheDataset(listed(4), Compose([Lambda(load)]), progress=False)))
    dist.destroy_process_group()


def test_processes_set_the_same_cases_aside(tmp_path: Path):
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    mp.spawn(load_on, args=(str(tmp_path / "meeting"), queue), nprocs=2)
    assert [queue.get(), queue.get()] == [[2, 3], [2, 3]]
