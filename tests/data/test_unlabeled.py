"""Batches of unlabelled cases without end."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.data import unlabeled
from custom_components.data.unlabeled import EndlessBatches, NoUsableCaseError, unlabeled_cases


def cases(count: int, bad: tuple[int, ...] = ()) -> list[dict]:
    return [
        {"case_id": f"c{number}", "error": "no CT"}
        if number in bad
        else {"case_id": f"c{number}", "image": torch.full((1, 2, 2, 2), float(number)), "seconds": 0.1}
        for number in range(count)
    ]


def names(batches: EndlessBatches, count: int) -> list[list[str]]:
    return [list(next(batches)["case_id"]) for _ in range(count)]


@settings(max_examples=200, deadline=None)
@given(
    bad=st.lists(st.booleans(), min_size=1, max_size=7),
    seed=st.integers(0, 1000),
    batch_size=st.integers(1, 3),
    saved_after=st.integers(0, 12),
)
def test_only_if_no_case_at_all_can_be_loaded_it_stops_and_processes_resume_from_the_state_of_the_first(
    bad: list[bool], seed: int, batch_size: int, saved_after: int
):
    data = cases(len(bad), tuple(number for number, is_bad in enumerate(bad) if is_bad))

    def batches() -> EndlessBatches:
        return EndlessBatches(data, batch_size=batch_size, seed=seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unlabeled.idist, "get_world_size", lambda: 2)
        patch.setattr(unlabeled.idist, "get_rank", lambda: 0)
        first = batches()
        if all(bad):
            with pytest.raises(NoUsableCaseError, match=f"none of the {len(bad)} unlabelled cases"):
                next(first)
            return
        assert {len(some) for some in names(first, saved_after)} <= {batch_size}
        patch.setattr(unlabeled.idist, "get_rank", lambda: 1)
        whole, resumed = names(batches(), 2 * len(bad) + 12), batches()
        resumed.load_state_dict(first.state_dict())
        assert names(resumed, 2 * len(bad) + 12 - saved_after) == whole[saved_after:]
        good = {f"c{number}" for number, is_bad in enumerate(bad) if not is_bad}
        assert {name for batch in whole for name in batch} <= good


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_goes_on_with_the_next_batch(num_workers: int):
    whole = names(EndlessBatches(cases(5), batch_size=2, seed=1), 8)
    first = EndlessBatches(cases(5), batch_size=2, seed=1, num_workers=num_workers)
    assert names(first, 3) == whole[:3]
    second = EndlessBatches(cases(5), batch_size=2, seed=1, num_workers=num_workers)
    second.load_state_dict(first.state_dict())
    assert names(second, 5) == whole[3:]


def test_batches_leave_the_random_numbers_of_the_training_alone():
    torch.manual_seed(0)
    next(EndlessBatches(cases(3), num_workers=1))
    found = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(found, torch.rand(1))


def test_a_case_that_cannot_be_loaded_is_left_out_and_named_once(caplog):
    batches = EndlessBatches(cases(4, bad=(1, 2)), batch_size=1)
    assert {name for batch in names(batches, 20) for name in batch} == {"c0", "c3"}
    messages = [record.getMessage() for record in caplog.records]
    assert sorted(messages) == [f"c{n}: left out of the unlabelled cases: no CT" for n in (1, 2)]


def test_no_case_at_all_is_one_clear_line():
    with pytest.raises(ValueError, match="none of the 3 unlabelled cases can be loaded"):
        next(EndlessBatches(cases(3, bad=(0, 1, 2))))
    with pytest.raises(ValueError, match="batch_size is 0, expected 1 or more"):
        EndlessBatches(cases(1), batch_size=0)


def test_cases_come_from_the_section_of_the_datalist(tmp_path: Path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"unlabeled": ["a.nii.gz", {"image": "b.nii.gz"}], "empty": []}))
    found = unlabeled_cases(path)
    assert [case["case_id"] for case in found] == ["a", "b"]
    assert found[0]["image"] == str(tmp_path / "a.nii.gz")
    with pytest.raises(SystemExit, match=r"dataset\.json: section 'unlabelled' not found, found unlabeled, empty"):
        unlabeled_cases(path, "unlabelled")
    with pytest.raises(SystemExit, match="found no entries"):
        unlabeled_cases(path, "empty")
