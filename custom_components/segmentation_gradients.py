"""Gradients at the logits of a segmentation that has no label.

Each is a callable from image and logits to a loss and its gradient. As it works on a copy of the logits, its own graph
is gone before the network's backward pass begins, and the gradient can be looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_components.inferers import AutocastInferer
from custom_components.montage_jitter import MOST, jittered, jittered_alpha
from custom_components.options import check_number
from custom_components.transforms.montage import ALPHA, DISCRIMINATOR_SIZE, montage


class SegmentationGradient(NamedTuple):
    """A loss, its gradient at the logits, and the mean QA score where the loss is one of a score.

    Attributes:
        loss: ().
        gradient: (B, C, X, Y, Z), the loss by the logits.
        score: (B,), or None.
    """

    loss: Tensor
    gradient: Tensor
    score: Tensor | None = None


class QAScoreGradient:
    """Squared distance of the QA score to a target code, through montage and softmax.

    Lee et al. 2020, section 2.4, with everything else at its default. The other arguments keep the gradient honest.
    Several discriminators take turns, so that one graph is alive at a time; the loss is the mean over them and over the
    cases.

    Args:
        discriminators: networks from montages (B, 3, rows, columns) to scores (B, 1). They are put into eval mode, and
            their parameters get no gradient.
        size: rows and columns of the montage.
        target: code that the score is pushed to.
        floor: a case with a score up to this gives no gradient; None: every case does.
        straight_through: show the most probable class in the montage, as people see it, instead of the probabilities.
        jitter: random change of the montage before each scoring, see `custom_components.montage_jitter`: 0 none, 1 as
            much as in the discriminator's training, 4 at most.
        uncertainty: only voxels whose most probable class is less probable than 1 - this get a gradient; 0: all do.
        inferer: runs the discriminators; default `AutocastInferer()`.

    Raises:
        ValueError: there is no discriminator, or a number is out of range.

    Example:
        >>> gradient = QAScoreGradient([nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1))], size=(16, 16))
        >>> gradient(torch.rand(1, 1, 8, 8, 4), torch.randn(1, 13, 8, 8, 4)).gradient.shape
        torch.Size([1, 13, 8, 8, 4])
    """

    def __init__(
        self,
        discriminators: Sequence[nn.Module],
        *,
        size: Sequence[int] = DISCRIMINATOR_SIZE,
        target: float = 0.0,
        floor: float | None = None,
        straight_through: bool = False,
        jitter: float = 0.0,
        uncertainty: float = 0.0,
        inferer: Callable[..., Tensor] | None = None,
    ) -> None:
        if not discriminators:
            raise ValueError("discriminators is empty, expected at least one network")
        check_number(target, "target")
        if floor is not None:
            check_number(floor, "floor")
        check_number(jitter, "jitter", 0, MOST)
        check_number(uncertainty, "uncertainty", 0, 1)
        self.discriminators = [network.eval().requires_grad_(False) for network in discriminators]
        self.size = (int(size[0]), int(size[1]))
        self.target = target
        self.floor = floor
        self.straight_through = straight_through
        self.jitter = jitter
        self.uncertainty = uncertainty
        self.inferer = AutocastInferer() if inferer is None else inferer

    def __call__(self, image: Tensor, logits: Tensor) -> SegmentationGradient:
        """Give the gradient at `logits` (B, C, X, Y, Z), the segmentation of `image` (B, 1, X, Y, Z) in [0, 1]."""
        probabilities = logits.detach().float().softmax(1).requires_grad_()
        loss, score = probabilities.new_zeros(()), probabilities.new_zeros(len(logits))
        # the gradient of a pixel is too small for float16, in which the trainer's autocast may be; the inferer decides
        with torch.autocast(probabilities.device.type, enabled=False):
            for network in self.discriminators:
                found = self._score(network, image, probabilities)
                part = (found - self.target).square()
                if self.floor is not None:
                    part = part * (found.detach() > self.floor)
                part = part.mean() / len(self.discriminators)
                part.backward()
                loss += part.detach()
                score += found.detach() / len(self.discriminators)
        gradient = _through_softmax(probabilities)
        if self.uncertainty:
            gradient *= probabilities.detach().amax(1, keepdim=True) < 1 - self.uncertainty
        return SegmentationGradient(loss, gradient, score)

    @torch.no_grad()
    def score(self, image: Tensor, segmentation: Tensor) -> Tensor:
        """Give the mean score (B,) of a segmentation, probabilities (B, C, X, Y, Z) or labels (B, 1, X, Y, Z)."""
        return torch.stack([self._score(one, image, segmentation) for one in self.discriminators]).mean(0)

    def _score(self, network: nn.Module, image: Tensor, probabilities: Tensor) -> Tensor:
        alpha = jittered_alpha(self.jitter) if self.jitter else ALPHA
        picture = montage(image, probabilities, size=self.size, alpha=alpha, straight_through=self.straight_through)
        if self.jitter:
            picture = jittered(picture, self.jitter)
        return self.inferer(picture, network).flatten()


class AnchorGradient:
    """Kullback-Leibler divergence from a teacher's probabilities, the mean over voxels: no voxel moves for free.

    The teacher is the baseline that training started from, or the running average of the network's own weights
    (Tarvainen and Valpola 2017, arXiv:1703.01780).

    Args:
        teacher: network of the same classes. It is put into eval mode, and gets no gradient.
        inferer: runs it; default `AutocastInferer()`.

    Example:
        >>> network = nn.Conv3d(1, 3, 1)
        >>> image = torch.rand(1, 1, 4, 4, 4)
        >>> AnchorGradient(network)(image, network(image)).gradient.abs().max() < 1e-3
        tensor(True)
    """

    def __init__(self, teacher: nn.Module, inferer: Callable[..., Tensor] | None = None) -> None:
        self.teacher = teacher.requires_grad_(False)
        self.inferer = AutocastInferer() if inferer is None else inferer

    @torch.no_grad()
    def __call__(self, image: Tensor, logits: Tensor) -> SegmentationGradient:
        """Give the gradient at `logits` (B, C, X, Y, Z), the segmentation of `image` (B, 1, X, Y, Z) in [0, 1]."""
        self.teacher.eval()  # each time: a running average may have been used for something else meanwhile
        wanted = self.inferer(image, self.teacher).log_softmax(1)
        found = logits.detach().log_softmax(1)
        loss = F.kl_div(found, wanted, log_target=True, reduction="sum") / found[:, 0].numel()
        return SegmentationGradient(loss, found.exp_().sub_(wanted.exp_()).div_(found[:, 0].numel()))


@torch.no_grad()
def _through_softmax(probabilities: Tensor) -> Tensor:
    """Turn the gradient of probabilities (B, C, ...) into that of their logits, in its own memory.

    What autograd does needs twice as much, and a volume of 13 channels is a tenth of what a training step has.
    """
    gradient = probabilities.grad
    if gradient is None:
        return torch.zeros_like(probabilities)
    mean = torch.zeros_like(gradient[:, 0])
    for share, slope in zip(probabilities.unbind(1), gradient.unbind(1), strict=True):
        mean.addcmul_(share, slope)
    return gradient.sub_(mean[:, None]).mul_(probabilities)
