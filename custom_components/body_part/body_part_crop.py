"""Whether and how scans are cropped to the abdomen: one object for all that must see the same slices."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from custom_components.bundle_root import find_bundle_root
from custom_components.grid_settings import checked_body_part_scores
from custom_components.user_errors import exit_on_user_error

if TYPE_CHECKING:
    from custom_components.body_part.regressor import BodyPartRegressor

WEIGHTS = "body_part.pt"
BUNDLES = ("baseline_seg", "qa_semi_seg", "qa_discriminator")
NO_WEIGHTS = (
    f"no weights of a body-part regressor (models/{WEIGHTS}): CTs are cropped about their centre, not to the abdomen; "
    "body_part.yaml of baseline_seg trains them"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BodyPartCrop:
    """The slices of a scan that are kept.

    As a text it tells all that decides what is kept, for what must not be mixed with another crop.

    Attributes:
        path: of a body-part regressor's weights.
        scores: of the uppermost and of the lowest slice.
        repair: bring slices in reverse order into the right one.

    Raises:
        ValueError: there is no such file, or the scores are not two numbers, the upper end first; (by `regressor`) the
            file holds other weights.
    """

    path: str
    scores: Sequence[float] = (-6.0, 6.0)
    repair: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scores", checked_body_part_scores(self.scores))
        if not Path(self.path).is_file():
            raise ValueError(f"{self.path}: no such file, expected the weights of a body-part regressor")

    def __str__(self) -> str:
        top, bottom = self.scores
        return f"{top:g} to {bottom:g}, {self._digest}{', repaired' if self.repair else ''}"

    @cached_property
    def regressor(self) -> BodyPartRegressor:
        """That scores the slices; its import of torch waits until it is needed."""
        from custom_components.body_part.regressor import BodyPartRegressor

        return BodyPartRegressor.load(self.path)

    @cached_property
    def _digest(self) -> str:
        return hashlib.sha256(Path(self.path).read_bytes()).hexdigest()[:16]


def body_part_weights(bundle_root: str | Path) -> str | None:
    """The weights of a body-part regressor in a bundle, or in `baseline_seg` beside it; None if there are none."""
    root = Path(bundle_root).resolve()
    paths = (folder / "models" / WEIGHTS for folder in (root, root.parent / "baseline_seg"))
    return next((str(path) for path in paths if path.is_file()), None)


def find_body_part(bundle_root: str | Path) -> str | None:
    """Find weights as `body_part_weights` does, and say so in the log if there are none; for use in configs."""
    path = body_part_weights(bundle_root)
    if path is None:
        logger.warning(NO_WEIGHTS)
    return path


def chosen_crop(
    path: str | Path | None, scores: Sequence[float] = (-6.0, 6.0), repair: bool = False
) -> BodyPartCrop | None:
    """Make the crop that a user chose.

    Args:
        path: of the weights; "auto": those that one of the bundles has, if any has, or else the log says so; None or
            "none": no crop.
        scores: of the uppermost and of the lowest slice.
        repair: bring slices in reverse order into the right one.

    Raises:
        ValueError: there is no such file, or the scores are not two numbers, the upper end first.
    """
    if path == "auto":
        roots = [root for name in BUNDLES if (root := find_bundle_root(name, ""))]
        path = next(filter(None, map(body_part_weights, roots)), None)
        if path is None:
            logger.warning(NO_WEIGHTS)
    return None if path in (None, "", "none", "null") else BodyPartCrop(str(path), scores, repair)


body_part_crop = exit_on_user_error(chosen_crop)
"""The same for configurations: a mistake ends the program with one line and exit code 1."""
