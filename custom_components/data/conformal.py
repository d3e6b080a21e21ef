"""The interval of a QA score, by split-conformal prediction, and the file beside the weights that holds it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from custom_components.data.case_files import sha256_of
from custom_components.files import complete_file
from custom_components.user_errors import exit_on_user_error

BEST_CODE, WORST_CODE = 0.0, 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScoreInterval:
    """How far a code may lie from its predicted score.

    Attributes:
        coverage: share of codes that the interval holds, on average over calibration sets.
        half_width: of the interval, in codes.
        cases: number of calibration cases.
        weights_sha256: of the weights that it belongs to.
    """

    coverage: float
    half_width: float
    cases: int
    weights_sha256: str = ""

    def around(self, score: float) -> tuple[float, float]:
        """Lower and upper end around a score that is first brought to the nearest that a code can be.

        Example:
            >>> ScoreInterval(0.9, 0.5, 100).around(1.75)
            (1.25, 2.0)
        """
        nearest = min(max(score, BEST_CODE), WORST_CODE)
        return max(nearest - self.half_width, BEST_CODE), min(nearest + self.half_width, WORST_CODE)


def conformal_half_width(residuals: Sequence[float] | np.ndarray, coverage: float) -> float:
    """Half the width of the split-conformal interval: the ceil((n + 1) * coverage)-th smallest absolute residual.

    Lei et al. 2018, Distribution-free predictive inference for regression, algorithm 2.

    Args:
        residuals: of n calibration cases that the network was not trained on.
        coverage: wanted share of codes inside the interval.

    Returns:
        The half width; infinite where n is too small for the coverage.

    Raises:
        ValueError: there are no residuals, or the coverage is not between 0 and 1.

    Example:
        >>> conformal_half_width([0.1, -0.2, 0.3, -0.4], 0.8), conformal_half_width([0.1, 0.2], 0.9)
        (0.4, inf)
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage is {coverage}, expected a number between 0 and 1")
    sizes = np.sort(np.abs(np.asarray(residuals, dtype=np.float64)))
    if len(sizes) == 0:
        raise ValueError("residuals is empty, expected at least one calibration case")
    rank = math.ceil((len(sizes) + 1) * coverage - 1e-9)
    return float(sizes[rank - 1]) if rank <= len(sizes) else math.inf


def interval_path(weights: str | Path) -> Path:
    """Where the interval of weights lies.

    Example:
        >>> interval_path("models/model.pt").as_posix()
        'models/model.json'
    """
    return Path(weights).with_suffix(".json")


def write_interval(interval: ScoreInterval, weights: str | Path, **also: float | int | str) -> Path:
    """Write an interval beside its weights, with their SHA-256 and what else there is to know of them.

    Raises:
        OSError: the weights cannot be read or the file not be written.
    """
    path = interval_path(weights)
    content = {**also, "score_interval": {**asdict(interval), "weights_sha256": sha256_of(Path(weights))}}
    with complete_file(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


@exit_on_user_error
def read_interval(weights: str | Path) -> ScoreInterval | None:
    """Read the interval of weights, for use in configs; None, with a warning, if there is none of these weights.

    Raises:
        SystemExit: the file has another form; one line, and exit code 1.
    """
    interval = stored_interval(weights)
    if interval is None:
        found = "is of other weights" if interval_path(weights).is_file() else "does not exist"
        logger.warning("%s %s: scores have no interval; training writes it at its end", interval_path(weights), found)
    return interval


def stored_interval(weights: str | Path) -> ScoreInterval | None:
    """Read the interval of weights; None if there is none or it is of other weights.

    Raises:
        ValueError: the file has another form.
    """
    path = interval_path(weights)
    if not path.is_file() or not Path(weights).is_file():
        return None
    try:
        interval = ScoreInterval(**json.loads(path.read_text(encoding="utf-8"))["score_interval"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} has another form ({error}), expected a score_interval") from None
    return interval if interval.weights_sha256 == sha256_of(Path(weights)) else None
