"""The greys of an unlabelled cohort's organs, from segmentations of it, for labelled CTs to be shown in."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from monai.transforms import Compose

from custom_components.data.code_values import CODES
from custom_components.data.datalist import datalist_entries, labelled_cases
from custom_components.data.layout import ERROR
from custom_components.data.set_aside import SetAsideDataset
from custom_components.options import check_number
from custom_components.transforms.organ_greys import RandOrganGreysd, organ_greys
from custom_components.user_errors import exit_on_user_error

logger = logging.getLogger(__name__)


@exit_on_user_error
def organ_appearance(
    datalist: str | Path,
    section: str | None,
    preprocessing: Compose,
    *,
    prob: float = 0.5,
    count: int = 200,
    weights: Sequence[float] = (1.0, 1.0, 1.0),
) -> RandOrganGreysd | None:
    """Make the transform that shows labelled CTs with the greys of other CTs' organs; for use in configs.

    Args:
        datalist: Decathlon `dataset.json`.
        section: its list of CTs with segmentations, good and bad ones, as `python -m custom_components pseudo_labels`
            adds it; None: labelled CTs stay as they are, and the result is None.
        preprocessing: of the training, with labels.
        prob: share of the labelled items that are changed.
        count: how many of the section's cases are looked at, evenly spaced.
        weights: how often the greys of a case are drawn, by its code 0, 1 or 2; no code counts as 0.

    Raises:
        SystemExit: the list cannot be read, a number is out of range, no case can be loaded, or none has a code with a
            weight above 0; one line.
    """
    check_number(prob, "appearance_prob", 0, 1)
    check_number(count, "appearance_cases", 1, whole=True)
    if section is None or str(section).lower() in ("null", "none") or not prob:
        return None
    cases = labelled_cases(datalist, section, set_aside=True)
    codes = [float(entry.get("code") or 0) for entry in datalist_entries(Path(datalist), section)]
    step = max(1.0, len(cases) / count)
    places = [int(k * step) for k in range(min(count, len(cases)))]
    chosen = SetAsideDataset([cases[place] for place in places], preprocessing)
    greys, shares = [], []
    for number in range(len(chosen)):
        item = chosen[number]
        if ERROR in item:
            logger.warning("%s: %s", section, item[ERROR])
        else:
            greys.append(organ_greys(item["image"], item["label"]))
            shares.append(float(np.interp(codes[places[number]], CODES, weights)))
    if not greys:
        raise ValueError(f"{datalist}: {section}: none of {len(chosen)} cases can be loaded, expected one at least")
    if not any(shares):
        raise ValueError(f"{datalist}: {section}: no case has a code with a weight above 0 in {list(weights)}")
    return RandOrganGreysd(torch.stack(greys), weights=shares, prob=prob)
