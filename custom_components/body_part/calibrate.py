"""Turn a network's heights into slice scores that are the same at landmarks of every patient."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from custom_components.body_part.landmarks import LANDMARKS
from custom_components.body_part.line import fit_heights
from custom_components.body_part.network import SliceRegressor
from custom_components.bundle import load_weights
from custom_components.case_ids import CASE_ID
from custom_components.checkpoints import keep_previous, save_state
from custom_components.data.layout import ERROR
from custom_components.user_errors import exit_on_user_error

LEAST_CASES = 3
"""Labelled cases that a calibration needs."""

logger = logging.getLogger(__name__)


class Marked(NamedTuple):
    """A case with landmarks.

    Attributes:
        case_id: of it.
        slope: of the network's heights, per mm.
        marks: the network's height at each landmark, by name.
    """

    case_id: str
    slope: float
    marks: Mapping[str, float]


def marked_cases(network: SliceRegressor, cases: Iterable[Mapping[str, Any]]) -> list[Marked]:
    """Find the landmarks of labelled cases, and what a network gives there.

    Args:
        network: in eval mode.
        cases: as `body_part_preprocessing(with_label=True)` returns them; one with an `error` is left out.
    """
    found = []
    for case in cases:
        if ERROR in case:
            logger.warning("%s: left out of the calibration: %s", case[CASE_ID], case[ERROR])
            continue
        with torch.inference_mode():
            heights = network(case["image"].float() / 255)[:, 0].double().numpy()
        line = fit_heights(case["height"], heights)
        marks = {name: float(line.at(mm)) for name, mm in case["landmarks"].items()}
        found.append(Marked(str(case[CASE_ID]), line.slope, marks))
    return found


def calibration_of(cases: Sequence[Marked]) -> tuple[float, float, float]:
    """Scale and shift that make slice scores of heights, and the usual slope of the scores in mm upwards.

    Raises:
        ValueError: too few cases show the landmarks that have a score.
    """
    fixed = {name: mark.score for name, mark in LANDMARKS.items() if mark.score is not None}
    heights: dict[str, NDArray[np.float64]] = {}
    for name in fixed:
        heights[name] = np.array([case.marks[name] for case in cases if name in case.marks])
        if len(heights[name]) < LEAST_CASES:
            raise ValueError(
                f"{len(heights[name])} labelled cases show the {name}, expected {LEAST_CASES} or more to calibrate"
            )
    scale, shift = np.polyfit([np.median(heights[name]) for name in fixed], list(fixed.values()), 1)
    return float(scale), float(shift), float(scale * np.median([case.slope for case in cases]))


@exit_on_user_error
def calibrate_slice_scores(
    network: SliceRegressor, trained: str | Path, output: str | Path, cases: Iterable[Mapping[str, Any]]
) -> None:
    """Calibrate trained weights with labelled cases, and write them to another file; for use in configs.

    Args:
        network: into which the weights are loaded.
        trained: file of the weights.
        output: file to write; one of an earlier training is kept, see `keep_previous`.
        cases: see `marked_cases`.

    Raises:
        SystemExit: too few cases show the landmarks; one line, and exit code 1. What was there before stays.
    """
    load_weights(network, trained, "the run `training`")
    network.eval()
    marked = marked_cases(network.cpu(), cases)
    scale, shift, slope = calibration_of(marked)
    network.calibration.copy_(torch.tensor([scale, shift, slope]))
    keep_previous(Path(output))
    save_state(network.state_dict(), Path(output))
    logger.info("slice scores of %d cases:\n%s", len(marked), score_table(marked, scale, shift))


def score_table(cases: Sequence[Marked], scale: float, shift: float) -> str:
    """Median and standard deviation of the slice score at each landmark, a line for each."""
    lines = []
    for name in LANDMARKS:
        scores = [scale * case.marks[name] + shift for case in cases if name in case.marks]
        if scores:
            lines.append(f"{name}: {np.median(scores):.2f} (sd {np.std(scores):.2f}, {len(scores)} cases)")
    return "\n".join(lines)
