"""A trained body-part regressor: the slice scores of a CT, and what they say about the scan."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from scipy.special import expit

from custom_components.body_part.line import ScoreLine, fit_line
from custom_components.body_part.network import SliceRegressor
from custom_components.body_part.slices import STEP_MM, AxialSlices, axial_slices

BATCH = 16
"""Slices that go through the network at once."""
ABDOMEN = 6.0
"""Scores of the abdomen lie between this and its negative."""


@dataclass(frozen=True)
class BodyPart:
    """What a regressor found in a scan.

    Attributes:
        slices: that it looked at.
        scores: (N,) of these slices, growing from the head to the feet.
        line: on which they lie.
        mirrored: probability that left and right are exchanged, by the mean logit of the slices of the abdomen.
    """

    slices: AxialSlices
    scores: NDArray[np.float64]
    line: ScoreLine
    mirrored: float


class BodyPartRegressor:
    """A calibrated network that scores volumes on the CPU.

    Args:
        network: with a calibration.

    Raises:
        ValueError: it has none.
    """

    def __init__(self, network: SliceRegressor) -> None:
        scale, shift, slope = network.calibration.tolist()
        if not np.isfinite([scale, shift, slope]).all():
            raise ValueError("the body-part regressor is not calibrated, expected slice scores of landmarks in it")
        self.network = network.eval().requires_grad_(False)
        self.scale, self.shift, self.slope = scale, shift, slope

    @classmethod
    def load(cls, path: str | Path) -> BodyPartRegressor:
        """Read the weights that the run `training` of `body_part.yaml` wrote.

        Raises:
            ValueError: the file is missing, or holds other weights or none that are calibrated.
        """
        network = SliceRegressor()
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            raise ValueError(f"{path}: no such file, expected the weights of a body-part regressor") from None
        except (RuntimeError, UnpicklingError, EOFError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} holds no weights of a body-part regressor: {reason}") from None
        try:
            return cls(network)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def __call__(self, volume: MetaTensor, *, step: float = STEP_MM) -> BodyPart:
        """Score a volume.

        Args:
            volume: (1, X, Y, Z) in RAS, HU.
            step: least distance of slices in mm; 0 scores all.

        Raises:
            ValueError: it has too few slices.
        """
        return self.of_slices(axial_slices(volume, step=step))

    def of_slices(self, slices: AxialSlices) -> BodyPart:
        """Score the slices of a volume.

        Raises:
            ValueError: they are too few.
        """
        heights, logits = self._run(slices.images)
        scores = self.scale * heights + self.shift
        sides = logits[np.abs(scores) <= ABDOMEN]
        line = fit_line(slices.height, scores, usual_slope=self.slope)
        return BodyPart(slices, scores, line, float(expit(sides.mean())) if len(sides) else 0.5)

    def _run(self, images: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        with torch.inference_mode():
            found = torch.cat([self.network(part) for part in images.split(BATCH)]).double().numpy()
        return found[:, 0], found[:, 1]
