"""Keep the slices of a CT that lie in the abdomen, as a body-part regressor sees it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Crop, InvertibleTransform, MapTransform, Orientation, Pad

from custom_components.body_part.findings import check_body_part, is_in_reverse_order
from custom_components.body_part.regressor import BodyPartRegressor
from custom_components.case_ids import case_name
from custom_components.grid_settings import checked_body_part_scores

AIR_HU = -1000.0

logger = logging.getLogger(__name__)


class CropBodyPartd(MapTransform, InvertibleTransform):
    """Crop or pad volumes along the axis of the body, so that they hold one range of slice scores.

    What the scan does not cover is padded, with air in the image and background in labels, and said in the log. The
    montages of different patients then line up, whatever their scans cover. Lee et al. 2020, section 2.1.

    Args:
        keys: volumes `(1, X, Y, Z)` on one grid in RAS; the first is a CT in HU, which is scored.
        regressor: that scores it.
        scores: of the uppermost and of the lowest slice.
        repair: bring slices that are certainly in reverse order into the right one, and say so in the log; the inverse
            brings them back. Otherwise such a scan is refused.
        allow_missing_keys: do nothing for a key that is missing.

    Raises:
        ValueError: (when called) the scan is upside down, mirrored, wrongly spaced or of another part of the body.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        *,
        regressor: BodyPartRegressor,
        scores: Sequence[float] = (-6.0, 6.0),
        repair: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.regressor, self.scores, self.repair = regressor, checked_body_part_scores(scores), repair
        self._crop, self._pad, self._reverse = Crop(), Pad(mode="constant"), Orientation("RAI", labels=None)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with cropped and padded volumes."""
        cropped = dict(data)
        if self.allow_missing_keys and self.keys[0] not in cropped:
            return cropped
        image, name = cropped[self.keys[0]], case_name(cropped, self.keys[0])
        found = self.regressor(image)
        if self.repair and is_in_reverse_order(found, self.regressor.slope):
            logger.warning("case %s: slices are in reverse order: turned for the network", name)
            cropped |= {key: self._reverse(cropped[key]) for key in self.key_iterator(cropped)}
            image = cropped[self.keys[0]]
            found = self.regressor(image)
        try:
            check_body_part(found, self.regressor.slope, self.scores)
        except ValueError as error:
            raise ValueError(f"case {name}: {error}") from None
        spacing = float(np.linalg.norm(np.asarray(image.affine, dtype=float)[:3, 2]))
        top, bottom = (found.line.height_of(score) / spacing for score in self.scores)
        start, stop, size = round(bottom), round(top) + 1, int(image.shape[-1])
        if start < 0 or stop > size:
            ends = found.line.at([0.0, (size - 1) * spacing])
            logger.info(
                "case %s: covers slice scores %.1f to %.1f of %g to %g: padded", name, ends[1], ends[0], *self.scores
            )
        for key in self.key_iterator(cropped):
            fill = AIR_HU if key == self.keys[0] else 0
            cropped[key] = self._slices(cropped[key], start, stop, fill)
        return cropped

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the slices that were cropped, as zeros, without the padding, in their own order."""
        whole = dict(data)
        for key in self.key_iterator(whole):
            whole[key] = self._crop.inverse(self._pad.inverse(whole[key]))
            if whole[key].affine[2, 2] < 0:  # what is in RAS grows upwards
                whole[key] = self._reverse.inverse(whole[key])
        return whole

    def _slices(self, volume: MetaTensor, start: int, stop: int, fill: float) -> MetaTensor:
        """Slices `start` to `stop - 1`, also those that are not there."""
        begin, end = max(start, 0), min(stop, int(volume.shape[-1]))
        pads = [(0, 0), (0, 0), (0, 0), (begin - start, stop - end)]
        inside = self._crop(volume, (slice(None), slice(None), slice(begin, end)))
        return cast(MetaTensor, self._pad(inside, to_pad=pads, value=fill))  # type: ignore[arg-type]
