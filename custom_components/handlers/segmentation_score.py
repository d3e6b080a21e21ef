"""Handler that scores each segmentation of an inference run, and takes a better candidate where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of
from custom_components.data.case_table import Row
from custom_components.data.conformal import ScoreInterval
from custom_components.data.layout import ERROR
from custom_components.data.set_aside import SetAsideDataset, one_line_reason
from custom_components.engines import SET_ASIDE
from custom_components.handlers.qa_scores import score_row
from custom_components.inferers import AutocastInferer
from custom_components.learning.ranking import CandidateRanking
from custom_components.transforms.montage import DISCRIMINATOR_SIZE, montage

DISCRIMINATOR = "discriminator_sha256"
CANDIDATE, FIRST_SCORE = "candidate", "first_score"
SCORE_COLUMNS = ("score", "code", "low", "high", DISCRIMINATOR, CANDIDATE, FIRST_SCORE)


class SegmentationScore:
    """Give `engine.state.qa_score` of each case: texts for `SCORE_COLUMNS`.

    These are the score, its code, the interval's ends, and the SHA-256 of the weights that it is of. If the score is no
    finite number the case is set aside: then there are `status` and `reason` instead. With `candidates` there are also
    the name of the segmentation that was taken and the score of the network's own; what is taken replaces the output,
    so that what is written, its montage and its score belong together.

    The montage is that of the most probable organs on the network's grid, before they go back to the image's own. It is
    the one that `qa_discriminator` makes of the written file, up to that resampling. A `SegmentationSummary` that is
    given this handler also scores what an earlier run segmented and these weights did not score, from the files.

    Args:
        network: the discriminator.
        weights: its file.
        interval: see `custom_components.data.conformal.read_interval`; None leaves `low` and `high` empty.
        size: rows and columns of the montage.
        inferer: runs the network; default `AutocastInferer()`.
        finished: cases of earlier runs, see `custom_components.data.qa_inference.finished_cases`, with the transform
            `custom_components.preprocessing.qa_preprocessing`.
        candidates: looks for a better segmentation where the score exceeds its limit.

    Example::

        score = SegmentationScore(discriminator, weights="model.pt")
        handlers = [score, SegmentationSummary("out", score=score)]
        evaluator = CaseEvaluator(..., val_handlers=handlers)
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        weights: str | Path,
        interval: ScoreInterval | None = None,
        size: Sequence[int] = DISCRIMINATOR_SIZE,
        inferer: Callable[..., Tensor] | None = None,
        finished: SetAsideDataset | None = None,
        candidates: CandidateRanking | None = None,
    ) -> None:
        self.network = network.eval()
        self.interval = interval
        self.size = (int(size[0]), int(size[1]))
        self.inferer = AutocastInferer() if inferer is None else inferer
        self.finished = finished
        self.candidates = candidates
        self._sha256 = sha256_of(Path(weights))
        self._places = {} if finished is None else {item[CASE_ID]: n for n, item in enumerate(finished.data)}

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator with one case in a batch."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._clear)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def _clear(self, engine: Any) -> None:
        engine.state.qa_score = {}

    def __call__(self, engine: Any) -> None:
        """Score the case of this iteration."""
        output = engine.state.output
        image, logits = output[CommonKeys.IMAGE], output[CommonKeys.PRED]
        score = self._score(image, logits.argmax(1, keepdim=True))
        if self.candidates is None:
            engine.state.qa_score = self._row(score)
            return
        taken = self.candidates(engine.network, image, logits, score, self._score)
        output[CommonKeys.PRED] = taken.logits
        row = self._row(taken.score)
        if "score" in row:
            row |= {CANDIDATE: taken.candidate, FIRST_SCORE: f"{taken.first_score:.4f}"}
        engine.state.qa_score = row

    def of_finished(self, case_id: str, earlier: Row, device: torch.device | str) -> Row:
        """Score a case that an earlier run segmented, from its files unless its row has a score of the same weights.

        Args:
            case_id: of the case.
            earlier: its row in the table.
            device: where the network is.

        Returns:
            As `engine.state.qa_score`.
        """
        try:
            if earlier.get("score") and earlier.get(DISCRIMINATOR) == self._sha256:
                kept = {name: earlier.get(name, "") for name in (CANDIDATE, FIRST_SCORE)}
                return self._row(float(earlier["score"])) | kept
            item = self.finished[self._places[case_id]] if self.finished is not None else {ERROR: "no files are given"}
            if ERROR not in item:
                volumes = (torch.as_tensor(item[key])[None].to(device) for key in ("image", "segmentation"))
                taken = {CANDIDATE: earlier.get(CANDIDATE, "")}  # the segmentation is what it was; its scores are not
                return self._row(self._score(*volumes)) | taken
            reason = str(item[ERROR])
        except Exception as error:  # as of a case that is segmented
            reason = one_line_reason(error)
        return {"status": SET_ASIDE, "reason": f"no score: {reason}", **dict.fromkeys(SCORE_COLUMNS, "")}

    @torch.no_grad()
    def _score(self, image: Tensor, labels: Tensor) -> float:
        return float(self.inferer(montage(image, labels, size=self.size), self.network))

    def _row(self, score: float) -> Row:
        found = score_row(score, self.interval)
        return {
            **dict.fromkeys(SCORE_COLUMNS, ""),
            **found,
            **({DISCRIMINATOR: self._sha256} if "score" in found else {}),
        }
