"""The fooling monitor that a training's configuration asks for."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from monai.transforms import Compose
from torch import Tensor, nn

from custom_components.bundle import load_discriminators, load_weights
from custom_components.checkpoints import unwrapped
from custom_components.data.datalist import datalist_entries, labelled_cases
from custom_components.data.set_aside import SetAsideDataset
from custom_components.data.unlabeled import unlabeled_cases
from custom_components.handlers.fooling_monitor import FoolingMonitor, Watcher
from custom_components.learning.fooling import FoolingRule, Plausible, annotated_findings
from custom_components.options import check_number
from custom_components.preprocessing import LABEL
from custom_components.transforms.montage import View
from custom_components.user_errors import exit_on_user_error

logger = logging.getLogger(__name__)

MOST_REFERENCES = 50
"""Labels that are looked at for what is plausible."""


@exit_on_user_error
def fooling_monitor(
    network: nn.Module,
    datalist: str | Path,
    preprocessing: Compose,
    label_preprocessing: Compose,
    *,
    output_dir: str | Path,
    discriminator_paths: str | Sequence[str],
    watcher_paths: str | Sequence[str] = (),
    watcher_view: View = "coronal",
    start_path: str | Path | None = None,
    section: str = "unlabeled",
    count: int = 24,
    reference_section: str = "training",
    pixdim: Sequence[float],
    interval: int,
    stop: bool = False,
    rule: FoolingRule | None = None,
    size: Sequence[int],
    inferer: Callable[..., Tensor] | None = None,
) -> FoolingMonitor:
    """Make a `FoolingMonitor` from files; for use in configs.

    Args:
        network: the kept one.
        datalist: of the training.
        preprocessing: of unlabelled cases.
        label_preprocessing: of labelled ones.
        output_dir: see `FoolingMonitor`.
        discriminator_paths: weights of those that give the gradient, or rank.
        watcher_paths: weights of those that give none; none if empty.
        watcher_view: plane of the slices that the watchers see.
        start_path: weights that the network is compared with; default those that the training begins with.
        section: whose cases are looked at.
        count: how many of them, evenly spaced.
        reference_section: labels of the datalist that are good; of pseudo-labels those coded 0, or, if none is, the
            labels of `training`.
        pixdim: voxel size in mm of the grid.
        interval: see `FoolingMonitor`.
        stop: see `FoolingMonitor`.
        rule: see `FoolingMonitor`.
        size: rows and columns of a montage.
        inferer: see `FoolingMonitor`.

    Raises:
        SystemExit: a file is missing, a number is out of range, or a section is absent or empty; one line.
    """
    check_number(count, "monitor_cases", 1, whole=True)
    voxel_ml = math.prod(float(mm) for mm in pixdim) / 1000
    good = _good_cases(datalist, reference_section)
    if not good:
        logger.warning("%s: no case is coded 0: the labels of the training tell what is plausible", reference_section)
        good = _good_cases(datalist, "training")
    references = [label_preprocessing(case) for case in _evenly(good, MOST_REFERENCES)]
    findings = [annotated_findings(one[LABEL][0].numpy(), one.get("annotated"), voxel_ml) for one in references]
    watchers = load_discriminators(watcher_paths, option="watcher_paths") if watcher_paths else []
    start = copy.deepcopy(unwrapped(network)) if start_path else None
    if start is not None and start_path:
        load_weights(start, start_path, "python -m monai.bundle run training ...", "monitor_start_path")
    return FoolingMonitor(
        SetAsideDataset(_evenly(unlabeled_cases(datalist, section), int(count)), preprocessing),
        network,
        output_dir=output_dir,
        discriminators=load_discriminators(discriminator_paths),
        watchers=[Watcher(one, watcher_view) for one in watchers],
        plausible=Plausible.of(findings),
        good=_evenly(references, int(count)),
        voxel_ml=voxel_ml,
        start=start,
        interval=interval,
        rule=rule,
        stop=stop,
        size=size,
        inferer=inferer,
    )


@exit_on_user_error
def fooling_rule(limits: Mapping[str, float]) -> FoolingRule:
    """Make the rule of a configuration's `monitor_limits`; a limit that is not named has its usual value.

    Raises:
        SystemExit: a limit is unknown or out of range; one line, and exit code 1.

    Example:
        >>> fooling_rule({"fall": 0.2})
        FoolingRule(fall=0.2, agreement=0.5, rise=0.1, bias=0.08, steepness=6.0, settle=32)
    """
    known = [one.name for one in fields(FoolingRule)]
    if not isinstance(limits, Mapping):
        raise ValueError(f"monitor_limits is {limits!r}, expected numbers by name")
    if unknown := [name for name in limits if name not in known]:
        raise ValueError(f"monitor_limits: {unknown[0]!r} is unknown, expected some of {', '.join(known)}")
    for name, value in limits.items():
        check_number(value, f"monitor_limits: {name}", 0)
    return FoolingRule(**limits)


def _good_cases(datalist: str | Path, section: str) -> list[dict[str, Any]]:
    """The cases of a section whose label is good: of pseudo-labels the successes, by people and not by a score."""
    cases = zip(datalist_entries(Path(datalist), section), labelled_cases(datalist, section), strict=True)
    return [case for entry, case in cases if not (entry.get("code") or entry.get("accepted"))]


def _evenly(cases: Sequence[dict], count: int) -> list[dict]:
    """So many of the cases, from the first to the last."""
    if len(cases) <= count:
        return list(cases)
    return [cases[number * len(cases) // count] for number in range(count)]
