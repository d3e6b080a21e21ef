"""Candidate sources: further segmentations of a CT, from other views of it or from other networks.

A source is anything with a `name` that gives logits for an image, so a configuration can name its own. The views of
`intensity_views` and `geometric_views` change the picture in ways that any CT may need, and know nothing of how a
cohort differs from the labelled one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

Segment = Callable[[Tensor], Tensor]
"""From an image (B, 1, X, Y, Z) in [0, 1] to logits (B, C, X, Y, Z)."""


class CandidateSource(Protocol):
    """What makes one candidate of a volume."""

    @property
    def name(self) -> str:
        """What the summary calls it, such as `gamma_0.7`."""

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        """Give logits (B, C, X, Y, Z) for an image (B, 1, X, Y, Z) in [0, 1], on the image's grid."""


class OtherNetwork:
    """Another network, such as another seed's or an earlier checkpoint.

    Args:
        network: of the same classes; it stays as it is, a copy gets the weights.
        path: of the weights.
        inferer: runs it.
        source: a view that it sees; by default the image as it is.

    Raises:
        ValueError: the file holds no weights of this network.
        OSError: it cannot be read.
    """

    def __init__(
        self,
        network: nn.Module,
        path: str | Path,
        inferer: Callable[..., Tensor],
        source: CandidateSource | None = None,
    ) -> None:
        from custom_components.bundle import load_weights

        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        load_weights(self.network, path, "python -m monai.bundle run training ...", "candidate_sources")
        self.inferer = inferer
        self.source = source
        stem = Path(path).with_suffix("")
        self.name = "/".join(stem.parts[-3:]) + (f"+{source.name}" if source else "")

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        def other(view: Tensor) -> Tensor:
            return self.inferer(view, self.network.to(view.device))

        return other(image) if self.source is None else self.source(image, other)
