"""Is a network fooling its discriminator? What a look at fixed cases finds, and the rule that flags a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from custom_components.anatomy import INDEX, JUDGED_ORGANS
from custom_components.options import check_number

Labels = NDArray[np.uint8]

SPECK_ML = 1.0
"""Pieces smaller than this are not counted."""


class OrganFinding(NamedTuple):
    """A judged organ in a segmentation: its volume in ml and its number of pieces."""

    volume_ml: float
    pieces: int


class Look(NamedTuple):
    """What a look at the fixed cases found; means over them.

    Attributes:
        iteration: of the training.
        score: of the discriminators that give the gradient; NaN without any.
        watcher_score: of those that give none; NaN without any.
        implausible: share of cases with an organ of implausible volume or in too many pieces.
        pieces: of a judged organ.
        overlap: Dice of the judged organs with the segmentation of the network that the training started from.
        bias: largest relative error of a judged organ's volume over cases with a good label; NaN without any.
        drift: distance of the weights from the start, relative to their length.
        volumes_ml: of each judged organ.
    """

    iteration: int
    score: float
    watcher_score: float
    implausible: float
    pieces: float
    overlap: float
    bias: float
    drift: float
    volumes_ml: Mapping[str, float]


def organ_findings(labels: Labels, voxel_ml: float) -> dict[str, OrganFinding]:
    """Measure the judged organs of a segmentation (X, Y, Z)."""
    found = {}
    for name in JUDGED_ORGANS:
        mask = labels == INDEX[name]
        sizes = np.bincount(ndimage.label(mask)[0].ravel())[1:] * voxel_ml
        found[name] = OrganFinding(float(np.count_nonzero(mask) * voxel_ml), int((sizes >= SPECK_ML).sum()))
    return found


def annotated_findings(label: Labels, annotated: Sequence[bool] | None, voxel_ml: float) -> dict[str, OrganFinding]:
    """Measure the judged organs of a label (X, Y, Z) of which only the organs count that `annotated` (13,) says."""
    found = organ_findings(label, voxel_ml)
    return {name: one for name, one in found.items() if annotated is None or annotated[INDEX[name]]}


def volume_bias(found: Sequence[Mapping[str, OrganFinding]], good: Sequence[Mapping[str, OrganFinding]]) -> float:
    """Give the largest relative error of a judged organ's volume over all cases together; NaN if there is none.

    A network that gets better keeps the volumes of what was good already to a few per cent; one that pleases a
    discriminator changes an organ in all cases alike.

    Args:
        found: a mapping by organ for each case, see `organ_findings`.
        good: the same of labels that are known to be good; an organ that was not annotated is absent.

    Example:
        >>> good = {"liver": OrganFinding(1000.0, 1), "spleen": OrganFinding(200.0, 1)}
        >>> volume_bias([{**good, "spleen": OrganFinding(150.0, 1)}], [good])
        0.25
    """
    errors = []
    for name in JUDGED_ORGANS:
        pairs = [
            (now[name].volume_ml, label[name].volume_ml)
            for now, label in zip(found, good, strict=True)
            if name in label
        ]
        now_ml, label_ml = (sum(one[place] for one in pairs) for place in (0, 1))
        if label_ml:
            errors.append(abs(now_ml / label_ml - 1))
    return max(errors, default=math.nan)


@dataclass(frozen=True)
class Plausible:
    """What judged organs look like in segmentations that are known to be good.

    Attributes:
        volumes_ml: least and greatest volume of each organ that a label has, with a margin.
        pieces: most pieces of each of them.
    """

    volumes_ml: Mapping[str, tuple[float, float]]
    pieces: Mapping[str, int]

    @classmethod
    def of(cls, good: Sequence[Mapping[str, OrganFinding]], *, margin: float = 1.25) -> Plausible:
        """Learn it from what was measured in good labels, see `annotated_findings`.

        Args:
            good: of labels of the training, or of segmentations that people coded as successes, all on one grid; an
                organ that was not annotated is absent.
            margin: factor by which the volumes may be exceeded.

        Raises:
            ValueError: there are none, or the margin is below 1.
        """
        check_number(margin, "margin", 1)
        if not good:
            raise ValueError("good is empty, expected at least one label map that is known to be good")
        of_organ = {name: [one[name] for one in good if name in one] for name in JUDGED_ORGANS}
        known = {name: found for name, found in of_organ.items() if found}
        volumes = {name: [one.volume_ml for one in found] for name, found in known.items()}
        return cls(
            {name: (min(values) / margin, max(values) * margin) for name, values in volumes.items()},
            {name: max(1, *(one.pieces for one in found)) for name, found in known.items()},
        )

    def is_implausible(self, found: Mapping[str, OrganFinding]) -> bool:
        """Say whether an organ's volume is out of range or it is in more pieces than any good one."""
        return any(
            not self.volumes_ml[name][0] <= one.volume_ml <= self.volumes_ml[name][1] or one.pieces > self.pieces[name]
            for name, one in found.items()
            if name in self.volumes_ml
        )


