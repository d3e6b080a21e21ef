"""Handler that moves the outlines of an inference's organs to where their greys end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import IterationEvents
from monai.utils import CommonKeys
from torch import Tensor

from custom_components.transforms.outlines import refine_outlines

LEAD = 1e-3
"""Logit by which the new class is ahead. Logits from bfloat16 are often equal; a smaller lead is lost in a softmax."""


class RefinedOutlines:
    """Replace the output of each case by the same with refined outlines, before it is scored, measured and written.

    Where a voxel changes sides, the logits of its two classes change places; the winner's goes up by `LEAD`. See
    `custom_components.transforms.outlines.refine_outlines`.

    Args:
        pixdim: voxel size of the network's grid in mm.
        options: further ones of `refine_outlines`.

    Example::

        evaluator = CaseEvaluator(..., val_handlers=[RefinedOutlines((2, 2, 6)), SegmentationSummary("out")])
    """

    def __init__(self, pixdim: Sequence[float], **options: Any) -> None:
        self.pixdim = tuple(pixdim)
        self.options = options

    def attach(self, engine: Any) -> None:
        """Attach to a `CaseEvaluator`, before handlers that score or measure."""
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Refine the case of this iteration: `image` (1, 1, X, Y, Z) in [0, 1], `pred` (1, C, X, Y, Z)."""
        output = engine.state.output
        output[CommonKeys.PRED] = self.refined(output[CommonKeys.IMAGE], output[CommonKeys.PRED])

    @torch.no_grad()
    def refined(self, image: Tensor, logits: Tensor) -> Tensor:
        """Give logits whose most probable organs have refined outlines."""
        before = logits.argmax(1, keepdim=True)
        greys, labels = image[0, 0].float().cpu().numpy(), before[0, 0].to(torch.uint8).cpu().numpy()
        moved = refine_outlines(greys, labels, spacing=self.pixdim, **self.options)
        after = torch.from_numpy(moved)[None, None].to(before.device, before.dtype)
        most, other = logits.gather(1, before), logits.gather(1, after)
        winner = torch.where(after == before, most, most + LEAD)
        return logits.clone().scatter_(1, before, other).scatter_(1, after, winner)
