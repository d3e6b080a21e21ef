"""How often a training draws a labelled case, and a pseudo-labelled one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from monai.data import DistributedSampler, DistributedWeightedRandomSampler
from torch.utils.data import RandomSampler, Sampler, WeightedRandomSampler

from custom_components.data.datalist import datalist_entries, labelled_cases
from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error

WEIGHT = "weight"
"""Key of a pseudo-labelled case's weight among its like."""


@exit_on_user_error
def training_cases(datalist: str | Path, pseudo_section: str | None = None) -> list[dict[str, Any]]:
    """Read the labelled cases of a Decathlon `dataset.json` and, after them, its pseudo-labelled ones; for configs.

    Args:
        datalist: the file.
        pseudo_section: the list of pseudo-labels, each with a `weight` (1 if it has none); None: only labelled cases.

    Returns:
        As `labelled_cases`; a pseudo-labelled case has the key `weight`, a labelled one has not.

    Raises:
        SystemExit: as `labelled_cases`; or a weight is no number above 0; one line, and exit code 1.
    """
    cases = labelled_cases(datalist)
    if pseudo_section is None or str(pseudo_section).lower() in ("null", "none"):
        return cases
    try:
        entries = datalist_entries(Path(datalist), pseudo_section)
    except ValueError as error:
        made_by = "make it with `python -m custom_components pseudo_labels`, or name another one with --pseudo_section"
        raise ValueError(f"{error}: {made_by}") from None
    pseudo = labelled_cases(datalist, pseudo_section)
    for number, (case, entry) in enumerate(zip(pseudo, entries, strict=True)):
        weight = entry.get(WEIGHT, 1.0)
        check_number(weight, f"{datalist}: {pseudo_section}[{number}] weight", 1e-6)
        case[WEIGHT] = float(weight)
    return [*cases, *pseudo]


def case_weights(cases: Sequence[Mapping[str, Any]], labelled_share: float) -> list[float]:
    """Give each case its probability: labelled cases share one part equally, pseudo-labelled ones the rest by weight.

    Args:
        cases: see `training_cases`.
        labelled_share: of the draws, from 0 to 1; without pseudo-labels all are labelled.

    Example:
        >>> case_weights([{}, {"weight": 1.0}, {"weight": 0.25}], 0.5)
        [0.5, 0.4, 0.1]
    """
    check_number(labelled_share, "labelled_share", 0, 1)
    total = sum(case.get(WEIGHT, 0.0) for case in cases)
    labelled = sum(WEIGHT not in case for case in cases)
    share = labelled_share if total else 1.0
    return [(1 - share) * case[WEIGHT] / total if WEIGHT in case else share / max(labelled, 1) for case in cases]


@exit_on_user_error
def case_sampler(
    cases: Sequence[Mapping[str, Any]],
    *,
    labelled_share: float = 0.5,
    epoch_cases: int | None = None,
    distributed: bool = False,
    seed: int = 0,
) -> Sampler:
    """Make the sampler of a training: every labelled case once an epoch, or draws by `case_weights`.

    Of several processes each draws from a part of the cases, which changes every epoch.

    Args:
        cases: see `training_cases`.
        labelled_share: of the draws, where there are pseudo-labels.
        epoch_cases: draws in an epoch, of all processes together; None: as many as there are cases.
        distributed: whether the training has several processes.
        seed: of the parts.

    Raises:
        SystemExit: a number is out of range; one line, and exit code 1.
    """
    weights = case_weights(cases, labelled_share)
    if epoch_cases is not None:
        check_number(epoch_cases, "epoch_cases", 1, whole=True)
    is_plain = not any(WEIGHT in case for case in cases) and epoch_cases is None
    count = epoch_cases or len(cases)
    if distributed:
        parts: dict[str, Any] = {"dataset": cases, "even_divisible": True, "shuffle": True, "seed": seed}
        if is_plain:
            return DistributedSampler(**parts)
        return DistributedWeightedRandomSampler(
            **parts, weights=weights, num_samples_per_rank=-(-count // idist.get_world_size())
        )
    return RandomSampler(cases) if is_plain else WeightedRandomSampler(weights, count)
