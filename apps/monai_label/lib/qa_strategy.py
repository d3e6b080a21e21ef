"""Strategies of MONAI Label: which case the reader gets next, by its QA score."""

from __future__ import annotations

import time
from typing import Any

from lib.qa_scoring import FINAL, KEY
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

LIMITS = (0.5, 1.5)
"""Scores between two codes."""
REST = 3600
"""Seconds for which a case that was offered, by whichever strategy, is not offered again while there are others."""


class WorstScore(Strategy):
    """Offer the case with the highest QA score, of those without a final label; what has no score comes last."""

    def __init__(self) -> None:
        super().__init__("Case with the worst predicted QA code first")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """Return the image and its score; None if all have a final label."""
        infos = {image: datastore.get_image_info(image) for image in datastore.get_unlabeled_images(FINAL)}
        if not infos:
            return None
        now = time.time()

        def order(image: str) -> tuple[bool, bool, float, str]:
            info = infos[image]
            offered = max((one.get("ts", 0) for one in (info.get("strategy") or {}).values()), default=0)
            score = (info.get(KEY) or {}).get("score")
            return now - offered < REST, score is None, 0.0 if score is None else -self.urgency(score), image

        first = min(infos, key=order)
        return {"id": first, KEY: infos[first].get(KEY)}

    def urgency(self, score: float) -> float:
        """How soon a case with this score is to be looked at."""
        return score


class UncertainCode(WorstScore):
    """Offer the case whose QA score lies nearest to the limit between two codes."""

    def __init__(self) -> None:
        Strategy.__init__(self, "Case with the most uncertain predicted QA code first")

    def urgency(self, score: float) -> float:
        """As of `WorstScore`."""
        return -min(abs(score - limit) for limit in LIMITS)
