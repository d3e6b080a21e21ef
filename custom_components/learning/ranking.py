"""Choose among candidate segmentations of a volume by the QA score of their hard montages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from custom_components.inferers import AutocastInferer
from custom_components.learning.candidates import CandidateSource
from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error

FIRST = "first"
"""What the network's own result is called."""

Refine = Callable[[Tensor, Tensor], Tensor]
"""From an image (1, 1, X, Y, Z) and logits (1, C, X, Y, Z) to better logits."""

Score = Callable[[Tensor, Tensor], float]
"""From an image (1, 1, X, Y, Z) and labels (1, 1, X, Y, Z) to the QA score."""

logger = logging.getLogger(__name__)


class Ranked(NamedTuple):
    """The segmentation that was taken.

    Attributes:
        logits: (1, C, X, Y, Z).
        candidate: the name of its source, or `first`.
        score: its QA score.
        first_score: that of the network's own result.
    """

    logits: Tensor
    candidate: str
    score: float
    first_score: float


class CandidateRanking:
    """Keep the first segmentation of a volume unless its score exceeds a limit; else take the best of the candidates.

    The discriminator sees what people see, the most probable organ of each voxel. It judges results that it did not
    shape, which it does well; a gradient through it would shape them (`docs/README.md` of `qa_semi_seg`).

    Args:
        sources: what makes the candidates, in order.
        limit: a first score up to this is kept, and costs nothing.
        margin: by how much a candidate must be better than the first result to be taken.
        inferer: runs the network; default `AutocastInferer()`.
        refine: changes an image's (1, 1, X, Y, Z) logits (1, C, X, Y, Z) of each candidate before it is scored, as was
            done with the first result.

    Raises:
        ValueError: there are no sources, two have one name, or a number is out of range.

    Example:
        >>> from custom_components.learning.intensity_views import Gamma
        >>> ranking = CandidateRanking([Gamma(0.5)], limit=0.5)
        >>> network, image = nn.Conv3d(1, 13, 1), torch.rand(1, 1, 4, 4, 4)
        >>> ranking(network, image, network(image), 0.4, lambda image, labels: 0.0).candidate
        'first'
        >>> ranking(network, image, network(image), 0.6, lambda image, labels: 0.0).candidate
        'gamma_0.5'
    """

    def __init__(
        self,
        sources: Sequence[CandidateSource],
        *,
        limit: float,
        margin: float = 0.0,
        inferer: Callable[..., Tensor] | None = None,
        refine: Refine | None = None,
    ) -> None:
        if not sources:
            raise ValueError("sources is empty, expected at least one candidate source")
        names = [source.name for source in sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources has {twice[0]} twice, expected each candidate once")
        check_number(limit, "limit")
        check_number(margin, "margin", 0)
        self.sources = list(sources)
        self.limit = limit
        self.margin = margin
        self.inferer = AutocastInferer() if inferer is None else inferer
        self.refine = refine or (lambda image, logits: logits)

    @torch.no_grad()
    def __call__(self, network: nn.Module, image: Tensor, logits: Tensor, first_score: float, score: Score) -> Ranked:
        """Choose a segmentation of an image (1, 1, X, Y, Z), of which the network gave `logits` (1, C, X, Y, Z)."""
        best = Ranked(logits, FIRST, first_score, first_score)
        if not first_score > self.limit:
            return best
        image = image.as_subclass(Tensor)
        for name, candidate in self.candidates(network, image, logits):
            found = score(image, candidate.argmax(1, keepdim=True))
            if found < best.score and found < first_score - self.margin:
                best = Ranked(candidate, name, found, first_score)
        return best

    def candidates(self, network: nn.Module, image: Tensor, logits: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Give the name and the logits of each candidate; for the image as it is, the network is not run again."""

        def segment(view: Tensor) -> Tensor:
            return logits if view is image else self.inferer(view, network)

        for source in self.sources:
            yield source.name, self.refine(image, source(image, segment))


@exit_on_user_error
def candidate_ranking(
    sources: Sequence[CandidateSource],
    count: int,
    *,
    limit: float,
    discriminator_path: str | None,
    inferer: Callable[..., Tensor] | None = None,
    refine: Refine | None = None,
) -> CandidateRanking | None:
    """Make the ranking that an inference's configuration asks for.

    Args:
        sources: all that are configured.
        count: how many of them, from the first, make a candidate; 0: none.
        limit: see `CandidateRanking`.
        discriminator_path: without a discriminator there is nothing to rank by, and the log says so.
        inferer: see `CandidateRanking`.
        refine: see `CandidateRanking`.

    Raises:
        SystemExit: there are fewer sources, or a number is out of range; one line, and exit code 1.
    """
    check_number(count, "candidates", 0, len(sources), whole=True)
    if count and not discriminator_path:
        logger.warning("candidates is %d, but there is no discriminator_path to rank them by: none are made", count)
    if not count or not discriminator_path:
        return None
    return CandidateRanking(sources[: int(count)], limit=limit, inferer=inferer, refine=refine)
