"""Handler that compares a discriminator's scores with the codes that people gave."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from ignite.engine import Engine, Events
from rich.console import Console

from custom_components.case_ids import CASE_ID
from custom_components.data.conformal import ScoreInterval
from custom_components.engines import OK, SET_ASIDE, CaseResult
from custom_components.files import complete_file
from custom_components.handlers.qa_scores import score_row
from custom_components.report.qa_metrics import (
    confusion,
    confusion_table,
    evaluate,
    metrics_json,
    metrics_table,
)
from custom_components.report.qa_plots import draw_evaluation

METRICS, TEXT, PICTURE, TABLE, SET_ASIDE_TABLE = (
    "qa_metrics.json", "qa_metrics.txt", "qa_metrics.png", "qa_predictions.csv", "set_aside.csv",
)  # fmt: skip
COLUMNS = [CASE_ID, "model", "code", "score", "found_code", "low", "high"]

logger = logging.getLogger(__name__)


class QAEvaluation:
    """Write `qa_metrics.json`, `.txt` and `.png`, and `qa_predictions.csv`, at the end of an evaluation.

    The measures are those of `custom_components.report.qa_metrics`. The table has a row for each rated segmentation,
    the worst error first: `case_id, model, code, score, found_code, low, high`, and the names of its files.
    Cases that could not be scored are in `set_aside.csv` with the reason.

    Args:
        output_dir: folder of the files; made if missing.
        cases: what is evaluated, in the order of the evaluator's data: `case_id`, `code`, and `model` if it is known.
        interval: see `custom_components.data.conformal.read_interval`.
        resamples: bootstrap samples for the intervals of the measures.
        seed: of the resampling.
        show: whether to print the measures.

    Example::

        evaluation = QAEvaluation("eval", cases)
        CaseEvaluator(..., val_handlers=[evaluation]).run()
        evaluation.raise_for_set_aside()
    """

    def __init__(
        self,
        output_dir: str | Path,
        cases: Sequence[Mapping[str, Any]],
        *,
        interval: ScoreInterval | None = None,
        resamples: int = 1000,
        seed: int = 0,
        show: bool = True,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.cases = list(cases)
        self.interval = interval
        self.resamples, self.seed, self.show = resamples, seed, show
        self._rows: list[dict[str, Any]] = []
        self._set_aside: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to a `CaseEvaluator` over the cases."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def raise_for_set_aside(self) -> None:
        """End the program with exit code 1 and one line if the last run set a case aside.

        Raises:
            SystemExit: at least one case was set aside.
        """
        if self._set_aside:
            total, where = len(self._rows) + len(self._set_aside), self.output_dir / SET_ASIDE_TABLE
            raise SystemExit(f"error: {len(self._set_aside)} of {total} cases set aside; see {where}")

    def _start(self) -> None:
        self._rows, self._set_aside = [], []

    def _note(self, engine: Engine) -> None:
        result: CaseResult = engine.state.case  # type: ignore[attr-defined]
        case = self.cases[engine.state.iteration - 1]
        row: dict[str, Any] = {CASE_ID: result.case_id, "model": case.get("model", ""), "code": case["code"]}
        row |= {key: Path(case[key]).name for key in ("montage", "segmentation") if key in case}
        scored = score_row(float(engine.state.output[0]["pred"]), self.interval) if result.status == OK else {}  # type: ignore[index]
        if "score" in scored:
            row |= {key: float(value) for key, value in scored.items() if value}
            self._rows.append({**row, "found_code": int(scored["code"]), "code": case["code"]})
        else:
            reason = result.reason if result.status == SET_ASIDE else scored.get("reason", result.status)
            self._set_aside.append({**row, "reason": reason})

    def _write(self) -> None:
        set_aside = self.output_dir / SET_ASIDE_TABLE
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for name in (METRICS, TEXT, PICTURE, TABLE, SET_ASIDE_TABLE):
            (self.output_dir / name).unlink(missing_ok=True)  # of an earlier run
        if self._set_aside:
            _write_table(pd.DataFrame(self._set_aside), set_aside)
        if not self._rows:
            raise SystemExit(f"error: none of {len(self._set_aside)} cases could be scored; see {set_aside}")
        table = pd.DataFrame(self._rows)
        table = table[[name for name in COLUMNS if name in table] + [name for name in table if name not in COLUMNS]]
        worst = (table["score"] - table["code"]).abs().sort_values(ascending=False, kind="stable").index
        _write_table(table.loc[worst], self.output_dir / TABLE)
        estimates = evaluate(table, resamples=self.resamples, seed=self.seed)
        with complete_file(self.output_dir / METRICS) as partial:
            partial.write_text(json.dumps(metrics_json(table, estimates), indent=2) + "\n", encoding="utf-8")
        with complete_file(self.output_dir / PICTURE) as partial:
            draw_evaluation(table).savefig(partial)
        tables = metrics_table(estimates), confusion_table(confusion(table))
        with complete_file(self.output_dir / TEXT) as partial, partial.open("w", encoding="utf-8") as file:
            Console(file=file, width=100).print(*tables)
        if self.show:
            Console().print(*tables)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with complete_file(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")
