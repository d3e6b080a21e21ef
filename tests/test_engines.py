from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import IterationEvents
from monai.transforms import Lambdad

from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator, CaseEvents


class PickyNetwork(torch.nn.Module):
    """Twice the image; fails on negative images in the ways that networks fail."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.min() <= -2:
            raise KeyboardInterrupt
        if image.min() <= -1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return 2 * image


def load(item: dict[str, Any]) -> dict[str, Any]:
    if item["image"] is None:
        raise ValueError("a.nii: truncated")
    return {**item, "image": MetaTensor(torch.full((1, 2, 2, 2), float(item["image"])))}


def post(pred: torch.Tensor) -> torch.Tensor:
    if pred.max() > 100:
        raise OSError(28, "No space left on device")
    return pred + 1


def evaluator(items: list[dict[str, Any]], **options: Any) -> CaseEvaluator:
    loader = options.pop("loader", None) or DataLoader(SetAsideDataset(items, load), batch_size=1)
    return CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=PickyNetwork(),
        **{"postprocessing": Lambdad("pred", post), **options},
    )


@pytest.mark.parametrize("num_writers", [0, 1, 3])
def test_bad_cases_are_set_aside_and_the_rest_is_done(num_writers: int, caplog: pytest.LogCaptureFixture) -> None:
    items = [
        {"case_id": "good", "image": 1},
        {"case_id": "unloadable", "image": None},
        {"case_id": "listed", "error": "named twice"},
        {"case_id": "memory", "image": -1},
        {"case_id": "disk", "image": 99},
        {"case_id": "done", "skipped": "finished before"},
        {"case_id": "last", "image": 3},
    ]
    engine = evaluator(items, num_writers=num_writers)
    seen = []
    engine.add_event_handler(
        CaseEvents.CASE_COMPLETED,
        lambda e: seen.append((e.state.case, e.state.output[0].get("pred"), e.state.batch[0]["case_id"])),
    )
    with caplog.at_level(logging.WARNING):
        engine.run()
    places = [item["case_id"] for item in items]
    seen.sort(key=lambda one: places.index(one[0].case_id))  # writers end when they will
    results = [case for case, *_ in seen]
    assert [(case.case_id, case.status, case.reason) for case in results] == [
        ("good", "ok", ""),
        ("unloadable", "set_aside", "a.nii: truncated"),
        ("listed", "set_aside", "named twice"),
        ("memory", "set_aside", "out of memory"),
        ("disk", "set_aside", "OSError: [Errno 28] No space left on device"),
        ("done", "skipped", "finished before"),
        ("last", "ok", ""),
    ]
    assert [None if pred is None else float(pred.max()) for _, pred, _ in seen] == [3, *[None] * 5, 7]
    assert [case.case_id for case in results] == [case_id for *_, case_id in seen]
    assert results[0].seconds > 0
    assert "memory: set aside: out of memory" in caplog.text


def test_the_network_has_the_next_case_while_one_is_written() -> None:
    next_is_segmented = threading.Event()

    def write(pred: torch.Tensor) -> torch.Tensor:
        if pred.max() == 2:
            assert next_is_segmented.wait(20)
        return pred

    engine = evaluator(
        [{"case_id": str(n), "image": n} for n in (1, 2, 3)], num_writers=1, postprocessing=Lambdad("pred", write)
    )
    done = []
    engine.add_event_handler(CaseEvents.CASE_COMPLETED, lambda: done.append(engine.state.case.case_id))

    @engine.on(IterationEvents.FORWARD_COMPLETED(once=2))
    def second() -> None:
        assert done == []
        next_is_segmented.set()

    engine.run()
    assert done == ["1", "2", "3"]


def test_no_more_cases_are_held_than_there_are_writers() -> None:
    held, most = set(), []

    def write(pred: torch.Tensor) -> torch.Tensor:
        time.sleep(0.05)
        return pred

    engine = evaluator(
        [{"case_id": str(n), "image": n} for n in range(1, 9)], num_writers=2, postprocessing=Lambdad("pred", write)
    )
    engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda: held.add(engine.state.iteration))
    engine.add_event_handler(CaseEvents.CASE_COMPLETED, lambda: held.discard(int(engine.state.case.case_id)))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: most.append(len(held)))
    engine.run()
    assert max(most) == 2
    assert not held


@pytest.mark.parametrize("num_writers", [0, 2])
def test_what_handlers_note_is_that_of_the_case_that_is_completed(num_writers: int) -> None:
    engine = evaluator([{"case_id": str(n), "image": n} for n in range(1, 6)], num_writers=num_writers)
    noted = {}

    @engine.on(Events.ITERATION_STARTED)
    def clear() -> None:
        engine.state.qa_score = {}

    @engine.on(IterationEvents.FORWARD_COMPLETED)
    def note() -> None:
        engine.state.qa_score = {"score": float(engine.state.output["pred"].max())}

    engine.add_event_handler(
        CaseEvents.CASE_COMPLETED, lambda: noted.update({engine.state.case.case_id: engine.state.qa_score["score"]})
    )
    engine.run()
    assert noted == {str(n): 2.0 * n for n in range(1, 6)}


@pytest.mark.parametrize("num_writers", [0, 1])
def test_a_keyboard_interrupt_ends_the_run(num_writers: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluator([{"case_id": "a", "image": 1}, {"case_id": "b", "image": -2}], num_writers=num_writers).run()


def test_two_cases_in_a_batch_are_a_mistake_of_the_configuration() -> None:
    dataset = SetAsideDataset([{"case_id": name, "image": 1} for name in "ab"], load)
    with pytest.raises(ValueError, match="batch holds 2 cases, expected 1"):
        evaluator([], loader=DataLoader(dataset, batch_size=2)).run()


@pytest.mark.parametrize("num_writers", [0, 1])
def test_without_case_ids_it_is_a_supervised_evaluator(num_writers: int) -> None:
    good = DataLoader(Dataset([{"image": torch.ones(1, 2, 2, 2)}] * 2), batch_size=2)
    engine = evaluator([], loader=good, num_writers=num_writers)
    engine.run()
    assert [float(output["pred"].max()) for output in engine.state.output] == [3, 3]
    bad = DataLoader(Dataset([{"image": -torch.ones(1, 2, 2, 2)}]), batch_size=1)
    with pytest.raises(torch.OutOfMemoryError):
        evaluator([], loader=bad, num_writers=num_writers).run()


def test_seconds_hold_the_loading_in_a_worker(tmp_path: Path) -> None:
    engine = evaluator([{"case_id": "a", "image": 1}])
    item = engine.data_loader.dataset[0]
    item["load_seconds"] = 5.0
    engine.data_loader = DataLoader(Dataset([item]), batch_size=1)
    engine.run()
    assert 5 < engine.state.case.seconds < 6


class KillsItsWorker:
    """Loads cases; case `b` kills the process that loads it as soon as the file `now` is there."""

    def __init__(self, now: Path) -> None:
        self.now = now

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["case_id"] == "b":
            while not self.now.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return load(item)


@pytest.mark.parametrize("num_writers", [0, 1])
@pytest.mark.parametrize(
    ("moment", "done"),
    [
        (Events.ITERATION_COMPLETED, "1 of 3 cases were done before, the last of them a, and what is written"),
        (IterationEvents.FORWARD_COMPLETED, "0 of 3 cases were done before, and what is written"),
    ],
    ids=["while it waits for a case", "while it computes another"],
)
def test_a_killed_worker_ends_the_run_with_one_line(tmp_path: Path, moment: Any, done: str, num_writers: int) -> None:
    cases = [{"case_id": name, "image": 1} for name in "abc"]
    loader = DataLoader(SetAsideDataset(cases, KillsItsWorker(tmp_path / "now")), batch_size=1, num_workers=1)
    engine = evaluator([], loader=loader, num_writers=num_writers)
    seen = []
    engine.add_event_handler(CaseEvents.CASE_COMPLETED, lambda e: seen.append(e.state.case.status))

    def give_the_sign() -> None:
        (tmp_path / "now").touch()
        if moment == IterationEvents.FORWARD_COMPLETED:
            time.sleep(30)  # torch interrupts it

    engine.add_event_handler(moment, give_the_sign)
    with pytest.raises(SystemExit, match=f"^error: a process that reads cases ahead was killed.* {done}") as caught:
        engine.run()
    assert "--num_workers 0" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert seen == ["ok"] * int(done[0])


def test_another_runtime_error_of_a_handler_is_raised_as_it_is() -> None:
    engine = evaluator([{"case_id": "a", "image": 1}])

    def fail() -> None:
        raise RuntimeError("a mistake in a handler")

    engine.add_event_handler(Events.ITERATION_COMPLETED, fail)
    with pytest.raises(RuntimeError, match="a mistake in a handler"):
        engine.run()
