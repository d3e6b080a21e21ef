"""Choose among segmentations of several networks and variants of them, by the code that measurements predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from custom_components.inferers import AutocastInferer
from custom_components.learning.candidates import CandidateSource
from custom_components.learning.code_forest import CodeForest
from custom_components.learning.measurements import Opinions, measure
from custom_components.learning.ranking import FIRST, Refine
from custom_components.options import check_number


class Measured(NamedTuple):
    """The segmentation that was taken, and what was measured of it.

    Attributes:
        logits: (1, C, X, Y, Z).
        candidate: its name; `first` is the network's own result.
        measures: a number for each of `measurements.COLUMNS`.
        score: the predicted code; nan without a forest.
        first_score: that of the network's own result.
    """

    logits: Tensor
    candidate: str
    measures: NDArray[np.float64]
    score: float
    first_score: float


class MeasuredRanking:
    """Measure segmentations of a CT, and take the one with the best predicted code.

    Candidates are the results of all networks and, of each, what the sources make of it. The first result is kept
    unless another one's predicted code is better by the margin. It is a choice among hard results, as that of
    `CandidateRanking`, so nothing is shaped to please; and it costs no training.

    Args:
        forest: predicts the code; without it the first result is measured and kept.
        committee: further networks by name, such as another seed's or another round's.
        sources: variants of a network's result; those of `organ_candidates` cost no run of a network.
        limit: a first result with a predicted code up to this is kept.
        margin: by how much another one must be better.
        voxel_ml: volume of a voxel of the network's grid.
        inferer: runs the networks; default `AutocastInferer()`.
        refine: see `custom_components.learning.ranking.CandidateRanking`.

    Raises:
        ValueError: a number is out of range, or two sources have one name.
    """

    def __init__(
        self,
        forest: CodeForest | None,
        *,
        voxel_ml: float,
        committee: Mapping[str, nn.Module] | None = None,
        sources: Sequence[CandidateSource] = (),
        limit: float = 0.0,
        margin: float = 0.0,
        inferer: Callable[..., Tensor] | None = None,
        refine: Refine | None = None,
    ) -> None:
        check_number(limit, "limit")
        check_number(margin, "margin", 0)
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"sources has the names {names}, expected each once")
        self.forest = forest
        self.committee = {name: network.eval().requires_grad_(False) for name, network in (committee or {}).items()}
        self.sources = list(sources)
        self.limit = limit
        self.margin = margin
        self.voxel_ml = voxel_ml
        self.inferer = AutocastInferer() if inferer is None else inferer
        self.refine = refine or (lambda image, logits: logits)

    @torch.no_grad()
    def __call__(self, network: nn.Module, image: Tensor, logits: Tensor) -> Measured:
        """Choose a segmentation of an image (1, 1, X, Y, Z), of which the network gave `logits` (1, C, X, Y, Z)."""
        image = image.as_subclass(Tensor)
        networks = {"": network, **{name: one.to(image.device) for name, one in self.committee.items()}}
        results = {name: self.inferer(image, one) if name else logits for name, one in networks.items()}
        opinions = Opinions.of(image, list(results.values()), self.voxel_ml)
        first = measure(_labels(logits), opinions)
        if self.forest is None:
            return Measured(logits, FIRST, first, float("nan"), float("nan"))
        first_score = float(self.forest(first)[0])
        if first_score <= self.limit:
            return Measured(logits, FIRST, first, first_score, first_score)
        names, measures = [FIRST], [first]
        for name, candidate in self._candidates(networks, results, image):
            names.append(name)
            measures.append(measure(_labels(candidate), opinions))
        scores = self.forest(np.stack(measures))
        best = int(scores.argmin())
        if not scores[best] < first_score - self.margin:
            return Measured(logits, FIRST, first, first_score, first_score)
        # made again, as so many logits would not fit into memory
        taken = next(one for name, one in self._candidates(networks, results, image) if name == names[best])
        return Measured(taken, names[best], measures[best], float(scores[best]), first_score)

    def _candidates(
        self, networks: Mapping[str, nn.Module], results: Mapping[str, Tensor], image: Tensor
    ) -> Iterator[tuple[str, Tensor]]:
        for name, network in networks.items():
            if name:
                yield name, self.refine(image, results[name])

            def segment(view: Tensor, name: str = name, network: nn.Module = network) -> Tensor:
                return results[name] if view is image else self.inferer(view, network)

            for source in self.sources:
                yield "+".join(filter(None, (name, source.name))), self.refine(image, source(image, segment))


def _labels(logits: Tensor) -> NDArray[np.uint8]:
    return logits[0].argmax(0).to(torch.uint8).cpu().numpy()
