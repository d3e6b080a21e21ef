"""Which part of the body a scan covers, and whether it is what its header says: the only use of the regressor here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from monai.data import MetaTensor
from monai.transforms import Orientation

from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.body_part.findings import check_body_part, is_in_reverse_order
from custom_components.body_part.regressor import BodyPart, BodyPartRegressor

TURNED = "slices are in reverse order; turned by --body_part_repair true"


class BodyRange(NamedTuple):
    """Slice scores that a scan covers, the upper end first; why it cannot be used, if it cannot; and what is odd."""

    scores: tuple[float, ...]
    reason: str
    notes: tuple[str, ...] = ()


class BodyRanges:
    """Finds the range of volumes, and refuses those that `CropBodyPartd` refuses with the same settings.

    Args:
        regressor: that scores their slices.
        scores: range that is wanted, the upper end first.
        repair: whether slices that are certainly in reverse order will be turned.
    """

    def __init__(
        self, regressor: BodyPartRegressor, *, scores: Sequence[float] = (-6.0, 6.0), repair: bool = False
    ) -> None:
        self.regressor, self.scores, self.repair = regressor, scores, repair
        self._reverse = Orientation("RAI", labels=None)

    @classmethod
    def of(cls, crop: BodyPartCrop) -> BodyRanges:
        """Find the ranges that a crop needs.

        Raises:
            ValueError: its weights are missing or those of another network.
        """
        return cls(crop.regressor, scores=crop.scores, repair=crop.repair)

    def __call__(self, volume: MetaTensor) -> BodyRange:
        """Score a volume (1, X, Y, Z) in RAS and HU."""
        try:
            found, notes = self._score(volume)
        except ValueError as error:
            return BodyRange((), str(error))
        bottom, top = found.line.at(found.slices.height[[0, -1]])
        scores = (round(float(top), 1), round(float(bottom), 1))
        try:
            check_body_part(found, self.regressor.slope, self.scores)
        except ValueError as error:
            return BodyRange(scores, str(error), notes)
        return BodyRange(scores, "", notes)

    def _score(self, volume: MetaTensor) -> tuple[BodyPart, tuple[str, ...]]:
        found = self.regressor(volume)
        if not self.repair or not is_in_reverse_order(found, self.regressor.slope):
            return found, ()
        return self.regressor(cast(MetaTensor, self._reverse(volume))), (TURNED,)
