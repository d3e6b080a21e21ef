"""The last step of a discriminator's training: the interval of its scores."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from monai.data import DataLoader

from custom_components.bundle import load_weights
from custom_components.data.conformal import (
    BEST_CODE,
    WORST_CODE,
    ScoreInterval,
    conformal_half_width,
    stored_interval,
    write_interval,
)
from custom_components.engines import prepare_montages
from custom_components.user_errors import exit_on_user_error

logger = logging.getLogger(__name__)


@torch.no_grad()
def score_all(
    network: torch.nn.Module, loader: DataLoader, inferer: Callable[..., torch.Tensor], device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Score the montages of a loader.

    Returns:
        Scores and codes, (cases,) each.
    """
    network.eval()
    scores, codes = [], []
    for batch in loader:
        montages, targets = prepare_montages(batch, device)
        scores.append(inferer(montages, network).flatten().cpu())
        codes.append(targets.flatten().cpu() if targets is not None else torch.full_like(scores[-1], torch.nan))
    return torch.cat(scores).double().numpy(), torch.cat(codes).double().numpy()


@exit_on_user_error
def check_coverage(coverage: float) -> None:
    """Refuse a coverage before a training begins whose last step needs it.

    Raises:
        SystemExit: it is not a number between 0 and 1; one line, and exit code 1.
    """
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
        raise ValueError(f"coverage is {coverage!r}, expected a number between 0 and 1")


@exit_on_user_error
def calibrate(
    network: torch.nn.Module,
    weights: str | Path,
    loader: DataLoader,
    *,
    inferer: Callable[..., torch.Tensor],
    device: torch.device,
    coverage: float,
) -> ScoreInterval | None:
    """Load the kept weights and write the interval of their scores beside them, `model.json`.

    The calibration cases are those of the validation, which also chose the epoch: the interval is a little too narrow
    for that. With several processes the first one does it, with the cases of all. One of these weights, for the same
    coverage and as many cases, stays as it is.

    Args:
        network: where the weights go.
        weights: the file.
        loader: validation data, whose augmentation is off; a sampler, such as that of one of several processes, is left
            out.
        inferer: as in training.
        device: where the network is.
        coverage: share of codes that the interval shall hold.

    Returns:
        The interval; None in the other processes.

    Raises:
        SystemExit: the weights or what lies beside them cannot be read, or the coverage is not between 0 and 1; one
            line, and exit code 1.
    """
    if idist.get_rank() != 0:
        return None
    stored = stored_interval(weights)
    if stored is not None and (stored.coverage, stored.cases) == (coverage, len(loader.dataset)):  # type: ignore[arg-type]
        return stored
    load_weights(network, weights, "python -m monai.bundle run training")
    every_case = DataLoader(loader.dataset, batch_size=loader.batch_size or 1, num_workers=loader.num_workers)
    scores, codes = score_all(network, every_case, inferer, device)
    residuals = scores.clip(BEST_CODE, WORST_CODE) - codes
    half_width = conformal_half_width(residuals, coverage)
    if half_width == float("inf"):
        logger.warning(
            "%d validation cases are too few for an interval of %g coverage: it holds every code", len(codes), coverage
        )
        half_width = WORST_CODE - BEST_CODE
    rmse = float(np.sqrt(((scores - codes) ** 2).mean()))
    interval = ScoreInterval(coverage, half_width, len(codes))
    path = write_interval(interval, weights, validation_rmse=rmse)
    logger.info("scores are within %.2f of the code in %g %% of cases: saved %s", half_width, 100 * coverage, path)
    return interval
