"""Scoring method of MONAI Label: the QA score of every case that no person has approved yet."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.scoring import ScoringMethod

FINAL, ORIGINAL = DefaultLabelTag.FINAL.value, DefaultLabelTag.ORIGINAL.value
KEY = "qa_score"
"""Of an image's info: what the strategies read."""

logger = logging.getLogger(__name__)


class QAScoring(ScoringMethod):
    """Score the segmentations of all images without a final label, and segment those that have none yet.

    The info of each image gets `qa_score`: `score`, `code`, `interval`, and `scored`, which tells label and weights
    apart from others. What was scored before with the same ones is not scored again. A case that fails is said in the
    log and left without a score; the others go on.

    Args:
        app: whose tasks do the work.
        segmenter: name of the task that segments.
        discriminator: of the one that scores.
    """

    def __init__(self, app: MONAILabelApp, *, segmenter: str, discriminator: str) -> None:
        super().__init__("QA scores of segmentations that no person has approved yet")
        self.app, self.segmenter, self.discriminator = app, segmenter, discriminator

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Return the new scores, by image."""
        device = {"device": request["device"]} if "device" in request else {}
        scores = {}
        for image in datastore.get_unlabeled_images(FINAL):
            try:
                if found := self._score(image, datastore, device):
                    scores[image] = found
            except Exception as error:  # the others go on
                logger.warning("%s: no QA score: %s", image, " ".join(str(error).split())[:300])
        return scores

    def _score(self, image: str, datastore: Datastore, device: dict[str, str]) -> dict[str, Any] | None:
        label = datastore.get_label_by_image_id(image, ORIGINAL)
        if not label:
            request = {"model": self.segmenter, "image": image, "save_label": True, "label_tag": ORIGINAL, **device}
            self.app.infer(request, datastore)
            label = datastore.get_label_by_image_id(image, ORIGINAL)
        path = datastore.get_label_uri(label, ORIGINAL)
        scored = _digest(Path(path), Path(self.app.bundles[self.discriminator]) / "models" / "model.pt")
        if (datastore.get_image_info(image).get(KEY) or {}).get("scored") == scored:
            return None
        answer = self.app.infer({"model": self.discriminator, "image": image, "label": path, **device}, datastore)
        found = {name: answer["params"][name] for name in ("score", "code", "interval")}
        datastore.update_image_info(image, {KEY: {**found, "scored": scored}})
        return found


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
