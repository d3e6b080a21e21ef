"""Draw a picture of every case with several processes, and keep a table of what became of each."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable
from custom_components.data.cases import Case
from custom_components.data.fingerprint import FINGERPRINT
from custom_components.data.layout import ERROR, LOAD_SECONDS, OK, SET_ASIDE, SKIPPED
from custom_components.data.qa_inference import MADE_FROM
from custom_components.data.set_aside import SetAsideDataset, is_dead_worker

logger = logging.getLogger(__name__)


def draw_cases(
    cases: Sequence[Case],
    transform: Callable[[Mapping[str, Any]], Any],
    table: CaseTable,
    *,
    files_of: Callable[[str], Sequence[Path]],
    workers: int | None = None,
    unit: str = "montages",
) -> Counter[str]:
    """Draw the cases, and write a row for each; those with `skipped` keep the rows that they have.

    Args:
        cases: as `custom_components.data.qa_inference.find_montage_cases` gives them.
        transform: loads a case and writes its pictures; gives what is small, as it is sent between processes.
        table: with `custom_components.data.layout.COLUMNS`.
        files_of: the pictures of a case; those of a case that is set aside now are of another file, and removed.
        workers: processes; default one for each processor.
        unit: what is drawn, for the progress bar.

    Returns:
        How many cases came to which end: `ok`, `skipped`, `set_aside`.

    Raises:
        SystemExit: a process was killed, probably for lack of memory; what was done before is kept.
        OSError: the table cannot be written.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    loader = DataLoader(SetAsideDataset(cases, transform), batch_size=None, num_workers=min(workers, len(cases)))
    counts: Counter[str] = Counter()
    table.start()
    try:
        with logging_redirect_tqdm():
            for case, item in zip(cases, tqdm(loader, desc=unit, unit="case"), strict=True):
                counts[_note(table, case, item, files_of(case[CASE_ID]))] += 1
    except RuntimeError as error:
        if not is_dead_worker(error):
            raise
        raise SystemExit(
            f"error: a process that draws {unit} was killed, probably for lack of memory; {sum(counts.values())} of "
            f"{len(cases)} cases were done before, and what is written of them is kept: run again with --workers 1 or "
            "with more memory"
        ) from None
    finally:
        table.finish()
    return counts


def _note(table: CaseTable, case: Mapping[str, Any], item: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Write down what became of a case; return its status."""
    status = SKIPPED if SKIPPED in item else SET_ASIDE if ERROR in item else OK
    if status == SKIPPED:
        return status
    if status == SET_ASIDE:
        logger.warning("%s: set aside: %s", case[CASE_ID], item[ERROR])
        for file in files:
            file.unlink(missing_ok=True)
    table.add(
        {
            CASE_ID: case[CASE_ID],
            "montage": files[0].name if status == OK else "",
            "status": status,
            "reason": item.get(ERROR, ""),
            "seconds": f"{float(item.get(LOAD_SECONDS, 0)):.3f}",
            MADE_FROM: case.get(FINGERPRINT, ""),
        }
    )
    return status
