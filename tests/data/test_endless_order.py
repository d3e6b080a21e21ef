"""The order of cases without end."""

from itertools import islice

from custom_components.data.endless_order import EndlessOrder, EndlessSampler


def drawn(seed: int, count: int) -> list[int]:
    order = EndlessOrder(5, seed)
    return [next(order.from_place(place)) for place in range(count)]


def test_every_case_comes_once_before_one_comes_again():
    found = drawn(seed=3, count=20)
    permutations = [found[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(permutation) == [0, 1, 2, 3, 4] for permutation in permutations)
    assert len({tuple(permutation) for permutation in permutations}) > 1
    assert found == drawn(seed=3, count=20)
    assert found != drawn(seed=4, count=20)


def test_processes_share_the_batches_of_one():
    one = list(islice(EndlessSampler(batch_size=4), 9))
    ranks = [islice(EndlessSampler(batch_size=2, rank=rank, world_size=2), 9) for rank in range(2)]
    assert [first + second for first, second in zip(*ranks, strict=True)] == one
