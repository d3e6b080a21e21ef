"""Keep `qa_scores.csv` of a scoring run: score, code and interval of each case, worst first."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of
from custom_components.data.case_table import CaseTable, Row
from custom_components.data.code_values import nearest_code
from custom_components.data.conformal import ScoreInterval
from custom_components.data.fingerprint import FINGERPRINT
from custom_components.data.layout import SKIPPED, montage_png_path
from custom_components.data.qa_inference import MADE_FROM
from custom_components.data.share import Share
from custom_components.engines import OK, SET_ASIDE, CaseResult
from custom_components.handlers.case_report import CaseReport

TABLE = "qa_scores.csv"
COLUMNS = [CASE_ID, "score", "code", "low", "high", "montage", "status", "reason", "seconds", "weights", MADE_FROM]

logger = logging.getLogger(__name__)


def score_table(output_dir: str | Path, share: Share | None = None) -> CaseTable:
    """The table of scores in a folder, of one process or of one of several."""
    return CaseTable(Path(output_dir) / TABLE, COLUMNS, share)


class QAScores(CaseReport):
    """Write a row for every case of a `CaseEvaluator` to `<output_dir>/qa_scores.csv`.

    Columns: `case_id`; `score`; `code`, the nearest; `low` and `high`, the interval of the code (empty without one);
    `montage`, the path of the PNG from the table's folder, or its name where it lies elsewhere; `status` (`ok` or
    `set_aside`); `reason`; `seconds`; `weights`, the beginning of their SHA-256; and `made_from`, which tells a later
    run whether the row still holds. A row is appended as soon as its case is done. At the end the worst score comes
    first, and what was set aside last. Other cases of earlier runs keep their rows, unless other weights scored them:
    what two discriminators say has no common order.

    Args:
        output_dir: where the table goes.
        cases: the run's cases, see `custom_components.data.qa_inference.montage_cases`.
        weights: file of the discriminator.
        interval: see `custom_components.data.conformal.read_interval`.
        png_dir: where the montages are written to.
        pred_key: key of the score in the engine's output.
        share: which of several processes this is; the table is that of all.

    Example (in a config)::

        scores:
          _target_: custom_components.handlers.qa_scores.QAScores
          output_dir: "@output_dir"
          cases: "@dataset#data"
        run: ["$@evaluator.run()", "$@scores.raise_for_set_aside()"]
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: Sequence[Mapping[str, Any]],
        *,
        weights: str | Path,
        interval: ScoreInterval | None = None,
        png_dir: str | Path | None = None,
        pred_key: str = "pred",
        share: Share | None = None,
    ) -> None:
        self.interval = interval
        self.pred_key = pred_key
        self.weights = Path(weights)
        super().__init__(
            score_table(output_dir, share), done="scored", key=_worst_first, keep=self._is_of_these_weights
        )
        self._png_dir = png_dir
        self._cases = {str(case[CASE_ID]): case for case in cases}

    def _start(self) -> None:
        self._digest = sha256_of(self.weights)[:16]
        super()._start()

    def _is_of_these_weights(self, row: Row) -> bool:
        return row["weights"] == self._digest

    def _append(self, engine: Engine) -> None:
        result: CaseResult = engine.state.case  # type: ignore[attr-defined]
        if result.status == SKIPPED:
            self._counts[SKIPPED] += 1
            return
        case = self._cases.get(result.case_id, {})
        row = {
            CASE_ID: result.case_id,
            "status": result.status,
            "reason": result.reason,
            "seconds": f"{result.seconds:.3f}",
            "montage": "",
            "weights": self._digest,
            MADE_FROM: str(case.get(FINGERPRINT, "")),
        }
        if result.status == OK:
            row |= score_row(float(engine.state.output[0][self.pred_key]), self.interval)  # type: ignore[index]
        if row["status"] == OK:
            row["montage"] = self._montage(case)
        elif self._png_dir is not None and "montage" not in case:
            # an earlier run may have drawn another segmentation
            montage_png_path(self._png_dir, result.case_id).unlink(missing_ok=True)
        self._counts[row["status"]] += 1
        self._table.add(row)
        done, total = self._counts.total(), engine.state.epoch_length
        logger.info(f"[{done}/{total}] {result.case_id}: {row.get('score') or row['reason']}")

    def _montage(self, case: Mapping[str, Any]) -> str:
        """Where the montage is that was drawn of a case, or that it came as."""
        path = case.get("montage")
        if path is None and self._png_dir is not None and "image" in case:
            path = montage_png_path(self._png_dir, case[CASE_ID])
        if path is None or not Path(path).is_file():
            return ""
        path, folder = Path(path).resolve(), self.path.parent.resolve()
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def score_row(score: float, interval: ScoreInterval | None) -> Row:
    """Score, code and interval as they stand in the table; a score that is no number is a case to set aside."""
    if not math.isfinite(score):
        return {"status": SET_ASIDE, "reason": f"score is {score}, expected a finite number: are the weights damaged?"}
    score = round(score, 4)  # code and interval are those of the number that is written
    low, high = ("", "") if interval is None else (f"{end:.4f}" for end in interval.around(score))
    return {"score": f"{score:.4f}", "code": str(nearest_code(score)), "low": low, "high": high}


def _worst_first(row: Row) -> tuple:
    score = row.get("score")
    return (0, -float(score), row[CASE_ID]) if score else (1, 0.0, row[CASE_ID])
