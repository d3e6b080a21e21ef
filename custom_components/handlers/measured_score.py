"""Handler that measures each segmentation of an inference run, and takes a better one where codes tell which is."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn

from custom_components.bundle import load_weights
from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable
from custom_components.data.share import Share
from custom_components.engines import OK, CaseEvents, CaseResult
from custom_components.handlers.qa_scores import score_row
from custom_components.handlers.segmentation_score import CANDIDATE, FIRST_SCORE, SCORE_COLUMNS
from custom_components.learning.candidates import CandidateSource
from custom_components.learning.code_forest import MEASUREMENTS, CodeForest
from custom_components.learning.measured_ranking import Measured, MeasuredRanking
from custom_components.learning.measurements import COLUMNS
from custom_components.learning.ranking import Refine
from custom_components.options import check_number, words
from custom_components.user_errors import exit_on_user_error


class MeasuredScore:
    """Write what is measured of each case to `<output_dir>/measurements.csv`, and take the best candidate.

    With a forest the output is replaced by the segmentation that is taken, and `engine.state.qa_score` gets its
    predicted code as the score, as `SegmentationScore` does; so one of both scores a run.

    Args:
        ranking: see `MeasuredRanking`.
        output_dir: where the segmentations lie.
        share: which of several processes this is; the table is that of all.

    Example::

        measured = MeasuredScore(MeasuredRanking(forest, voxel_ml=0.024), "out")
        evaluator = CaseEvaluator(..., val_handlers=[measured, SegmentationSummary("out")])
    """

    def __init__(self, ranking: MeasuredRanking, output_dir: str | Path, share: Share | None = None) -> None:
        self.ranking = ranking
        self._table = CaseTable(Path(output_dir) / MEASUREMENTS, [CASE_ID, *COLUMNS], share)

    def attach(self, engine: Engine) -> None:
        """Attach to a `CaseEvaluator`, after a `SegmentationScore` and before a `SegmentationSummary`."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._clear)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)
        engine.add_event_handler(CaseEvents.CASE_COMPLETED, self._write)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def _start(self, engine: Engine) -> None:
        self._table.path.parent.mkdir(parents=True, exist_ok=True)
        self._table.start()

    def _clear(self, engine: Any) -> None:
        engine.state.measured = None
        if self.ranking.forest is not None:
            engine.state.qa_score = {}

    def __call__(self, engine: Any) -> None:
        """Measure the case of this iteration."""
        output = engine.state.output
        found = self.ranking(engine.network, output[CommonKeys.IMAGE], output[CommonKeys.PRED])
        output[CommonKeys.PRED] = found.logits
        engine.state.measured = found
        if self.ranking.forest is not None:
            taken = {CANDIDATE: found.candidate, FIRST_SCORE: f"{found.first_score:.4f}"}
            engine.state.qa_score = {**dict.fromkeys(SCORE_COLUMNS, ""), **score_row(found.score, None), **taken}

    def _write(self, engine: Any) -> None:
        case: CaseResult = engine.state.case
        measured: Measured | None = engine.state.measured
        if measured is None or case.status != OK:
            return
        values = ("" if math.isnan(one) else f"{one:.5g}" for one in measured.measures)
        self._table.add({CASE_ID: case.case_id, **dict(zip(COLUMNS, values, strict=True))})

    def _finish(self, engine: Engine) -> None:
        self._table.finish()


@exit_on_user_error
def measured_score(
    network: nn.Module,
    *,
    measure: bool,
    forest: CodeForest | None,
    committee_paths: str | Sequence[str],
    sources: Sequence[CandidateSource],
    candidates: int,
    limit: float,
    pixdim: Sequence[float],
    output_dir: str | Path,
    discriminator_path: str | None,
    inferer: Callable[..., Tensor] | None = None,
    refine: Refine | None = None,
    share: Share | None = None,
) -> MeasuredScore | None:
    """Make the handler that an inference's configuration asks for, or None.

    Args:
        network: of the inference; the committee has copies of it with other weights.
        measure: whether to write measurements, without a forest too.
        forest: see `custom_components.learning.code_forest.code_forest`.
        committee_paths: weights of further networks; a list, or words with commas between them.
        sources: of candidates.
        candidates: how many of them, from the first, each network has.
        limit: see `MeasuredRanking`.
        pixdim: voxel size in mm.
        output_dir: see `MeasuredScore`.
        discriminator_path: of a run that a discriminator scores.
        inferer: runs the networks.
        refine: see `MeasuredRanking`.
        share: see `MeasuredScore`.

    Raises:
        SystemExit: a file cannot be read, a number is out of range, or two are to judge; one line, and exit code 1.
    """
    if forest is not None and discriminator_path:
        raise ValueError(
            "discriminator_path and rated_segmentations are both given, expected one of them: only one can judge"
        )
    paths = words(committee_paths)
    if forest is None and not measure:
        if paths:
            raise ValueError("committee_paths is given, expected measure true or rated_segmentations with it")
        return None
    check_number(candidates, "candidates", 0, len(sources), whole=True)
    committee: dict[str, nn.Module] = {}
    for path in paths:
        name = "/".join(Path(path).with_suffix("").parts[-3:])
        if name in committee:
            raise ValueError(f"committee_paths has {name} twice, expected each network once")
        committee[name] = copy.deepcopy(network)
        load_weights(committee[name], path, "python -m monai.bundle run training ...", "committee_paths")
    ranking = MeasuredRanking(
        forest,
        voxel_ml=math.prod(float(mm) for mm in pixdim) / 1000,
        committee=committee,
        sources=sources[: int(candidates)],
        limit=limit,
        inferer=inferer,
        refine=refine,
    )
    return MeasuredScore(ranking, output_dir, share)
