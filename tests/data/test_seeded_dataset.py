import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, Lambda, RandGaussianNoised, ScaleIntensityd

from custom_components.data.seeded_dataset import SeededCacheDataset


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


def test_all_cases_that_cannot_be_used_are_told_at_once():
    def load(item: int) -> int:
        if item % 2:
            raise ValueError(f"case {item}: upside down")
        return item

    with pytest.raises(
        SystemExit, match="^error: 2 of 4 cases cannot be used: case 1: upside down; case 3: upside down$"
    ):
        SeededCacheDataset([0, 1, 2, 3], Compose([Lambda(load)]), progress=False)
    with pytest.raises(SystemExit, match="^error: case 1: upside down$"):
        SeededCacheDataset([0, 1, 2], Compose([Lambda(load)]), progress=False)
