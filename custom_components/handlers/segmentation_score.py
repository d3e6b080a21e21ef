"""Handler that scores each segmentation of an inference run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor, nn

from custom_components.data.conformal import ScoreInterval
from custom_components.handlers.qa_scores import score_row
from custom_components.inferers import AutocastInferer
from custom_components.transforms.montage import DISCRIMINATOR_SIZE, montage

SCORE_COLUMNS = ("score", "code", "low", "high")


class SegmentationScore:
    """Give `engine.state.qa_score` of each case: `score`, `code`, and the interval's `low` and `high`, as texts.

    The montage is that of the most probable organs on the network's grid, before they go back to the image's own. It is
    the one that `qa_discriminator` makes of the written file, up to that resampling.

    Args:
        network: the discriminator.
        interval: see `custom_components.data.conformal.read_interval`; None leaves `low` and `high` empty.
        size: rows and columns of the montage.
        inferer: runs the network; default `AutocastInferer()`.

    Example::

        handlers = [SegmentationScore(discriminator), SegmentationSummary("out")]
        evaluator = CaseEvaluator(..., val_handlers=handlers)
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        interval: ScoreInterval | None = None,
        size: Sequence[int] = DISCRIMINATOR_SIZE,
        inferer: Callable[..., Tensor] | None = None,
    ) -> None:
        self.network = network.eval()
        self.interval = interval
        self.size = (int(size[0]), int(size[1]))
        self.inferer = AutocastInferer() if inferer is None else inferer

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator with one case in a batch."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._clear)
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def _clear(self, engine: Any) -> None:
        engine.state.qa_score = {}

    @torch.no_grad()
    def __call__(self, engine: Any) -> None:
        """Score the case of this iteration."""
        output = engine.state.output
        labels = output[CommonKeys.PRED].argmax(1, keepdim=True)
        picture = montage(output[CommonKeys.IMAGE], labels, size=self.size)
        row = score_row(float(self.inferer(picture, self.network)), self.interval)
        engine.state.qa_score = {name: row.get(name, "") for name in SCORE_COLUMNS}
