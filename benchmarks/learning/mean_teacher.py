"""Consistency with the running average of a network's own weights, for `QAScoreLoss` in place of a QA score."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from custom_components.segmentation_gradients import SegmentationGradient

NOISE = 0.05
"""Standard deviation of the teacher's input noise, where the window is 1."""


class ConsistencyGradient:
    """Mean squared difference of the probabilities from those of a teacher that sees the image with noise.

    Tarvainen and Valpola 2017 (arXiv:1703.01780).

    Args:
        teacher: the averaged network.
        inferer: runs it.
    """

    discriminators: tuple[nn.Module, ...] = ()

    def __init__(self, teacher: nn.Module, inferer: Callable[..., Tensor]) -> None:
        self.teacher = teacher.requires_grad_(False)
        self.inferer = inferer

    def __call__(self, image: Tensor, logits: Tensor) -> SegmentationGradient:
        """Give the gradient at `logits` (B, C, X, Y, Z)."""
        with torch.no_grad():
            self.teacher.eval()
            wanted = self.inferer(image + NOISE * torch.randn_like(image), self.teacher).softmax(1)
        found = logits.detach().float().requires_grad_()
        loss = (found.softmax(1) - wanted).square().sum(1).mean()
        (gradient,) = torch.autograd.grad(loss, found)
        return SegmentationGradient(loss.detach(), gradient)
