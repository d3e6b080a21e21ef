"""What the handlers that keep a table of a `CaseEvaluator`'s cases have in common."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable, Row
from custom_components.data.layout import SKIPPED
from custom_components.engines import OK, SET_ASIDE, CaseEvents

logger = logging.getLogger(__name__)


class CaseReport(ABC):
    """Append to a table as cases are done, count what became of them, and sort the table at the end.

    Args:
        table: where the rows go.
        done: what a finished case is called in the log, such as `segmented`.
        key: order of the rows at the end.
        keep: which rows of an earlier run stay.
    """

    def __init__(
        self,
        table: CaseTable,
        *,
        done: str,
        key: Callable[[Row], Any] = lambda row: row[CASE_ID],
        keep: Callable[[Row], bool] = lambda _: True,
    ) -> None:
        self._table = table
        self._keep = keep
        self._done = done
        self._key = key
        self._counts: Counter[str] = Counter()

    @property
    def path(self) -> Path:
        """The table."""
        return self._table.path

    def attach(self, engine: Engine) -> None:
        """Register the handler's steps."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(CaseEvents.CASE_COMPLETED, self._append)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def raise_for_set_aside(self) -> None:
        """End the program with exit code 1 and one line if the last run set a case aside.

        One of several processes tells of its own cases, when the others are done.

        Raises:
            SystemExit: at least one case was set aside.
        """
        self._table.share.wait_for_the_others()
        if self._counts[SET_ASIDE]:
            cases = sum(self._counts.values())
            raise SystemExit(f"error: {self._counts[SET_ASIDE]} of {cases} cases set aside; see {self.path}")

    def _start(self) -> None:
        self._counts.clear()
        self._table.start(self._keep)

    @abstractmethod
    def _append(self, engine: Engine) -> None:
        """Count the case that is completed, and add its row."""

    def _finish(self) -> None:
        self._table.finish(self._key)
        counts = self._counts
        parts = [f"{counts[OK]} {self._done}"]
        parts += [f"{counts[SKIPPED]} skipped (finished before)"] if counts[SKIPPED] else []
        parts += [f"{counts[SET_ASIDE]} set aside"] if counts[SET_ASIDE] else []
        logger.info(f"{sum(counts.values())} cases: {', '.join(parts)}; see {self.path}")