def judged_dice(first: Labels, second: Labels) -> float:
    """Mean Dice of the judged organs of two segmentations; organs that neither has are left out."""
    values = []
    for name in JUDGED_ORGANS:
        a, b = first == INDEX[name], second == INDEX[name]
        if total := np.count_nonzero(a) + np.count_nonzero(b):
            values.append(2 * np.count_nonzero(a & b) / total)
    return float(np.mean(values)) if values else 1.0


@dataclass(frozen=True)
class FoolingRule:
    """When a run is flagged: its score has fallen, and nothing else says that the segmentations got better.

    A run whose score has fallen by `fall` since the start is flagged if the watchers' score has fallen by less than
    `agreement` of that, or the share of implausible cases has risen by `rise`; from half of that fall on, if the volume
    of an organ in cases that were good already has gone off by `bias`. These signs count from iteration `settle` on: a
    high learning rate shakes a converged network for a dozen steps or two. Before that a quarter of `fall` and of
    `bias` is enough, where the weights have hardly changed: who learns anatomy goes far for a better score, who follows
    the discriminator's own gradient does not. Whatever it is must be there at two looks in a row. All looks are at the
    same cases, so that small changes count.

    Attributes:
        fall: of the score of the discriminators that give the gradient.
        agreement: share of it that the watchers must see.
        rise: of the share of implausible cases.
        bias: rise of the relative error of an organ's volume.
        steepness: fall of the score by the relative change of the weights, from which on they have hardly changed.
        settle: iterations.
    """

    fall: float = 0.1
    agreement: float = 0.5
    rise: float = 0.1
    bias: float = 0.08
    steepness: float = 6.0
    settle: float = 32

    def __post_init__(self) -> None:
        check_number(self.fall, "fall", 0)
        check_number(self.agreement, "agreement", 0, 1)
        check_number(self.rise, "rise", 0, 1)
        check_number(self.bias, "bias", 0)
        check_number(self.steepness, "steepness", 0)
        check_number(self.settle, "settle", 0)

    def reason(self, looks: Sequence[Look]) -> str:
        """Say in one line why the last of the looks is flagged, the first being the start; nothing if it is not."""
        start, now = looks[0], looks[-1]
        before = self._signs(start, looks[-2]) if len(looks) > 1 else {}
        reasons = [words for name, words in self._signs(start, now).items() if name in before]
        if not reasons:
            return ""
        fall = start.score - now.score
        return f"iteration {now.iteration}: the QA score fell by {fall:.2f} while {' and '.join(reasons)}"

    def _signs(self, start: Look, now: Look) -> dict[str, str]:
        """What speaks against a look, in words by name."""
        fall, seen = start.score - now.score, start.watcher_score - now.watcher_score
        bias = f"an organ's volume in good cases went off from {start.bias:.0%} to {now.bias:.0%}"
        signs = {}
        if fall >= max(self.fall / 4, self.steepness * now.drift) and now.bias - start.bias >= self.bias / 4:
            signs["steepness"] = f"{bias} by a change of {now.drift:.1%} of the weights"
        if now.iteration < self.settle:
            return signs
        if fall >= self.fall and seen < self.agreement * fall:
            moved = f"fell by {seen:.2f}" if seen > 0 else f"rose by {-seen:.2f}"
            signs["agreement"] = f"that of the watchers {moved}"
        if fall >= self.fall and now.implausible - start.implausible >= self.rise:
            shares = f"from {start.implausible:.0%} to {now.implausible:.0%}"
            signs["rise"] = f"the share of implausible segmentations rose {shares}"
        if fall >= self.fall / 2 and now.bias - start.bias >= self.bias and "steepness" not in signs:
            signs["bias"] = bias
        return signs
