"""Which part of the body a scan covers, and whether it is what its header says: the only use of the regressor here."""

from __future__ import annotations

from typing import NamedTuple

from monai.data import MetaTensor

from custom_components.body_part.findings import check_body_part
from custom_components.body_part.regressor import BodyPartRegressor

ABDOMEN_SCORES = (-6.0, 6.0)
"""Slice scores of what the networks segment, the upper end first."""


class BodyRange(NamedTuple):
    """Slice scores that a scan covers, the upper end first; and why it cannot be used, if it cannot."""

    scores: tuple[float, ...]
    reason: str


class BodyRanges:
    """Finds the range of volumes.

    Args:
        regressor: that scores their slices.
    """

    def __init__(self, regressor: BodyPartRegressor) -> None:
        self.regressor = regressor

    @classmethod
    def load(cls, path: str) -> BodyRanges:
        """Read the weights that the run `training` of `body_part.yaml` wrote.

        Raises:
            ValueError: the file is missing or holds other weights.
        """
        return cls(BodyPartRegressor.load(path))

    def __call__(self, volume: MetaTensor) -> BodyRange:
        """Score a volume (1, X, Y, Z) in RAS and HU."""
        try:
            found = self.regressor(volume)
        except ValueError as error:
            return BodyRange((), str(error))
        bottom, top = found.line.at(found.slices.height[[0, -1]])
        scores = (round(float(top), 1), round(float(bottom), 1))
        try:
            check_body_part(found, self.regressor.slope, ABDOMEN_SCORES)
        except ValueError as error:
            return BodyRange(scores, str(error))
        return BodyRange(scores, "")
