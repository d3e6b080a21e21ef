"""An evaluator in which one bad case does not end the run, and how montages get into engines."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import EventEnum, Events
from monai.engines import SupervisedEvaluator
from monai.engines.utils import engine_apply_transform
from monai.transforms import Transform

from custom_components.case_ids import CASE_ID
from custom_components.data.code_values import CODES
from custom_components.data.layout import ERROR, LOAD_SECONDS, OK, SET_ASIDE, SKIPPED
from custom_components.data.set_aside import is_dead_worker, one_line_reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """What became of one case; `engine.state.case` at `CaseEvents.CASE_COMPLETED`.

    `status` is `ok`, `set_aside` or `skipped`; `seconds` is the work on this case: loading (in a worker),
    network, postprocessing and writing.
    """

    case_id: str
    status: str
    reason: str = ""
    seconds: float = 0.0


class CaseEvents(EventEnum):
    """Events of a `CaseEvaluator`."""

    CASE_COMPLETED = "case_completed"
    """What became of a case is known: `engine.state.case`, its `output`, and what handlers noted of it."""


CASE_NOTES = ("qa_score", "measured")
"""What handlers leave on `engine.state` of a case, for others at its `CASE_COMPLETED`."""


@dataclass(frozen=True)
class _Underway:
    """A case that the network has done, and whose output another thread postprocesses."""

    case_id: str
    seconds: float
    notes: dict[str, Any]
    result: Future


class CaseEvaluator(SupervisedEvaluator):
    """MONAI's `SupervisedEvaluator` over cases, one at a time.

    A case that `SetAsideDataset` could not load, or that fails in the network, the postprocessing or the
    writing (out of memory too), is set aside: the log and `engine.state.case` say why, `engine.state.output`
    is `[{}]`, and the run goes on. Cases marked `skipped` are passed over. Keyboard interrupts pass through.

    With `num_writers` the postprocessing, which brings labels to the image's grid and writes them, is done by other
    threads while the network has the next case. `CASE_COMPLETED` comes in the order of the cases that the network did,
    at the latest before the epoch's end; the output of an iteration is then empty.

    A batch without `case_id` is treated as by `SupervisedEvaluator`, errors included.

    Args:
        postprocessing: of a case.
        num_writers: threads that postprocess, each of which holds a case; 0: none, all is done in turn.
        **kwargs: of `SupervisedEvaluator`.

    Raises:
        ValueError: (when run) a batch holds more than one case.
        SystemExit: (when run) a process that reads ahead was killed, mostly by the system for lack of memory; one line
            that says how far the run came.
    """

    _cases_done = 0

    def __init__(self, *, postprocessing: Transform | None = None, num_writers: int = 0, **kwargs: Any) -> None:
        self.num_writers = num_writers
        self._postprocessing = postprocessing
        self._underway: deque[_Underway] = deque()
        super().__init__(postprocessing=None if num_writers else postprocessing, event_names=[CaseEvents], **kwargs)
        self.add_event_handler(Events.EPOCH_COMPLETED, self._complete_all)

    def run(self, global_epoch: int = 1) -> None:  # type: ignore[override]
        """Run over all cases; see the class."""
        self._cases_done = 0
        if not self.state.epoch_length:  # one of more processes than there are cases
            self.fire_event(Events.STARTED)
            self.fire_event(Events.COMPLETED)
            return
        try:
            with self._writing():
                super().run(global_epoch)
        except RuntimeError as error:
            if not is_dead_worker(error):
                raise
            self._complete_all()
            last = f", the last of them {self.state.case.case_id}" if self._cases_done else ""
            raise SystemExit(
                "error: a process that reads cases ahead was killed, probably for lack of memory; "
                f"{self._cases_done} of {self.state.epoch_length} cases were done before{last}, and what is written "
                "of them is kept: run again with --num_workers 0 or with more memory"
            ) from None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._underway.clear()
        if not self.num_writers:
            yield
            return
        with ThreadPoolExecutor(self.num_writers, "writer") as self._writers:
            yield

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        if not isinstance(batchdata, Mapping) or CASE_ID not in batchdata:
            return self._without_case_ids(engine, super()._iteration(engine, batchdata))
        case_ids = _as_list(batchdata[CASE_ID])
        if len(case_ids) != 1:
            raise ValueError(f"batch holds {len(case_ids)} cases, expected 1: set the loader's batch_size to 1")
        case_id = str(case_ids[0])
        for key, status in ((ERROR, SET_ASIDE), (SKIPPED, SKIPPED)):
            if key in batchdata:
                return self._passed_over(engine, CaseResult(case_id, status, str(_as_list(batchdata[key])[0])))
        start = time.perf_counter() - float(_as_list(batchdata.get(LOAD_SECONDS, 0.0))[0])
        try:
            output = super()._iteration(engine, batchdata)
            reason = ""
        except Exception as error:
            if is_dead_worker(error):  # torch raises it wherever the program is: the case is not to blame
                raise
            reason = one_line_reason(error)
        seconds = time.perf_counter() - start
        if reason:  # outside of the handler, where the traceback still holds the tensors of the failed case
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return self._passed_over(engine, CaseResult(case_id, SET_ASIDE, reason, seconds))
        if self.num_writers:
            return self._hand_over(engine, case_id, seconds)
        self._note(engine, CaseResult(case_id, OK, "", seconds))
        return output

    def _without_case_ids(self, engine: Any, output: Any) -> Any:
        if self.num_writers:  # then MONAI's engine has no postprocessing
            pairs = zip(engine.state.batch, output, strict=True)
            engine.state.output = [_postprocessed(*pair, self._postprocessing)[0] for pair in pairs]
        return engine.state.output

    def _hand_over(self, engine: Any, case_id: str, seconds: float) -> list[dict]:
        """Let a writer do the rest of a case; wait for earlier ones until each writer has one at most."""
        state = engine.state
        notes = {name: getattr(state, name) for name in CASE_NOTES if hasattr(state, name)}
        result = self._writers.submit(_postprocessed, state.batch[0], state.output[0], self._postprocessing)
        self._underway.append(_Underway(case_id, seconds, notes, result))
        state.batch, state.output = [{CASE_ID: case_id}], [{}]
        while len(self._underway) > self.num_writers or (self._underway and self._underway[0].result.done()):
            self._complete(self._underway.popleft())
        return state.output

    def _complete_all(self) -> None:
        while self._underway:
            self._complete(self._underway.popleft())

    def _complete(self, case: _Underway) -> None:
        try:
            output, seconds = case.result.result()
            reason = ""
        except Exception as error:
            if is_dead_worker(error):  # it is raised wherever the program is, here while it waits
                self._underway.appendleft(case)
                raise
            output, seconds, reason = {}, 0.0, one_line_reason(error)
        for name, note in case.notes.items():
            setattr(self.state, name, note)
        if reason:
            self._passed_over(self, CaseResult(case.case_id, SET_ASIDE, reason, case.seconds))
            return
        self.state.batch, self.state.output = [{CASE_ID: case.case_id}], [output]
        self._note(self, CaseResult(case.case_id, OK, "", case.seconds + seconds))

    def _passed_over(self, engine: Any, case: CaseResult) -> list[dict]:
        if case.status == SET_ASIDE:
            logger.warning(f"{case.case_id}: set aside: {case.reason}")
        engine.state.batch, engine.state.output = [{CASE_ID: case.case_id}], [{}]
        self._note(engine, case)
        return engine.state.output

    def _note(self, engine: Any, case: CaseResult) -> None:
        engine.state.case = case
        self._cases_done += 1
        engine.fire_event(CaseEvents.CASE_COMPLETED)


def _postprocessed(batch: Any, output: Any, transform: Callable | None) -> tuple[Any, float]:
    """What MONAI's engines do with one case's output; and its seconds."""
    start = time.perf_counter()
    if transform is not None:
        _, output = engine_apply_transform(batch, output, transform)
    return output, time.perf_counter() - start


def prepare_montages(
    batchdata: Mapping[str, Any], device: torch.device | str | None = None, non_blocking: bool = False, **kwargs: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Take the discriminator's input and target out of a batch: `prepare_batch` of MONAI's engines.

    Returns:
        Montages (B, 3, rows, columns), and codes (B, 1) float32 if the batch has any.
    """
    montages = batchdata["montage"].to(device=device, non_blocking=non_blocking, **kwargs)
    if "code" not in batchdata:
        return montages, None
    codes = torch.as_tensor(batchdata["code"], dtype=torch.float32).reshape(-1, 1)
    return montages, codes.to(device=device, non_blocking=non_blocking)


def code_hits(output: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Say of each score whether its nearest code is that of its target: `output_transform` of ignite's `Accuracy`.

    Returns:
        Hits (B,), 0 or 1, and what they should be: 1.
    """
    found, given = ((output[key] + 0.5).floor().clamp(CODES[0], CODES[-1]).flatten() for key in ("pred", "label"))
    hits = (found == given).long()
    return hits, torch.ones_like(hits)


def _as_list(value: Any) -> list:
    """What a collated value holds: the loader makes lists of strings and tensors of numbers."""
    if isinstance(value, torch.Tensor):
        return value.reshape(-1).tolist()
    return list(value) if isinstance(value, list | tuple) else [value]
